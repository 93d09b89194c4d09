package signin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

func TestSignInReturnsToThePageAskedFor(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/chart/7?tab=meds&x=%26")).says("hello nora at /chart/7?tab=meds&x=%26")
	for _, host := range []string{gate, ehr} {
		got := b.cookies(host)
		if len(got) != 1 || got[session.CookieName] == "" {
			t.Errorf("cookies of %s: %v, want the session's alone", host, got)
		}
	}
	if b.cookies(gate)[session.CookieName] == b.cookies(ehr)[session.CookieName] {
		t.Error("both hosts have one id")
	}
	q := w.provider.LastAuthorize()
	if q.Get("prompt") != "" || q.Get("max_age") != "" || q.Get("code_challenge_method") != "S256" {
		t.Errorf("first sign-in asked %v", q)
	}
	w.wantTold("sign_in allow no_session nora")
}

func TestSecondHostIsSilent(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	b.get(at(img, "/scan")).says("hello nora at /scan")
	if b.asked() {
		t.Errorf("the provider was asked again: %v", b.went)
	}
}

func TestSignInHostIsAnApplicationToo(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(gate, "/tools")).says("hello nora at /tools")
	if got := b.cookies(gate); len(got) != 1 {
		t.Errorf("cookies left: %v", got)
	}
	b.get(at(ehr, "/")).says("hello nora")
	if b.asked() {
		t.Errorf("the provider was asked again: %v", b.went)
	}
	w.provider.Person(nora())
	b.get(at(gate, "/rx")).says("hello nora at /rx")
}

func TestSignInGivesANewID(t *testing.T) {
	w := newWorld(t)
	other := w.browser()
	other.get(at(ehr, "/")).says("hello")
	planted := other.cookies(gate)[session.CookieName]
	w.sessions.EndWhere(t.Context(), func(access.Session, string, string) bool { return true }, access.SessionEnded)

	b := w.browser()
	b.jar.SetCookies(&url.URL{Scheme: "https", Host: gate + port, Path: "/"}, []*http.Cookie{{Name: session.CookieName, Value: planted, Secure: true, Path: "/"}})
	w.pass(5 * time.Second)
	b.get(at(ehr, "/")).says("hello")
	if got := b.cookies(gate)[session.CookieName]; got == planted || got == "" {
		t.Errorf("the planted id is still there")
	}
}

func TestTwoTabs(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/authorize"
	first := b.get(at(ehr, "/one")).header.Get("Location")
	second := b.get(at(ehr, "/two")).header.Get("Location")
	if n := len(b.cookies(gate)); n != 2 {
		t.Fatalf("%d attempts are under way, want 2", n)
	}
	b.stopAt = ""
	b.get(second).says("hello nora at /two")
	b.get(first).says("hello nora at /one")
}

func TestParallelRefusals(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	var links []string
	for i := range 200 {
		r := httptest.NewRequest("GET", at(ehr, fmt.Sprintf("/%d", i)), nil) // none has seen another's cookie
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		links = append(links, rec.Header().Get("Location"))
		b.jar.SetCookies(r.URL, rec.Result().Cookies())
	}
	size := 0
	for name, value := range b.cookies(ehr) {
		size += len(name) + len(value)
	}
	if n := len(b.cookies(ehr)); n > 5 || size > 2000 {
		t.Errorf("%d cookies of %d bytes", n, size)
	}
	b.stopAt = "/authorize"
	var attempts []string
	for _, link := range links {
		attempts = append(attempts, b.get(link).header.Get("Location"))
	}
	size = 0
	for name, value := range b.cookies(gate) {
		size += len(name) + len(value)
	}
	if n := len(b.cookies(gate)); n > 5 || size > 20000 {
		t.Errorf("%d cookies of %d bytes on the sign-in host", n, size)
	}
	b.stopAt = ""
	for i, attempt := range attempts { // the first ones have lost their slots long ago
		if i%20 == 0 {
			b.get(attempt).says(fmt.Sprintf("hello nora at /%d", i))
		}
	}
}

func TestLongJourneys(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{400, 1500, 4000, 7000, 20000} {
		b := w.browser()
		b.get(at(ehr, "/q?a="+strings.Repeat("x", n))).says("hello nora at /")
		if n == 400 && !strings.Contains(b.get(at(img, "/q?a="+strings.Repeat("x", n))).body, "/q?a=x") {
			t.Error("a path of 400 bytes got lost")
		}
	}
}

