package signin_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/signin"
)

var errTrail = errors.New("disk full")

func TestCallbackOfAnotherBrowser(t *testing.T) {
	w := newWorld(t)
	eve, victim := w.browser(), w.browser()
	eve.stopAt = "/callback"
	callback := eve.get(at(ehr, "/chart")).header.Get("Location")
	calls := w.provider.Calls("/token")
	victim.get(callback).page(400, "sign_in_expired")
	if w.provider.Calls("/token") != calls {
		t.Error("the code went to the provider")
	}
	if n := len(victim.cookies(gate)) + len(victim.cookies(ehr)); n != 0 {
		t.Errorf("the victim got %d cookies", n)
	}
	w.wantTold("security deny bad_request")
}

// The victim is under way too, perhaps in the very slot: eve's answer is still
// not the one to her own attempt.
func TestCallbackOfAnotherAttempt(t *testing.T) {
	w := newWorld(t)
	eve, victim := w.browser(), w.browser()
	eve.stopAt, victim.stopAt = "/callback", "/callback"
	callback := eve.get(at(ehr, "/chart")).header.Get("Location")
	for range 20 { // every slot is taken by now
		victim.get(at(ehr, "/chart"))
	}
	calls := w.provider.Calls("/token")
	victim.stopAt = "/start"
	victim.get(callback)
	if w.provider.Calls("/token") != calls {
		t.Error("eve's code went to the provider")
	}
	if victim.cookies(gate)[session.CookieName] != "" {
		t.Error("the victim is signed in")
	}
}

func TestCallbackOfNobody(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{"", "?state=", "?state=x&code=y", "?code=y", "?state=" + strings.Repeat("A", 20000)} {
		b := w.browser()
		b.get(at(gate, "/.anteroom/callback"+query)).page(400, "sign_in_expired")
		w.wantTold("security deny bad_request")
	}
}

func TestInjectedCode(t *testing.T) {
	w := newWorld(t)
	eve, victim := w.browser(), w.browser()
	eve.stopAt, victim.stopAt = "/callback", "/callback"
	his, _ := url.Parse(eve.get(at(ehr, "/")).header.Get("Location"))
	hers, _ := url.Parse(victim.get(at(ehr, "/")).header.Get("Location"))
	q := hers.Query()
	q.Set("code", his.Query().Get("code"))
	hers.RawQuery = q.Encode()
	victim.stopAt = ""
	victim.get(hers.String()).page(403, "sign_in_failed")
	if victim.cookies(gate)[session.CookieName] != "" {
		t.Error("the victim is signed in")
	}
}

func TestReturnOfAnotherBrowser(t *testing.T) {
	w := newWorld(t)
	eve, victim := w.browser(), w.browser()
	eve.stopAt = "/return"
	back := eve.get(at(ehr, "/chart")).header.Get("Location")
	victim.get(back).page(400, "sign_in_expired")
	if n := len(victim.cookies(ehr)); n != 0 {
		t.Errorf("the victim got %d cookies", n)
	}
	other := strings.Replace(back, ehr, img, 1)
	eve.get(other).page(400, "sign_in_expired") // the code is for one host
	eve.stopAt = ""
	eve.get(back).says("hello nora at /chart") // nobody else has spent it
}

// Whoever holds nora's locked tablet sends her its unlock link, and she follows
// it on another device and proves herself there.
func TestLuredUnlock(t *testing.T) {
	for name, before := range map[string]func(*browser){
		"signed in nowhere else": func(*browser) {},
		"signed in there too":    func(b *browser) { b.get(at(img, "/")).says("hello nora") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tablet, laptop := w.browser(), w.browser()
			tablet.get(at(ehr, "/")).says("hello nora")
			w.pass(6 * time.Minute)
			before(laptop)
			link := tablet.get(at(ehr, "/chart")).page(200, "session_locked").next()
			laptop.stopAt = "/front"
			a := laptop.get(link)
			if a.status == 200 && strings.Contains(a.body, "hello") {
				t.Errorf("went on to %s", a.body)
			}
			tablet.get(at(ehr, "/chart")).page(200, "session_locked")
		})
	}
}

