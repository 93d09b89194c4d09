package attack_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// groupJ: redirects, sign-out, requests of other sites, the gateway's own pages.
func groupJ() []row {
	logout := func(headers ...string) request { return post("POST /.anteroom/logout", "", headers...) }
	rows := []row{
		{id: "J1", name: "a return address of one's own making", run: returnAddress},
		{id: "J2", name: "a return address of 8 KiB, or with line breaks", run: longReturn},
		{id: "J3", name: "sign-out from another site", as: "nora", want: FORB, send: one(logout("Origin: https://evil.test"), logout("Sec-Fetch-Site: cross-site"), logout("Sec-Fetch-Site: same-site"), logout("Origin: null"), logout(),
			logout("Origin: https://img.test:443"), h2("POST /.anteroom/logout", "origin: https://evil.test"), h2("POST /.anteroom/logout"))},
		{id: "J3", name: "a held request's release from another site", run: foreignRelease},
		{id: "J4", name: "sign-out by GET", run: logoutByGet},
		{id: "J5", name: "framing a page of the gateway's", run: framedPages},
		{id: "J6", name: "a call without a session", run: callWithoutSession},
		{id: "J7", name: "logout tokens", run: logoutTokens},
		{id: "J8", name: "the session endpoint", run: sessionEndpoint},
	}
	for _, target := range []string{"//evil.test", `/\evil.test`, "///evil.test", "https:evil.test", "javascript:1", "/%2f/evil.test", "/\tevil.test", "/%09/evil.test"} {
		rows = append(rows, row{id: "J1", name: "asked for by " + target, want: REJ(400), send: one(h1("GET "+target, "Accept: text/html"), h2("GET "+target, "accept: text/html"))})
	}
	return rows
}

func returnAddress(t *testing.T, w *world) {
	for _, to := range []string{"//evil.test", `/\evil.test`, "///evil.test", "https:evil.test", "https://evil.test/", "javascript:1"} {
		e := url.QueryEscape(to)
		for _, path := range []string{"/.anteroom/start?j=x&rd=" + e, "/.anteroom/start?return=" + e, "/.anteroom/return?code=" + e, "/.anteroom/signed-out?state=" + e, "/.anteroom/logout?ticket=" + e, "/.anteroom/callback?state=" + e, "/?rd=" + e, "/.anteroom/done?to=" + e} {
			p := w.Browser(t).Hop("GET", w.URL("gate.test", path), "", "", nil)
			if strings.Contains(p.Header.Get("Location"), "evil") || strings.Contains(p.Header.Get("Refresh"), "evil") || strings.Contains(p.Body, "evil.test") || strings.Contains(p.Body, "javascript:1") {
				t.Errorf("%s leads to %q\n%s", path, p.Header.Get("Location"), p.Body)
			}
		}
		if _, p := enters(t, w); p.URL.Hostname() != "ehr.test" {
			t.Errorf("after sign-in at %s", p.URL)
		}
		if p := w.Browser(t).Get(w.URL("ehr.test", "/chart/1?next="+e)); p.Status != 200 || p.URL.Hostname() != "ehr.test" {
			t.Errorf("%s: after sign-in at %s", to, p.URL)
		}
	}
}

func longReturn(t *testing.T, w *world) {
	for _, target := range []string{"/chart/" + strings.Repeat("a", 8<<10), "/chart/1?q=" + strings.Repeat("b", 16<<10)} {
		if p := w.Browser(t).Get(w.URL("ehr.test", target)); p.Status == 200 && (p.URL.Hostname() != "ehr.test" || p.URL.Path != "/" && p.URL.RequestURI() != target) {
			t.Errorf("%d at %.60s", p.Status, p.URL)
		} else if p.Status != 200 && p.Status < 400 {
			t.Errorf("%d at %.60s", p.Status, p.URL)
		}
	}
	for _, target := range []string{"/chart/%0d%0aSet-Cookie:x=1", "/chart/%09x", "/chart/%0a"} {
		if a := w.send(t, h1("GET "+target, "Accept: text/html"), "", stranger); a.status != 400 {
			t.Errorf("%s: %d", target, a.status)
		}
	}
}

