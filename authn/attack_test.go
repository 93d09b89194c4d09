package authn_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

// set returns an edit that sets one member; a nil value removes it.
func set(name string, value any) func(map[string]any) {
	return func(m map[string]any) {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
}

// later returns an edit that moves a time claim, "iat", from where iat is.
func later(name string, by time.Duration) func(map[string]any) {
	return func(m map[string]any) { m[name] = m["iat"].(int64) + int64(by/time.Second) }
}

// shift moves every time claim, as a clock that is off would.
func shift(by time.Duration) func(map[string]any) {
	return func(m map[string]any) {
		for _, name := range []string{"iat", "exp", "auth_time"} {
			m[name] = m[name].(int64) + int64(by/time.Second)
		}
	}
}

// What the claims of an ID token may be (OpenID Connect Core 1.0, section
// 3.1.3.7; the attack catalogue's H3, H5, H6, H7).
func TestIDTokenClaims(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(map[string]any)
		want refusal
	}{
		{"as issued", func(map[string]any) {}, refusal{}},
		{"no nonce", set("nonce", nil), refusal{claim: "nonce"}},
		{"nonce of another sign-in", set("nonce", rand.Text()), refusal{claim: "nonce"}},
		{"nonce is a number", set("nonce", 1), refusal{other: true}},
		{"nonce spelled otherwise", func(m map[string]any) { m["Nonce"] = m["nonce"]; delete(m, "nonce") }, refusal{claim: "nonce"}},
		{"no iss", set("iss", nil), refusal{claim: "iss"}},
		{"iss of another provider", set("iss", "https://evil.test"), refusal{claim: "iss"}},
		{"iss with a slash more", func(m map[string]any) { m["iss"] = m["iss"].(string) + "/" }, refusal{claim: "iss"}},
		{"no aud", set("aud", nil), refusal{claim: "aud"}},
		{"aud of another client", set("aud", "other"), refusal{claim: "aud"}},
		{"no audience at all", set("aud", []string{}), refusal{claim: "aud"}},
		{"aud in an array", set("aud", []string{"anteroom"}), refusal{}},
		{"several aud without azp", set("aud", []string{"anteroom", "other"}), refusal{claim: "azp"}},
		{"several aud and our azp", func(m map[string]any) { m["aud"], m["azp"] = []string{"other", "anteroom"}, "anteroom" }, refusal{}},
		{"azp of another client", set("azp", "other"), refusal{claim: "azp"}},
		{"azp is empty", set("azp", ""), refusal{claim: "azp"}},
		{"azp is ours", set("azp", "anteroom"), refusal{}},
		{"no sub", set("sub", nil), refusal{claim: "sub"}},
		{"sub is empty", set("sub", ""), refusal{claim: "sub"}},
		{"sub of 255 bytes", set("sub", strings.Repeat("a", 255)), refusal{}},
		{"sub of 256 bytes", set("sub", strings.Repeat("a", 256)), refusal{claim: "sub"}},
		{"sub JSON cannot hold", set("sub", "a\uFFFDb"), refusal{claim: "sub"}},
		{"no iat", set("iat", nil), refusal{claim: "iat"}},
		{"iat is text", set("iat", "1700000000"), refusal{claim: "iat"}},
		{"iat beyond all years", set("iat", 1e300), refusal{claim: "iat"}},
		{"no exp", set("exp", nil), refusal{claim: "exp"}},
		{"exp past, within skew", later("exp", -50*time.Second), refusal{}},
		{"exp past, beyond skew", later("exp", -62*time.Second), refusal{claim: "exp"}},
		{"nbf ahead, within skew", later("nbf", 50*time.Second), refusal{}},
		{"nbf ahead, beyond skew", later("nbf", 70*time.Second), refusal{claim: "nbf"}},
		{"dated five minutes back on purpose", func(m map[string]any) { later("nbf", -5*time.Minute)(m); m["iat"] = m["nbf"] }, refusal{}},
		{"dated eleven minutes back on purpose", func(m map[string]any) { later("nbf", -11*time.Minute)(m); m["iat"] = m["nbf"] }, refusal{skew: true}},
		{"iat five minutes back", later("iat", -5*time.Minute), refusal{skew: true}},
		{"iat 50 s back", later("iat", -50*time.Second), refusal{}},
		{"clock 50 s ahead", shift(50 * time.Second), refusal{}},
		{"clock 70 s ahead", shift(70 * time.Second), refusal{skew: true}},
		{"clock 10 min ahead", shift(10 * time.Minute), refusal{skew: true}},
		{"clock 50 s behind", shift(-50 * time.Second), refusal{}},
		{"clock so far behind that it has expired", shift(-7 * time.Minute), refusal{skew: true}},
		{"clock 10 min behind", shift(-10 * time.Minute), refusal{skew: true}},
		{"issued 10 min ago", func(m map[string]any) { later("iat", -10*time.Minute)(m); delete(m, "auth_time") }, refusal{skew: true}},
		{"auth_time after iat, within skew", later("auth_time", 50*time.Second), refusal{}},
		{"auth_time after iat", later("auth_time", 70*time.Second), refusal{claim: "auth_time"}},
		{"auth_time is text", set("auth_time", "now"), refusal{claim: "auth_time"}},
		{"auth_time is nothing", set("auth_time", 0), refusal{claim: "auth_time"}},
		{"at_hash of another token", set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), refusal{claim: "at_hash"}},
		{"no at_hash", set("at_hash", nil), refusal{}},
		{"user name too long", set("preferred_username", strings.Repeat("n", 257)), refusal{claim: "preferred_username"}},
		{"user name is a number", set("preferred_username", 17), refusal{claim: "preferred_username"}},
		{"larger than 64 KiB", set("padding", strings.Repeat("a", 64<<10)), refusal{other: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			op, rp := parties(t)
			op.EditIDToken(c.edit)
			_, err := signIn(t, op, rp, nil, authn.Ask{})
			c.want.check(t, err)
		})
	}
}