// The same with a step-up: nora's weak session on eve's browser must not become
// strong because nora, elsewhere, follows a link.
func TestLuredStepUp(t *testing.T) {
	for name, before := range map[string]func(*browser) answer{
		"signed in nowhere else":        func(*browser) answer { return answer{} },
		"signed in to that application": func(b *browser) answer { return b.get(at(ehr, "/")).says("hello nora") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			eve, nora := w.browser(), w.browser()
			eve.get(at(ehr, "/")).says("hello nora")
			before(nora)
			eve.stopAt = "/start"
			link := eve.get(at(ehr, "/rx")).header.Get("Location")
			nora.get(link)
			if w.provider.LastAuthorize().Get("acr_values") != "phr" {
				t.Fatal("nora proved nothing")
			}
			if a := eve.get(at(ehr, "/rx")); a.status == 200 {
				t.Errorf("eve reads %s", a.body)
			}
		})
	}
}

// A link of eve's own sign-in does not sign a victim in as anybody on the
// application's host, and eve gets nothing of the victim's.
func TestLuredSignIn(t *testing.T) {
	w := newWorld(t)
	eve, victim := w.browser(), w.browser()
	eve.stopAt = "/start"
	link := eve.get(at(ehr, "/chart")).header.Get("Location")
	victim.get(link).page(400, "sign_in_expired")
	if victim.cookies(ehr)[session.CookieName] != "" {
		t.Error("the victim has a session on the application's host")
	}
	eve.stopAt = "/start"
	if a := eve.get(at(ehr, "/chart")); a.status == 200 {
		t.Errorf("eve reads %s", a.body)
	}
}

func TestBentLinks(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/start"
	link := b.get(at(ehr, "/chart")).header.Get("Location")
	b.stopAt = ""
	for name, to := range map[string]string{
		"nothing":      at(gate, "/.anteroom/start"),
		"flipped":      strings.Replace(link, "?j=", "?j=X", 1),
		"cut":          link[:len(link)-8],
		"with a path":  at(gate, "/.anteroom/start?return=//evil.test"),
		"with a host":  at(gate, "/.anteroom/start?host=evil.test"),
		"huge":         link + strings.Repeat("A", 30000),
		"another seal": at(gate, "/.anteroom/start?j="+url.QueryEscape(b.cookies(ehr)["__Host-anteroom-login-1"])),
	} {
		t.Run(name, func(t *testing.T) {
			a := b.get(to).page(400, "sign_in_expired")
			if b.asked() {
				t.Errorf("the provider was asked, at %s", a.at)
			}
		})
	}
}

func TestReturnPaths(t *testing.T) {
	w := newWorld(t)
	for target, want := range map[string]string{
		"/chart?a=b":                     "/chart?a=b",
		`/q?x=a\b`:                       `/q?x=a\b`,
		"//evil.test":                    "/front",
		`/\evil.test`:                    "/front",
		"///evil.test":                   "/front",
		"https:evil.test":                "/front",
		"https://evil.test/":             "/front",
		"javascript:1":                   "/front",
		"/a\r\nX: 1":                     "/front",
		"/a\tb":                          "/front",
		"/\t/evil.test":                  "/front",
		"":                               "/front",
		"chart":                          "/front",
		"/a b":                           "/front",
		"/a#b":                           "/front",
		"/å":                             "/front",
		`/a\..\b`:                        "/front",
		"/" + strings.Repeat("a", 8<<10): "/front",
	} {
		t.Run(target[:min(len(target), 20)], func(t *testing.T) {
			b := w.browser()
			r := httptest.NewRequest("GET", at(ehr, "/"), nil)
			rec := httptest.NewRecorder()
			link := w.desk.Link(rec, r, access.Journey{Host: ehr, Return: target, Front: "/front", Reason: access.NoSession})
			b.jar.SetCookies(r.URL, rec.Result().Cookies())
			b.stopAt = "/" // follow by hand
			a := b.get(link)
			for range 10 {
				to := a.header.Get("Location")
				u, err := url.Parse(to)
				if err != nil || strings.Contains(to, "evil") && u.Host != ehr+port {
					t.Fatalf("sent to %q", to)
				}
				if !strings.HasPrefix(u.Path, signin.Prefix) && u.Host == ehr+port {
					if got := strings.TrimPrefix(to, at(ehr, "")); got != want {
						t.Errorf("ended at %q, want %q", got, want)
					}
					return
				}
				a = b.get(to)
			}
			t.Fatal("ended nowhere")
		})
	}
}

