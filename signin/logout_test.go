package signin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/session"
)

func TestSignOut(t *testing.T) {
	for _, host := range []string{ehr, gate} {
		t.Run(host, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			b.get(at(ehr, "/")).says("hello nora")
			b.get(at(img, "/")).says("hello nora")
			copied := b.cookies(img)[session.CookieName]
			w.trail.told()

			a := b.get(at(host, "/.anteroom/logout")).page(200, "confirm_sign_out")
			policy := a.header.Get("Content-Security-Policy")
			if !strings.Contains(policy, at(gate, "")) || !strings.Contains(policy, w.provider.URL) {
				t.Errorf("the form may not be redirected where it goes: %q", policy)
			}
			b.get(at(ehr, "/")).says("hello nora") // asking signs nobody out

			b.stopAt = "/"
			a = b.post(at(host, "/.anteroom/logout"), "")
			if got := a.header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
				t.Errorf("Clear-Site-Data is %q", got)
			}
			b.stopAt = ""
			a = b.get(a.header.Get("Location")).page(200, "signed_out")
			if a.at.Host != gate+port || a.next() != at(host, "/") {
				t.Errorf("ended at %s, leading to %s", a.at, a.next())
			}
			if w.provider.Calls("/end_session") != 1 {
				t.Error("nobody signed out at the provider")
			}
			w.wantTold("sign_out session_ended nora")
			for _, h := range []string{host, gate} {
				if b.cookies(h)[session.CookieName] != "" {
					t.Errorf("%s still has a session's cookie", h)
				}
			}

			// The others' cookies lead nowhere, not even a copy of them.
			thief := w.browser()
			thief.jar.SetCookies(&url.URL{Scheme: "https", Host: img + port, Path: "/"}, []*http.Cookie{{Name: session.CookieName, Value: copied, Path: "/", Secure: true}})
			thief.stopAt = "/start"
			if a := thief.get(at(img, "/")); a.status != http.StatusSeeOther {
				t.Errorf("a copied cookie: %d %s", a.status, a.body)
			}

			// Whoever is next is asked who they are, once.
			w.provider.Person(piet())
			b.get(at(ehr, "/")).says("hello piet")
			if got := w.provider.LastAuthorize().Get("prompt"); got != "login" {
				t.Errorf("prompt=%q", got)
			}
			b.get(at(img, "/")).says("hello piet")
			if b.asked() {
				t.Error("piet was asked twice")
			}
			if got := b.cookies(gate); len(got) != 1 {
				t.Errorf("cookies left: %v", got)
			}
		})
	}
}

func TestSignOutIsRememberedAgainstAnOldSignIn(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.provider.Handle("/end_session", func(rw http.ResponseWriter, r *http.Request) { // signs nobody out
		http.Redirect(rw, r, r.FormValue("post_logout_redirect_uri"), http.StatusFound)
	})
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(2 * time.Second)
	b.post(at(ehr, "/.anteroom/logout"), "").page(200, "signed_out")
	old := w.now().Unix() - 2
	w.provider.EditIDToken(func(c map[string]any) { c["auth_time"] = old })
	b.get(at(ehr, "/")).page(403, "step_up_failed")
	b.get(at(img, "/")).page(403, "step_up_failed")
}

func TestSignOutWithoutTheProvider(t *testing.T) {
	w := newWorld(t)
	w.provider.Discovery(func(m map[string]any) { delete(m, "end_session_endpoint") })
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	b.get(at(ehr, "/.anteroom/logout")).page(200, "confirm_sign_out")
	a := b.post(at(ehr, "/.anteroom/logout"), "").page(200, "signed_out")
	b.get(a.next()).says("hello nora")
	if got := w.provider.LastAuthorize().Get("prompt"); got != "login" {
		t.Errorf("prompt=%q", got)
	}
}

func TestSignOutOfNobody(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/.anteroom/logout")).page(200, "signed_out")
	b.post(at(ehr, "/.anteroom/logout"), "").page(200, "signed_out")
	w.wantTold()
}