func TestSkewIsTold(t *testing.T) {
	for by, want := range map[time.Duration]string{
		10 * time.Minute:  "authn: the provider's clock is 10m0s ahead of this machine's",
		-15 * time.Minute: "authn: the provider's clock is 15m0s behind this machine's",
	} {
		op := anteroomtest.NewProvider(t)
		c := configured(op)
		now := time.Unix(time.Now().Unix(), 0) // whole, as token times are
		c.Now = func() time.Time { return now }
		op.EditIDToken(func(m map[string]any) { m["iat"] = now.Add(by).Unix() })
		rp := authn.NewProvider(c)
		if _, err := signIn(t, op, rp, nil, authn.Ask{}); err == nil || err.Error() != want {
			t.Errorf("err = %v, want %s", err, want)
		}
	}
}

// Who may have signed (H4, H8, H9).
func TestSignatures(t *testing.T) {
	type scene struct {
		op   *anteroomtest.Provider
		good anteroomtest.Key
	}
	publish := func(s scene, jwk ...map[string]any) {
		s.op.EditKeys(func(m map[string]any) { m["keys"] = jwk })
	}
	for _, c := range []struct {
		name  string
		stage func(scene)
		want  refusal
	}{
		{"none", func(s scene) { s.op.SignWith(anteroomtest.None()) }, refusal{other: true}},
		{"HS256 with the public key", func(s scene) { s.op.SignWith(anteroomtest.Confused(s.good)) }, refusal{other: true}},
		{"HS256 with the client secret", func(s scene) {
			s.op.SignWith(anteroomtest.Key{ID: s.good.ID, Alg: "HS256", Secret: []byte(s.op.ClientSecret)})
		}, refusal{other: true}},
		{"HS256 with a published shared secret", func(s scene) {
			k := anteroomtest.Key{ID: "oct", Alg: "HS256", Secret: []byte("0123456789abcdef0123456789abcdef")}
			publish(s, map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString(k.Secret)}, s.good.Published(nil))
			s.op.SignWith(k)
		}, refusal{other: true}},
		{"EdDSA", func(s scene) { k := anteroomtest.NewKey("ed", "EdDSA"); s.op.SignWith(k, k) }, refusal{}},
		{"RS256", func(s scene) { k := anteroomtest.NewKey("rsa", "RS256"); s.op.SignWith(k, k) }, refusal{}},
		{"PS256", func(s scene) { k := anteroomtest.NewKey("rsa", "PS256"); s.op.SignWith(k, k) }, refusal{}},
		{"PS256 with a key for RS256", func(s scene) {
			k := anteroomtest.NewKey("rsa", "PS256")
			s.op.SignWith(k, s.good)
			publish(s, k.Published(map[string]any{"alg": "RS256"}))
		}, refusal{other: true}},
		{"an algorithm that discovery does not name", func(s scene) {
			s.op.Discovery(set("id_token_signing_alg_values_supported", []string{"RS256"}))
		}, refusal{other: true}},
		{"RS256 of 1024 bits", func(s scene) {
			k := anteroomtest.NewKey("short", "RS256-1024")
			s.op.SignWith(k, k, s.good)
		}, refusal{other: true}},
		{"a stranger's key under our kid", func(s scene) {
			s.op.SignWith(anteroomtest.NewKey(s.good.ID, "ES256"))
		}, refusal{other: true}},
		{"a stranger's key in the header", func(s scene) {
			evil := anteroomtest.NewKey("evil", "ES256")
			s.op.Sign(func(h, claims map[string]any) string {
				h["jwk"] = evil.Published(nil)
				h["jku"] = s.op.URL + "/evil"
				return evil.Token(h, claims)
			})
		}, refusal{other: true}},
		{"our key with an unknown critical header", func(s scene) {
			s.op.Sign(func(h, claims map[string]any) string {
				maps.Copy(h, map[string]any{"crit": []string{"x"}, "x": 1})
				return s.good.Token(h, claims)
			})
		}, refusal{other: true}},
		{"signature cut off", func(s scene) {
			s.op.Sign(func(h, claims map[string]any) string {
				raw := s.good.Token(h, claims)
				return raw[:strings.LastIndexByte(raw, '.')+1]
			})
		}, refusal{other: true}},
		{"JSON form with two signatures", func(s scene) {
			s.op.Sign(func(h, claims map[string]any) string {
				p := strings.Split(s.good.Token(h, claims), ".")
				sig := fmt.Sprintf(`{"protected":%q,"signature":%q}`, p[0], p[2])
				return fmt.Sprintf(`{"payload":%q,"signatures":[%s,%s]}`, p[1], sig, sig)
			})
		}, refusal{other: true}},
		{"a key for encryption", func(s scene) {
			publish(s, s.good.Published(map[string]any{"use": "enc"}), anteroomtest.NewKey("b", "ES256").Published(nil))
		}, refusal{other: true}},
		{"a key that only signs", func(s scene) {
			publish(s, s.good.Published(map[string]any{"key_ops": []string{"sign"}}), anteroomtest.NewKey("b", "ES256").Published(nil))
		}, refusal{other: true}},
		{"only keys for encryption", func(s scene) { publish(s, s.good.Published(map[string]any{"use": "enc"})) }, refusal{down: true}},
		{"no kid, one key fits", func(s scene) {
			k := s.good
			k.ID = ""
			s.op.SignWith(k, s.good, anteroomtest.NewKey("b", "ES256"), anteroomtest.NewKey("c", "EdDSA"))
		}, refusal{}},
		{"no kid, the key listed twice", func(s scene) {
			k := s.good
			k.ID = ""
			s.op.SignWith(k, s.good, s.good)
		}, refusal{}},
		{"no kid, no key fits", func(s scene) {
			s.op.SignWith(anteroomtest.NewKey("", "ES256"), s.good)
		}, refusal{other: true}},
		{"two keys under one kid", func(s scene) {
			s.op.SignWith(s.good, anteroomtest.NewKey(s.good.ID, "ES256"), s.good)
		}, refusal{}},
		{"an odd key beside ours", func(s scene) {
			publish(s, map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "k1"}, map[string]any{"kty": 7}, s.good.Published(nil))
		}, refusal{}},
		{"a private key published", func(s scene) {
			publish(s, s.good.Published(map[string]any{"d": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}), anteroomtest.NewKey("b", "ES256").Published(nil))
		}, refusal{other: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			op, rp := parties(t)
			c.stage(scene{op, op.Key()})
			_, err := signIn(t, op, rp, nil, authn.Ask{})
			c.want.check(t, err)
			if n := op.Calls("/evil"); n != 0 {
				t.Error("a key address in the token's header was followed")
			}
		})
	}
}

