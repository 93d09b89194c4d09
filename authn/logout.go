package authn

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// LogoutURL returns where to send a browser to sign out at the provider too
// (OpenID Connect RP-Initiated Logout 1.0, section 2), and whether there is
// such a place: not when the provider offers none or does not answer just now.
// An empty argument is left out.
func (p *Provider) LogoutURL(ctx context.Context, idTokenHint, postLogoutRedirect, state string) (string, bool) {
	doc, err := p.discovery.living(ctx)
	if err != nil || doc.EndSession == "" {
		return "", false
	}
	u, err := url.Parse(doc.EndSession)
	if err != nil {
		return "", false
	}
	q := u.Query()
	q.Set("client_id", p.cfg.ClientID)
	for name, value := range map[string]string{
		"id_token_hint":            idTokenHint,
		"post_logout_redirect_uri": postLogoutRedirect,
		"state":                    state,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), true
}

// A Logout is a provider's word that sessions have ended there: those of Sub,
// or when SID is not empty the one of that name. One of the two may be empty.
type Logout struct{ Issuer, Sub, SID, JTI string }

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// LogoutToken checks raw, which anybody may have sent (OpenID Connect
// Back-Channel Logout 1.0, section 2.6). It returns [ErrReplay] for a token
// seen before, which is remembered in this process for as long as it could be
// good; an [*UnavailableError] when the provider's keys cannot be had; a
// [*ClaimError] or [*SkewError] when a claim fails; another error when it is no
// token of the provider's.
func (p *Provider) LogoutToken(ctx context.Context, raw string) (Logout, error) {
	if err := compact(raw); err != nil {
		return Logout{}, fmt.Errorf("authn: logout token: %w", err)
	}
	if err := p.ours(raw); err != nil {
		return Logout{}, err
	}
	doc, err := p.discovery.known(ctx)
	if err != nil {
		return Logout{}, err
	}
	var c claims
	err = doc.verify(ctx, delivered, func(v *oidc.IDTokenVerifier) error {
		t, err := v.VerifyLogout(ctx, raw)
		if err != nil {
			return fmt.Errorf("authn: logout token: %s", said(err))
		}
		return t.Claims(&c)
	})
	if err != nil {
		return Logout{}, err
	}
	if err := p.addressed(c); err != nil {
		return Logout{}, err
	}
	if _, err := p.timely(c); err != nil {
		return Logout{}, err
	}
	if _, ok := c["nonce"]; ok { // then it is an ID token
		return Logout{}, &ClaimError{Claim: "nonce", Want: "none in a logout token"}
	}
	var events map[string]claims
	if json.Unmarshal(c["events"], &events) != nil || events[logoutEvent] == nil {
		return Logout{}, &ClaimError{Claim: "events", Want: "the event of a logout"}
	}
	l := Logout{Issuer: p.cfg.Issuer, Sub: c.text("sub"), SID: c.text("sid"), JTI: c.text("jti")}
	for name, value := range map[string]string{"sub": l.Sub, "sid": l.SID} {
		if c.has(name) && !isIdentifier(value, maxSub) { // else it would end other sessions than it says
			return Logout{}, &ClaimError{Claim: name, Want: "1 to 255 bytes of text"}
		}
	}
	switch {
	case l.Sub == "" && l.SID == "":
		return Logout{}, &ClaimError{Claim: "sub", Want: "a sub or a sid"}
	case l.JTI == "":
		return Logout{}, &ClaimError{Claim: "jti", Want: "a name of its own"}
	case !p.logouts.first(l.JTI, time.Now()):
		return Logout{}, ErrReplay
	}
	return l, nil
}

// ours checks, before keys are fetched for it, that raw says to be a logout
// token of this provider: with several providers each is shown all tokens. Its
// typ is logout+jwt, or what providers sent before there was that type; others
// are other kinds of token.
func (p *Provider) ours(raw string) error {
	var header, body claims
	part := strings.Split(raw, ".")
	if !readPart(part[0], &header) || !readPart(part[1], &body) {
		return errors.New("authn: logout token: it cannot be read")
	}
	typ := header.text("typ")
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "logout+jwt":
	default:
		return &ClaimError{Claim: "typ", Got: clip(typ), Want: "logout+jwt"}
	}
	return p.addressed(body)
}

func readPart(part string, c *claims) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, c) == nil
}

const (
	replayLast = maxAge + 2*skew // longer than any token stays good after it was first seen
	maxReplays = 100_000
)

// replays remembers the jti of logout tokens. Only tokens that the provider
// signed come here, so that no stranger fills it. When it is full the oldest
// goes: to end a session twice does less harm than not to end it.
type replays struct {
	mu   sync.Mutex
	seen map[[16]byte]struct{}
	line []replay // oldest first
}

type replay struct {
	id [16]byte
	at time.Time
}

func newReplays() *replays { return &replays{seen: make(map[[16]byte]struct{})} }

// first reports whether jti has not been seen before, and remembers it.
func (r *replays) first(jti string, now time.Time) bool {
	sum := sha256.Sum256([]byte(jti))
	id := [16]byte(sum[:16])
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.line) > 0 && (len(r.line) >= maxReplays || now.Sub(r.line[0].at) > replayLast) {
		delete(r.seen, r.line[0].id)
		r.line = r.line[1:]
	}
	if _, ok := r.seen[id]; ok {
		return false
	}
	r.seen[id] = struct{}{}
	r.line = append(r.line, replay{id, now})
	return true
}
