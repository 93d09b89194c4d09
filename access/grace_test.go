package access_test

import (
	"slices"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
)

func osVersion(t *testing.T, s string) access.OSVersion {
	t.Helper()
	v, err := access.ParseOSVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// patient is a profile that warns of an old system for three days, and asks
// for a managed device at once.
func patient(t *testing.T) access.Profile {
	return access.Profile{Name: "patient", Checks: []access.Check{
		{Name: "managed", Hard: true, WarnFor: 3 * day, Require: []access.FieldIs{{Field: access.Managed, Value: true}}},
		{Name: "fresh_os", WarnFor: 3 * day, Platforms: []access.PlatformMin{{Platform: "ipados", Min: []access.OSVersion{osVersion(t, "18.7.3")}}}},
		{Name: "passcode", Require: []access.FieldIs{{Field: access.Passcode, Value: true}}},
	}}
}

func oldTablet(t *testing.T) access.Posture {
	p := managed()
	p.Platform, p.OSVersion, p.Passcode = "ipados", osVersion(t, "18.5"), access.Yes
	return p
}

func TestGrace(t *testing.T) {
	failedAt := func(since time.Time) []access.Lapse { return []access.Lapse{{Check: "fresh_os", Since: since}} }
	for _, c := range []struct {
		name    string
		change  func(*access.Question)
		verdict access.Verdict
		reason  access.Reason
		warned  time.Time // the deadline; zero: not warned
	}{
		{"seen for the first time", func(*access.Question) {}, access.Allow, access.AllMet, noon.Add(3 * day)},
		{"seen before", func(q *access.Question) { q.Lapses = failedAt(noon.Add(-2 * day)) }, access.Allow, access.AllMet, noon.Add(day)},
		{"just before the end", func(q *access.Question) { q.Lapses = failedAt(noon.Add(-3*day + 1)) }, access.Allow, access.AllMet, noon.Add(1)},
		{"at the end", func(q *access.Question) { q.Lapses = failedAt(noon.Add(-3 * day)) }, access.Deny, "device_fresh_os", time.Time{}},
		{"long after", func(q *access.Question) { q.Lapses = failedAt(noon.Add(-300 * day)) }, access.Deny, "device_fresh_os", time.Time{}},
		{"of another check", func(q *access.Question) { q.Lapses = []access.Lapse{{Check: "other", Since: noon.Add(-9 * day)}} }, access.Allow, access.AllMet, noon.Add(3 * day)},
		{"met for a while between", func(q *access.Question) {
			q.Lapses = []access.Lapse{{Check: "fresh_os", Since: noon.Add(-4 * day), Met: noon.Add(-3*day + 1)}}
		}, access.Deny, "device_fresh_os", time.Time{}},
		{"met for as long as it may be failed", func(q *access.Question) {
			q.Lapses = []access.Lapse{{Check: "fresh_os", Since: noon.Add(-9 * day), Met: noon.Add(-3 * day)}}
		}, access.Allow, access.AllMet, noon.Add(3 * day)},
		{"a hard check has none", func(q *access.Question) { q.Posture.Managed = access.No }, access.Deny, "device_managed", noon.Add(3 * day)},
		{"a check without warn_for has none", func(q *access.Question) { q.Posture.Passcode = access.No }, access.Deny, "device_passcode", noon.Add(3 * day)},
		{"an unknown device has none", func(q *access.Question) { q.Posture = access.Posture{} }, access.Deny, access.DeviceUnknown, time.Time{}},
		{"a stale statement has none", func(q *access.Question) { q.Posture.Expires = noon.Add(-1) }, access.Deny, access.DeviceUnknown, time.Time{}},
		{"when nothing can be remembered", func(q *access.Question) { q.NoGrace = true }, access.Deny, "device_fresh_os", time.Time{}},
		{"warned, and no role", func(q *access.Question) { q.Require.Allow = []string{"nurse"} }, access.Deny, access.NoRole, noon.Add(3 * day)},
		{"warned, and a step-up", func(q *access.Question) { q.Require.Demands = prescribe().Demands; q.Session.ACR = "pwd" }, access.StepUp, access.WeakLogin, noon.Add(3 * day)},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := access.Question{
				Require: access.Requirement{Allow: []string{"prescriber"}, Issuers: prescribe().Issuers, Device: patient(t)},
				Session: signedIn("prescriber", "phr", 0), Posture: oldTablet(t), Now: noon,
			}
			c.change(&q)
			d := access.Decide(q)
			if d.Verdict != c.verdict || d.Reason != c.reason {
				t.Errorf("%v because of %s, want %v because of %s", d.Verdict, d.Reason, c.verdict, c.reason)
			}
			var until time.Time
			for _, f := range d.Warned {
				if f.Check == "fresh_os" {
					until = f.Deadline
				}
			}
			if !until.Equal(c.warned) {
				t.Errorf("warned until %v, want %v", until, c.warned)
			}
			if slices.ContainsFunc(d.Failed, func(f access.Failure) bool { return f.Deadline.After(noon) }) {
				t.Errorf("kept out before the deadline: %+v", d.Failed)
			}
		})
	}
}

