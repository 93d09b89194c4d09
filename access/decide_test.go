package access_test

import (
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// strong is proven by the acr phr or by the amr hwk.
var strong = access.Login{Name: "strong", ACR: []string{"phr"}, AMR: []string{"hwk"}}

// clinical is a profile that asks for a managed device.
var clinical = access.Profile{Name: "clinical", Checks: []access.Check{
	{Name: "managed", Hard: true, Require: []access.FieldIs{{Field: access.Managed, Value: true}}},
}}

// signedIn returns a session in good standing that signed in age ago.
func signedIn(role, acr string, age time.Duration) *access.Session {
	return &access.Session{
		ID: "s1",
		Authentication: access.Authentication{
			Subject: access.Subject{Issuer: "https://login.test", Sub: "1"},
			ACR:     acr,
			AMR:     []string{"pwd"},
			FreshAt: noon.Add(-age),
		},
		Roles:   []string{role},
		LocksAt: noon.Add(time.Minute),
		EndsAt:  noon.Add(time.Hour),
	}
}

// managed is a device of which the best is known.
func managed() access.Posture {
	return access.Posture{
		Source: "mdm", Assurance: access.A1, DeviceID: "mdm:7", Managed: access.Yes,
		AssertedAt: noon, Expires: noon.Add(time.Minute),
	}
}

// prescribe asks, beyond a clinician on a managed device, for a prescriber
// with a strong sign-in of the last five minutes.
func prescribe() access.Requirement {
	return access.Requirement{
		Issuers: []string{"https://login.test"},
		Allow:   []string{"nurse", "prescriber"},
		Device:  clinical,
		Demands: []access.Demand{
			{Rule: "orders", Within: 5 * time.Minute, Login: &strong},
			{Rule: "epcs", Roles: []string{"prescriber"}},
		},
	}
}

func with(s *access.Session, change func(*access.Session)) *access.Session {
	change(s)
	return s
}

func TestDecide(t *testing.T) {
	compliant, unmanaged := managed(), managed()
	unmanaged.Managed = access.No
	other := managed()
	other.DeviceID = "mdm:8"
	unknown := access.Posture{}

	cases := []struct {
		name    string
		who     *access.Session
		device  access.Posture
		verdict access.Verdict
		reason  access.Reason
	}{
		{"all met", signedIn("prescriber", "phr", 0), compliant, access.Allow, access.AllMet},
		{"on the limit", signedIn("prescriber", "phr", 5*time.Minute), compliant, access.Allow, access.AllMet},
		{"past the limit", signedIn("prescriber", "phr", 5*time.Minute+1), compliant, access.StepUp, access.OldLogin},
		{"never signed in", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.FreshAt = time.Time{} }), compliant, access.StepUp, access.OldLogin},
		{"sign-in ahead, within what clocks differ", signedIn("prescriber", "phr", -2*time.Minute), compliant, access.Allow, access.AllMet},
		{"sign-in of the future", signedIn("prescriber", "phr", -2*time.Minute-1), compliant, access.StepUp, access.OldLogin},
		{"too weak", signedIn("prescriber", "pwd", 0), compliant, access.StepUp, access.WeakLogin},
		{"strong by amr", with(signedIn("prescriber", "", 0), func(s *access.Session) { s.AMR = []string{"pwd", "hwk"} }), compliant, access.Allow, access.AllMet},
		{"weak before old", signedIn("prescriber", "pwd", time.Hour), compliant, access.StepUp, access.WeakLogin},
		{"wrong role for the rule", signedIn("nurse", "phr", 0), compliant, access.Deny, access.NoRole},
		{"role before login", signedIn("nurse", "pwd", time.Hour), compliant, access.Deny, access.NoRole},
		{"wrong role for the route", signedIn("billing", "phr", 0), compliant, access.Deny, access.NoRole},
		{"no role", with(signedIn("", "phr", 0), func(s *access.Session) { s.Roles = nil }), compliant, access.Deny, access.NoRole},
		{"unmanaged device", signedIn("prescriber", "phr", 0), unmanaged, access.Deny, "device_managed"},
		{"device before role", signedIn("billing", "pwd", time.Hour), unmanaged, access.Deny, "device_managed"},
		{"no device", signedIn("prescriber", "phr", 0), unknown, access.Deny, access.DeviceUnknown},
		{"its own device", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Device = "mdm:7" }), compliant, access.Allow, access.AllMet},
		{"another device", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Device = "mdm:7" }), other, access.SignIn, access.DeviceChanged},
		{"another device before its fitness", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Device = "mdm:9" }), unmanaged, access.SignIn, access.DeviceChanged},
		{"device no longer reported", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Device = "mdm:7" }), unknown, access.Deny, access.DeviceUnknown},
		{"locked from outside", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Locked = true }), compliant, access.Locked, access.SessionLocked},
		{"just before it locks", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.LocksAt = noon.Add(1) }), compliant, access.Allow, access.AllMet},
		{"locks now", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.LocksAt = noon }), compliant, access.Locked, access.SessionLocked},
		{"locked before another device", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Locked, s.Device = true, "mdm:9" }), compliant, access.Locked, access.SessionLocked},
		{"signed out", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Ended = true }), compliant, access.SignIn, access.SessionEnded},
		{"just before it ends", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.EndsAt = noon.Add(1) }), compliant, access.Allow, access.AllMet},
		{"ends now", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.EndsAt = noon }), compliant, access.SignIn, access.SessionEnded},
		{"ended before locked", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Ended, s.Locked = true, true }), compliant, access.SignIn, access.SessionEnded},
		{"another provider's", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Subject.Issuer = "https://nhs.test" }), compliant, access.SignIn, access.OtherProvider},
		{"another provider before the lock", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Subject.Issuer, s.Locked = "https://nhs.test", true }), compliant, access.SignIn, access.OtherProvider},
		{"ended before another provider", with(signedIn("prescriber", "phr", 0), func(s *access.Session) { s.Subject.Issuer, s.Ended = "https://nhs.test", true }), compliant, access.SignIn, access.SessionEnded},
		{"nobody", nil, compliant, access.SignIn, access.NoSession},
		{"a session with no deadlines", &access.Session{Roles: []string{"prescriber"}}, compliant, access.SignIn, access.SessionEnded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := access.Decide(access.Question{Require: prescribe(), Session: c.who, Posture: c.device, Now: noon})
			if d.Verdict != c.verdict || d.Reason != c.reason {
				t.Errorf("%v because of %s, want %v because of %s", d.Verdict, d.Reason, c.verdict, c.reason)
			}
			g, ok := d.Grant()
			if ok != (c.verdict == access.Allow) || g.Allowed() != ok {
				t.Errorf("grant = %v, allowed %v", ok, g.Allowed())
			}
			if ok && g.Session() != c.who || !ok && g.Session() != nil {
				t.Errorf("grant is for %v", g.Session())
			}
		})
	}
}

