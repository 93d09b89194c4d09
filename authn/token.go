package authn

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// maxAge is how long ago a token that comes to us now may have been issued.
// Some providers date their tokens a few minutes back, so it is not the skew.
const maxAge = 10 * time.Minute

// idToken returns the claims of raw once its signature and at_hash are good.
func (p *Provider) idToken(ctx context.Context, doc *document, raw, accessToken string) (claims, error) {
	if err := compact(raw); err != nil {
		return nil, fmt.Errorf("authn: ID token: %w", err)
	}
	var c claims
	err := doc.verify(ctx, fetched, func(v *oidc.IDTokenVerifier) error {
		t, err := v.Verify(ctx, raw)
		if err != nil {
			return fmt.Errorf("authn: ID token: %s", said(err))
		}
		if t.AccessTokenHash != "" && t.VerifyAccessToken(accessToken) != nil {
			return &ClaimError{Claim: "at_hash", Want: "the hash of the access token beside it"}
		}
		return t.Claims(&c)
	})
	return c, err
}

// compact checks, before anything is parsed, that raw looks like a signed JWT
// in its compact form (RFC 7515, section 7.1) of bearable size.
func compact(raw string) error {
	if len(raw) > maxToken {
		return fmt.Errorf("it has more than %d bytes", maxToken)
	}
	foreign := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}
	if strings.Count(raw, ".") != 2 || strings.ContainsFunc(raw, foreign) {
		return errors.New("it is not a signed token in compact form")
	}
	return nil
}

// times are those of an ID token, by the provider's clock.
type times struct {
	issued time.Time
	auth   time.Time // zero when not said
}

// judge makes the checks of an ID token's claims (Core, section 3.1.3.7).
func (p *Provider) judge(c claims, nonce string) (times, error) {
	if err := p.addressed(c); err != nil {
		return times{}, err
	}
	if subtle.ConstantTimeCompare([]byte(c.text("nonce")), []byte(nonce)) != 1 {
		return times{}, &ClaimError{Claim: "nonce", Want: "the one this sign-in began with"}
	}
	if sub := c.text("sub"); !isIdentifier(sub, maxSub) {
		return times{}, &ClaimError{Claim: "sub", Want: "1 to 255 bytes of text"}
	}
	issued, err := p.timely(c)
	if err != nil {
		return times{}, err
	}
	if behind := p.now().Sub(issued); behind > skew {
		p.datedBack.Do(func() {
			p.log.Warn("ID tokens are dated back, or the provider's clock is behind; sign-ins fail from 10m0s on", "by", behind.Round(time.Second))
		})
	}
	auth, err := c.when("auth_time")
	if err != nil {
		return times{}, err
	}
	latest := issued
	if now := p.now(); now.After(latest) { // iat may be dated back
		latest = now
	}
	if auth.After(latest.Add(skew)) {
		return times{}, &ClaimError{Claim: "auth_time", Got: stamp(auth), Want: "no later than iat"}
	}
	return times{issued, auth}, nil
}

// freshAt returns the auth_time on this machine's clock, for a callback that
// came at now; zero when auth_time was not said. The age is the provider's own,
// iat less auth_time, so that two clocks a minute apart do no harm. A provider
// that dates its tokens back by minutes would make every sign-in that much
// younger: there our clock, less what it may be off by, sets the least age.
func (t times) freshAt(now time.Time) time.Time {
	if t.auth.IsZero() {
		return time.Time{}
	}
	age := max(0, t.issued.Sub(t.auth), now.Sub(t.auth)-skew)
	return now.Add(-age)
}

// addressed checks who issued a token, and that it is for us and nobody else.
func (p *Provider) addressed(c claims) error {
	if iss := c.text("iss"); iss != p.cfg.Issuer {
		return &ClaimError{Claim: "iss", Got: clip(iss), Want: p.cfg.Issuer}
	}
	aud := audience(c["aud"])
	if !slices.Contains(aud, p.cfg.ClientID) {
		return &ClaimError{Claim: "aud", Got: clip(strings.Join(aud, " ")), Want: p.cfg.ClientID}
	}
	// Of several audiences only azp tells whom the token was made for; the
	// others are nobody we trust.
	if azp := c.text("azp"); (c.has("azp") || len(aud) > 1) && azp != p.cfg.ClientID {
		return &ClaimError{Claim: "azp", Got: clip(azp), Want: p.cfg.ClientID}
	}
	return nil
}

// timely checks iat, exp and nbf and returns iat. A provider that dates iat back
// on purpose, so that slow clocks take its tokens, says so by an nbf of the same
// moment (Microsoft Entra does, by five minutes); up to maxAge of that is no
// difference of clocks.
func (p *Provider) timely(c claims) (time.Time, error) {
	now := p.now()
	issued, err := c.when("iat")
	if err != nil {
		return time.Time{}, err
	}
	expires, err := c.when("exp")
	if err != nil {
		return time.Time{}, err
	}
	notBefore, err := c.when("nbf")
	if err != nil {
		return time.Time{}, err
	}
	ahead := issued.Sub(now)
	expired := !now.Before(expires.Add(skew))
	switch {
	case issued.IsZero():
		return time.Time{}, &ClaimError{Claim: "iat", Want: "the time it was issued"}
	case expires.IsZero():
		return time.Time{}, &ClaimError{Claim: "exp", Want: "the time it expires"}
	case ahead > skew, ahead <= -maxAge, ahead < -skew-delay && (expired || !notBefore.Equal(issued)):
		return time.Time{}, &SkewError{By: ahead} // it was made a moment ago, so it is the clocks that differ
	case expired:
		return time.Time{}, &ClaimError{Claim: "exp", Got: stamp(expires), Want: "a time to come"}
	case notBefore.After(now.Add(skew)):
		return time.Time{}, &ClaimError{Claim: "nbf", Got: stamp(notBefore), Want: "a time past"}
	}
	return issued, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