func TestObserve(t *testing.T) {
	checks := patient(t).Checks
	fails, meets := []access.Failure{{Check: "fresh_os"}}, []access.Failure(nil)
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	var lapses []access.Lapse
	for i, step := range []struct {
		after   time.Duration
		failed  []access.Failure
		since   time.Duration // of what is then remembered; less than zero: nothing
		met     bool
		changed bool
	}{
		{0, meets, -1, false, false},
		{time.Hour, []access.Failure{{Check: "managed"}, {Check: "passcode"}}, -1, false, false}, // none that is remembered
		{day, fails, day, false, true},
		{day + time.Hour, fails, day, false, false},
		{2 * day, meets, day, true, true},
		{2*day + time.Hour, meets, day, true, false},
		{3 * day, fails, day, false, true}, // it wavered
		{4 * day, meets, day, true, true},
		{7*day - 1, meets, day, true, false},
		{7 * day, meets, -1, false, true}, // met for three days: forgotten
		{8 * day, fails, 8 * day, false, true},
		{9 * day, meets, 8 * day, true, true},
		{12 * day, fails, 12 * day, false, true}, // it was not seen meanwhile, and met it last
	} {
		before := slices.Clone(lapses)
		next, changed := access.Observe(lapses, checks, step.failed, at(step.after))
		if !slices.Equal(before, lapses) {
			t.Fatalf("step %d changed what was", i)
		}
		lapses = next
		if changed != step.changed {
			t.Errorf("step %d: changed %v", i, changed)
		}
		switch {
		case step.since < 0 && len(lapses) != 0:
			t.Errorf("step %d: %+v is remembered", i, lapses)
		case step.since >= 0 && (len(lapses) != 1 || lapses[0].Check != "fresh_os" || !lapses[0].Since.Equal(at(step.since)) || lapses[0].Met.IsZero() == step.met):
			t.Errorf("step %d: %+v, want since %v, met %v", i, lapses, at(step.since), step.met)
		}
	}
}