// What a browser may bring back (H1, H5, H15; RFC 9207).
func TestCallbackParameters(t *testing.T) {
	edit := func(name string, values ...string) func(url.Values) {
		return func(q url.Values) {
			if q[name] = values; len(values) == 0 {
				delete(q, name)
			}
		}
	}
	for _, c := range []struct {
		name string
		edit func(url.Values)
		want refusal
	}{
		{"as sent", func(url.Values) {}, refusal{}},
		{"no state", edit("state"), refusal{state: true}},
		{"empty state", edit("state", ""), refusal{state: true}},
		{"another state", edit("state", "state-2"), refusal{state: true}},
		{"state twice", edit("state", "state-1", "state-1"), refusal{state: true}},
		{"two codes", edit("code", "a", "b"), refusal{state: true}},
		{"anything twice", edit("x", "1", "2"), refusal{state: true}},
		{"no code", edit("code"), refusal{state: true}},
		{"huge code", edit("code", strings.Repeat("c", 5000)), refusal{state: true}},
		{"iss of another provider", edit("iss", "https://evil.test"), refusal{claim: "iss"}},
		{"empty iss", edit("iss", ""), refusal{claim: "iss"}},
		{"no iss though the provider sends it", edit("iss"), refusal{claim: "iss"}},
		{"cancelled", func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, refusal{code: "access_denied"}},
		{"cannot prove what was asked", func(q url.Values) { q.Del("code"); q.Set("error", "unmet_authentication_requirements") }, refusal{code: "unmet_authentication_requirements"}},
		{"error and code", edit("error", "server_error"), refusal{code: "server_error"}},
		{"a text for an error", edit("error", "<script>alert(1)</script>"), refusal{code: "other"}},
		{"error from another provider", func(q url.Values) { q.Set("error", "access_denied"); q.Set("iss", "https://evil.test") }, refusal{claim: "iss"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			op, rp := parties(t)
			op.EditCallback(func(q url.Values) {
				q.Set("error_description", "<b>canary</b>")
				c.edit(q)
			})
			_, err := signIn(t, op, rp, nil, authn.Ask{})
			c.want.check(t, err)
			if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "<")) {
				t.Errorf("the error repeats what the callback said: %v", err)
			}
			if n := op.Calls(anteroomtest.TokenPath); c.want != (refusal{}) && n != 0 {
				t.Errorf("token endpoint was asked %d times", n)
			}
		})
	}
}

