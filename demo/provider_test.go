package demo_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/anteroom/anteroom/demo"
)

func TestSignIn(t *testing.T) {
	s := newSite(t)
	c := s.browser().ask().fill("username", "nora", "password", "demo").tokens()
	if c.Sub != "staff-nora" || c.Username != "nora" || c.Name != "Nora Lind" || c.Email == "" || c.SID == "" {
		t.Errorf("claims = %+v", c)
	}
	if c.ACR != demo.ACRPassword || !slices.Equal(c.AMR, []string{"pwd"}) || !slices.Equal(c.Groups, []string{"ehr-nurses"}) {
		t.Errorf("acr %q, amr %q, groups %q", c.ACR, c.AMR, c.Groups)
	}
	if c.AuthTime != s.clock().Unix() {
		t.Errorf("auth_time = %d, want %d", c.AuthTime, s.clock().Unix())
	}
	info, err := s.discover.UserInfo(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: c.access}))
	if err != nil {
		t.Fatal(err)
	}
	var more claims
	if err := info.Claims(&more); err != nil || more.Sub != c.Sub || !slices.Equal(more.Groups, c.Groups) || more.Username != "nora" {
		t.Errorf("userinfo = %+v, %v", more, err)
	}
}

func TestEverybodyCanSignIn(t *testing.T) {
	s := newSite(t)
	for _, who := range demo.People() {
		p := s.browser().ask()
		if !strings.Contains(p.body, `id="person-`+who.Username+`"`) {
			t.Errorf("no button for %s", who.Username)
		}
		if c := p.fill("person", who.Username, "password", "demo").tokens(); c.Username != who.Username || !slices.Equal(c.Groups, who.Groups) {
			t.Errorf("signed in as %s in %q", c.Username, c.Groups)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	p := newSite(t).browser().ask()
	for _, c := range []struct{ name, password string }{{"nora", "wrong"}, {"nobody", "demo"}, {"", ""}} {
		if next := p.fill("username", c.name, "password", c.password); next.status != http.StatusForbidden || next.back != nil {
			t.Errorf("%s/%s: status %d", c.name, c.password, next.status)
		}
	}
	if c := p.fill("username", "nora", "password", "demo").tokens(); c.Username != "nora" {
		t.Errorf("the form did not survive a wrong password")
	}
}

// Two tabs ask at once: the second form is good after the first has signed in,
// and for whoever fills it in.
func TestTwoTabs(t *testing.T) {
	for _, second := range []string{"nora", "piet"} {
		b := newSite(t).browser()
		one, two := b.ask(), b.ask()
		if c := one.fill("username", "nora", "password", "demo").tokens(); c.Username != "nora" {
			t.Errorf("first tab: signed in as %s", c.Username)
		}
		if c := two.fill("username", second, "password", "demo").tokens(); c.Username != second {
			t.Errorf("second tab: signed in as %s, want %s", c.Username, second)
		}
	}
	b := newSite(t).browser()
	b.signIn("nora")
	strong := oauth2.SetAuthURLParam("acr_values", demo.ACRMFA)
	one, two := b.ask(strong), b.ask(strong)
	for i, p := range []page{one, two} {
		if c := p.fill("code", demo.Code).tokens(); c.ACR != demo.ACRMFA || c.Username != "nora" {
			t.Errorf("code %d: %s as %s", i, c.ACR, c.Username)
		}
	}
}

func TestOwnSessionKeepsAuthTime(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	first := b.signIn("nora")
	s.pass(20 * time.Minute)
	again := b.ask().tokens()
	if again.AuthTime != first.AuthTime || again.SID != first.SID || again.Sub != first.Sub {
		t.Errorf("second sign-in: %+v, want the first's auth_time %d and sid %q", again, first.AuthTime, first.SID)
	}
	if p := s.browser().ask(); p.id == "" {
		t.Error("another browser is signed in too")
	}
}

func TestMaxAge(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	first := b.signIn("nora")
	if c := b.ask(maxAge("1")).tokens(); c.AuthTime != first.AuthTime {
		t.Error("max_age=1 within the second moved auth_time")
	}
	s.pass(2 * time.Second)
	p := b.ask(maxAge("1"))
	if p.id == "" {
		t.Fatal("max_age=1 after two seconds asks for nothing")
	}
	c := p.fill("person", "nora", "password", "demo").tokens()
	if c.AuthTime != first.AuthTime+2 || c.SID != first.SID {
		t.Errorf("auth_time %d, sid %q; want %d, %q", c.AuthTime, c.SID, first.AuthTime+2, first.SID)
	}
	if b.ask(maxAge("0")).id == "" {
		t.Error("max_age=0 asks for nothing")
	}
}

func TestPromptLoginAlwaysAsks(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	first := b.signIn("nora")
	p := b.ask(prompt("login"))
	if p.id == "" {
		t.Fatal("prompt=login asks for nothing")
	}
	if again := p.read(b.Get(s.server.URL + "/login?id=" + p.id)); again.id == "" {
		t.Error("loading the form again signs in")
	}
	s.pass(time.Second)
	if c := p.fill("person", "nora", "password", "demo").tokens(); c.AuthTime != first.AuthTime+1 {
		t.Errorf("auth_time %d, want %d", c.AuthTime, first.AuthTime+1)
	}
	if c := b.ask(prompt("login")).fill("person", "piet", "password", "demo").tokens(); c.Username != "piet" || c.SID == first.SID {
		t.Errorf("another person: %s with sid %q", c.Username, c.SID)
	}
}

func TestStrongSignIn(t *testing.T) {
	s := newSite(t)
	p := s.browser().ask(acr(demo.ACRMFA)).fill("person", "piet", "password", "demo")
	if p.back != nil || !strings.Contains(p.body, `id="code"`) {
		t.Fatalf("no code is asked after the password:\n%s", p.body)
	}
	if wrong := p.fill("code", "000000"); wrong.status != http.StatusForbidden || wrong.back != nil {
		t.Fatalf("a wrong code: status %d", wrong.status)
	}
	c := p.fill("code", demo.Code).tokens()
	if c.ACR != demo.ACRMFA || !slices.Contains(c.AMR, "otp") || c.Username != "piet" {
		t.Errorf("acr %q, amr %q, %s", c.ACR, c.AMR, c.Username)
	}
}

func TestStepUpAsksOnlyForTheCode(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	first := b.signIn("nora")
	s.pass(time.Minute)
	p := b.ask(acr(demo.ACRMFA + " phr"))
	if !strings.Contains(p.body, `id="code"`) || strings.Contains(p.body, `id="password"`) {
		t.Fatalf("want the code alone:\n%s", p.body)
	}
	c := p.fill("code", demo.Code).tokens()
	if c.ACR != demo.ACRMFA || c.Sub != first.Sub || c.SID != first.SID || c.AuthTime != first.AuthTime+60 {
		t.Errorf("after step-up %+v", c)
	}
	if c := b.ask(acr(demo.ACRMFA)).tokens(); c.ACR != demo.ACRMFA {
		t.Error("the strong sign-in is forgotten")
	}
}

// The password that was right in one sign-in is no proof in another, and the
// code alone is none without a password.
func TestCodeWithoutPassword(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.ask(acr(demo.ACRMFA)).fill("person", "nora", "password", "demo")
	if p := b.ask(acr(demo.ACRMFA)).fill("code", demo.Code, "username", "nora"); p.back != nil {
		t.Errorf("signed in by a code alone")
	}
	b.signIn("nora")
	if p := b.ask(prompt("login"), acr(demo.ACRMFA)).fill("code", demo.Code); p.back != nil {
		t.Errorf("prompt=login was met by the code alone")
	}
}

func TestCancel(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	p := b.ask()
	back := p.fill("action", "cancel")
	if back.back.Get("error") != "access_denied" || back.back.Get("state") != "st" || back.back.Has("code") {
		t.Errorf("cancel sent the client %v", back.back)
	}
	if p.fill("person", "nora", "password", "demo").back != nil {
		t.Error("a cancelled sign-in can be finished")
	}
	if c := b.ask(acr(demo.ACRMFA)).fill("person", "nora", "password", "demo").fill("action", "cancel"); c.back.Get("error") != "access_denied" {
		t.Errorf("cancel at the code: %v", c.back)
	}
}

func TestPromptNone(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	if p := b.ask(prompt("none")); p.back.Get("error") != "login_required" {
		t.Errorf("nobody signed in: %v", p.back)
	}
	first := b.signIn("nora")
	if c := b.ask(prompt("none")).tokens(); c.AuthTime != first.AuthTime {
		t.Errorf("signed in: auth_time %d, want %d", c.AuthTime, first.AuthTime)
	}
	if p := b.ask(prompt("none"), acr(demo.ACRMFA)); p.back.Get("error") != "interaction_required" {
		t.Errorf("too weak: %v", p.back)
	}
	s.pass(time.Minute)
	if p := b.ask(prompt("none"), maxAge("30")); p.back.Get("error") != "login_required" {
		t.Errorf("too old: %v", p.back)
	}
}

func TestSignOut(t *testing.T) {
	s := newSite(t)
	b, elsewhere := s.browser(), s.browser()
	c := b.signIn("nora")
	elsewhere.signIn("nora")
	p := b.read(b.Get(s.server.URL + "/end_session?" + url.Values{
		"id_token_hint": {c.raw}, "post_logout_redirect_uri": {clientURL + "/bye"}, "state": {"xyz"},
	}.Encode()))
	if p.at == nil || p.at.Path != "/bye" || p.back.Get("state") != "xyz" {
		t.Fatalf("sign-out led to %v, status %d: %s", p.at, p.status, p.body)
	}
	// Logout tokens are checked against the real clock, which is an hour ahead of the site's.
	verifier := s.discover.Verifier(&oidc.Config{ClientID: "gate", Now: s.clock})
	select {
	case raw := <-s.logouts:
		lt, err := verifier.VerifyLogout(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		if lt.SessionID != c.SID || lt.Subject != c.Sub || lt.TokenID == "" {
			t.Errorf("logout token = %+v", lt)
		}
	default:
		t.Fatal("no logout token arrived before the browser was sent back")
	}
	if p := b.ask(); p.id == "" {
		t.Error("signed out, but the provider still knows the browser")
	}
	if elsewhere.ask().back == nil {
		t.Error("the other browser is signed out too")
	}
	if len(s.logouts) != 0 {
		t.Error("a logout token for the other browser was sent")
	}
}

func TestSignOutWithoutHint(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	c := b.signIn("nora")
	if p := b.read(b.Get(s.server.URL + "/end_session")); p.status != http.StatusOK || !strings.Contains(p.body, "signed out") {
		t.Errorf("status %d: %s", p.status, p.body)
	}
	if len(s.logouts) != 1 {
		t.Errorf("%d logout tokens, want 1 for %s", len(s.logouts), c.SID)
	}
}

func TestSignOutElsewhereIsRefused(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	c := b.signIn("nora")
	p := b.read(b.Get(s.server.URL + "/end_session?" + url.Values{
		"id_token_hint": {c.raw}, "post_logout_redirect_uri": {clientURL + "/elsewhere"},
	}.Encode()))
	if p.status != http.StatusBadRequest || p.at != nil {
		t.Errorf("status %d, sent to %v", p.status, p.at)
	}
}

func TestCodesWorkOnce(t *testing.T) {
	s := newSite(t)
	p := s.browser().ask().fill("person", "nora", "password", "demo")
	if _, err := s.oauth.Exchange(t.Context(), p.back.Get("code"), oauth2.VerifierOption(oauth2.GenerateVerifier())); err == nil {
		t.Error("a wrong code_verifier is taken")
	}
	if _, err := s.oauth.Exchange(t.Context(), p.back.Get("code"), oauth2.VerifierOption(p.verify)); err == nil {
		t.Error("a code works after it was tried")
	}
	c := s.browser().ask()
	c = c.fill("person", "nora", "password", "demo")
	wrong := s.oauth
	wrong.ClientSecret = "guess"
	if _, err := wrong.Exchange(context.Background(), c.back.Get("code"), oauth2.VerifierOption(c.verify)); err == nil {
		t.Error("a wrong client secret is taken")
	}
}

func TestRefusedRequests(t *testing.T) {
	s := newSite(t)
	other := s.oauth
	other.RedirectURL = clientURL + "/other"
	for name, at := range map[string]string{
		"redirect URI not registered": other.AuthCodeURL("st", oauth2.S256ChallengeOption("v")),
		"unknown request":             s.server.URL + "/login?id=none",
	} {
		if p := s.browser().read(http.Get(at)); p.status != http.StatusBadRequest || p.back != nil {
			t.Errorf("%s: status %d, sent to %v", name, p.status, p.at)
		}
	}
	b := s.browser()
	if p := b.read(b.Get(s.oauth.AuthCodeURL("st"))); p.back.Get("error") != "invalid_request" {
		t.Errorf("without PKCE: %v", p.back)
	}
	req, _ := http.NewRequest(http.MethodGet, s.server.URL+"/keys", nil)
	req.Header.Set("Origin", "https://elsewhere.test")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if v := resp.Header.Get("Access-Control-Allow-Origin"); v != "" {
		t.Errorf("scripts of other origins may read the provider: %q", v)
	}
}

func TestLoginFromAnotherSiteIsRefused(t *testing.T) {
	s := newSite(t)
	p := s.browser().ask()
	req, _ := http.NewRequest(http.MethodPost, s.server.URL+"/login", strings.NewReader(url.Values{"id": {p.id}, "person": {"eve"}, "password": {"demo"}}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := p.read(p.Do(req)); got.status != http.StatusForbidden {
		t.Errorf("status %d, want 403", got.status)
	}
}