func TestDecideNamesTheRule(t *testing.T) {
	ask := func(who *access.Session) access.Decision {
		return access.Decide(access.Question{Require: prescribe(), Session: who, Posture: managed(), Now: noon})
	}
	for _, c := range []struct {
		name string
		who  *access.Session
		rule string
	}{
		{"the route's own grant", signedIn("billing", "phr", 0), ""},
		{"the rule that asks for the role", signedIn("nurse", "phr", 0), "epcs"},
		{"the rule that asks for the strength", signedIn("prescriber", "pwd", 0), "orders"},
		{"the rule that asks for the age", signedIn("prescriber", "phr", time.Hour), "orders"},
		{"the first that matched", signedIn("prescriber", "phr", 0), "orders"},
	} {
		if d := ask(c.who); d.Rule != c.rule {
			t.Errorf("%s: rule %q, want %q", c.name, d.Rule, c.rule)
		}
	}
}

func TestDecideHeldRequest(t *testing.T) {
	// Judged at its callback, a request may be released a while later.
	q := access.Question{Require: prescribe(), Session: signedIn("prescriber", "phr", 7*time.Minute), Posture: managed(), Now: noon}
	if d := access.Decide(q); d.Reason != access.OldLogin {
		t.Fatalf("judged now: %s", d.Reason)
	}
	q.Judged = noon.Add(-2 * time.Minute)
	if d := access.Decide(q); d.Reason != access.AllMet {
		t.Errorf("judged two minutes ago: %s", d.Reason)
	}
	q.Judged = q.Judged.Add(1)
	if d := access.Decide(q); d.Reason != access.OldLogin {
		t.Errorf("judged just past the limit: %s", d.Reason)
	}
	q.Judged, q.Session = noon.Add(-2*time.Minute), signedIn("prescriber", "phr", 0)
	if d := access.Decide(q); d.Reason != access.AllMet {
		t.Errorf("signed in again since it was judged: %s", d.Reason)
	}
}

func TestDecideEachTime(t *testing.T) {
	need := prescribe()
	need.Demands = append(need.Demands, access.Demand{Rule: "sign", EachTime: true})
	q := access.Question{Require: need, Session: signedIn("prescriber", "phr", 0), Posture: managed(), Now: noon}
	d := access.Decide(q)
	if d.Verdict != access.StepUp || d.Reason != access.OnceUsed || d.Rule != "sign" {
		t.Errorf("without evidence: %v %s %q", d.Verdict, d.Reason, d.Rule)
	}
	q.Once = true
	if d := access.Decide(q); d.Reason != access.AllMet {
		t.Errorf("with evidence: %s", d.Reason)
	}
}

