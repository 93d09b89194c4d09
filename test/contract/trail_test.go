package contract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// told returns the records of one kind as "verdict reason detail" of whom.
func told(g *anteroomtest.Gateway, kind access.EventKind) []string {
	var all []string
	for _, r := range g.Audit(audit.Query{Event: kind}) {
		all = append(all, strings.Join(strings.Fields(r.Verdict+" "+string(r.Reason)+" "+r.Subject.Username), " "))
	}
	return all
}

// TestTrailOfASession holds that everything which happens to a session is in
// the trail, with its reason and whose it was.
func TestTrailOfASession(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: short("sessions: {lock_after: 1s, end_after: 3s, max: 13h}")})
	b := signedIn(t, g)
	wait(t, "the lock", func() bool { return sessionOf(t, g, b)["locked"] == true })
	if p := b.Continue(b.Get(g.URL("ehr.test", "/chart/1"))); p.Status != 200 {
		t.Fatalf("unlock: %d", p.Status)
	}
	g.Provider.Person(anteroomtest.Piet)
	g.Provider.EditIDToken(func(c map[string]any) { c["acr"] = "mfa" })
	b.Continue(b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1"))
	g.Provider.EditIDToken(nil)
	for kind, want := range map[access.EventKind][]string{
		access.EventSignIn:       {"allow no_session nora", "allow weak_login piet"},
		access.EventLock:         {"session_locked nora"},
		access.EventUnlock:       {"allow session_locked nora"},
		access.EventSessionEnded: {"subject_changed nora", "session_ended piet"},
	} {
		var got []string
		wait(t, "the records of "+string(kind), func() bool { got = told(g, kind); return len(got) >= len(want) })
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: the trail has %q, want %q", kind, got, w)
			}
		}
	}
	report, err := audit.Verify(g.Dir + "/data/audit")
	if err != nil || report.Problem != nil {
		t.Errorf("verify: %v %v", report.Problem, err)
	}
}

// A POST that meets an ended session is kept for its person, and for nobody else.
func TestPostMeetsAnEndedSession(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: short("sessions: {lock_after: 1s, end_after: 2s, max: 13h}")})
	b := signedIn(t, g)
	ended := func() bool {
		return b.Call("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil).Status == 401
	}
	const body = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.png\"\r\n\r\n\x00\xff\r\n--b--\r\n"
	wait(t, "the end", ended)
	p := b.Post(g.URL("ehr.test", "/notes/1?draft=2"), multi, body)
	if p.Status != 200 || p.Code() != "session_ended" {
		t.Fatalf("POST after the end: %d %s", p.Status, p.Code())
	}
	untouched(t, g, "a POST after the end")
	p = b.Continue(p)
	if q := g.Provider.LastAuthorize(); q.Get("prompt") != "login" {
		t.Errorf("the provider was asked %v", q)
	}
	p = b.Release(p)
	got := g.Backend.Requests()
	if p.Status != 200 || len(got) != 1 || string(got[0].Body) != body || got[0].Target != "/notes/1?draft=2" || got[0].Header.Get("Content-Type") != multi {
		t.Errorf("released: %d, the backend got %+v", p.Status, got)
	}
	wait(t, "the second end", ended)
	g.Backend.Forget()
	p = b.Post(g.URL("ehr.test", "/notes/1"), form, "text=never")
	g.Provider.Person(anteroomtest.Piet)
	if p = b.Continue(p); p.URL.RequestURI() != "/" {
		t.Errorf("the other person is at %s", p.URL)
	}
	if strings.Contains(g.Backend.Raw(), "never") {
		t.Error("the first person's request reached the backend")
	}
}
