package authn_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

// offline returns parties that talk in memory.
func offline(f *testing.F) (*anteroomtest.Provider, *authn.Provider) {
	f.Helper()
	op := anteroomtest.NewProvider(f)
	config := configured(op)
	config.HTTPClient = &http.Client{Transport: inMemory{op}}
	return op, authn.NewProvider(config)
}

// No callback but the provider's own, for the very attempt, signs anybody in,
// and nothing of a callback comes back in the error.
func FuzzCallback(f *testing.F) {
	op, rp := offline(f)
	_, a := begun(f, rp, authn.Ask{})
	mark := "canary" + a.Nonce
	f.Add("state=state-1&code=x&iss=" + url.QueryEscape(op.URL))
	f.Add("state=state-1&state=state-1&code=x")
	f.Add("state=state-1&error=access_denied&error_description=%3Cscript%3E&iss=" + url.QueryEscape(op.URL))
	f.Add("state=state-1&error=%00%0d%0a&iss=" + url.QueryEscape(op.URL))
	f.Add("code=%zz&state=;")
	f.Add("state=state-1&code=" + strings.Repeat("A", 5000))
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if len(q["error"]) == 1 {
			q.Set("error_description", mark)
		}
		proof, err := rp.Finish(t.Context(), a, q)
		if err == nil {
			t.Fatalf("signed in as %s", proof.Subject.Sub)
		}
		if strings.Contains(err.Error(), mark) {
			t.Fatalf("the error repeats the callback: %v", err)
		}
	})
}

// A logout token that the provider did not sign, or with other claims than it
// must have, is never taken; none makes a panic.
func FuzzLogoutToken(f *testing.F) {
	op, rp := offline(f)
	good := op.LogoutToken("u-nora", "sid-1", nil)
	f.Add(good, true)
	f.Add(strings.Replace(good, ".", "..", 1), true)
	f.Add("eyJhbGciOiJub25lIn0.e30.", true)
	f.Add("{\"payload\":\"\"}", true)
	for _, claims := range []string{
		`{"iss":"ISSUER","aud":"anteroom","jti":"1","iat":1e10,"exp":1e10,"sub":"u","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		`{"iss":"ISSUER","aud":["anteroom"],"azp":null,"jti":"2","sub":7,"events":[]}`,
		`null`, `[]`, `{"iss":{"iss":"ISSUER"}}`,
	} {
		f.Add(strings.ReplaceAll(claims, "ISSUER", op.URL), false)
	}
	f.Fuzz(func(t *testing.T, text string, raw bool) {
		if !raw { // claims, whatever they are, signed by the provider
			if !json.Valid([]byte(text)) {
				return
			}
			text = op.Key().Token(nil, json.RawMessage(text))
		}
		got, err := rp.LogoutToken(t.Context(), text)
		switch {
		case err != nil && got != authn.Logout{}:
			t.Fatalf("%+v beside an error", got)
		case err == nil && (got.Issuer != op.URL || got.JTI == "" || got.Sub == "" && got.SID == ""):
			t.Fatalf("taken: %+v", got)
		case err == nil && raw && text != good:
			t.Fatalf("taken though nobody signed it: %q", text)
		}
	})
}

// Groups are never invented: each is a string of the claim, or there are none.
func FuzzGroups(f *testing.F) {
	op, rp := offline(f)
	for _, claim := range []string{`["a","b"]`, `"a"`, `{"a":1}`, `17`, `[["a"]]`, `null`, `[null]`, `[""]`, `["\ud800"]`, `{"groups":["a"]}`, `[1,"a"]`, `"a\u0000b"`} {
		f.Add(claim)
	}
	f.Fuzz(func(t *testing.T, claim string) {
		if !json.Valid([]byte(claim)) {
			return
		}
		op.EditIDToken(set("groups", json.RawMessage(claim)))
		op.EditUserInfo(set("groups", nil))
		authURL, a := begun(t, rp, authn.Ask{})
		proof, err := rp.Finish(t.Context(), a, callback(t, op, authURL))
		if err != nil {
			if len(claim) > 40<<10 { // the token is too large
				return
			}
			t.Fatal(err)
		}
		var one string
		var many []string
		if json.Unmarshal([]byte(claim), &one) == nil {
			many = []string{one}
		} else if json.Unmarshal([]byte(claim), &many) != nil {
			many = nil
		}
		for _, g := range proof.Groups {
			if g == "" || !slices.Contains(many, g) {
				t.Fatalf("claim %s gives group %q", claim, g)
			}
		}
	})
}
