package signin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

func TestStepUp(t *testing.T) {
	for name, c := range map[string]struct {
		target, ask, value string
	}{
		"strength": {"/rx", "acr_values", "phr"},
		"age":      {"/fresh", "max_age", "300"},
		"each":     {"/each", "prompt", "login"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.limit(access.Limits{EndAfter: time.Hour})
			b := w.browser()
			b.get(at(ehr, "/")).says("hello nora")
			gateID, ehrID := b.cookies(gate)[session.CookieName], b.cookies(ehr)[session.CookieName]
			w.pass(6 * time.Minute)
			w.trail.told()
			b.get(at(ehr, c.target)).says("hello nora at " + c.target)
			if got := w.provider.LastAuthorize().Get(c.ask); got != c.value {
				t.Errorf("asked %s=%q, want %q", c.ask, got, c.value)
			}
			if b.cookies(ehr)[session.CookieName] == ehrID {
				t.Error("the id from before the step-up is still good for more")
			}
			if b.cookies(gate)[session.CookieName] != gateID {
				t.Error("it is another session")
			}
			reason := map[string]string{"strength": "weak_login", "age": "old_login", "each": "once_used"}[name]
			w.wantTold("step_up allow " + reason + " nora")
			b.get(at(ehr, c.target)).says("hello nora at " + c.target)
			if b.asked() {
				t.Errorf("asked again: %v", b.went)
			}
		})
	}
}

// A browser keeps five attempts. A tab whose attempt gave way to others waits
// for one of them, instead of going round until the browser gives up.
func TestStepUpInManyTabs(t *testing.T) {
	w := newWorld(t)
	w.limit(access.Limits{EndAfter: time.Hour})
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(6 * time.Minute)
	b.stopAt = "/callback"
	var callbacks []string
	for i := range 7 {
		callbacks = append(callbacks, b.get(at(ehr, fmt.Sprintf("/fresh?tab=%d", i))).header.Get("Location"))
	}
	b.stopAt = ""
	r := httptest.NewRequest("GET", callbacks[0], nil)
	for name, value := range b.cookies(gate) {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	sent := make(chan string, 1)
	go func() {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		sent <- rec.Header().Get("Location")
	}()
	select {
	case to := <-sent:
		t.Fatalf("sent round to %s before any tab had proven anything", to)
	case <-time.After(100 * time.Millisecond):
	}
	b.get(callbacks[6]).says("hello nora at /fresh?tab=6")
	if to := <-sent; to != at(ehr, "/fresh?tab=0") {
		t.Errorf("afterwards sent to %s", to)
	}
	b.get(at(ehr, "/fresh?tab=0")).says("hello nora at /fresh?tab=0")
}

func TestEachTimeIsForOneRequest(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/each?id=1")).says("hello nora at /each?id=1")
	b.stopAt = "/callback"
	b.get(at(ehr, "/each?id=2"))
	if !b.asked() {
		t.Error("evidence for one address let another in")
	}
	b.stopAt = ""
	w.pass(61 * time.Second)
	b.get(at(ehr, "/each?id=1"))
	if !b.asked() {
		t.Error("evidence outlived its minute")
	}
}

func TestEachTimeTakesNoOldSignIn(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(10 * time.Second)
	old := w.now().Add(-5 * time.Second).Unix()
	w.provider.EditIDToken(func(c map[string]any) { c["auth_time"] = old })
	b.get(at(ehr, "/each")).page(403, "step_up_failed")
}

func TestStepUpThatProvesTooLittle(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		edit   func(map[string]any)
	}{
		"lower acr":    {"/rx", func(c map[string]any) { c["acr"] = "pwd" }},
		"no acr":       {"/rx", func(c map[string]any) { delete(c, "acr") }},
		"old":          {"/fresh", func(c map[string]any) { c["auth_time"] = c["iat"].(int64) - 301 }},
		"no auth_time": {"/fresh", func(c map[string]any) { delete(c, "auth_time") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.limit(access.Limits{EndAfter: time.Hour})
			b := w.browser()
			b.get(at(ehr, "/")).says("hello nora")
			id := b.cookies(ehr)[session.CookieName]
			w.pass(6 * time.Minute)
			w.trail.told()
			w.provider.EditIDToken(c.edit)
			link := b.post(at(ehr, c.target), "dose=1").next()
			a := b.get(link).page(403, "step_up_failed")
			if b.cookies(ehr)[session.CookieName] != id {
				t.Error("the session's cookie changed")
			}
			if told := w.trail.told(); len(told) != 1 || !strings.HasPrefix(told[0], "step_up deny") {
				t.Errorf("audit trail: %q", told)
			}
			b.get(at(ehr, "/chart")).says("hello nora") // what she had, she keeps
			b.get(at(ehr, c.target)).page(403, "step_up_failed")

			w.provider.EditIDToken(nil)
			to, body := b.get(a.next()).page(200, "released").release()
			b.post(to, body).says("did POST " + c.target + " dose=1 for nora")
		})
	}
}