// What was last known stands in for silence, and for nothing else.
func TestLastKnown(t *testing.T) {
	stale := func(p access.Posture) access.Posture {
		p.AssertedAt, p.Expires = noon.Add(-40*time.Minute), noon.Add(-25*time.Minute)
		return p
	}
	good := managed()
	good.CheckedInAt = noon.Add(-23 * time.Hour)
	good.AssertedAt, good.Expires = noon.Add(-20*time.Minute), noon.Add(-5*time.Minute)
	silent := access.Posture{Source: "mdm", Assurance: access.A1, DeviceID: "mdm:7", Silent: true, AssertedAt: noon, Expires: noon.Add(time.Minute)}
	for _, c := range []struct {
		name   string
		now    access.Posture
		last   access.Posture
		change func(*access.Profile)
		reason access.Reason
		used   bool
	}{
		{"the sender repeats an old statement", stale(good), good, nil, access.AllMet, true},
		{"the sender names the device and says no more", silent, good, nil, access.AllMet, true},
		{"under deny", stale(good), good, func(p *access.Profile) { p.LastKnown = 0 }, access.DeviceUnknown, false},
		{"for longer than it may stand in", stale(good), good, func(p *access.Profile) { p.LastKnown = 5*time.Minute - 1 }, access.DeviceUnknown, false},
		{"for exactly as long", stale(good), good, func(p *access.Profile) { p.LastKnown = 5 * time.Minute }, access.AllMet, true},
		{"nobody speaks of the device", access.Posture{}, good, nil, access.DeviceUnknown, false},
		{"of another device", stale(good), func() access.Posture { p := good; p.DeviceID = "mdm:8"; return p }(), nil, access.DeviceUnknown, false},
		{"nothing was known", stale(good), access.Posture{}, nil, access.DeviceUnknown, false},
		{"of the future", func() access.Posture {
			p := good
			p.AssertedAt = noon.Add(time.Hour)
			p.Expires = noon.Add(2 * time.Hour)
			return p
		}(), good, nil, access.DeviceUnknown, false},
		{"of no time", func() access.Posture {
			p := good
			p.AssertedAt = time.Time{}
			p.Expires = time.Time{}.Add(time.Minute)
			return p
		}(), good, nil, access.DeviceUnknown, false},
		{"bad news was last known", stale(good), func() access.Posture { p := good; p.Managed = access.No; return p }(), nil, "device_managed", true},
		{"bad news, though old", func() access.Posture { p := stale(good); p.Managed = access.No; return p }(), good, nil, "device_managed", true},
		{"good news, though old", stale(good), func() access.Posture { p := good; p.Compromised = access.Yes; return p }(), nil, "device_whole", true},
		{"the check-in is not stretched", stale(good), good, func(p *access.Profile) { p.Checks[1].CheckinMaxAge = 22 * time.Hour }, "device_fresh", true},
		{"less assurance than was", func() access.Posture { p := stale(good); p.Assurance = access.A1; return p }(), func() access.Posture { p := good; p.Assurance = access.A2; return p }(), func(p *access.Profile) { p.MinAssurance = access.A2 }, access.DeviceUnknown, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			profile := access.Profile{Name: "p", LastKnown: 30 * time.Minute, Checks: []access.Check{
				{Name: "managed", Hard: true, Require: []access.FieldIs{{Field: access.Managed, Value: true}}},
				{Name: "fresh", CheckinMaxAge: 24 * time.Hour},
				{Name: "whole", Hard: true, Deny: []access.FieldIs{{Field: access.Compromised, Value: true}}},
			}}
			if c.change != nil {
				c.change(&profile)
			}
			d := access.Decide(access.Question{
				Require: access.Requirement{Allow: []string{"nurse"}, Issuers: prescribe().Issuers, Device: profile},
				Session: signedIn("nurse", "pwd", 0), Posture: c.now, LastKnown: &c.last, Now: noon,
			})
			if d.Reason != c.reason || d.LastKnown.IsZero() == c.used {
				t.Errorf("%s, of %v, want %s", d.Reason, d.LastKnown, c.reason)
			}
			if d.Weighed && (c.used || !c.now.Known(noon)) {
				t.Error("it counts as weighed by what this request states")
			}
		})
	}
}

// Good news counts where it is proven; bad news always does.
func TestMinAssurance(t *testing.T) {
	profile := access.Profile{Name: "p", MinAssurance: access.A2, Checks: []access.Check{
		{Name: "managed", Hard: true, Require: []access.FieldIs{{Field: access.Managed, Value: true}}},
		{Name: "whole", Hard: true, Deny: []access.FieldIs{{Field: access.Compromised, Value: true}}},
	}}
	for _, c := range []struct {
		name   string
		change func(*access.Posture)
		reason access.Reason // "": none
		hard   bool
	}{
		{"proven", func(p *access.Posture) { p.Assurance = access.A2 }, "", false},
		{"proven better", func(p *access.Posture) { p.Assurance = access.A4 }, "", false},
		{"not proven", func(*access.Posture) {}, access.DeviceUnknown, false},
		{"bad news, not proven", func(p *access.Posture) { p.Compromised = access.Yes }, "device_whole", true},
		{"bad news, proven", func(p *access.Posture) { p.Compromised, p.Assurance = access.Yes, access.A2 }, "device_whole", true},
	} {
		at := managed()
		c.change(&at)
		failed := profile.Assess(at, noon)
		var reason access.Reason
		if len(failed) > 0 {
			reason = failed[0].Reason()
		}
		if reason != c.reason || len(failed) > 0 && failed[0].Hard != c.hard {
			t.Errorf("%s: %+v", c.name, failed)
		}
	}
}
