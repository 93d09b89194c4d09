// Package contract_test holds the gateway to its contract: every row of every
// table of the surface that others rely on, over TLS, with what a recording
// backend got.
package contract_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

const form = "application/x-www-form-urlencoded"

// problem reads the body of a refused call.
func problem(t *testing.T, p *anteroomtest.Page) map[string]any {
	t.Helper()
	if ct := p.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%s: content type %q\n%s", p.URL, ct, p.Body)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
		t.Fatal(err)
	}
	if m["request_id"] != p.Header.Get("X-Request-Id") || m["request_id"] == "" {
		t.Errorf("request_id %v, X-Request-Id %q", m["request_id"], p.Header.Get("X-Request-Id"))
	}
	return m
}

func untouched(t *testing.T, g *anteroomtest.Gateway, what string) {
	t.Helper()
	if raw := g.Backend.Raw(); raw != "" {
		t.Errorf("%s: the backend got\n%s", what, raw)
	}
	g.Backend.Forget()
}

func TestNobodySignedIn(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)

	p := b.Hop("GET", g.URL("ehr.test", "/patients/77/chart?tab=2"), "", "", nil)
	if p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), g.URL("gate.test", "/.anteroom/start?")) {
		t.Errorf("a navigation is answered %d to %q", p.Status, p.Header.Get("Location"))
	}
	if strings.Contains(p.Header.Get("Location"), "patients") { // "77" alone may stand in a port or a seal
		t.Errorf("the return path stands in the URL: %s", p.Header.Get("Location"))
	}
	p = b.Call("GET", g.URL("ehr.test", "/patients/77/chart"), "", "", nil)
	m := problem(t, p)
	if p.Status != 401 || m["code"] != "login_required" || p.Header.Get("WWW-Authenticate") != "Bearer" || m["login_url"] == nil {
		t.Errorf("a call is answered %d %q %v", p.Status, p.Header.Get("WWW-Authenticate"), m)
	}
	untouched(t, g, "nobody signed in")

	p = b.Get(g.URL("ehr.test", "/patients/77/chart?tab=2"))
	if p.Status != 200 || p.URL.RequestURI() != "/patients/77/chart?tab=2" || p.Body != "backend\n" {
		t.Fatalf("after sign-in: %d %s\n%s\n%s", p.Status, p.URL, p.Body, strings.Join(p.Chain, "\n"))
	}
	if r, _ := g.Backend.Last(); r.Target != "/patients/77/chart?tab=2" || r.Header.Get("X-Remote-User") != "nora" {
		t.Errorf("the backend got %+v", r)
	}
	if q := g.Provider.LastAuthorize(); q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" ||
		q.Get("redirect_uri") != g.URL("gate.test", "/.anteroom/callback") {
		t.Errorf("the provider was asked %v", q)
	}
	// The second host asks nobody anything.
	b.Device = anteroomtest.Compliant("ipad-1")
	before := g.Provider.Calls(anteroomtest.AuthorizePath)
	if p = b.Get(g.URL("img.test", "/study/1")); p.Status != 200 || g.Provider.Calls(anteroomtest.AuthorizePath) != before {
		t.Errorf("second host: %d at %s, the provider was asked again: %v", p.Status, p.URL, g.Provider.Calls(anteroomtest.AuthorizePath) != before)
	}
}

func signedIn(t *testing.T, g *anteroomtest.Gateway) *anteroomtest.Browser {
	t.Helper()
	b := g.Browser(t)
	b.Device = anteroomtest.Compliant("ipad-1")
	if p := b.Get(g.URL("ehr.test", "/")); p.Status != 200 {
		t.Fatalf("sign in: %d at %s\n%s", p.Status, p.URL, p.Body)
	}
	g.Backend.Forget()
	return b
}

// aged makes the sign-in that b has look a while old, by the provider's clock.
func aged(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) {
	t.Helper()
	g.Provider.EditIDToken(func(c map[string]any) {
		c["auth_time"] = c["auth_time"].(int64) - 1200
	})
	if p := b.Get(g.URL("ehr.test", "/")); p.Status != 200 {
		t.Fatalf("sign in with an old login: %d at %s\n%s", p.Status, p.URL, p.Body)
	}
	g.Provider.EditIDToken(nil)
	g.Backend.Forget()
}

