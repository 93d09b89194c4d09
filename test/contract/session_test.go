package contract_test

import (
	"encoding/json"
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

func sessionOf(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) map[string]any {
	t.Helper()
	p := b.Call("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil)
	if p.Status != 200 {
		t.Fatalf("session: %d %s", p.Status, p.Body)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSessionEndpoint(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	if p := b.Call("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil); p.Status != 401 || problem(t, p)["code"] != "login_required" {
		t.Errorf("nobody: %d %s", p.Status, p.Body)
	}
	b = signedIn(t, g)
	m := sessionOf(t, g, b)
	var names []string
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	if want := []string{"acr", "auth_time", "device", "ends_at", "locked", "locks_at", "roles", "subject", "username"}; !slices.Equal(names, want) {
		t.Errorf("keys %v, want %v", names, want)
	}
	if m["username"] != "nora" || m["locked"] != false || m["acr"] != "pwd" {
		t.Errorf("%v", m)
	}
	// Asking is no activity.
	first := moment(t, m["locks_at"])
	time.Sleep(50 * time.Millisecond) // the clock must have moved for the next line to say anything
	if moved := moment(t, sessionOf(t, g, b)["locks_at"]).Sub(first); moved.Abs() > time.Millisecond {
		t.Errorf("asking moved locks_at by %v", moved)
	}
}

func moment(t *testing.T, v any) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

const shortLock = "sessions: {lock_after: 1s, end_after: 20s, max: 13h}"

func short(sessions string) func(string) string {
	return func(s string) string {
		s = strings.Replace(s, "sessions: {lock_after: 5m, end_after: 30m, max: 13h}", sessions, 1)
		return strings.Replace(s, "session: {lock_after: 2m}", "session: {lock_after: 1s}", 1)
	}
}

func TestLockAndUnlock(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: short(shortLock)})
	b := signedIn(t, g)
	locked := func() bool { return sessionOf(t, g, b)["locked"] == true }
	wait(t, "the lock", locked)
	if p := b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil); p.Status != 401 || problem(t, p)["code"] != "locked" {
		t.Errorf("call while locked: %d", p.Status)
	}
	p := b.Get(g.URL("ehr.test", "/chart/1"))
	if p.URL.Hostname() != "gate.test" || p.Code() != "session_locked" || !strings.Contains(p.Body, "Nora Lind") {
		t.Fatalf("unlock page: %d %s at %s", p.Status, p.Code(), p.URL)
	}
	untouched(t, g, "a locked session")
	asked := g.Provider.Calls(anteroomtest.AuthorizePath)
	if p = b.Continue(p); p.Status != 200 || p.URL.RequestURI() != "/chart/1" {
		t.Errorf("unlocked: %d %s", p.Status, p.URL)
	}
	if q := g.Provider.LastAuthorize(); q.Get("prompt") != "login" || g.Provider.Calls(anteroomtest.AuthorizePath) == asked {
		t.Errorf("the provider was asked %v", q)
	}
	g.Backend.Forget()
	// A POST that meets the lock is held.
	wait(t, "the second lock", locked)
	p = b.Post(g.URL("ehr.test", "/notes/1"), form, "text=long")
	if p.Status != 200 || p.Code() != "session_locked" {
		t.Fatalf("POST while locked: %d %s", p.Status, p.Code())
	}
	untouched(t, g, "a POST while locked")
	if p = b.Release(b.Continue(p)); p.Status != 200 {
		t.Errorf("released: %d", p.Status)
	}
	if got := g.Backend.Requests(); len(got) != 1 || string(got[0].Body) != "text=long" || got[0].Target != "/notes/1" {
		t.Errorf("the backend got %+v", got)
	}
	// Another person at the unlock: the session ends, the request is gone.
	wait(t, "the third lock", locked)
	g.Backend.Forget()
	p = b.Post(g.URL("ehr.test", "/notes/1"), form, "text=never")
	g.Provider.Person(anteroomtest.Piet)
	if p = b.Continue(p); p.URL.RequestURI() != "/" {
		t.Errorf("the other person is at %s", p.URL)
	}
	if strings.Contains(g.Backend.Raw(), "never") {
		t.Error("the first person's request reached the backend")
	}
	wait(t, "the records of locks", func() bool { return len(g.Audit(audit.Query{Event: access.EventLock})) >= 3 })
	if n := len(g.Audit(audit.Query{Event: access.EventUnlock})); n < 2 {
		t.Errorf("%d records of unlocking", n)
	}
}

func TestEndedSessionOnASharedTablet(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: short("sessions: {lock_after: 1s, end_after: 2s, max: 13h}")})
	b := signedIn(t, g)
	ended := func() bool {
		return b.Call("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil).Status == 401
	}
	wait(t, "the end", ended)
	// The provider's own session is alive; it must not bring Nora back unasked.
	hop := b.Get(g.URL("ehr.test", "/chart/1"))
	if q := g.Provider.LastAuthorize(); q.Get("prompt") != "login" {
		t.Errorf("the provider was asked %v", q)
	}
	if hop.Status != 200 {
		t.Errorf("signed in anew: %d", hop.Status)
	}
	// A provider that answers with the old sign-in all the same is not believed.
	wait(t, "the second end", ended)
	g.Backend.Forget()
	g.Provider.EditIDToken(func(c map[string]any) { c["auth_time"] = c["auth_time"].(int64) - 600 })
	p := b.Get(g.URL("ehr.test", "/chart/1"))
	if p.Status != 403 {
		t.Errorf("an old auth_time after the end: %d at %s", p.Status, p.URL)
	}
	untouched(t, g, "an old sign-in after the end")
}

