package attack_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// groupH: sign-in at a provider that lies, and callbacks that are not one's own.
func groupH() []row {
	claim := func(name string, value any) func(*anteroomtest.Provider) {
		return func(p *anteroomtest.Provider) {
			p.EditIDToken(func(c map[string]any) {
				if c[name] = value; value == nil {
					delete(c, name)
				}
			})
		}
	}
	moved := func(name string, by time.Duration) func(*anteroomtest.Provider) {
		return func(p *anteroomtest.Provider) {
			p.EditIDToken(func(c map[string]any) { c[name] = time.Now().Add(by).Unix() })
		}
	}
	signed := func(key func(*anteroomtest.Provider) anteroomtest.Key) func(*anteroomtest.Provider) {
		return func(p *anteroomtest.Provider) {
			p.Sign(func(header, claims map[string]any) string { return key(p).Token(header, claims) })
		}
	}
	back := func(edit func(url.Values)) func(*anteroomtest.Provider) {
		return func(p *anteroomtest.Provider) { p.EditCallback(edit) }
	}
	fails := func(id, name string, lie func(*anteroomtest.Provider)) row {
		return row{id: id, name: name, run: func(t *testing.T, w *world) {
			lie(w.Provider)
			tokens := w.Provider.Calls(anteroomtest.TokenPath)
			cbfail(t, w, w.Browser(t), nil)
			if id == "H5" && strings.Contains(name, "response") && w.Provider.Calls(anteroomtest.TokenPath) != tokens {
				t.Error("the token endpoint was called")
			}
		}}
	}
	return []row{
		{id: "H1", name: "no state", run: strayCallback("code=abc&iss={issuer}")},
		{id: "H1", name: "an unknown state", run: strayCallback("code=abc&state=" + rand.Text() + "&iss={issuer}")},
		{id: "H1", name: "the state of another browser", run: otherBrowsersState},
		{id: "H2", name: "delivered twice", run: deliveredTwice},
		fails("H3", "no nonce", claim("nonce", nil)),
		fails("H3", "the nonce of another", claim("nonce", rand.Text())),
		fails("H4", "alg none", signed(func(*anteroomtest.Provider) anteroomtest.Key { return anteroomtest.None() })),
		fails("H4", "HS256 with the public key", signed(func(p *anteroomtest.Provider) anteroomtest.Key { return anteroomtest.Confused(p.Key()) })),
		fails("H4", "HS256 with the client secret", signed(func(p *anteroomtest.Provider) anteroomtest.Key {
			return anteroomtest.Key{Alg: "HS256", Secret: []byte(p.ClientSecret)}
		})),
		fails("H5", "another iss", claim("iss", "https://evil.test")),
		fails("H5", "no iss", claim("iss", nil)),
		fails("H5", "the iss response parameter of another", back(func(q url.Values) { q.Set("iss", "https://evil.test") })),
		fails("H5", "no iss response parameter", back(func(q url.Values) { q.Del("iss") })),
		{id: "H5", name: "mix-up of two providers", run: mixUp},
		fails("H6", "another aud", claim("aud", "other")),
		fails("H6", "several aud without azp", claim("aud", []string{"anteroom", "other"})),
		fails("H6", "azp of another client", claim("azp", "other")),
		fails("H7", "exp is past", moved("exp", -5*time.Minute)),
		fails("H7", "iat is ahead", moved("iat", 5*time.Minute)),
		fails("H7", "nbf is ahead", moved("nbf", 5*time.Minute)),
		fails("H7", "iat is old", moved("iat", -time.Hour)),
		fails("H7", "no iat", claim("iat", nil)),
		fails("H7", "no exp", claim("exp", nil)),
		fails("H7", "no sub", claim("sub", nil)),
		fails("H7", "a sub that is empty", claim("sub", "")),
		fails("H7", "a sub that is a number", claim("sub", 7)),
		{id: "H8", name: "a key rotated just now", run: rotatedKey},
		{id: "H9", name: "no kid, one of several keys verifies", run: noKid},
		{id: "H9", name: "a key marked for encryption", run: encryptionKey},
		fails("H10", "userinfo of another", func(p *anteroomtest.Provider) {
			claim("preferred_username", nil)(p)
			p.EditUserInfo(func(c map[string]any) { c["sub"] = "adam-sub" })
		}),
		{id: "H11", name: "a code of the attacker's", run: injectedCode},
		{id: "H12", name: "an address with two @, unverified", run: oddAddress},
		{id: "H13", name: "groups of every shape", run: oddGroups},
		{id: "H14", name: "discovery names another issuer, or endpoints in clear", run: wrongDiscovery},
		{id: "H15", name: "markup in error_description", run: markup},
	}
}