func TestStepUp(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	aged(t, g, b)
	body := "note=" + strings.Repeat("x%26", 500)

	// A script is challenged, never redirected (RFC 9470).
	p := b.Call("POST", g.URL("ehr.test", "/orders/7"), form, body, nil)
	m := problem(t, p)
	if p.Status != 401 || m["code"] != "step_up_required" || m["rule"] != "amend an order" {
		t.Errorf("call: %d %v", p.Status, m)
	}
	if c := p.Header.Get("WWW-Authenticate"); !strings.Contains(c, `error="insufficient_user_authentication"`) || !strings.Contains(c, `max_age="120"`) {
		t.Errorf("challenge %q", c)
	}
	p = b.Call("POST", g.URL("ehr.test", "/results/3"), form, body, nil)
	if c := p.Header.Get("WWW-Authenticate"); !strings.Contains(c, `acr_values="mfa"`) {
		t.Errorf("challenge %q", c)
	}

	// A page is held, and leads on by a link.
	p = b.Post(g.URL("ehr.test", "/orders/7?from=list"), form, body)
	if p.Status != 200 || p.Code() != "old_login" || p.Link("anteroom-continue") == "" || !strings.Contains(p.Body, "amend an order") {
		t.Fatalf("held: %d %s\n%s", p.Status, p.Code(), p.Body)
	}
	if p.Text("anteroom-request-id") != p.Header.Get("X-Request-Id") {
		t.Errorf("request id on the page %q, in the header %q", p.Text("anteroom-request-id"), p.Header.Get("X-Request-Id"))
	}
	untouched(t, g, "before the step-up")

	p = b.Continue(p)
	if q := g.Provider.LastAuthorize(); q.Get("max_age") != "120" {
		t.Errorf("the provider was asked %v", q)
	}
	untouched(t, g, "before the release")
	action, token := p.ReleaseForm()
	if action == "" {
		t.Fatalf("no release page: %d %s\n%s", p.Status, p.URL, p.Body)
	}
	if p = b.Release(p); p.Status != 200 || p.URL.RequestURI() != "/orders/7?from=list" {
		t.Errorf("release: %d %s\n%s", p.Status, p.URL, p.Body)
	}
	got := g.Backend.Requests()
	if len(got) != 1 || got[0].Method != "POST" || got[0].Target != "/orders/7?from=list" || string(got[0].Body) != body || got[0].Header.Get("Content-Type") != form {
		t.Fatalf("the backend got %+v", got)
	}
	// The same form again: nothing is sent twice.
	p = b.PostForm(g.URL("ehr.test", "/orders/7?from=list"), url.Values{"anteroom_release": {token}})
	if p.Status != http.StatusConflict || p.Code() != "once_used" || len(g.Backend.Requests()) != 1 {
		t.Errorf("second release: %d %s, %d requests at the backend", p.Status, p.Code(), len(g.Backend.Requests()))
	}
	// Within two minutes nothing more is asked.
	if p = b.Post(g.URL("ehr.test", "/orders/8"), form, "a=b"); p.Status != 200 || p.Body != "backend\n" {
		t.Errorf("fresh sign-in: %d\n%s", p.Status, p.Body)
	}
}

func TestStepUpByAnotherPerson(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	old := b.Cookie("ehr.test", "__Host-anteroom")
	p := b.Post(g.URL("ehr.test", "/results/3"), form, "dose=2")
	if p.Code() != "weak_login" {
		t.Fatalf("held: %d %s", p.Status, p.Code())
	}
	piet := anteroomtest.Piet
	piet.CanACR = []string{"mfa"}
	g.Provider.Person(piet)
	p = b.Continue(p)
	if p.Status != 200 || p.URL.RequestURI() != "/" {
		t.Errorf("the other person is at %d %s, want the front page", p.Status, p.URL)
	}
	if r, _ := g.Backend.Last(); r.Header.Get("X-Remote-User") != "piet" {
		t.Errorf("the backend got %+v, want piet at the front page", r)
	}
	for _, r := range g.Backend.Requests() {
		if r.Method == "POST" || r.Header.Get("X-Remote-User") == "nora" {
			t.Errorf("the backend got %+v", r)
		}
	}
	if now := b.Cookie("ehr.test", "__Host-anteroom"); now == old {
		t.Error("the other person has the first one's cookie")
	}
	if strings.Contains(g.Backend.Raw(), "dose=2") {
		t.Error("the first person's request reached the backend")
	}
}