func TestCallbackTwice(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/callback"
	callback := b.get(at(ehr, "/chart")).header.Get("Location")
	b.stopAt = ""
	b.get(callback).says("hello nora at /chart")
	calls := w.provider.Calls("/token")
	b.get(callback).says("hello nora at /chart")
	if got := w.provider.Calls("/token"); got != calls {
		t.Error("the code was redeemed twice")
	}
}

func TestCallbackTwiceAtOnce(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/callback"
	callback := b.get(at(ehr, "/chart")).header.Get("Location")
	before := b.cookies(gate) // the second delivery still has the attempt's cookie
	b.stopAt = ""
	b.get(callback).says("hello nora at /chart")
	calls := w.provider.Calls("/token")
	u, _ := url.Parse(callback)
	r := httptest.NewRequest("GET", callback, nil)
	for name, value := range before {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	if w.provider.Calls("/token") != calls {
		t.Error("the code was redeemed twice")
	}
	for _, c := range rec.Result().Cookies() {
		if c.Name == session.CookieName {
			t.Errorf("%s gave a session", u.Path)
		}
	}
}

func TestLateCallbackStartsOnce(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/callback"
	callback := b.get(at(ehr, "/chart")).header.Get("Location")
	b.stopAt = ""
	w.pass(11 * time.Minute)
	b.get(callback).says("hello nora at /chart")
	if !b.asked() {
		t.Errorf("went %v", b.went)
	}
}

func TestBrowserWithoutCookiesEnds(t *testing.T) {
	for _, host := range []string{gate, ehr} {
		t.Run(host, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			b.jar = deaf{b.jar, host + port}
			a := b.get(at(ehr, "/chart"))
			a.page(400, "sign_in_expired")
			if len(b.went) > 12 {
				t.Errorf("went %v", b.went)
			}
		})
	}
}

// A deaf jar keeps no cookies of one host.
type deaf struct {
	http.CookieJar
	host string
}

func (d deaf) SetCookies(u *url.URL, c []*http.Cookie) {
	if u.Host != d.host {
		d.CookieJar.SetCookies(u, c)
	}
}

func TestLateReturn(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/return"
	back := b.get(at(ehr, "/chart")).header.Get("Location")
	b.stopAt = ""
	w.pass(31 * time.Second)
	b.get(back).says("hello nora at /chart") // the sign-in host knows her
	if b.asked() {
		t.Errorf("went %v", b.went)
	}
	b.get(back).says("hello nora at /chart") // and now this host does
}

func TestStaleLinkIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/start"
	link := b.get(at(ehr, "/chart")).header.Get("Location")
	b.stopAt = ""
	w.pass(time.Hour)
	b.get(link).says("hello nora at /chart")
}

func TestProviderDown(t *testing.T) {
	w := newWorld(t)
	w.provider.Down()
	time.Sleep(1100 * time.Millisecond) // by when it is asked anew whether it lives; how fast that is, authn's tests hold
	a := w.browser().get(at(ehr, "/chart")).page(503, "provider_unreachable")
	if !strings.HasPrefix(a.next(), at(gate, "/.anteroom/start?j=")) || a.header.Get("Retry-After") == "" {
		t.Errorf("leads to %s, %v", a.next(), a.header)
	}
}

func TestWhoIsSignedInNeedsNoProvider(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.provider.Down()
	b.get(at(img, "/")).says("hello nora")
}

func TestProviderRefuses(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		code   string
	}{
		"access_denied":           {403, "access_denied"},
		"interaction_required":    {403, "step_up_failed"},
		"temporarily_unavailable": {503, "provider_unreachable"},
		"invalid_scope":           {403, "sign_in_failed"},
		"<script>alert(1)":        {403, "sign_in_failed"},
	} {
		t.Run(code, func(t *testing.T) {
			w := newWorld(t)
			w.provider.Refuse(code, "<script>alert(2)</script>")
			b := w.browser()
			a := b.get(at(ehr, "/chart")).page(want.status, want.code)
			if strings.Contains(a.body, "alert") {
				t.Error("the page repeats what the callback said")
			}
			if b.cookies(gate)[session.CookieName] != "" {
				t.Error("somebody is signed in")
			}
			w.provider.EditCallback(nil)
			b.get(a.next()).says("hello nora")
		})
	}
}

