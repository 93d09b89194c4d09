package contract_test

import (
	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// released holds a POST of b's, proves b's person and returns the page that
// would send it.
func released(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser, target, body string) *anteroomtest.Page {
	t.Helper()
	p := b.Continue(b.Post(g.URL("ehr.test", target), form, body))
	if action, _ := p.ReleaseForm(); action == "" {
		t.Fatalf("no release page: %d at %s\n%s", p.Status, p.URL, p.Body)
	}
	untouched(t, g, "a request that waits for its release")
	return p
}

func sendToken(b *anteroomtest.Browser, address, token string, h http.Header) *anteroomtest.Page {
	return b.Navigate("POST", address, form, url.Values{"anteroom_release": {token}}.Encode(), h)
}

// TestReleaseIsForOneRequest holds that a release token sends what was held,
// where it was meant to go, for whoever proved themselves, and nothing else.
func TestReleaseIsForOneRequest(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	again := func() (address, token string) {
		aged(t, g, g.Browser(t)) // the next sign-in of b's is not the provider's newest
		b = g.Browser(t)
		aged(t, g, b)
		p := released(t, g, b, "/orders/7", "dose=2")
		address, token = p.ReleaseForm()
		return address, token
	}
	for _, c := range []struct {
		name   string
		status int
		try    func(address, token string) *anteroomtest.Page
	}{
		{"from another site", 403, func(address, token string) *anteroomtest.Page {
			return sendToken(b, address, token, http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}})
		}},
		{"from a listed origin", 403, func(address, token string) *anteroomtest.Page {
			return sendToken(b, address, token, http.Header{"Origin": {g.Origin("portal.test")}, "Sec-Fetch-Site": {"same-site"}})
		}},
		{"from nowhere", 403, func(address, token string) *anteroomtest.Page {
			return sendToken(b, address, token, http.Header{"Origin": nil, "Sec-Fetch-Site": nil})
		}},
		{"to another path", 409, func(_, token string) *anteroomtest.Page {
			return sendToken(b, g.URL("ehr.test", "/orders/8"), token, nil)
		}},
		{"with another query", 409, func(address, token string) *anteroomtest.Page {
			return sendToken(b, address+"?all=1", token, nil)
		}},
		{"in another session of the same person", 409, func(address, token string) *anteroomtest.Page {
			other := g.Browser(t)
			other.Get(g.URL("ehr.test", "/"))
			g.Backend.Forget()
			return sendToken(other, address, token, nil)
		}},
		{"for another person", 409, func(address, token string) *anteroomtest.Page {
			g.Provider.Person(anteroomtest.Piet)
			defer g.Provider.Person(anteroomtest.Nora)
			other := g.Browser(t)
			other.Get(g.URL("ehr.test", "/"))
			g.Backend.Forget()
			return sendToken(other, address, token, nil)
		}},
		{"a token of nobody's", 409, func(address, token string) *anteroomtest.Page {
			return sendToken(b, address, strings.Repeat("A", len(token)), nil)
		}},
	} {
		address, token := again()
		if p := c.try(address, token); p.Status != c.status {
			t.Errorf("%s: %d %s", c.name, p.Status, p.Code())
		}
		untouched(t, g, c.name)
	}
	// A body that is not exactly a token is the application's own.
	address, token := again()
	for _, body := range []string{"anteroom_release=" + token + "&x=1", "x=1&anteroom_release=" + token, "anteroom_release=" + token + " ", "anteroom_release="} {
		g.Backend.Forget()
		p := b.Navigate("POST", address, form, body, nil)
		if got, _ := g.Backend.Last(); p.Status != 200 || string(got.Body) != body {
			t.Errorf("%.40q: %d, the backend got %q", body, p.Status, got.Body)
		}
	}
}