func TestProviderThatCannotProve(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	weak := anteroomtest.Nora
	weak.CanACR, weak.CanAMR = nil, nil
	g.Provider.Person(weak)
	b := signedIn(t, g)
	p := b.Continue(b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1"))
	if p.Status != 403 || p.Code() != "step_up_failed" {
		t.Errorf("%d %s at %s after %d hops\n%s", p.Status, p.Code(), p.URL, len(p.Chain), p.Body)
	}
	untouched(t, g, "a step-up that proved nothing")
	// What the session had, it still has.
	if p = b.Get(g.URL("ehr.test", "/orders/7")); p.Status != 200 {
		t.Errorf("afterwards: %d %s", p.Status, p.URL)
	}
}

// A provider that takes acr_values for a wish answers from the sign-in it has;
// the person is asked anew, once.
func TestProviderThatHasToBeAskedAnew(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	g.Provider.EditIDToken(func(c map[string]any) {
		if g.Provider.LastAuthorize().Get("prompt") != "login" {
			c["acr"], c["amr"] = "pwd", []string{"pwd"}
		}
	})
	asked := g.Provider.Calls(anteroomtest.AuthorizePath)
	p := b.Release(b.Continue(b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1")))
	if p.Status != 200 || len(g.Backend.Requests()) != 1 {
		t.Errorf("%d %s, %d requests at the backend", p.Status, p.Code(), len(g.Backend.Requests()))
	}
	if n := g.Provider.Calls(anteroomtest.AuthorizePath) - asked; n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestDevice(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	b.Device = anteroomtest.Compliant("ipad-1")
	b.Device.Set("X-Mdm-Os-Version", "18.5")
	p := b.Get(g.URL("img.test", "/study/1"))
	if p.Status != 403 || p.Code() != "device_fresh_os" || !strings.Contains(p.Body, "18.5") || !strings.Contains(p.Body, "18.7.3") || !strings.Contains(p.Body, "4000") {
		t.Errorf("outdated: %d %s\n%s", p.Status, p.Code(), p.Body)
	}
	if to := p.Link("anteroom-continue"); to != g.URL("img.test", "/study/1") {
		t.Errorf("outdated: trying again leads to %q", to)
	}
	m := problem(t, b.Call("GET", g.URL("img.test", "/study/1"), "", "", nil))
	if checks, _ := json.Marshal(m["checks"]); m["code"] != "device_not_allowed" || string(checks) != `["fresh_os"]` {
		t.Errorf("call: %v", m)
	}
	b.Device = nil
	if p := b.Call("GET", g.URL("img.test", "/study/1"), "", "", nil); p.Status != 403 || problem(t, p)["code"] != "device_not_allowed" {
		t.Errorf("unknown device: %d %s", p.Status, p.Body)
	}
	untouched(t, g, "a device that is not fit")
	b.Device = anteroomtest.Compliant("ipad-1")
	if p := b.Get(g.URL("img.test", "/study/1")); p.Status != 200 {
		t.Errorf("compliant: %d %s", p.Status, p.Code())
	}
	// Another device with the same cookie ends the session.
	g.Backend.Forget()
	b.Device = anteroomtest.Compliant("ipad-2")
	if p := b.Get(g.URL("img.test", "/study/1")); p.Status != 403 || p.Code() != "device_changed" {
		t.Errorf("other device: %d %s", p.Status, p.Code())
	}
	untouched(t, g, "a session on another device")
	b.Device = anteroomtest.Compliant("ipad-1")
	if p := b.Hop("GET", g.URL("img.test", "/study/1"), "", "", nil); p.Status != 303 {
		t.Errorf("the first device afterwards: %d, want sign-in", p.Status)
	}
	untouched(t, g, "a session that ended")
	// Jailbroken: hard.
	b = g.Browser(t)
	b.Device = anteroomtest.Compliant("ipad-3")
	b.Get(g.URL("img.test", "/study/1"))
	g.Backend.Forget()
	b.Device.Set("X-Mdm-Compromised", "true")
	if p := b.Get(g.URL("img.test", "/study/1")); p.Status != 403 || p.Code() != "device_not_jailbroken" {
		t.Errorf("jailbroken: %d %s", p.Status, p.Code())
	}
	b.Device.Set("X-Mdm-Compromised", "false")
	if p := b.Hop("GET", g.URL("ehr.test", "/"), "", "", nil); p.Status != 303 {
		t.Errorf("a hard failure did not end the device's session: %d", p.Status)
	}
	untouched(t, g, "a jailbroken device")
}

func TestRole(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	g.Provider.Person(anteroomtest.Eve)
	b := g.Browser(t)
	p := b.Get(g.URL("ehr.test", "/chart/1"))
	if p.Status != 403 || p.Code() != "no_role" {
		t.Errorf("no role: %d %s", p.Status, p.Code())
	}
	if m := problem(t, b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil)); m["code"] != "not_allowed" {
		t.Errorf("call: %v", m)
	}
	untouched(t, g, "no role")
	if p := b.Get(g.URL("ehr.test", "/pub/x")); p.Status != 200 {
		t.Errorf("open place: %d", p.Status)
	}
}

func TestRefusals(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	for _, c := range []struct {
		name, method, host, target string
		header                     http.Header
		body                       string
		status                     int
		code                       string
	}{
		{"ambiguous path", "GET", "ehr.test", "/a//b", nil, "", 400, "bad_request"},
		{"no route", "GET", "ehr.test", "/ADMIN/x", nil, "", 404, "no_route"},
		{"reserved", "GET", "ehr.test", "/.Anteroom/x", nil, "", 404, "no_route"},
		{"method", "PROPFIND", "ehr.test", "/", nil, "", 405, "method_not_allowed"},
		{"too large", "POST", "ehr.test", "/upload", nil, strings.Repeat("x", 9<<20), 413, "too_large"},
		{"service worker", "GET", "ehr.test", "/sw.js", http.Header{"Service-Worker": {"script"}}, "", 403, "not_allowed"},
	} {
		p := b.Call(c.method, g.URL(c.host, c.target), "text/plain", c.body, c.header)
		if m := problem(t, p); p.Status != c.status || m["code"] != c.code {
			t.Errorf("%s: call answered %d %v", c.name, p.Status, m["code"])
		}
		p = b.Hop(c.method, g.URL(c.host, c.target), "text/plain", c.body, c.header)
		if p.Status != c.status || p.Text("anteroom-request-id") != p.Header.Get("X-Request-Id") {
			t.Errorf("%s: navigation answered %d with id %q", c.name, p.Status, p.Text("anteroom-request-id"))
		}
		untouched(t, g, c.name)
	}
}

func TestHoldLimits(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	aged(t, g, b)
	asked := g.Provider.Calls(anteroomtest.AuthorizePath)
	p := b.Post(g.URL("ehr.test", "/orders/7"), form, "note="+strings.Repeat("x", 64<<10))
	if p.Status != 413 || g.Provider.Calls(anteroomtest.AuthorizePath) != asked {
		t.Errorf("over the limit: %d", p.Status)
	}
	p = b.Navigate("POST", g.URL("ehr.test", "/orders/7"), form, "dose=2", http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}})
	if p.Status != 403 {
		t.Errorf("foreign origin: %d", p.Status)
	}
	p = b.Navigate("POST", g.URL("ehr.test", "/orders/7"), form, "dose=2", http.Header{"Origin": nil, "Sec-Fetch-Site": nil})
	if p.Status != 403 {
		t.Errorf("no origin: %d", p.Status)
	}
	untouched(t, g, "requests that are not held")
}

func TestBackendFailures(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(s, "timeout: 5s", "timeout: 1s", 1)
	}})
	b := signedIn(t, g)
	for _, c := range []struct {
		name   string
		handle http.HandlerFunc
		status int
		code   string
	}{
		{"reset", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, 502, "backend_unreachable"},
		{"slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, "backend_timeout"},
		{"ntlm", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", "NTLM")
			w.WriteHeader(401)
		}, 502, "backend_auth_unsupported"},
	} {
		g.Backend.Handle(c.handle)
		if p := b.Call("GET", g.URL("ehr.test", "/x"), "", "", nil); p.Status != c.status || problem(t, p)["code"] != c.code {
			t.Errorf("%s: call answered %d %s", c.name, p.Status, p.Body)
		}
		if p := b.Hop("GET", g.URL("ehr.test", "/x"), "", "", nil); p.Status != c.status || p.Code() != c.code {
			t.Errorf("%s: navigation answered %d %s", c.name, p.Status, p.Code())
		}
	}
}
