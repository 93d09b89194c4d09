package contract_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// A pair is a gateway with two providers: the fixture's hospital, which signs
// people in at ehr.test, and nhs, which does at img.test. At both.test people
// choose.
type pair struct {
	*anteroomtest.Gateway
	nhs *anteroomtest.Provider
}

func startPair(t *testing.T) pair {
	t.Helper()
	nhs := anteroomtest.NewProvider(t)
	// One sub at both, and one user name: they are two people all the same.
	nhs.Person(anteroomtest.Person{Sub: anteroomtest.Nora.Sub, Username: "nora", Name: "Nora of the NHS", Groups: []string{"R8001"},
		ACR: "AAL2_ANY", CanACR: []string{"AAL3_ANY"}})
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string { return withNHS(text, nhs) }})
	return pair{g, nhs}
}

func withNHS(text string, nhs *anteroomtest.Provider) string {
	return strings.NewReplacer(
		"logins:\n", "  - name: nhs\n    label: NHS smartcard\n    issuer: "+nhs.URL+"\n    client_id: anteroom\n    client_secret: ${file:secret}\nlogins:\n",
		"strong: {acr: [mfa], amr: [hwk]}", "strong: {providers: {hospital: {acr: [mfa], amr: [hwk]}, nhs: {acr: [AAL3_ANY]}}}",
		"nurse: {groups: [ehr-nurses]}", "nurse: {providers: {hospital: {groups: [ehr-nurses]}, nhs: {groups: [R8001]}}}",
		"    device: clinical\n", "    device: none\n    provider: nhs\n",
		"audit: {on_failure", `  - name: both
    host: both.test
    backend:
      url: {backend}
      identity: {headers: {X-Remote-User: username}, assertion: {header: X-Anteroom-Assertion}}
    allow: {roles: [nurse]}
    device: none
    provider: [hospital, nhs]
    rules:
      - {name: sign a result, when: {path: /results/*}, require: {login: strong}}
audit: {on_failure`).Replace(text)
}