func foreignRelease(t *testing.T, w *world) {
	b, p := heldOrder(t, w)
	action, token := p.ReleaseForm()
	w.Backend.Forget()
	u, err := p.URL.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	body := url.Values{"anteroom_release": {token}}.Encode()
	for _, h := range []http.Header{{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}, {"Origin": nil, "Sec-Fetch-Site": nil}, {"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}} {
		if got := b.Hop("POST", u.String(), "application/x-www-form-urlencoded", body, h); got.Status != http.StatusForbidden {
			t.Errorf("%v: %d", h, got.Status)
		}
	}
	if got, err := w.Backend.Take(); len(got) > 0 || err != nil {
		t.Errorf("the backend got %v %v", got, err)
	}
	if got := b.Release(p); got.Status != 200 {
		t.Errorf("the page's own release afterwards: %d", got.Status)
	}
}

func logoutByGet(t *testing.T, w *world) {
	b, _ := enters(t, w)
	image := http.Header{"Sec-Fetch-Dest": {"image"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Site": {"cross-site"}}
	for _, host := range []string{"ehr.test", "gate.test"} {
		b.Hop("GET", w.URL(host, "/.anteroom/logout"), "", "", image)
		b.Hop("GET", w.URL(host, "/.anteroom/logout?confirm=1&ticket=x"), "", "", nil)
		b.Hop("HEAD", w.URL(host, "/.anteroom/logout"), "", "", image)
	}
	if p := b.Get(w.URL("ehr.test", "/chart/1")); p.Status != 200 || len(p.Chain) != 1 {
		t.Errorf("signed out: %d by way of %v", p.Status, p.Chain)
	}
}

func framedPages(t *testing.T, w *world) {
	b, _ := enters(t, w)
	own := func(name string, p *anteroomtest.Page) {
		t.Helper()
		csp := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") || p.Header.Get("X-Frame-Options") != "DENY" ||
			!strings.Contains(p.Header.Get("Cache-Control"), "no-store") || p.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s (%d): %v", name, p.Status, p.Header)
		}
	}
	for _, path := range []string{"/.anteroom/logout", "/.anteroom/done", "/.anteroom/nothing", "/.anteroom/return?code=x", "/chart/../x", "/ADMIN", "/admin"} {
		p := b.Hop("GET", w.URL("ehr.test", path), "", "", http.Header{"Sec-Fetch-Dest": {"document"}})
		if path == "/chart/../x" {
			continue // which the client has put right
		}
		if p.Status != http.StatusSeeOther { // which has nothing to be framed
			own(path, p)
		}
	}
	for _, path := range []string{"/", "/.anteroom/start?j=x", "/.anteroom/callback?state=x", "/.anteroom/signed-out", "/.anteroom/logout", "/nothing"} {
		own("gate "+path, b.Hop("GET", w.URL("gate.test", path), "", "", nil))
	}
	_, held := heldOrder(t, w)
	own("a release", held)
	// Inside a frame there is one page, for frames of its own host only.
	frame := http.Header{"Sec-Fetch-Dest": {"iframe"}}
	nobody := w.Browser(t)
	start := nobody.Hop("GET", w.URL("ehr.test", "/chart/1"), "", "", frame).Header.Get("Location")
	for _, p := range []*anteroomtest.Page{nobody.Hop("GET", start, "", "", frame), b.Hop("POST", w.URL("ehr.test", "/results/3"), form, "x=1", frame)} {
		_, ancestors, _ := strings.Cut(p.Header.Get("Content-Security-Policy"), "frame-ancestors ")
		ancestors, _, _ = strings.Cut(ancestors, ";")
		if p.Status >= 300 && p.Status < 400 || ancestors != w.Origin("ehr.test") || p.Link("anteroom-continue") == "" {
			t.Errorf("in a frame: %d at %s, frame-ancestors %q", p.Status, p.URL.Path, ancestors)
		}
	}
}

func callWithoutSession(t *testing.T, w *world) {
	for name, headers := range map[string][]string{
		"cors":    {"Sec-Fetch-Mode: cors", "Accept: text/html"},
		"no-cors": {"Sec-Fetch-Mode: no-cors", "Accept: */*"},
		"ajax":    {"X-Requested-With: XMLHttpRequest", "Accept: text/html"},
		"json":    {"Accept: application/json"},
		"any":     {"Accept: */*"},
		"none":    nil,
		"socket":  {"Sec-Fetch-Mode: websocket"},
	} {
		for _, req := range both("GET /chart/1", headers...) {
			w.Backend.Forget()
			a := w.send(t, req, "", stranger)
			var problem struct{ Code string }
			if err := json.Unmarshal([]byte(a.body), &problem); err != nil || a.status != 401 || problem.Code != "login_required" || a.header.Get("Location") != "" ||
				a.header.Get("Content-Type") != "application/problem+json" || len(a.got) > 0 {
				t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
			}
		}
	}
}

func logoutTokens(t *testing.T, w *world) {
	b, _ := enters(t, w)
	sid := w.Provider.SID()
	edit := func(f func(header, claims map[string]any)) string { return w.Provider.LogoutToken("nora-sub", sid, f) }
	claim := func(name string, value any) string {
		return edit(func(_, c map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		})
	}
	key := w.Provider.Key()
	claims := map[string]any{"iss": w.Provider.URL, "aud": "anteroom", "sub": "nora-sub", "sid": sid, "jti": "j-none", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
	for name, token := range map[string]string{
		"no jti": claim("jti", nil), "no iat": claim("iat", nil), "a nonce": claim("nonce", "x"), "another aud": claim("aud", "other"), "another iss": claim("iss", "https://evil.test"),
		"no events": claim("events", nil), "old": claim("iat", time.Now().Add(-time.Hour).Unix()), "expired": claim("exp", time.Now().Add(-10*time.Minute).Unix()),
		"alg none": anteroomtest.None().Token(nil, claims), "HS256 with the public key": anteroomtest.Confused(key).Token(nil, claims),
		"another key": anteroomtest.NewKey(key.ID, "ES256").Token(nil, claims), "no token": "x.y.z", "empty": "",
		"neither sub nor sid": w.Provider.LogoutToken("", "", nil),
	} {
		if got := w.post(t, token); got != 400 {
			t.Errorf("%s: %d", name, got)
		}
	}
	if p := b.Get(w.URL("ehr.test", "/chart/1")); p.Status != 200 || len(p.Chain) != 1 {
		t.Fatalf("a refused token ended the session: %d by way of %v", p.Status, p.Chain)
	}
	good := edit(nil)
	cookie := b.Cookie("ehr.test", "__Host-anteroom")
	if got := w.post(t, good); got != 200 {
		t.Errorf("a good token: %d", got)
	}
	shut(t, w, cookie)
	if got := w.post(t, good); got != 400 {
		t.Errorf("replayed: %d", got)
	}
}

func sessionEndpoint(t *testing.T, w *world) {
	b, _ := enters(t, w)
	p := b.Call("GET", w.URL("ehr.test", "/.anteroom/session"), "", "", nil)
	var got map[string]any
	if err := json.Unmarshal([]byte(p.Body), &got); err != nil || p.Status != 200 {
		t.Fatalf("%d %s %v", p.Status, p.Body, err)
	}
	for name := range got {
		switch name {
		case "subject", "username", "roles", "acr", "auth_time", "locked", "locks_at", "ends_at", "device":
		default:
			t.Errorf("it tells %s", name)
		}
	}
	for _, secret := range []string{b.Cookie("ehr.test", "__Host-anteroom"), b.Cookie("gate.test", "__Host-anteroom"), w.Provider.ClientSecret, "eyJ", "access-", "code-"} {
		if strings.Contains(p.Body, secret) {
			t.Errorf("it holds %.12q: %s", secret, p.Body)
		}
	}
	if p.Header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(p.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("headers %v", p.Header)
	}
}