// cbfail signs b in, or opens start when it is not nil, and expects CBFAIL: an
// error page, no session, one record, no loop.
func cbfail(t *testing.T, w *world, b *anteroomtest.Browser, start *url.URL) *anteroomtest.Page {
	t.Helper()
	address := w.URL("ehr.test", "/chart/1")
	if start != nil {
		address = start.String()
	}
	p := b.Get(address) // which fails in a loop
	if p.Status < 400 || p.Code() == "" && p.Text("anteroom-request-id") == "" {
		t.Errorf("%d at %s, want an error page", p.Status, p.URL.Path)
	}
	for _, host := range []string{"ehr.test", "gate.test"} {
		if b.Cookie(host, "__Host-anteroom") != "" {
			t.Errorf("a session on %s", host)
		}
	}
	var found []audit.Record
	for _, r := range w.Audit(audit.Query{RequestID: p.Header.Get("X-Request-Id")}) {
		if r.Event != access.EventOutcome {
			found = append(found, r)
		}
	}
	if len(found) != 1 || found[0].Verdict != "deny" || found[0].SourceIP != tunnel {
		t.Errorf("records %+v, want one", found)
	}
	if got, err := w.Backend.Take(); len(got) > 0 || err != nil {
		t.Errorf("the backend got %v %v", got, err)
	}
	return p
}

// callback begins a sign-in in b and returns the address that the provider
// sends it back to, without going there.
func callback(t *testing.T, w *world, b *anteroomtest.Browser) *url.URL {
	t.Helper()
	address := w.URL("ehr.test", "/chart/1")
	for range 5 {
		address = b.Hop("GET", address, "", "", nil).Header.Get("Location")
		if u, err := url.Parse(address); err == nil && u.Path == "/.anteroom/callback" {
			return u
		}
	}
	t.Fatalf("the way to sign in leads to %q", address)
	return nil
}

func strayCallback(query string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		u, err := url.Parse(w.URL("gate.test", "/.anteroom/callback?"+strings.ReplaceAll(query, "{issuer}", url.QueryEscape(w.Provider.URL))))
		if err != nil {
			t.Fatal(err)
		}
		cbfail(t, w, w.Browser(t), u)
	}
}

func otherBrowsersState(t *testing.T, w *world) {
	w.Provider.Person(anteroomtest.Adam)
	lure := callback(t, w, w.Browser(t))
	tokens := w.Provider.Calls(anteroomtest.TokenPath)
	cbfail(t, w, w.Browser(t), lure)
	if w.Provider.Calls(anteroomtest.TokenPath) != tokens {
		t.Error("the code of another browser was redeemed")
	}
	// A browser with an attempt of its own may begin anew, as its own person.
	victim := w.Browser(t)
	callback(t, w, victim)
	w.Provider.Person(anteroomtest.Nora)
	victim = w.Browser(t)
	callback(t, w, victim)
	victim.Get(lure.String())
	if s := victim.Call("GET", w.URL("ehr.test", "/.anteroom/session"), "", "", nil); strings.Contains(s.Body, "adam") {
		t.Errorf("the victim is signed in as the attacker: %s", s.Body)
	}
}

