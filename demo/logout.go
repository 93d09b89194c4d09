package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/crypto"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const logoutWait = 5 * time.Second // for the client to take a logout token

// TerminateSessionFromRequest ends the session that the id_token_hint names,
// or without one the browser's own, and tells the client (OpenID Connect
// RP-Initiated Logout 1.0, section 2; Back-Channel Logout 1.0, section 2.5).
func (s *storage) TerminateSessionFromRequest(ctx context.Context, r *op.EndSessionRequest) (string, error) {
	sid := ""
	if r.IDTokenHintClaims != nil {
		if sid = r.IDTokenHintClaims.SessionID; sid == "" {
			return r.RedirectURI, nil
		}
	}
	var ended []session
	s.mu.Lock()
	for cookie, have := range s.sessions {
		if sid == "" && cookie == cookieOf(ctx) || sid != "" && have.SID == sid {
			ended = append(ended, *have)
			delete(s.sessions, cookie)
		}
	}
	s.mu.Unlock()
	for _, e := range ended {
		s.ended(ctx, e)
	}
	return r.RedirectURI, nil
}

// TerminateSession is not reached: the library prefers TerminateSessionFromRequest.
func (s *storage) TerminateSession(context.Context, string, string) error { return errUnknown }

// sendLogoutTokens tells the client that e ended. A client that does not
// answer keeps nobody from signing out: that is logged and no more.
func (p *Provider) sendLogoutTokens(ctx context.Context, e session) {
	if p.config.BackchannelURI == "" {
		return
	}
	if err := p.sendLogoutToken(ctx, e); err != nil {
		p.config.Log.Warn("back-channel logout was not taken", "client", p.config.ClientID, "error", err)
	}
}

func (p *Provider) sendLogoutToken(ctx context.Context, e session) error {
	raw, err := p.logoutToken(e)
	if err != nil {
		return fmt.Errorf("sign logout token: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutWait) // the browser may be gone already
	defer cancel()
	body := url.Values{"logout_token": {raw}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.BackchannelURI, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("send logout token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.config.HTTPClient.Do(req)
	if err != nil {
		return fmt.Errorf("send logout token: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("send logout token: %s answered %s", p.config.BackchannelURI, resp.Status)
	}
	return nil
}

// logoutToken returns the token of Back-Channel Logout 1.0, section 2.4. Its
// typ keeps it from being taken for an ID token.
func (p *Provider) logoutToken(e session) (string, error) {
	now := p.config.Now()
	claims := oidc.NewLogoutTokenClaims(p.config.Issuer, e.Person.Sub(), oidc.Audience{p.config.ClientID}, now.Add(2*time.Minute), rand.Text(), e.SID, 0)
	claims.IssuedAt = oidc.FromTime(now)
	key := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.config.Key, KeyID: keyID(p.config.Key)}}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("logout+jwt"))
	if err != nil {
		return "", err
	}
	return crypto.Sign(claims, signer)
}