func TestBadProof(t *testing.T) {
	for name, edit := range map[string]func(map[string]any){
		"nonce":    func(c map[string]any) { c["nonce"] = "another" },
		"no nonce": func(c map[string]any) { delete(c, "nonce") },
		"iss":      func(c map[string]any) { c["iss"] = "https://evil.test" },
		"aud":      func(c map[string]any) { c["aud"] = "another" },
		"no sub":   func(c map[string]any) { delete(c, "sub") },
		"clock": func(c map[string]any) {
			c["iat"] = time.Now().Add(10 * time.Minute).Unix()
			c["exp"] = time.Now().Add(20 * time.Minute).Unix()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.provider.EditIDToken(edit)
			b := w.browser()
			b.get(at(ehr, "/chart")).page(403, "sign_in_failed")
			if n := len(b.cookies(gate)); n != 0 {
				t.Errorf("%d cookies stay on the sign-in host", n)
			}
			w.wantTold("security deny bad_request")
		})
	}
}

func TestUnrecordedSignInIsNone(t *testing.T) {
	w := newWorld(t)
	w.trail.failing(errors.New("disk full"))
	b := w.browser()
	b.get(at(ehr, "/chart")).page(503, "cannot_record")
	if b.cookies(gate)[session.CookieName] != "" {
		t.Error("somebody is signed in")
	}
	all := 0
	w.sessions.EndWhere(t.Context(), func(access.Session, string, string) bool { all++; return false }, access.SessionEnded)
	if all != 0 {
		t.Errorf("%d sessions are alive", all)
	}
}

func TestEndedSessionIsAskedWhoItIs(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/chart")).says("hello nora")
	w.pass(31 * time.Minute)
	w.trail.told()

	// A provider that heeds neither prompt nor max_age brings nora's old sign-in back.
	old := time.Now().Unix()
	w.provider.EditIDToken(func(c map[string]any) { c["auth_time"] = old })
	a := b.get(at(ehr, "/chart")).page(403, "step_up_failed")
	if q := w.provider.LastAuthorize(); q.Get("prompt") != "login" {
		t.Errorf("asked %v", q)
	}
	w.wantTold("sign_in deny session_ended nora")

	w.provider.EditIDToken(func(c map[string]any) { delete(c, "auth_time") })
	b.get(a.next()).page(403, "step_up_failed")

	// Any host of that browser knows; the next person is let in by a real sign-in.
	w.provider.EditIDToken(nil)
	w.provider.Person(piet())
	b.get(at(img, "/")).says("hello piet")
	if q := w.provider.LastAuthorize(); q.Get("prompt") != "login" {
		t.Errorf("asked %v", q)
	}
	w.wantTold("sign_in deny session_ended nora", "sign_in allow no_session piet")
	b.get(at(ehr, "/chart")).says("hello piet")
	if b.asked() {
		t.Errorf("piet was asked twice: %v", b.went)
	}
}

func TestAnotherPersonClearsTheSite(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(31 * time.Minute)
	w.provider.Person(piet())
	b.stopAt = "/return"
	back := b.get(at(ehr, "/")).header.Get("Location")
	b.stopAt = "/"
	if got := b.get(back).header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data is %q", got)
	}
}

func TestFrames(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.header.Set("Sec-Fetch-Dest", "iframe")
	a := b.get(at(ehr, "/inner")).page(200, "no_session")
	if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-ancestors "+at(ehr, "")) {
		t.Errorf("policy is %q", got)
	}
	if !strings.Contains(a.body, `target="_top"`) {
		t.Errorf("the link stays in the frame: %s", a.body)
	}
	b.header.Set("Sec-Fetch-Dest", "document")
	b.get(a.next()).says("hello nora at /inner")

	b.header.Set("Sec-Fetch-Dest", "iframe")
	b.get(at(img, "/inner")).says("hello nora at /inner") // silent hops redirect
}

func TestWindowEndsItself(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.header.Set("X-Window", "1")
	if a := b.get(at(ehr, "/api")).page(200, "done"); a.at.Host != ehr+port {
		t.Errorf("ends at %s", a.at)
	}
	b.header.Del("X-Window")
	b.get(at(ehr, "/api")).says("hello nora")
}

func TestPrefetchHasNoEffect(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.stopAt = "/return"
	back := b.get(at(ehr, "/chart")).header.Get("Location")
	b.stopAt = ""
	b.header.Set("Sec-Purpose", "prefetch")
	if a := b.get(back); a.status != 503 || len(a.header["Set-Cookie"]) != 0 {
		t.Errorf("answered %d %v", a.status, a.header)
	}
	b.header.Del("Sec-Purpose")
	b.get(back).says("hello nora at /chart")
}