func TestHeldRequestComesBack(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	link := b.post(at(ehr, "/rx?order=7"), "dose=1").next()
	a := b.get(link).page(200, "released")
	to, body := a.release()
	if to != at(ehr, "/rx?order=7") {
		t.Errorf("the form goes to %s", to)
	}
	b.post(to, body).says("did POST /rx?order=7 dose=1 for nora")
	if a := b.post(to, body); a.status != 409 {
		t.Errorf("a second release: %d %s", a.status, a.body)
	}
	b.get(a.at.String()).page(409, "already_sent") // reloading the release page
	b.get(link).page(409, "already_sent")          // and going all the way back
}

func TestAnotherPersonStepsUp(t *testing.T) {
	for name, send := range map[string]func(*browser) string{
		"page": func(b *browser) string { return at(ehr, "/rx") },
		"held": func(b *browser) string { return b.post(at(ehr, "/rx"), "dose=1").next() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			b.get(at(ehr, "/")).says("hello nora")
			b.get(at(img, "/")).says("hello nora")
			nora := b.cookies(img)[session.CookieName]
			to := send(b)
			w.trail.told()
			p := piet()
			p.CanACR = []string{"phr"}
			w.provider.Person(p)
			w.provider.EditIDToken(func(c map[string]any) { c["sub"], c["preferred_username"] = "u-piet", "piet" })
			b.get(to).says("hello piet at /front")
			w.wantTold("session_ended subject_changed nora", "sign_in allow weak_login piet")
			if len(w.heldIDs()) != 0 {
				t.Error("nora's request is still held")
			}
			if b.cookies(img)[session.CookieName] != nora {
				t.Fatal("img has another cookie")
			}
			b.stopAt = "/start"
			if a := b.get(at(img, "/")); strings.Contains(a.body, "nora") {
				t.Error("nora's session lives on")
			}
		})
	}
}

func TestUnlock(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	b.get(at(img, "/")).says("hello nora")
	w.pass(6 * time.Minute)
	w.trail.told()

	a := b.get(at(ehr, "/chart?id=7")).page(200, "session_locked")
	if a.at.Host != gate+port || !strings.Contains(a.body, "nora") {
		t.Errorf("at %s: %s", a.at.Path, a.text())
	}
	if b.asked() {
		t.Error("the provider was asked before its person was")
	}
	w.pass(20 * time.Minute) // the tablet lies about

	old := w.now().Add(-time.Minute * 22).Unix() // after her sign-in, before the lock
	w.provider.EditIDToken(func(c map[string]any) { c["auth_time"] = old })
	again := b.get(a.next()).page(403, "step_up_failed")
	w.provider.EditIDToken(func(c map[string]any) { delete(c, "acr"); delete(c, "amr") }) // any strength unlocks
	b.get(again.next()).page(200, "session_locked")
	b.get(again.next() + "&go=1").says("hello nora at /chart?id=7")
	if got := w.provider.LastAuthorize().Get("prompt"); got != "login" {
		t.Errorf("prompt=%q", got)
	}
	w.wantTold("unlock deny session_locked nora", "unlock allow session_locked nora")
	b.get(at(img, "/")).says("hello nora")
	if b.asked() {
		t.Error("the other host is still locked")
	}
}