func TestForeignSignOut(t *testing.T) {
	for name, header := range map[string]http.Header{
		"silent":         {},
		"foreign origin": {"Origin": {"https://evil.test"}},
		"other host":     {"Origin": {at(img, "")}},
		"cross-site":     {"Origin": {at(ehr, "")}, "Sec-Fetch-Site": {"cross-site"}},
		"same-site":      {"Sec-Fetch-Site": {"same-site"}},
		"null":           {"Origin": {"null"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			b.get(at(ehr, "/")).says("hello nora")
			r := httptest.NewRequest("POST", at(ehr, "/.anteroom/logout"), nil)
			for name, values := range header {
				r.Header[name] = values
			}
			for name, value := range b.cookies(ehr) {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			if rec.Code != http.StatusForbidden || len(rec.Result().Cookies()) != 0 {
				t.Errorf("%d %v", rec.Code, rec.Header())
			}
			b.get(at(ehr, "/")).says("hello nora")
		})
	}
}

// A ticket of eve's own sign-out does nothing to another person's browser.
func TestLuredSignOut(t *testing.T) {
	w := newWorld(t)
	eve, victim := w.browser(), w.browser()
	eve.get(at(ehr, "/")).says("hello nora")
	victim.get(at(ehr, "/")).says("hello nora")
	eve.stopAt = "ticket="
	ticket := eve.post(at(ehr, "/.anteroom/logout"), "").header.Get("Location")
	victim.get(ticket).page(200, "signed_out")
	if w.provider.Calls("/end_session") != 0 {
		t.Error("the victim was sent to sign out at the provider")
	}
	victim.get(at(img, "/")).says("hello nora")
	if victim.asked() {
		t.Error("the victim had to sign in again")
	}
}

func TestBackchannelLogout(t *testing.T) {
	const to = "https://" + gate + port + "/.anteroom/backchannel-logout"
	send := func(w *world, token, kind string) int {
		r := httptest.NewRequest("POST", to, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
		r.Header.Set("Content-Type", kind)
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		if rec.Header().Get("Cache-Control") != "no-store" {
			t.Error("the answer may be kept")
		}
		if rec.Code == 400 && !strings.Contains(rec.Body.String(), `{"error":"invalid_request"}`) {
			t.Errorf("refused with %s", rec.Body)
		}
		return rec.Code
	}
	const form = "application/x-www-form-urlencoded"
	w := newWorld(t)
	ward, home, other := w.browser(), w.browser(), w.browser()
	ward.get(at(ehr, "/")).says("hello nora")
	first := w.provider.SID()
	home.get(at(ehr, "/")).says("hello nora")
	w.provider.Person(piet())
	other.get(at(ehr, "/")).says("hello piet")
	w.trail.told()

	good := w.provider.LogoutToken("", first, nil)
	for name, c := range map[string]struct{ token, kind string }{
		"media type": {good, "application/json"},
		"nothing":    {"", form},
		"junk":       {"a.b.c", form},
		"huge":       {strings.Repeat("A", 70<<10), form},
		"nonce":      {w.provider.LogoutToken("u-nora", "", func(_, c map[string]any) { c["nonce"] = "n" }), form},
		"aud":        {w.provider.LogoutToken("u-nora", "", func(_, c map[string]any) { c["aud"] = "x" }), form},
		"no jti":     {w.provider.LogoutToken("u-nora", "", func(_, c map[string]any) { delete(c, "jti") }), form},
	} {
		if got := send(w, c.token, c.kind); got != 400 {
			t.Errorf("%s: %d", name, got)
		}
	}
	w.wantTold()
	home.get(at(ehr, "/")).says("hello nora")

	if got := send(w, good, form); got != 200 {
		t.Fatalf("a good token: %d", got)
	}
	w.wantTold("session_ended session_ended nora")
	if got := send(w, good, form); got != 400 {
		t.Errorf("the same again: %d", got)
	}
	ward.stopAt = "/start"
	if a := ward.get(at(ehr, "/")); a.status == 200 {
		t.Error("the session of that sid is alive")
	}
	home.get(at(ehr, "/")).says("hello nora")

	if got := send(w, w.provider.LogoutToken("u-nora", "", nil), form); got != 200 {
		t.Fatalf("a good token: %d", got)
	}
	home.stopAt = "/authorize"
	home.get(at(ehr, "/"))
	if got := home.went; len(got) < 2 {
		t.Error("a session of that person is alive")
	}
	other.get(at(ehr, "/")).says("hello piet")
}
