package contract_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// locksAt asks when the session of b locks.
func locksAt(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) time.Time {
	t.Helper()
	return moment(t, sessionOf(t, g, b)["locks_at"])
}

// TestActivity holds what moves the lock: what shows that a person is there,
// and nothing that a page does by itself.
func TestActivity(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
		}
	})
	old := func(h http.Header) http.Header { // a client that sends no Fetch Metadata
		for _, name := range []string{"Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User", "Sec-Fetch-Site"} {
			h[name] = nil
		}
		return h
	}
	for _, c := range []struct {
		name   string
		active bool
		do     func()
	}{
		{"a link that was tapped", true, func() { b.Get(g.URL("ehr.test", "/chart/1")) }},
		{"a page that refreshes itself", false, func() { b.Hop("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Sec-Fetch-User": nil}) }},
		{"a script that polls", false, func() { b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil) }},
		{"a script that saves", true, func() { b.Call("POST", g.URL("ehr.test", "/notes/1"), form, "a=b", nil) }},
		{"a form", true, func() { b.Post(g.URL("ehr.test", "/notes/1"), form, "a=b") }},
		{"a prefetch", false, func() {
			b.Hop("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Sec-Purpose": {"prefetch;prerender"}})
		}},
		{"what the route lists under background", false, func() { b.Get(g.URL("ehr.test", "/poll")) }},
		{"the same by POST", false, func() { b.Call("POST", g.URL("ehr.test", "/poll"), form, "a=b", nil) }},
		{"an open place", false, func() { b.Get(g.URL("ehr.test", "/pub/x")) }},
		{"asking who is signed in", false, func() { b.Hop("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil) }},
		{"a WebSocket", false, func() {
			c, _, err := open(t, g, b, "ehr.test", "/ws", g.Origin("ehr.test"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := speak(t, c, "are you there"); err != nil {
				t.Error(err)
			}
		}},
		{"an old browser's page", true, func() { b.Hop("GET", g.URL("ehr.test", "/chart/1"), "", "", old(http.Header{})) }},
		{"an old browser's script", false, func() {
			b.Hop("GET", g.URL("ehr.test", "/chart/1"), "", "", old(http.Header{"X-Requested-With": {"XMLHttpRequest"}}))
		}},
	} {
		before := locksAt(t, g, b)
		time.Sleep(20 * time.Millisecond) // the clock must have moved for the next line to say anything
		c.do()
		moved := locksAt(t, g, b).Sub(before)
		if active := moved > 10*time.Millisecond; active != c.active {
			t.Errorf("%s moved the lock by %v, want activity %v", c.name, moved, c.active)
		}
	}
}

func TestTightestLockOfTheRoutesUsed(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	left := func() time.Duration { return time.Until(locksAt(t, g, b)) }
	if l := left(); l < 4*time.Minute || l > 5*time.Minute {
		t.Errorf("after the chart: locks in %v", l)
	}
	b.Get(g.URL("img.test", "/study/1"))
	if l := left(); l < time.Minute || l > 2*time.Minute {
		t.Errorf("after imaging: locks in %v", l)
	}
	b.Get(g.URL("ehr.test", "/chart/1"))
	if l := left(); l < time.Minute || l > 2*time.Minute {
		t.Errorf("back at the chart: locks in %v, want imaging's two minutes to hold", l)
	}
	// A step-up is an unlock too: the routes used since count.
	b.Release(b.Continue(b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1")))
	if l := left(); l < 4*time.Minute || l > 5*time.Minute {
		t.Errorf("after a new sign-in: locks in %v", l)
	}
	// A route that was refused was not used.
	b.Device.Set("X-Mdm-Os-Version", "18.0")
	b.Get(g.URL("img.test", "/study/1"))
	if l := left(); l < 4*time.Minute {
		t.Errorf("after a refusal: locks in %v", l)
	}
}

// What keeps a page busy does not keep a session open.
func TestPollingDoesNotHoldTheLockOff(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: short(shortLock)})
	b := signedIn(t, g)
	wait(t, "the lock of a page that polls", func() bool {
		return b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil).Status == 401
	})
	p := b.Call("POST", g.URL("ehr.test", "/chart/1"), form, "a=b", nil)
	if p.Status != 401 || problem(t, p)["code"] != "locked" || !strings.Contains(p.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("a script's POST after the lock: %d", p.Status)
	}
	if sessionOf(t, g, b)["locked"] != true {
		t.Error("activity after the deadline lifted the lock")
	}
}
