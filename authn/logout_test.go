package authn_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

// What a logout token may be (OpenID Connect Back-Channel Logout 1.0, sections
// 2.4 and 2.6; J7).
func TestLogoutToken(t *testing.T) {
	claim := func(edit func(map[string]any)) func(_, _ map[string]any) {
		return func(_, claims map[string]any) { edit(claims) }
	}
	typ := func(value any) func(_, _ map[string]any) {
		return func(header, _ map[string]any) { set("typ", value)(header) }
	}
	op, rp := parties(t)
	for _, c := range []struct {
		name string
		edit func(header, claims map[string]any)
		want refusal
	}{
		{"as specified", nil, refusal{}},
		{"no typ", typ(nil), refusal{}},
		{"typ JWT", typ("JWT"), refusal{}},
		{"typ in full", typ("application/logout+JWT"), refusal{}},
		{"typ of another kind", typ("at+jwt"), refusal{claim: "typ"}},
		{"no jti", claim(set("jti", nil)), refusal{other: true}},
		{"jti is a number", claim(set("jti", 1)), refusal{other: true}},
		{"no iat", claim(set("iat", nil)), refusal{claim: "iat"}},
		{"no exp", claim(set("exp", nil)), refusal{other: true}},
		{"expired", claim(later("exp", -2*time.Minute)), refusal{claim: "exp"}},
		{"issued 11 min ago", claim(later("iat", -11*time.Minute)), refusal{skew: true}},
		{"issued in two minutes", claim(later("iat", 2*time.Minute)), refusal{skew: true}},
		{"with a nonce", claim(set("nonce", "n")), refusal{other: true}},
		{"with a nonce of null", func(_, c map[string]any) { c["nonce"] = nil }, refusal{other: true}},
		{"aud of another client", claim(set("aud", "other")), refusal{claim: "aud"}},
		{"no aud", claim(set("aud", nil)), refusal{claim: "aud"}},
		{"iss of another provider", claim(set("iss", "https://evil.test")), refusal{claim: "iss"}},
		{"no iss", claim(set("iss", nil)), refusal{claim: "iss"}},
		{"no events", claim(set("events", nil)), refusal{other: true}},
		{"another event", claim(set("events", map[string]any{"x": map[string]any{}})), refusal{other: true}},
		{"an event that is no object", claim(set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": 1})), refusal{claim: "events"}},
		{"an event of null", claim(set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": nil})), refusal{claim: "events"}},
		{"neither sub nor sid", claim(func(m map[string]any) { delete(m, "sub"); delete(m, "sid") }), refusal{other: true}},
		{"only sub", claim(set("sid", nil)), refusal{}},
		{"only sid", claim(set("sub", nil)), refusal{}},
		{"sid is empty", claim(set("sid", "")), refusal{claim: "sid"}},
		{"sub too long", claim(set("sub", strings.Repeat("s", 256))), refusal{claim: "sub"}},
		{"larger than 64 KiB", claim(set("x", strings.Repeat("x", 64<<10))), refusal{other: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rp.LogoutToken(t.Context(), op.LogoutToken("u-nora", "sid-1", c.edit))
			c.want.check(t, err)
			if (err == nil) == (got == authn.Logout{}) {
				t.Errorf("%+v with error %v", got, err)
			}
			if err == nil && (got.Issuer != op.URL || got.JTI == "") {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestLogoutTokenSignatures(t *testing.T) {
	op, rp := parties(t)
	header := map[string]any{"typ": "logout+jwt"}
	good := op.LogoutToken("u-nora", "", nil)
	var claims map[string]any
	op.LogoutToken("u-nora", "", func(_, c map[string]any) { claims = c })
	proof := mustSignIn(t, op, rp)
	for name, raw := range map[string]string{
		"none":                anteroomtest.None().Token(header, claims),
		"HS256":               anteroomtest.Confused(op.Key()).Token(header, claims),
		"a stranger's key":    anteroomtest.NewKey(op.Key().ID, "ES256").Token(header, claims),
		"nothing":             "",
		"no token":            "a.b.c",
		"text before":         " " + good,
		"two tokens":          good + good,
		"cut":                 good[:len(good)-4],
		"an ID token":         proof.IDToken,
		"claims are no claim": op.Key().Token(header, []int{1}),
		"claims are null":     op.Key().Token(header, nil),
	} {
		if got, err := rp.LogoutToken(t.Context(), raw); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
	if _, err := rp.LogoutToken(t.Context(), good); err != nil {
		t.Error(err)
	}
}

func TestLogoutTokenReplay(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		raw := op.LogoutToken("u-nora", "", func(_, c map[string]any) { later("exp", time.Hour)(c) })
		var all sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for range 50 {
			all.Go(func() {
				_, err := rp.LogoutToken(t.Context(), raw)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					taken++
				} else if !errors.Is(err, authn.ErrReplay) {
					t.Errorf("err = %v", err)
				}
			})
		}
		all.Wait()
		if taken != 1 {
			t.Errorf("one token was taken %d times", taken)
		}
		for range 12 { // as long as it could be good, and after that it is too old
			if _, err := rp.LogoutToken(t.Context(), raw); err == nil {
				t.Fatal("taken again")
			}
			time.Sleep(time.Minute)
		}
		if _, err := rp.LogoutToken(t.Context(), op.LogoutToken("u-nora", "", nil)); err != nil {
			t.Errorf("another token: %v", err)
		}
	})
}

func TestLogoutTokenWithoutProvider(t *testing.T) {
	op, rp := parties(t)
	raw := op.LogoutToken("u-nora", "", nil)
	op.Down()
	_, err := rp.LogoutToken(t.Context(), raw)
	refusal{down: true}.check(t, err)
	foreign := op.LogoutToken("u-nora", "", func(_, c map[string]any) { c["iss"] = "https://evil.test" })
	_, err = rp.LogoutToken(t.Context(), foreign)
	refusal{claim: "iss"}.check(t, err) // without asking anybody
}