func TestUnknownHost(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest("GET", at("gone.test", "/"), nil)
	link := w.desk.Link(httptest.NewRecorder(), r, access.Journey{Host: "gone.test", Return: "/", Front: "/"})
	b := w.browser()
	b.get(link).page(400, "sign_in_expired")
	if b.asked() {
		t.Error("the provider was asked for it")
	}
}

func TestCookiesHaveTheirPrefix(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	jar := &watching{CookieJar: b.jar}
	b.jar = jar
	b.get(at(ehr, "/rx")).says("hello nora")
	b.post(at(ehr, "/.anteroom/logout"), "")
	if len(jar.seen) < 5 {
		t.Fatalf("only %d cookies were set", len(jar.seen))
	}
	for _, c := range jar.seen {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s", c)
		}
		if len(c.Value) > 3900 {
			t.Errorf("%s has %d bytes", c.Name, len(c.Value))
		}
		if strings.Contains(c.Value, "nora") {
			t.Errorf("%s tells a name", c)
		}
	}
}

type watching struct {
	http.CookieJar
	seen []*http.Cookie
}

func (j *watching) SetCookies(u *url.URL, c []*http.Cookie) {
	if strings.HasSuffix(u.Host, port) {
		j.seen = append(j.seen, c...)
	}
	j.CookieJar.SetCookies(u, c)
}

func TestEndpoints(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, host, path string
		status             int
	}{
		{"GET", ehr, "/.anteroom/start", 404},
		{"GET", ehr, "/.anteroom/callback", 404},
		{"POST", ehr, "/.anteroom/backchannel-logout", 404},
		{"GET", ehr, "/.anteroom/signed-out", 404},
		{"GET", gate, "/.anteroom/nothing", 404},
		{"GET", gate, "/.anteroom/", 404},
		{"POST", gate, "/.anteroom/start", 405},
		{"GET", gate, "/.anteroom/backchannel-logout", 405},
		{"DELETE", ehr, "/.anteroom/session", 405},
		{"HEAD", ehr, "/.anteroom/done", 200},
		{"GET", ehr, "/.anteroom/done", 200},
		{"GET", gate, "/.anteroom/signed-out", 200},
		{"GET", ehr, "/.anteroom/return", 400},
		{"GET", ehr, "/.anteroom/return?code=x", 400},
	} {
		r := httptest.NewRequest(c.method, at(c.host, c.path), nil)
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		if rec.Code != c.status {
			t.Errorf("%s %s%s: %d, want %d", c.method, c.host, c.path, rec.Code, c.status)
		}
		if got := rec.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s%s: Cache-Control is %q", c.method, c.host, c.path, got)
		}
	}
}

func TestSession(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	if a := b.get(at(ehr, "/.anteroom/session")); a.status != 401 || !strings.Contains(a.body, `"login_required"`) {
		t.Errorf("nobody: %d %s", a.status, a.body)
	}
	b.get(at(ehr, "/")).says("hello nora")
	read := func() map[string]any {
		t.Helper()
		a := b.get(at(ehr, "/.anteroom/session")).says(`"username":"nora"`)
		if a.header.Get("Cache-Control") != "no-store" {
			t.Error("the answer may be kept")
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(a.body), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := read()
	for _, name := range []string{"subject", "username", "roles", "acr", "auth_time", "locked", "locks_at", "ends_at", "device"} {
		if _, ok := m[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(m, name)
	}
	if len(m) != 0 {
		t.Errorf("it also tells %v", m)
	}
	for range 10 { // asking is no activity
		w.pass(time.Minute)
		m = read()
	}
	if m["locked"] != true {
		t.Error("polling kept the session from locking")
	}
	if ends, err := time.Parse(time.RFC3339, m["ends_at"].(string)); err != nil || ends.Before(w.now()) {
		t.Errorf("ends_at is %v", m["ends_at"])
	}
}