func TestCallbackWithoutIssuerParameter(t *testing.T) {
	op, rp := parties(t)
	op.Discovery(set("authorization_response_iss_parameter_supported", nil))
	op.EditCallback(func(q url.Values) { q.Del("iss") })
	mustSignIn(t, op, rp)
}

// An attempt of another provider, an empty one, and one whose parts are mixed.
func TestAttempts(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*authn.Attempt)
		want refusal
	}{
		{"zero", func(a *authn.Attempt) { *a = authn.Attempt{} }, refusal{state: true}},
		{"another provider's", func(a *authn.Attempt) { a.Provider = "other" }, refusal{state: true}},
		{"no nonce", func(a *authn.Attempt) { a.Nonce = "" }, refusal{state: true}},
		{"another nonce", func(a *authn.Attempt) { a.Nonce = rand.Text() }, refusal{claim: "nonce"}},
		{"no verifier", func(a *authn.Attempt) { a.Verifier = "" }, refusal{state: true}},
		// H11: the code of the attacker's own sign-in, in the victim's callback.
		{"another verifier", func(a *authn.Attempt) { a.Verifier = strings.Repeat("v", 43) }, refusal{code: "invalid_grant"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			op, rp := parties(t)
			authURL, a := begun(t, rp, authn.Ask{})
			q := op.Visit(t, nil, authURL)
			c.edit(&a)
			_, err := rp.Finish(t.Context(), a, q)
			c.want.check(t, err)
		})
	}
}