func TestUnlockByAnother(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(6 * time.Minute)
	w.provider.Person(piet())
	w.trail.told()
	a := b.get(at(ehr, "/chart?id=7")).page(200, "session_locked")
	b.get(a.next()).says("hello piet at /front")
	w.wantTold("session_ended subject_changed nora", "sign_in allow session_locked piet")
}

func TestUnlockTakesAnyStrength(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(6 * time.Minute)
	w.provider.EditIDToken(func(c map[string]any) { c["acr"] = "pwd" })
	w.trail.told()
	locked := b.get(at(ehr, "/rx")).page(200, "session_locked")
	b.get(locked.next()).page(403, "step_up_failed") // unlocked, and then asked for more
	w.wantTold("unlock allow session_locked nora", "step_up deny weak_login nora")
	b.get(at(ehr, "/chart")).says("hello nora")
}

func TestLockIsOnEveryHost(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(6 * time.Minute)
	w.trail.told()
	a := b.get(at(img, "/scan")).page(200, "session_locked") // where she has not been yet
	b.get(a.next()).says("hello nora at /scan")
	w.wantTold("unlock allow session_locked nora")
	b.get(at(ehr, "/")).says("hello nora")
	if b.asked() {
		t.Error("it became another session")
	}
}

func TestUnlockInOneTabServesTheOther(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(6 * time.Minute)
	one := b.get(at(ehr, "/one")).page(200, "session_locked").next()
	two := b.get(at(ehr, "/two")).page(200, "session_locked").next()
	b.get(one).says("hello nora at /one")
	b.get(two).says("hello nora at /two")
	if b.asked() {
		t.Errorf("asked twice: %v", b.went)
	}
}

func TestPostMeetsALock(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(6 * time.Minute)
	link := b.post(at(ehr, "/note"), "text=1").next()
	to, body := b.get(link).page(200, "released").release()
	b.post(to, body).says("did POST /note text=1 for nora")
}

func TestPostMeetsAnEnd(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(31 * time.Minute)
	link := b.post(at(ehr, "/note"), "text=1").next()
	to, body := b.get(link).page(200, "released").release()
	b.post(to, body).says("did POST /note text=1 for nora")

	w.pass(31 * time.Minute)
	link = b.post(at(ehr, "/note"), "text=2").next()
	w.provider.Person(piet())
	b.get(link).says("hello piet at /front")
	if len(w.heldIDs()) != 0 {
		t.Error("nora's request is still held")
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	link := b.post(at(ehr, "/rx"), "dose=1").next()
	w.trail.told()
	w.provider.Refuse("access_denied", "")
	a := b.get(link).page(403, "access_denied")
	w.wantTold("step_up deny weak_login nora")
	if len(w.heldIDs()) != 0 {
		t.Error("the request is still held")
	}
	b.get(a.next()).says("hello nora at /front")
}

func TestUnrecordedStepUpIsNone(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	b.stopAt = "/return"
	back := b.get(at(ehr, "/rx")).header.Get("Location")
	w.trail.failing(errTrail)
	b.stopAt = ""
	b.get(back).page(503, "cannot_record")
	w.sessions.EndWhere(t.Context(), func(s access.Session, _, _ string) bool {
		if s.ACR != "pwd" {
			t.Errorf("the session has acr %q", s.ACR)
		}
		return false
	}, access.SessionEnded)
}

func TestStepUpOfASessionThatEnds(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	b.stopAt = "/return"
	back := b.get(at(ehr, "/rx")).header.Get("Location")
	w.sessions.EndWhere(t.Context(), func(access.Session, string, string) bool { return true }, access.SessionEnded)
	b.stopAt = ""
	b.get(back).page(200, "session_ended")
}