func TestSignOut(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	cookie := b.Cookie("ehr.test", "__Host-anteroom")
	// Not by an image, not from elsewhere, not by something that says neither.
	b.Hop("GET", g.URL("ehr.test", "/.anteroom/logout"), "", "", http.Header{"Sec-Fetch-Dest": {"image"}})
	for name, h := range map[string]http.Header{
		"foreign": {"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}},
		"neither": {"Origin": nil, "Sec-Fetch-Site": nil},
	} {
		if p := b.Hop("POST", g.URL("ehr.test", "/.anteroom/logout"), form, "", h); p.Status != 403 {
			t.Errorf("%s origin: %d", name, p.Status)
		}
	}
	if p := b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil); p.Status != 200 {
		t.Fatalf("signed out by what must not: %d", p.Status)
	}
	p := signOut(t, g, b, "ehr.test")
	if p.URL.Hostname() != "gate.test" || p.URL.Path != "/.anteroom/signed-out" {
		t.Errorf("at %s", p.URL)
	}
	if !slices.ContainsFunc(p.Chain, func(a string) bool { return strings.HasPrefix(a, g.Provider.URL+anteroomtest.EndSessionPath) }) {
		t.Errorf("the provider was not told: %v", p.Chain)
	}
	g.Backend.Forget()
	stranger := g.Browser(t)
	if p := stranger.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Cookie": {"__Host-anteroom=" + cookie}}); p.Status != 401 {
		t.Errorf("a copy of the cookie after sign-out: %d", p.Status)
	}
	untouched(t, g, "a session that was signed out")
	if b.Cookie("ehr.test", "__Host-anteroom") != "" || b.Cookie("gate.test", "__Host-anteroom") != "" {
		t.Error("the session cookies were not expired")
	}
	b.Get(g.URL("ehr.test", "/chart/1"))
	if q := g.Provider.LastAuthorize(); q.Get("prompt") != "login" {
		t.Errorf("the next sign-in asked %v", q)
	}
}

func TestBackChannelLogout(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	send := func(token string) int {
		resp, err := (&http.Client{Transport: g.Transport(false)}).PostForm(g.URL("gate.test", "/.anteroom/backchannel-logout"), url.Values{"logout_token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := send("junk"); status != 400 {
		t.Errorf("junk: %d", status)
	}
	if p := b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil); p.Status != 200 {
		t.Errorf("after junk: %d", p.Status)
	}
	token := g.Provider.LogoutToken("nora-sub", "", nil)
	if status := send(token); status != 200 {
		t.Errorf("good: %d", status)
	}
	if p := b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil); p.Status != 401 {
		t.Errorf("afterwards: %d", p.Status)
	}
	if status := send(token); status != 400 {
		t.Errorf("replayed: %d", status)
	}
}

func TestEachTime(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	asked := g.Provider.Calls(anteroomtest.AuthorizePath)
	p := b.Get(g.URL("ehr.test", "/export/orders.csv"))
	if p.Status != 200 || p.URL.Path != "/export/orders.csv" || g.Provider.Calls(anteroomtest.AuthorizePath) != asked+1 {
		t.Fatalf("export: %d %s", p.Status, p.URL)
	}
	if q := g.Provider.LastAuthorize(); q.Get("prompt") != "login" {
		t.Errorf("the provider was asked %v", q)
	}
	// The evidence is for one URL.
	if p := b.Call("GET", g.URL("ehr.test", "/export/other.csv"), "", "", nil); p.Status != 401 || problem(t, p)["code"] != "step_up_required" {
		t.Errorf("another export: %d", p.Status)
	}
}

func TestFrames(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: short(shortLock)})
	b := signedIn(t, g)
	wait(t, "the lock", func() bool { return sessionOf(t, g, b)["locked"] == true })
	p := b.Hop("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Sec-Fetch-Dest": {"iframe"}})
	if !strings.Contains(p.Body, `target="_top"`) || !strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-ancestors "+g.Origin("ehr.test")) {
		t.Errorf("frame notice: %d %q\n%s", p.Status, p.Header.Get("Content-Security-Policy"), p.Body)
	}
	if p = b.Continue(p); p.Code() != "session_locked" {
		t.Errorf("the link out of the frame leads to %s %s", p.URL, p.Code())
	}
	untouched(t, g, "a frame of a locked session")
}