func TestDecideStrictestHolds(t *testing.T) {
	strict := access.Demand{Rule: "strict", Within: time.Minute}
	lax := access.Demand{Rule: "lax", Within: time.Hour}
	for _, demands := range [][]access.Demand{{strict, lax}, {lax, strict}, {lax, {Rule: "none"}, strict}} {
		need := access.Requirement{Issuers: []string{"https://login.test"}, Allow: []string{"nurse"}, Device: access.Profile{Any: true}, Demands: demands}
		q := access.Question{Require: need, Session: signedIn("nurse", "", 2*time.Minute), Now: noon}
		if d := access.Decide(q); d.Reason != access.OldLogin || d.Rule != "strict" {
			t.Errorf("%v: %s by %q", demands, d.Reason, d.Rule)
		}
		if w := need.Within(); w != time.Minute {
			t.Errorf("%v: within %v", demands, w)
		}
		if d := access.Decide(access.Question{Require: need.Standing(), Session: q.Session, Now: noon}); d.Reason != access.AllMet {
			t.Errorf("%v: of an open stream: %s", demands, d.Reason)
		}
	}
}

func TestDecidePublic(t *testing.T) {
	for _, who := range []*access.Session{nil, signedIn("nurse", "", 0)} {
		d := access.Decide(access.Question{Require: access.Requirement{Public: true}, Session: who, Now: noon})
		if d.Verdict != access.Allow || d.Reason != access.Public {
			t.Errorf("%v because of %s", d.Verdict, d.Reason)
		}
		if g, ok := d.Grant(); !ok || g.Session() != nil {
			t.Errorf("a public route's grant: %v, names %v", ok, g.Session())
		}
	}
}

// What nobody thought of refuses.
func TestZeroValuesRefuse(t *testing.T) {
	good := access.Question{Require: prescribe(), Session: signedIn("prescriber", "phr", 0), Posture: managed(), Now: noon}
	if d := access.Decide(good); d.Verdict != access.Allow {
		t.Fatalf("the good question: %v because of %s", d.Verdict, d.Reason)
	}
	for name, spoil := range map[string]func(*access.Question){
		"zero question":    func(q *access.Question) { *q = access.Question{} },
		"zero requirement": func(q *access.Question) { q.Require = access.Requirement{} },
		"zero session":     func(q *access.Question) { q.Session = &access.Session{} },
		"zero profile":     func(q *access.Question) { q.Require.Device = access.Profile{} },
		"zero posture":     func(q *access.Question) { q.Posture = access.Posture{} },
		"zero login":       func(q *access.Question) { q.Require.Demands[0].Login = &access.Login{} },
		"no issuers":       func(q *access.Question) { q.Require.Issuers = nil },
		"nameless issuer": func(q *access.Question) {
			q.Require.Issuers, q.Session.Subject.Issuer = []string{""}, ""
		},
		"no roles":      func(q *access.Question) { q.Require.Allow = nil },
		"nameless role": func(q *access.Question) { q.Require.Allow, q.Session.Roles = []string{""}, []string{""} },
		"nameless amr": func(q *access.Question) {
			q.Require.Demands[0].Login = &access.Login{AMR: []string{""}}
			q.Session.AMR = []string{""}
		},
		"nameless acr": func(q *access.Question) {
			q.Require.Demands[0].Login = &access.Login{ACR: []string{""}}
			q.Session.ACR = ""
		},
		"assurance of no kind": func(q *access.Question) { q.Posture.Assurance = 99 },
		"fact of no kind":      func(q *access.Question) { q.Posture.Managed = 99 },
	} {
		q := good
		q.Require, q.Session = prescribe(), signedIn("prescriber", "phr", 0)
		spoil(&q)
		d := access.Decide(q)
		if _, ok := d.Grant(); ok || d.Verdict == access.Allow {
			t.Errorf("%s: %v because of %s", name, d.Verdict, d.Reason)
		}
	}

	for _, d := range []access.Decision{{}, {Verdict: access.Allow}, {Verdict: 99}} {
		if g, ok := d.Grant(); ok || g.Allowed() {
			t.Errorf("%+v, made by hand, grants", d)
		}
	}
	denied := access.Decide(access.Question{Require: prescribe(), Now: noon})
	denied.Verdict = access.Allow
	if _, ok := denied.Grant(); ok {
		t.Error("a refusal turned into an allowance by hand grants")
	}
	if (access.Grant{}).Allowed() {
		t.Error("the zero Grant gives a right")
	}
}

