package contract_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/anteroom/anteroom/anteroomtest"
)

func keysOf(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser, host string) jose.JSONWebKeySet {
	t.Helper()
	p := b.Get(g.URL(host, "/.anteroom/jwks.json"))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(p.Body), &set); err != nil || p.Status != 200 || !strings.Contains(p.Header.Get("Cache-Control"), "max-age") {
		t.Fatalf("jwks: %d %v %q", p.Status, err, p.Header.Get("Cache-Control"))
	}
	return set
}

func TestAssertion(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	set := keysOf(t, g, b, "ehr.test")
	claims := func(host, aud string) map[string]any {
		t.Helper()
		r, _ := g.Backend.Last()
		if n := len(r.Header["X-Anteroom-Assertion"]); n != 1 {
			t.Fatalf("%d assertions at the backend", n)
		}
		token, err := jwt.ParseSigned(r.Header.Get("X-Anteroom-Assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		var std jwt.Claims
		if err := token.Claims(set, &m, &std); err != nil {
			t.Fatalf("signature by a key of the JWKS: %v", err)
		}
		if err := std.Validate(jwt.Expected{Issuer: g.URL("gate.test", ""), AnyAudience: jwt.Audience{aud}, Time: time.Now()}); err != nil {
			t.Error(err)
		}
		if life := std.Expiry.Time().Sub(std.IssuedAt.Time()); life != time.Minute {
			t.Errorf("it lives %v", life)
		}
		return m
	}
	b.Get(g.URL("ehr.test", "/chart/1"))
	first := claims("ehr.test", "ehr")
	for name, want := range map[string]string{
		"sub": `"nora-sub"`, "idp": `"` + g.Provider.URL + `"`, "username": `"nora"`, "name": `"Nora Lind"`, "roles": `["nurse"]`,
		"acr": `"pwd"`, "amr": `["pwd"]`, "route": `"chart"`, "device": `{"assurance":"A1","id":"tunnel:ipad-1"}`,
	} {
		if got, _ := json.Marshal(first[name]); string(got) != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	var names []string
	for n := range first {
		names = append(names, n)
	}
	slices.Sort(names)
	want := []string{"acr", "amr", "aud", "auth_time", "device", "exp", "iat", "idp", "iss", "jti", "name", "roles", "route", "sid", "sub", "username"}
	if !slices.Equal(names, want) {
		t.Errorf("claims %v, want %v", names, want)
	}
	sess := b.Call("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil)
	if strings.Contains(sess.Body, b.Cookie("ehr.test", "__Host-anteroom")) {
		t.Error("the session endpoint shows the cookie")
	}
	b.Get(g.URL("ehr.test", "/chart/2"))
	if again := claims("ehr.test", "ehr"); again["jti"] != first["jti"] {
		t.Error("the assertion was not reused within half its life")
	}
	b.Get(g.URL("img.test", "/study/1"))
	if other := claims("img.test", "img.test"); other["jti"] == first["jti"] || other["route"] != "imaging" {
		t.Error("another route has the same assertion")
	}
	// A step-up makes a new one.
	b.Release(b.Continue(b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1")))
	if up := claims("ehr.test", "ehr"); up["acr"] != "mfa" || up["jti"] == first["jti"] || up["sid"] != first["sid"] {
		t.Errorf("after the step-up: %v", up)
	}
}

func TestToTheBackend(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	jar := b.Cookie("ehr.test", "__Host-anteroom")
	b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{
		"X-Remote-User": {"adam"}, "X_remote_user": {"adam"}, "X.remote.user": {"adam"}, "Http_x_remote_user": {"adam"},
		"X-Anteroom-Assertion": {"forged"}, "X-Anteroom-Other": {"forged"}, "X-Forwarded-For": {"10.9.9.9"}, "X-Forwarded-Prefix": {"/x"},
		"Forwarded": {"for=10.9.9.9"}, "X-Real-Ip": {"10.9.9.9"}, "X-Original-Url": {"/admin"}, "X-Rewrite-Url": {"/admin"},
		"X-Request-Id": {"mine"}, "X-Http-Method-Override": {"POST"}, "Proxy": {"http://evil.test"}, "Authorization": {"Bearer junk"},
		"Baggage": {"a=b"}, "Traceparent": {"00-11111111111111111111111111111111-2222222222222222-01"}, "Te": {"trailers"},
		"X-App-Header": {"kept"}, "Accept-Encoding": {"br"},
	})
	r, ok := g.Backend.Last()
	if !ok {
		t.Fatal("nothing reached the backend")
	}
	for name, want := range map[string][]string{
		"X-Remote-User": {"nora"}, "X-Remote-Name": {"Nora Lind"}, "X-Remote-Roles": {"nurse"}, "X-Forwarded-For": {"127.0.0.1"},
		"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"ehr.test:" + g.Port}, "X-App-Header": {"kept"}, "Accept-Encoding": {"br"},
	} {
		if !slices.Equal(r.Header[name], want) {
			t.Errorf("%s = %q, want %q", name, r.Header[name], want)
		}
	}
	for name, values := range r.Header {
		for _, bad := range []string{"adam", "10.9.9.9", "forged", "/admin", "evil.test", "junk", "a=b", "11111111111111111111111111111111", "mine"} {
			if strings.Contains(strings.Join(values, " "), bad) {
				t.Errorf("%s: %q reached the backend", name, values)
			}
		}
	}
	for _, name := range []string{"X-Forwarded-Prefix", "Forwarded", "X-Real-Ip", "X-Original-Url", "X-Http-Method-Override", "Proxy", "Baggage", "Authorization", "Cookie", "Te", "X-Mdm-Managed", "X-Mdm-Device-Id"} {
		if v, ok := r.Header[name]; ok {
			t.Errorf("%s: %q reached the backend", name, v)
		}
	}
	if r.Host != "ehr.test:"+g.Port {
		t.Errorf("Host %q", r.Host)
	}
	if len(r.Header["X-Request-Id"]) != 1 || len(r.Header.Get("X-Request-Id")) < 16 || len(r.Header["Traceparent"]) != 1 {
		t.Errorf("request id %q, traceparent %q", r.Header["X-Request-Id"], r.Header["Traceparent"])
	}
	if jar == "" || strings.Contains(g.Backend.Raw(), jar) || strings.Contains(strings.ToLower(g.Backend.Raw()), "__host-anteroom") {
		t.Error("the gateway's cookie reached the backend")
	}
	// An open route carries no identity at all, whoever asks.
	b.Call("GET", g.URL("ehr.test", "/pub/x"), "", "", http.Header{"X-Remote-User": {"adam"}, "X-Remote-Roles": {"admins"}, "X-Anteroom-Assertion": {"x"}})
	r, _ = g.Backend.Last()
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Remote") || strings.HasPrefix(name, "X-Anteroom") {
			t.Errorf("an open route got %s", name)
		}
	}
}

func TestNameOutsideASCII(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	who := anteroomtest.Nora
	who.Name = "Zoë\r\nX-Remote-Roles: admins"
	g.Provider.Person(who)
	b := g.Browser(t)
	b.Get(g.URL("ehr.test", "/"))
	if r, ok := g.Backend.Last(); ok {
		if v := r.Header["X-Remote-Roles"]; !slices.Equal(v, []string{"nurse"}) || strings.ContainsAny(r.Header.Get("X-Remote-Name"), "\r\në") {
			t.Errorf("roles %q, name %q", v, r.Header.Get("X-Remote-Name"))
		}
	}
	if strings.Contains(g.Backend.Raw(), "\nX-Remote-Roles: admins") {
		t.Error("a claim became a header line of its own")
	}
}

func TestCookies(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	check := func(where string, h http.Header) {
		for _, line := range h["Set-Cookie"] {
			c, err := http.ParseSetCookie(line)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(c.Name, "__Host-anteroom") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("%s: %s", where, line)
			}
			if strings.HasPrefix(c.Name, "__Host-anteroom-login-") && (c.MaxAge > 600 || c.MaxAge == 0 && c.Expires.IsZero()) {
				t.Errorf("%s: a login cookie that lives longer than 10 minutes: %s", where, line)
			}
			if strings.Contains(strings.ToLower(line), "nora") {
				t.Errorf("%s: a cookie with personal data: %s", where, line)
			}
		}
	}
	address := g.URL("ehr.test", "/")
	logins := map[string]bool{}
	for range 12 {
		p := b.Hop("GET", address, "", "", nil)
		if strings.HasPrefix(address, "https://") {
			check(address, p.Header)
		}
		for _, line := range p.Header["Set-Cookie"] {
			name, _, _ := strings.Cut(line, "=")
			logins[name] = true
		}
		next := p.Header.Get("Location")
		if next == "" {
			break
		}
		address = next
	}
	host := b.Cookie("ehr.test", "__Host-anteroom")
	gate := b.Cookie("gate.test", "__Host-anteroom")
	if host == "" || gate == "" || host == gate {
		t.Errorf("one id for each host: ehr %q, gate %q", host, gate)
	}
	// At most five sign-ins in progress.
	fresh := g.Browser(t)
	names := map[string]bool{}
	for range 20 {
		for _, line := range fresh.Hop("GET", g.URL("ehr.test", "/"), "", "", nil).Header["Set-Cookie"] {
			name, _, _ := strings.Cut(line, "=")
			names[name] = true
		}
	}
	if len(names) == 0 || len(names) > 5 {
		t.Errorf("%d login cookies: %v", len(names), names)
	}
	// Broken, doubled, oversized and foreign cookies are nobody.
	g.Backend.Forget()
	for name, cookie := range map[string]string{
		"broken": "__Host-anteroom=" + host[:len(host)-4] + "AAAA", "truncated": "__Host-anteroom=" + host[:10],
		"doubled": "__Host-anteroom=" + host + "; __Host-anteroom=" + host, "oversized": "__Host-anteroom=" + strings.Repeat("a", 8<<10),
		"of another host": "__Host-anteroom=" + gate, "empty": "__Host-anteroom=", "chosen": "__Host-anteroom=chosen",
	} {
		stranger := g.Browser(t)
		if p := stranger.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Cookie": {cookie}}); p.Status != 401 {
			t.Errorf("%s: %d", name, p.Status)
		}
	}
	untouched(t, g, "a cookie that is no session")
	stranger := g.Browser(t)
	if p := stranger.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Cookie": {"__Host-anteroom=" + host}}); p.Status != 200 {
		t.Errorf("the cookie itself: %d", p.Status)
	}
}