// who returns who is signed in on host; nobody's subject is zero.
func (g pair) who(t *testing.T, b *anteroomtest.Browser, host string) access.Subject {
	t.Helper()
	p := b.Call("GET", g.URL(host, "/.anteroom/session"), "", "", nil)
	var answer struct{ Subject access.Subject }
	if err := json.Unmarshal([]byte(p.Body), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Subject
}

func TestRouteNamesItsProvider(t *testing.T) {
	g := startPair(t)
	b := g.Browser(t)
	ofHospital, ofNHS := access.Subject{Issuer: g.Provider.URL, Sub: "nora-sub"}, access.Subject{Issuer: g.nhs.URL, Sub: "nora-sub"}
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 || g.who(t, b, "ehr.test") != ofHospital || g.nhs.Calls(anteroomtest.AuthorizePath) != 0 {
		t.Fatalf("the first provider signs people in: %d, %v", p.Status, g.who(t, b, "ehr.test"))
	}

	// A call is told to sign in; it is never sent there.
	g.Backend.Forget()
	if p := b.Call("GET", g.URL("img.test", "/scan/1"), "", "", nil); p.Status != 401 || problem(t, p)["code"] != "login_required" {
		t.Errorf("call: %d %s", p.Status, p.Body)
	}
	p := b.Get(g.URL("img.test", "/scan/1"))
	if p.Status != 200 || p.Code() != "other_provider" || !strings.Contains(p.Body, "NHS smartcard") || !strings.Contains(p.Body, "Nora Lind") {
		t.Fatalf("at another provider's route: %d %s\n%s", p.Status, p.Code(), p.Body)
	}
	if n := g.nhs.Calls(anteroomtest.AuthorizePath); n != 0 || len(g.Backend.Requests()) != 0 {
		t.Fatal("she was sent on unasked")
	}
	p = b.Continue(p)
	if p.Status != 200 || p.URL.Path != "/scan/1" || g.who(t, b, "img.test") != ofNHS {
		t.Fatalf("after signing in there: %d %s, %v", p.Status, p.URL, g.who(t, b, "img.test"))
	}
	if prompt := g.nhs.LastAuthorize().Get("prompt"); prompt != "login" {
		t.Errorf("prompt=%q: whoever was at that provider before would be signed in unasked", prompt)
	}

	// One person at a time: the first session is over.
	if who := g.who(t, b, "ehr.test"); who != (access.Subject{}) {
		t.Errorf("still signed in on ehr.test: %v", who)
	}
	ended := g.Audit(audit.Query{Event: access.EventSessionEnded})
	if len(ended) != 1 || ended[0].Reason != access.SubjectChanged || ended[0].Subject.Issuer != ofHospital.Issuer {
		t.Errorf("records of ended sessions: %+v", ended)
	}
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Code() != "other_provider" {
		t.Errorf("and the other way round: %d %s", p.Status, p.Code())
	}
}

// A form that is sent with another provider's sign-in is not kept: nobody could
// come back for it.
func TestFormAtAnotherProvidersRoute(t *testing.T) {
	g := startPair(t)
	b := g.Browser(t)
	b.Get(g.URL("ehr.test", "/chart/1"))
	g.Backend.Forget()
	p := b.Navigate("POST", g.URL("img.test", "/orders/7"), "application/x-www-form-urlencoded", "dose=5", nil)
	if p.Code() != "other_provider" {
		t.Errorf("%d %s, want the page that says so", p.Status, p.Code())
	}
	b.Continue(p)
	for _, r := range g.Backend.Requests() {
		if r.Method == "POST" {
			t.Errorf("the form arrived as somebody else's: %s", r.Target)
		}
	}
}

func TestChooser(t *testing.T) {
	g := startPair(t)
	b := g.Browser(t)
	p := b.Get(g.URL("both.test", "/a"))
	if p.Code() != "choose" || p.Status != 200 || strings.Index(p.Body, "hospital") > strings.Index(p.Body, "NHS smartcard") {
		t.Fatalf("%d %s\n%s", p.Status, p.Code(), p.Body)
	}
	if p = b.Get(g.Origin("gate.test") + p.Link("anteroom-provider-nhs")); p.Status != 200 || p.URL.Path != "/a" || g.who(t, b, "both.test").Issuer != g.nhs.URL {
		t.Fatalf("chosen: %d %s", p.Status, p.URL)
	}
	// The session serves wherever its provider counts.
	if p := b.Get(g.URL("img.test", "/scan/1")); p.Status != 200 || p.URL.Path != "/scan/1" {
		t.Errorf("img.test: %d %s", p.Status, p.Code())
	}

	// A step-up is asked of the session's own provider, in that one's words.
	asked := g.Provider.Calls(anteroomtest.AuthorizePath)
	if p := b.Get(g.URL("both.test", "/results/1")); p.Status != 200 || p.URL.Path != "/results/1" {
		t.Errorf("step-up: %d %s", p.Status, p.Code())
	}
	if got := g.nhs.LastAuthorize().Get("acr_values"); got != "AAL3_ANY" || g.Provider.Calls(anteroomtest.AuthorizePath) != asked {
		t.Errorf("asked for %q; the other provider was asked %d times", got, g.Provider.Calls(anteroomtest.AuthorizePath)-asked)
	}

	// Signing out is at that provider too, and the choice is remembered.
	ends := g.nhs.Calls(anteroomtest.EndSessionPath)
	b.Navigate("POST", g.URL("both.test", "/.anteroom/logout"), "application/x-www-form-urlencoded", "", nil)
	if g.nhs.Calls(anteroomtest.EndSessionPath) != ends+1 || g.Provider.Calls(anteroomtest.EndSessionPath) != 0 {
		t.Error("signed out at the wrong provider")
	}
	p = b.Get(g.URL("both.test", "/a"))
	if p.Code() != "choose" || strings.Index(p.Body, "anteroom-provider-nhs") > strings.Index(p.Body, "anteroom-provider-hospital") || !strings.Contains(p.Body, "used here last") {
		t.Errorf("the last choice is not first: %d %s", p.Status, p.Body)
	}
	// A choice that is none of the offered is none.
	if p := b.Get(g.Origin("gate.test") + strings.Replace(p.Link("anteroom-provider-nhs"), "at=nhs", "at=elsewhere", 1)); p.Code() != "choose" {
		t.Errorf("at=elsewhere: %d %s", p.Status, p.Code())
	}
}

// The sign-in host's front page leads to every provider.
func TestFrontPageOffersAll(t *testing.T) {
	g := startPair(t)
	b := g.Browser(t)
	p := b.Continue(b.Get(g.URL("gate.test", "/")))
	if p.Code() != "choose" {
		t.Fatalf("%d %s", p.Status, p.Code())
	}
	p = b.Get(g.Origin("gate.test") + p.Link("anteroom-provider-nhs"))
	if p.Status != 200 || p.URL.Path != "/" || p.Code() != "home" || !strings.Contains(p.Body, "Nora of the NHS") {
		t.Errorf("back on the front page: %d %s %s", p.Status, p.URL, p.Body)
	}
}

// A word of one provider means nothing from another.
func TestWordsOfAnotherProvider(t *testing.T) {
	g := startPair(t)
	g.nhs.Person(anteroomtest.Person{Sub: "mallory", Username: "mallory", Groups: []string{"ehr-nurses", "R8001"}, ACR: "mfa", AMR: []string{"hwk"}})
	b := g.Browser(t)
	b.Get(g.Origin("gate.test") + b.Get(g.URL("both.test", "/a")).Link("anteroom-provider-nhs"))
	if p := b.Get(g.URL("both.test", "/results/1")); p.Status != 403 || p.Code() != "step_up_failed" {
		t.Errorf("the hospital's acr from nhs: %d %s", p.Status, p.Code())
	}
	g.nhs.Person(anteroomtest.Person{Sub: "trudy", Username: "trudy", Groups: []string{"ehr-nurses"}, ACR: "AAL2_ANY"})
	b = g.Browser(t)
	if p := b.Get(g.Origin("gate.test") + b.Get(g.URL("both.test", "/a")).Link("anteroom-provider-nhs")); p.Status != 403 || p.Code() != "no_role" {
		t.Errorf("the hospital's group from nhs: %d %s", p.Status, p.Code())
	}
}

func TestBackchannelOfEachProvider(t *testing.T) {
	g := startPair(t)
	here, there := g.Browser(t), g.Browser(t)
	here.Get(g.URL("ehr.test", "/chart/1"))
	there.Get(g.URL("img.test", "/scan/1"))
	post := func(token string) int {
		return g.Browser(t).Call("POST", g.URL("gate.test", "/.anteroom/backchannel-logout"), "application/x-www-form-urlencoded",
			url.Values{"logout_token": {token}}.Encode(), nil).Status
	}
	// Signed by one provider in the name of the other.
	if status := post(g.nhs.LogoutToken("nora-sub", "", func(_, c map[string]any) { c["iss"] = g.Provider.URL })); status != 400 {
		t.Errorf("another's name: %d", status)
	}
	if status := post(g.nhs.LogoutToken("nora-sub", "", nil)); status != 200 {
		t.Errorf("its own: %d", status)
	}
	if g.who(t, here, "ehr.test") == (access.Subject{}) || g.who(t, there, "img.test") != (access.Subject{}) {
		t.Errorf("signed in at the hospital %v, at nhs %v", g.who(t, here, "ehr.test"), g.who(t, there, "img.test"))
	}
}

// Whose provider is removed is signed out; the others go on.
func TestProviderRemoved(t *testing.T) {
	g := startPair(t)
	here, there := g.Browser(t), g.Browser(t)
	here.Get(g.URL("ehr.test", "/chart/1"))
	there.Get(g.URL("img.test", "/scan/1"))
	g.WriteConfig(anteroomtest.Fixture)
	wait(t, "the session's end", func() bool { return len(g.Audit(audit.Query{Event: access.EventSessionEnded})) > 0 })
	ended := g.Audit(audit.Query{Event: access.EventSessionEnded})
	if len(ended) != 1 || ended[0].Subject.Issuer != g.nhs.URL || ended[0].Detail != "provider removed" {
		t.Errorf("records of ended sessions: %+v", ended)
	}
	if g.who(t, there, "img.test") != (access.Subject{}) || g.who(t, here, "ehr.test") == (access.Subject{}) {
		t.Error("the wrong session ended")
	}
	wait(t, "no word of the provider", func() bool { return g.Metric(`anteroom_provider_up{provider="nhs"}`) == 0 })
}