// H2: of one callback delivered many times at once, one signs in.
func TestCallbackDeliveredTwice(t *testing.T) {
	op, rp := parties(t)
	authURL, a := begun(t, rp, authn.Ask{})
	q := op.Visit(t, nil, authURL)
	answers := make(chan error)
	for range 4 {
		go func() {
			_, err := rp.Finish(t.Context(), a, q)
			answers <- err
		}()
	}
	var kinds []refusal
	for range 4 {
		kinds = append(kinds, kind(<-answers))
	}
	good := slices.Index(kinds, refusal{})
	if good < 0 {
		t.Fatalf("nobody signed in: %+v", kinds)
	}
	for i, k := range kinds {
		if i != good && k != (refusal{code: "invalid_grant"}) {
			t.Errorf("%+v", kinds)
		}
	}
}

func TestTokenEndpointAnswers(t *testing.T) {
	text := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			w.Write([]byte(body))
		}
	}
	const canary = "canary-3f9"
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   refusal
	}{
		{"refused", text(400, "application/json", `{"error":"invalid_grant","error_description":"`+canary+`"}`), refusal{code: "invalid_grant"}},
		{"refused with status 200", text(200, "application/json", `{"error":"`+canary+`"}`), refusal{code: "other"}},
		{"refused without a code", text(403, "text/html", canary), refusal{down: true}},
		{"broken", text(502, "text/html", canary), refusal{down: true}},
		{"not JSON", text(200, "application/json", canary), refusal{down: true}},
		{"no access token", text(200, "application/json", `{"id_token":"`+canary+`"}`), refusal{down: true}},
		{"no ID token", text(200, "application/json", `{"access_token":"`+canary+`","token_type":"Bearer"}`), refusal{claim: "id_token"}},
		{"not a Bearer token", text(200, "application/json", `{"access_token":"`+canary+`","token_type":"DPoP","id_token":"a.b.c"}`), refusal{other: true}},
		{"ID token is no token", text(200, "application/json", `{"access_token":"`+canary+`","token_type":"bearer","id_token":"a.b"}`), refusal{other: true}},
		{"ID token with spaces", text(200, "application/json", `{"access_token":"`+canary+`","token_type":"bearer","id_token":" a.b.c "}`), refusal{other: true}},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere?"+canary, http.StatusTemporaryRedirect)
		}, refusal{down: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			op, rp := parties(t)
			op.Handle(anteroomtest.TokenPath, c.answer)
			_, err := signIn(t, op, rp, nil, authn.Ask{})
			c.want.check(t, err)
			for _, secret := range []string{canary, op.ClientSecret, "code-"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error says %s: %v", secret, err)
				}
			}
			if op.Calls("/elsewhere") != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}