func TestSmallWindow(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	m := problem(t, b.Call("POST", g.URL("ehr.test", "/results/3"), "application/json", `{}`, nil))
	if m["code"] != "step_up_required" {
		t.Fatalf("%v", m)
	}
	p := b.Get(m["login_url"].(string))
	if p.Status != 200 || p.URL.Path != "/.anteroom/done" || p.URL.Hostname() != "ehr.test" {
		t.Errorf("the small window ends at %s", p.URL)
	}
	if p := b.Call("POST", g.URL("ehr.test", "/results/3"), "application/json", `{}`, nil); p.Status != 200 {
		t.Errorf("the retry: %d", p.Status)
	}
	if len(g.Backend.Requests()) != 1 {
		t.Errorf("%d requests", len(g.Backend.Requests()))
	}
}

func TestPreflight(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	ask := http.Header{"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type"}, "Origin": {g.Origin("portal.test")}}
	p := b.Call("OPTIONS", g.URL("ehr.test", "/orders/7"), "", "", ask)
	if p.Status != 204 || p.Header.Get("Access-Control-Allow-Origin") != g.Origin("portal.test") || p.Header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("listed origin: %d %v", p.Status, p.Header)
	}
	ask.Set("Origin", "https://evil.test")
	p = b.Call("OPTIONS", g.URL("ehr.test", "/orders/7"), "", "", ask)
	if p.Status != 403 || p.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign origin: %d %v", p.Status, p.Header)
	}
	untouched(t, g, "a preflight")
	p = g.Browser(t).Call("GET", g.URL("ehr.test", "/x"), "", "", http.Header{"Origin": {g.Origin("portal.test")}})
	if p.Status != 401 || p.Header.Get("Access-Control-Allow-Origin") != g.Origin("portal.test") {
		t.Errorf("refusal to a listed origin: %d %v", p.Status, p.Header)
	}
}

func TestProviderDown(t *testing.T) {
	provider := anteroomtest.NewProvider(t)
	provider.Person(anteroomtest.Nora)
	provider.Down()
	g := anteroomtest.Start(t, anteroomtest.Setup{Provider: provider})
	b := g.Browser(t)
	began := time.Now()
	p := b.Get(g.URL("ehr.test", "/"))
	if p.Status != 503 || p.Link("anteroom-continue") == "" {
		t.Errorf("sign-in without a provider: %d %s", p.Status, p.Code())
	}
	t.Logf("honest page after %v", time.Since(began))
	resp, err := http.Get("http://" + g.Admin + "/readyz")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("ready: %v %v", resp, err)
	}
	resp.Body.Close()
	provider.Up()
	wait(t, "the sign-in once the provider is back", func() bool { return b.Get(g.URL("ehr.test", "/")).Status == 200 })
	provider.Down()
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 {
		t.Errorf("a live session with the provider down: %d", p.Status)
	}
}

func TestRestart(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b, ended := signedIn(t, g), signedIn(t, g)
	copied := ended.Cookie("ehr.test", "__Host-anteroom")
	signOut(t, g, ended, "ehr.test")
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	g2 := anteroomtest.Start(t, anteroomtest.Setup{Dir: g.Dir, Provider: g.Provider, Backend: g.Backend, Port: g.Port})
	b2 := g2.Browser(t)
	b2.Jar, b2.Device = b.Jar, b.Device
	if p := b2.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Cookie": {"__Host-anteroom=" + b.Cookie("ehr.test", "__Host-anteroom")}}); p.Status != 200 {
		t.Errorf("the session after a restart: %d", p.Status)
	}
	if p := g2.Browser(t).Call("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Cookie": {"__Host-anteroom=" + copied}}); p.Status != 401 {
		t.Errorf("an ended session after a restart: %d", p.Status)
	}
}

func TestEachTimeIsSpentByAChange(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	post := func() *anteroomtest.Page {
		return b.Call("POST", g.URL("ehr.test", "/export/run"), "application/json", `{}`, nil)
	}
	m := problem(t, post())
	if p := b.Get(m["login_url"].(string)); p.URL.Path != "/.anteroom/done" {
		t.Fatalf("at %s", p.URL)
	}
	if p := post(); p.Status != 200 {
		t.Errorf("with the evidence: %d", p.Status)
	}
	if p := post(); p.Status != 401 {
		t.Errorf("the second time: %d", p.Status)
	}
	if n := len(g.Backend.Requests()); n != 1 {
		t.Errorf("%d requests at the backend", n)
	}
}
