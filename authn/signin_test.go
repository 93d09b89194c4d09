package authn_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

func TestSignIn(t *testing.T) {
	op, rp := parties(t)
	before := time.Now()
	proof := mustSignIn(t, op, rp)
	want := access.Authentication{
		Subject:  access.Subject{Issuer: op.URL, Sub: "u-nora"},
		Username: "nora", Name: "Nora Nurse", Groups: []string{"ehr-nurses"},
		ACR: "pwd", AMR: []string{"pwd"},
		AuthTime: proof.AuthTime, FreshAt: proof.FreshAt,
	}
	if diff := cmp.Diff(want, proof.Authentication); diff != "" {
		t.Error(diff)
	}
	if proof.SID != op.SID() || proof.IDToken == "" || proof.IssuedAt.IsZero() {
		t.Errorf("sid %q, token of %d bytes, issued %v", proof.SID, len(proof.IDToken), proof.IssuedAt)
	}
	if age := before.Sub(proof.FreshAt); age > 2*time.Second || age < -2*time.Second {
		t.Errorf("fresh sign-in is %v old", age)
	}
	if n := op.Calls(anteroomtest.UserInfoPath); n != 0 {
		t.Errorf("userinfo was asked %d times though the ID token said all", n)
	}
}

func TestBeginAsks(t *testing.T) {
	op, rp := parties(t)
	for _, c := range []struct {
		name string
		ask  authn.Ask
		want url.Values // of the parameters that depend on it
	}{
		{"anything", authn.Ask{}, url.Values{}},
		{"strength", authn.Ask{ACRValues: []string{"phr", "mfa"}}, url.Values{"acr_values": {"phr mfa"}}},
		{"age", authn.Ask{MaxAge: 5 * time.Minute}, url.Values{"max_age": {"300"}}},
		{"age under a second", authn.Ask{MaxAge: time.Millisecond}, url.Values{"max_age": {"0"}}},
		{"anew", authn.Ask{Login: true}, url.Values{"prompt": {"login"}, "max_age": {"0"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			authURL, a := begun(t, rp, c.ask)
			u, err := url.Parse(authURL)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			got := url.Values{}
			for _, name := range []string{"acr_values", "max_age", "prompt"} {
				if q.Has(name) {
					got[name] = q[name]
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Has("code_verifier") {
				t.Error("PKCE S256 is not asked for")
			}
			if q.Get("response_mode") != "query" || q.Get("response_type") != "code" || q.Get("redirect_uri") != redirectURL {
				t.Errorf("asked for %v", q)
			}
			if q.Get("state") != a.State || q.Get("nonce") != a.Nonce || len(a.Nonce) < 20 || len(a.Verifier) < 43 {
				t.Error("state or nonce of the attempt is not the one sent, or short")
			}
			if !strings.HasPrefix(authURL, op.URL+anteroomtest.AuthorizePath+"?") {
				t.Errorf("sent to %s", u.Host)
			}
		})
	}
	_, one := begun(t, rp, authn.Ask{})
	_, two := begun(t, rp, authn.Ask{})
	if one.Nonce == two.Nonce || one.Verifier == two.Verifier {
		t.Error("two attempts share a secret")
	}
}

// An attempt survives its cookie, and neither it nor a proof or provider shows
// secrets when printed.
func TestNothingPrintsSecrets(t *testing.T) {
	op, rp := parties(t)
	authURL, a := begun(t, rp, authn.Ask{})
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back authn.Attempt
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	proof, err := rp.Finish(t.Context(), back, op.Visit(t, nil, authURL))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("all", "attempt", a, "proof", proof, "provider", rp)
	fmt.Fprintf(&out, "%v %+v %#v %v %+v %#v %v %+v %#v", a, a, a, proof, proof, proof, rp, rp, rp)
	for name, secret := range map[string]string{
		"verifier": a.Verifier, "nonce": a.Nonce, "state": a.State, "ID token": proof.IDToken,
		"client secret": op.ClientSecret, "name": "Nora",
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s is printed", name)
		}
	}
}

// A person who is signed in at the provider comes back with the age of that
// sign-in, and step-up makes it new.
func TestAgeAndStrength(t *testing.T) {
	op, rp := parties(t)
	op.Person(anteroomtest.Person{Sub: "u-nora", ACR: "pwd", AMR: []string{"pwd"}, CanACR: []string{"phr"}, CanAMR: []string{"hwk"}})
	jar, _ := cookiejar.New(nil)
	if _, err := signIn(t, op, rp, jar, authn.Ask{}); err != nil {
		t.Fatal(err)
	}
	op.Skew(30 * time.Second) // half a minute passes, as far as the provider can tell
	again, err := signIn(t, op, rp, jar, authn.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(again.FreshAt).Round(10 * time.Second); age != 30*time.Second {
		t.Errorf("sign-in at the provider half a minute ago is %v old", age)
	}
	strong, err := signIn(t, op, rp, jar, authn.Ask{ACRValues: []string{"phr"}})
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(strong.FreshAt).Round(10 * time.Second); age != 0 || strong.ACR != "phr" || !reflect.DeepEqual(strong.AMR, []string{"hwk"}) {
		t.Errorf("stepped up: age %v, acr %q, amr %v", age, strong.ACR, strong.AMR)
	}
}

// Clocks that differ do not change how old a sign-in is (within what they may).
func TestFreshAtIsOurClock(t *testing.T) {
	for _, off := range []time.Duration{-60 * time.Second, 0, 60 * time.Second} {
		t.Run(off.String(), func(t *testing.T) {
			op, rp := parties(t)
			op.Skew(off)
			op.EditIDToken(func(c map[string]any) { c["auth_time"] = c["iat"].(int64) - 240 })
			before := time.Now()
			proof := mustSignIn(t, op, rp)
			if age := before.Sub(proof.FreshAt); age < 235*time.Second || age > 245*time.Second {
				t.Errorf("age = %v, want 4m", age)
			}
		})
	}
}

// A token that is dated back makes no sign-in younger than our clock allows.
func TestDatedBackIsNoYounger(t *testing.T) {
	op, rp := parties(t)
	op.EditIDToken(func(c map[string]any) {
		c["auth_time"] = c["iat"].(int64) - 240
		c["iat"] = c["iat"].(int64) - 300
		c["nbf"] = c["iat"] // which says that it is on purpose
	})
	if age := time.Since(mustSignIn(t, op, rp).FreshAt); age < 180*time.Second {
		t.Errorf("age = %v, want 3m at least", age)
	}
}

func TestAuthTimeNotSaidProvesNothing(t *testing.T) {
	op, rp := parties(t)
	op.OmitAuthTime()
	proof := mustSignIn(t, op, rp)
	if !proof.AuthTime.IsZero() || !proof.FreshAt.IsZero() {
		t.Errorf("auth_time %v, fresh at %v: want zero", proof.AuthTime, proof.FreshAt)
	}
	proof, err := signIn(t, op, rp, nil, authn.Ask{Login: true})
	if err != nil {
		t.Fatal(err)
	}
	if proof.AuthTime.IsZero() {
		t.Error("a sign-in made anew does not oblige the provider to say auth_time")
	}
}

func TestClientAuthentication(t *testing.T) {
	for _, c := range []struct {
		name    string
		methods any
		secret  bool
		want    refusal
	}{
		{"basic is the default", nil, true, refusal{}},
		{"basic before post", []string{"client_secret_post", "client_secret_basic"}, true, refusal{}},
		{"post when only that is offered", []string{"private_key_jwt", "client_secret_post"}, true, refusal{}},
		{"neither", []string{"private_key_jwt"}, true, refusal{down: true}},
		{"public client", []string{"none"}, false, refusal{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := anteroomtest.NewProvider(t)
			op.Discovery(func(m map[string]any) {
				if m["token_endpoint_auth_methods_supported"] = c.methods; c.methods == nil {
					delete(m, "token_endpoint_auth_methods_supported")
				}
			})
			if !c.secret {
				op.ClientSecret = ""
			}
			rp := authn.NewProvider(configured(op))
			if c.want != (refusal{}) {
				c.want.check(t, rp.Check(t.Context()))
				return
			}
			mustSignIn(t, op, rp)
			if n := op.Calls(anteroomtest.TokenPath); n != 1 {
				t.Errorf("token endpoint asked %d times", n)
			}
		})
	}
}

func TestLogoutURL(t *testing.T) {
	op, rp := parties(t)
	op.Discovery(func(m map[string]any) { m["end_session_endpoint"] = op.URL + "/bye?tenant=1" })
	got, ok := rp.LogoutURL(t.Context(), "hint", "https://gate.test/.anteroom/signed-out", "s")
	u, err := url.Parse(got)
	if !ok || err != nil {
		t.Fatalf("%q, %v, %v", got, ok, err)
	}
	want := url.Values{
		"tenant": {"1"}, "id_token_hint": {"hint"}, "client_id": {op.ClientID}, "state": {"s"},
		"post_logout_redirect_uri": {"https://gate.test/.anteroom/signed-out"},
	}
	if diff := cmp.Diff(want, u.Query()); diff != "" {
		t.Error(diff)
	}

	op2, rp2 := parties(t)
	op2.Discovery(func(m map[string]any) { delete(m, "end_session_endpoint") })
	if got, ok := rp2.LogoutURL(t.Context(), "hint", "", ""); ok {
		t.Errorf("provider without an end_session_endpoint: %q", got)
	}
}