func deliveredTwice(t *testing.T, w *world) {
	b := w.Browser(t)
	u := callback(t, w, b)
	tokens := w.Provider.Calls(anteroomtest.TokenPath)
	if p := b.Get(u.String()); p.Status != 200 {
		t.Errorf("the first: %d at %s", p.Status, p.URL)
	}
	if p := b.Get(u.String()); p.Status != 200 && p.Status < 400 {
		t.Errorf("the second: %d at %s", p.Status, p.URL)
	}
	if n := w.Provider.Calls(anteroomtest.TokenPath) - tokens; n != 1 {
		t.Errorf("the code was redeemed %d times", n)
	}
}

// fresh starts a gateway of its own, for what one remembers of its provider.
func fresh(t *testing.T, edit func(string) string) *world {
	t.Helper()
	w := &world{Backend: newRecorder(t), people: map[string]*person{"": {}}}
	w.Gateway = anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		s = w.catalogue(s)
		if edit != nil {
			s = edit(s)
		}
		return s
	}})
	return w
}

// enters signs a new browser in and returns it and where it came to.
func enters(t *testing.T, w *world) (*anteroomtest.Browser, *anteroomtest.Page) {
	t.Helper()
	b := w.Browser(t)
	return b, b.Get(w.URL("ehr.test", "/chart/1"))
}

func rotatedKey(t *testing.T, _ *world) {
	w := fresh(t, nil)
	enters(t, w)
	before := w.Provider.Calls(anteroomtest.KeysPath)
	w.Provider.Rotate()
	if _, p := enters(t, w); p.Status != 200 {
		t.Errorf("%d at %s", p.Status, p.URL.Path)
	}
	if n := w.Provider.Calls(anteroomtest.KeysPath) - before; n != 1 {
		t.Errorf("%d key fetches, want 1", n)
	}
}

func noKid(t *testing.T, _ *world) {
	w := fresh(t, nil)
	a, b := anteroomtest.NewKey("", "ES256"), anteroomtest.NewKey("", "ES256")
	w.Provider.SignWith(a, a, b)
	if _, p := enters(t, w); p.Status != 200 {
		t.Errorf("one key verifies: %d at %s", p.Status, p.URL.Path)
	}
	stranger := anteroomtest.NewKey("", "ES256")
	w.Provider.SignWith(stranger)
	w.Backend.Forget()
	cbfail(t, w, w.Browser(t), nil)
}

func encryptionKey(t *testing.T, _ *world) {
	p := anteroomtest.NewProvider(t)
	p.EditKeys(func(m map[string]any) {
		for _, k := range m["keys"].([]any) {
			k.(map[string]any)["use"] = "enc"
		}
	})
	g := anteroomtest.Start(t, anteroomtest.Setup{Provider: p})
	b := g.Browser(t)
	if page := b.Get(g.URL("ehr.test", "/chart/1")); page.Status < 400 || b.Cookie("gate.test", "__Host-anteroom") != "" {
		t.Errorf("%d at %s", page.Status, page.URL.Path)
	}
}

func injectedCode(t *testing.T, w *world) {
	w.Provider.Person(anteroomtest.Adam)
	code := callback(t, w, w.Browser(t)).Query().Get("code")
	w.Provider.Person(anteroomtest.Nora)
	victim := w.Browser(t)
	u := callback(t, w, victim)
	q := u.Query()
	q.Set("code", code)
	u.RawQuery = q.Encode()
	cbfail(t, w, victim, u)
	if w.Provider.LastAuthorize().Get("code_challenge_method") != "S256" {
		t.Error("no PKCE")
	}
}