// What was let through at the callback is judged once more when it is sent.
func TestHeldRequestIsJudgedAnew(t *testing.T) {
	const roles = "nurse: {groups: [ehr-nurses]}"
	for _, c := range []struct {
		name   string
		status int
		change func(*testing.T, *anteroomtest.Gateway, *anteroomtest.Browser)
	}{
		{"role taken away", 403, func(t *testing.T, g *anteroomtest.Gateway, _ *anteroomtest.Browser) {
			g.WriteConfig(strings.Replace(anteroomtest.Fixture, roles, "nurse: {groups: [others]}", 1))
			wait(t, "the reload", func() bool { return g.Metric("anteroom_config_reloads_total") == 1 })
		}},
		{"a stronger login asked for", 303, func(t *testing.T, g *anteroomtest.Gateway, _ *anteroomtest.Browser) {
			g.WriteConfig(strings.Replace(anteroomtest.Fixture, "require: {within: 2m}\n        keep_request", "require: {within: 2m, login: strong}\n        keep_request", 1))
			wait(t, "the reload", func() bool { return g.Metric("anteroom_config_reloads_total") == 1 })
		}},
		{"another device", 403, func(_ *testing.T, _ *anteroomtest.Gateway, b *anteroomtest.Browser) {
			b.Device = anteroomtest.Compliant("ipad-2")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := anteroomtest.Start(t, anteroomtest.Setup{})
			b := g.Browser(t)
			b.Device = anteroomtest.Compliant("ipad-1")
			aged(t, g, b)
			p := released(t, g, b, "/orders/7", "dose=2")
			c.change(t, g, b)
			address, token := p.ReleaseForm()
			p = sendToken(b, address, token, nil)
			if c.status == 303 && p.Code() == "weak_login" || p.Status == c.status {
				untouched(t, g, c.name)
				return
			}
			t.Errorf("%d %s, the backend got\n%s", p.Status, p.Code(), g.Backend.Raw())
		})
	}
}

// The record of a request that was held says when its sign-in's age is judged,
// and that of any other does not.
func TestReleaseIsRecordedAsJudged(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	aged(t, g, b)
	b.Release(released(t, g, b, "/orders/7", "dose=2"))
	judged := map[string]int{}
	for _, r := range g.Audit(audit.Query{Event: access.EventAccess}) {
		if r.Judged.IsZero() {
			judged[r.Verdict+" at once"]++
		} else if !r.Judged.After(r.Time) {
			judged[r.Verdict+" after"]++
		}
	}
	if judged["allow after"] != 1 || judged["step_up at once"] != 1 || judged["step_up after"] != 0 {
		t.Errorf("records: %v", judged)
	}
}

// A step-up for one rule proves nothing for a stricter one.
func TestStepUpForAWeakerRule(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	aged(t, g, b)
	b.Release(released(t, g, b, "/orders/7", "dose=2"))
	g.Backend.Forget()
	if p := b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1"); p.Code() != "weak_login" {
		t.Errorf("the stricter rule: %d %s", p.Status, p.Code())
	}
	if p := b.Post(g.URL("ehr.test", "/export/run"), form, "all=1"); p.Code() != "once_used" {
		t.Errorf("a sign-in each time: %d %s", p.Status, p.Code())
	}
	untouched(t, g, "a stricter rule")
}

func TestGetThatMustStepUpIsRedirected(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	p := b.Hop("GET", g.URL("ehr.test", "/export/all"), "", "", nil)
	if p.Status != 303 || !strings.HasPrefix(p.Header.Get("Location"), g.URL("gate.test", "/.anteroom/start?")) {
		t.Errorf("%d to %q", p.Status, p.Header.Get("Location"))
	}
	untouched(t, g, "a page that must step up")
}

func TestTooManyHeldRequests(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	aged(t, g, b)
	for i := range 5 {
		if p := b.Post(g.URL("ehr.test", "/orders/7"), form, "a=b"); p.Status != 200 || p.Code() != "old_login" {
			t.Fatalf("request %d: %d %s", i+1, p.Status, p.Code())
		}
	}
	if p := b.Post(g.URL("ehr.test", "/orders/7"), form, "a=b"); p.Status != 429 || p.Code() != "too_many" || p.Header.Get("Retry-After") == "" {
		t.Errorf("the sixth: %d %s", p.Status, p.Code())
	}
	untouched(t, g, "held requests")
}

// On cancel nothing reaches the backend, and what the session had it still has.
func TestCancelledStepUp(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	g.Provider.Refuse("access_denied", "<script>alert(1)</script>")
	p := b.Continue(b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1"))
	if p.Code() != "access_denied" || strings.Contains(p.Body, "<script>alert") {
		t.Errorf("after the cancel: %d %s\n%s", p.Status, p.Code(), p.Body)
	}
	g.Provider.EditCallback(nil)
	untouched(t, g, "a step-up that was cancelled")
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 {
		t.Errorf("afterwards: %d", p.Status)
	}
}