func TestBackendCookiesBelongToOnePerson(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			w.Header().Add("Set-Cookie", "APPSESSID=of-"+r.Header.Get("X-Remote-User")+"; Path=/; Domain=ehr.test; HttpOnly")
			w.Header().Add("Set-Cookie", "__Host-anteroom=planted; Path=/; Secure")
			w.Header().Set("X-Anteroom-Assertion", r.Header.Get("X-Anteroom-Assertion"))
			w.Header().Set("Location", "http://"+g.Backend.Host+"/next?a=1")
			w.Header().Set("Alt-Svc", "h3=\":443\"")
			w.WriteHeader(302)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=60")
		io.WriteString(w, "ok")
	})
	b := signedIn(t, g)
	before := b.Cookie("ehr.test", "__Host-anteroom")
	p := b.Hop("GET", g.URL("ehr.test", "/login"), "", "", nil)
	if got := p.Header["Set-Cookie"]; len(got) != 1 || got[0] != "APPSESSID=of-nora; Path=/; HttpOnly; Secure" {
		t.Errorf("Set-Cookie %q", got)
	}
	if p.Header.Get("Location") != g.URL("ehr.test", "/next?a=1") || p.Header.Get("X-Anteroom-Assertion") != "" || p.Header.Get("Alt-Svc") != "" {
		t.Errorf("header %v", p.Header)
	}
	if p.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("an answer that says nothing of caches: %q", p.Header.Get("Cache-Control"))
	}
	if b.Cookie("ehr.test", "__Host-anteroom") != before {
		t.Error("a backend replaced the gateway's cookie")
	}
	p = b.Call("GET", g.URL("ehr.test", "/x"), "", "", nil)
	if p.Header.Get("Cache-Control") != "private, max-age=60" {
		t.Errorf("public became %q", p.Header.Get("Cache-Control"))
	}
	if r, _ := g.Backend.Last(); r.Header.Get("Cookie") != "APPSESSID=of-nora" {
		t.Errorf("nora's own cookie: %q", r.Header.Get("Cookie"))
	}
	// Nora signs out, Piet signs in on the same browser.
	g.Backend.Forget()
	signOut(t, g, b, "ehr.test")
	g.Provider.Person(anteroomtest.Piet)
	if p := b.Get(g.URL("ehr.test", "/x")); p.Status != 200 {
		t.Fatalf("piet: %d %s", p.Status, p.URL)
	}
	if r, _ := g.Backend.Last(); r.Header.Get("X-Remote-User") != "piet" || r.Header.Get("Cookie") != "" {
		t.Errorf("piet reached the backend as %q with %q", r.Header.Get("X-Remote-User"), r.Header.Get("Cookie"))
	}
	if strings.Contains(g.Backend.Raw(), "of-nora") {
		t.Error("nora's cookie was sent for piet")
	}
}

// signOut confirms the sign-out on host and returns the last page.
func signOut(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser, host string) *anteroomtest.Page {
	t.Helper()
	p := b.Get(g.URL(host, "/.anteroom/logout"))
	if p.Status != 200 || !strings.Contains(p.Body, "<form") {
		t.Fatalf("sign-out page: %d\n%s", p.Status, p.Body)
	}
	first := b.Hop("POST", g.URL(host, "/.anteroom/logout"), form, "", nil)
	if c := first.Header.Get("Clear-Site-Data"); c != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data %q", c)
	}
	return b.Get(first.Header.Get("Location"))
}