func oddAddress(t *testing.T, _ *world) {
	w := fresh(t, func(s string) string {
		return strings.Replace(s, "username: preferred_username", "username: email", 1)
	})
	for _, c := range []map[string]any{
		{"email": "a@evil.test@hospital.test", "email_verified": false},
		{"email": "adam@hospital.test", "email_verified": false},
		{"email": "adam@hospital.test", "email_verified": "no"},
	} {
		w.Provider.EditIDToken(func(claims map[string]any) {
			for name, value := range c {
				claims[name] = value
			}
		})
		w.Backend.Forget()
		enters(t, w)
		got, err := w.Backend.Take()
		if err != nil {
			t.Error(err)
		}
		for _, a := range got {
			if strings.Contains(a.raw, c["email"].(string)) || a.get("X-Remote-User") != "nora-sub" {
				t.Errorf("%v: the backend was told of %q", c, a.get("X-Remote-User"))
			}
		}
	}
}

func oddGroups(t *testing.T, w *world) {
	for _, c := range []struct {
		groups any
		roles  []string // that may come of it
	}{
		{"ehr-nurses", []string{"", "nurse"}},
		{"ehr-nurses admins", []string{"", "nurse"}},
		{map[string]any{"admins": true}, []string{""}},
		{7, []string{""}},
		{true, []string{""}},
		{[]any{[]any{"admins"}}, []string{""}},
		{[]any{"ehr-nurses", map[string]any{"x": "admins"}, nil, 3}, []string{"", "nurse"}},
		{[]any{"ADMINS", "admins ", "admins\x00"}, []string{""}},
		{nil, []string{"", "nurse"}}, // which userinfo has
	} {
		w.Provider.EditIDToken(func(claims map[string]any) { claims["groups"] = c.groups })
		w.Backend.Forget()
		b, _ := enters(t, w)
		if p := b.Get(w.URL("ehr.test", "/admin")); p.Status < 400 {
			t.Errorf("groups %v: %d at /admin", c.groups, p.Status)
		}
		got, err := w.Backend.Take()
		if err != nil {
			t.Error(err)
		}
		for _, a := range got {
			if !slices.Contains(c.roles, a.get("X-Remote-Roles")) {
				t.Errorf("groups %v became the roles %q", c.groups, a.get("X-Remote-Roles"))
			}
		}
	}
}

func wrongDiscovery(t *testing.T, _ *world) {
	for name, value := range map[string]string{
		"issuer": "https://evil.test", "token_endpoint": "http://login.hospital.test/token", "authorization_endpoint": "http://login.hospital.test/authorize", "jwks_uri": "file:///etc/passwd",
	} {
		p := anteroomtest.NewProvider(t)
		p.Discovery(func(m map[string]any) { m[name] = value })
		g := anteroomtest.Start(t, anteroomtest.Setup{Provider: p})
		b := g.Browser(t)
		if page := b.Get(g.URL("ehr.test", "/chart/1")); page.Status < 400 || b.Cookie("gate.test", "__Host-anteroom") != "" {
			t.Errorf("%s: %d at %s", name, page.Status, page.URL.Path)
		}
		if log := g.Log(); !strings.Contains(log, name) && !strings.Contains(log, value) {
			t.Errorf("%s: the log does not say why:\n%s", name, log)
		}
	}
}

func markup(t *testing.T, w *world) {
	for _, code := range []string{"access_denied", "<script>alert(1)</script>", "server_error"} {
		w.Provider.Refuse(code, "<script>alert(2)</script>")
		b := w.Browser(t)
		p := b.Get(w.URL("ehr.test", "/chart/1"))
		if p.Status < 400 || strings.Contains(p.Body, "alert(") || strings.Contains(p.Body, "alert%28") {
			t.Errorf("%s: %d\n%s", code, p.Status, p.Body)
		}
		if b.Cookie("gate.test", "__Host-anteroom") != "" {
			t.Errorf("%s: a session", code)
		}
	}
	if p := w.Browser(t).Hop(http.MethodGet, w.URL("gate.test", "/.anteroom/callback?error=%3Cscript%3Ealert(1)%3C/script%3E&state=x"), "", "", nil); strings.Contains(p.Body, "alert(") {
		t.Errorf("reflected:\n%s", p.Body)
	}
}