func TestVerdictWords(t *testing.T) {
	for _, word := range access.VerdictWords() {
		v, ok := access.ParseVerdict(word)
		if !ok || v.String() != word {
			t.Errorf("%q is read as %v, %v", word, v, ok)
		}
	}
	if v, ok := access.ParseVerdict("ALLOW"); ok || v != access.Deny {
		t.Errorf("an unknown word is read as %v, %v", v, ok)
	}
	if s := access.Verdict(99).String(); s != "deny" {
		t.Errorf("an unknown verdict is %q", s)
	}
	access.VerdictWords()[0] = "allow"
	if s := access.Verdict(0).String(); s != "deny" {
		t.Errorf("the zero verdict is %q", s)
	}
}

func TestRequirementLogins(t *testing.T) {
	other := access.Login{Name: "other"}
	need := access.Requirement{Demands: []access.Demand{{Login: &strong}, {}, {Login: &other}, {Login: &strong, EachTime: true}}}
	var names []string
	for _, l := range need.LoginsOf("") {
		names = append(names, l.Name)
	}
	if len(names) != 2 || names[0] != "strong" || names[1] != "other" {
		t.Errorf("logins %v, want each once", names)
	}
	if !need.EachTime() || (access.Requirement{}).EachTime() {
		t.Error("each_time is asked when any demand asks, and only then")
	}
}

// What proves a login at one issuer proves nothing at another.
func TestLoginOfAnIssuer(t *testing.T) {
	card := access.Login{Name: "card", ACR: []string{"phr"}, By: map[string]access.Login{
		"https://nhs.test":  {ACR: []string{"AAL3_ANY"}, AMR: []string{"N3_SMARTCARD"}, Ask: []string{"AAL3_FIDO2"}},
		"https://okta.test": {ACR: []string{"phrh"}},
	}}
	for _, c := range []struct {
		name   string
		login  access.Login
		acr    string
		amr    []string
		proven bool
	}{
		{"of any issuer", strong.Of("https://nhs.test"), "phr", nil, true},
		{"its own acr", card.Of("https://nhs.test"), "AAL3_ANY", nil, true},
		{"its own amr", card.Of("https://nhs.test"), "", []string{"N3_SMARTCARD"}, true},
		{"one of several", card.Of("https://nhs.test"), "p1 AAL3_ANY c1", nil, true},
		{"a part of one", card.Of("https://nhs.test"), "AAL3_ANY_NOT AAL3", nil, false},
		{"another's acr", card.Of("https://okta.test"), "AAL3_ANY", nil, false},
		{"said for all, and for each", card.Of("https://okta.test"), "phr", nil, false},
		{"an issuer that is not named", card.Of("https://login.test"), "AAL3_ANY", []string{"N3_SMARTCARD"}, false},
		{"of nobody in particular", card, "phr", nil, false},
		{"blanks", access.Login{ACR: []string{""}}, " ", nil, false},
	} {
		if got := c.login.ProvenBy(c.acr, c.amr); got != c.proven {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if got := card.Of("https://nhs.test").Asks(); len(got) != 1 || got[0] != "AAL3_FIDO2" {
		t.Errorf("asks for %q", got)
	}
	if got := card.Of("https://okta.test").Asks(); len(got) != 1 || got[0] != "phrh" {
		t.Errorf("asks for %q, want what proves it", got)
	}
}

func TestTighten(t *testing.T) {
	const m = time.Minute
	for _, c := range []struct {
		name       string
		a, b, want access.Limits
	}{
		{"nothing said", access.Limits{}, access.Limits{}, access.Limits{}},
		{"said once", access.Limits{LockAfter: 5 * m}, access.Limits{Max: 9 * m}, access.Limits{LockAfter: 5 * m, Max: 9 * m}},
		{"clock by clock", access.Limits{5 * m, 30 * m, 90 * m}, access.Limits{2 * m, 60 * m, 80 * m}, access.Limits{2 * m, 30 * m, 80 * m}},
		{"never wider", access.Limits{2 * m, 2 * m, 2 * m}, access.Limits{3 * m, 3 * m, 3 * m}, access.Limits{2 * m, 2 * m, 2 * m}},
	} {
		if got := c.a.Tighten(c.b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if got := c.b.Tighten(c.a); got != c.want {
			t.Errorf("%s, the other way round: %v, want %v", c.name, got, c.want)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	q := access.Question{Require: prescribe(), Session: signedIn("prescriber", "phr", 0), Posture: managed(), Now: noon}
	b.ReportAllocs()
	for b.Loop() {
		if d := access.Decide(q); d.Verdict != access.Allow {
			b.Fatal(d.Reason)
		}
	}
}
