package attack_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// mixUp: one of two configured providers is hostile. It hands the browser that
// came to it on to the honest one, so that the honest one's code comes back to
// an attempt that believes to be at the hostile one, and would be handed to it
// (RFC 9700, section 4.4). The iss parameter gives it away (RFC 9207).
func mixUp(t *testing.T, _ *world) {
	hostile := anteroomtest.NewProvider(t)
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string {
		return strings.NewReplacer(
			"logins:\n", "  - {name: partner, issuer: \""+hostile.URL+"\", client_id: anteroom, client_secret: \"${file:secret}\"}\nlogins:\n",
			"    device: clinical\n", "    device: none\n    provider: partner\n",
		).Replace(text)
	}})
	hostile.Handle(anteroomtest.AuthorizePath, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, g.Provider.URL+anteroomtest.AuthorizePath+"?"+r.URL.RawQuery, http.StatusFound)
	})
	b := g.Browser(t)
	p := b.Get(g.URL("img.test", "/"))
	if g.Provider.Calls(anteroomtest.AuthorizePath) != 1 || p.URL.Path != "/.anteroom/callback" || p.Status < 400 {
		t.Fatalf("the honest provider was asked %d times; %d at %s", g.Provider.Calls(anteroomtest.AuthorizePath), p.Status, p.URL.Path)
	}
	if n := hostile.Calls(anteroomtest.TokenPath); n != 0 {
		t.Errorf("the hostile provider was handed a code, %d times", n)
	}
	if n := g.Provider.Calls(anteroomtest.TokenPath); n != 0 {
		t.Errorf("the code was redeemed, %d times", n)
	}
	for _, host := range []string{"img.test", "gate.test"} {
		if b.Cookie(host, "__Host-anteroom") != "" {
			t.Errorf("a session on %s", host)
		}
	}
	if found := g.Audit(audit.Query{Event: access.EventSecurity}); len(found) != 1 || found[0].Verdict != "deny" {
		t.Errorf("records %+v, want one", found)
	}
	// Whom it concerns is told which provider it was; the person is not.
	if !strings.Contains(g.Log(), `"provider":"partner"`) || strings.Contains(p.Body, "partner") {
		t.Errorf("the log names no provider, or the page does:\n%s", p.Body)
	}
	if len(g.Backend.Requests()) != 0 {
		t.Error("the backend was reached")
	}
}
