package access_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/access"
)

func version(s string) access.OSVersion {
	v, err := access.ParseOSVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

const day = 24 * time.Hour

// Each case is one check against one device: the fact that fails it, with what
// was had and wanted, or "" when it is met.
func TestAssess(t *testing.T) {
	is := func(f access.Field, v bool) []access.FieldIs { return []access.FieldIs{{Field: f, Value: v}} }
	apple := access.Check{Platforms: []access.PlatformMin{
		{Platform: "ipados", Min: []access.OSVersion{version("18.7.3"), version("26.2")}},
		{Platform: "android", MinMajor: 14, PatchMaxAge: 120 * day},
		{Platform: "chromeos"},
		{Platform: "windows", PatchMin: noon.Add(-30 * day)},
	}}
	ipad := func(v string) func(*access.Posture) {
		return func(p *access.Posture) { p.Platform, p.OSVersion = "ipados", version(v) }
	}
	android := func(v string, patchAge time.Duration) func(*access.Posture) {
		return func(p *access.Posture) {
			p.Platform, p.OSVersion, p.SecurityPatch = "android", version(v), noon.Add(-patchAge)
		}
	}
	checkin := access.Check{CheckinMaxAge: day}
	seen := func(age time.Duration) func(*access.Posture) {
		return func(p *access.Posture) { p.CheckedInAt = noon.Add(-age) }
	}

	for _, c := range []struct {
		name             string
		check            access.Check
		device           func(*access.Posture)
		fact, have, want string
	}{
		{"required true, is", access.Check{Require: is(access.Managed, true)}, func(p *access.Posture) {}, "", "", ""},
		{"required true, is false", access.Check{Require: is(access.Managed, true)}, func(p *access.Posture) { p.Managed = access.No }, "managed", "false", "true"},
		{"required true, unknown", access.Check{Require: is(access.Managed, true)}, func(p *access.Posture) { p.Managed = access.Unknown }, "managed", "", "true"},
		{"required false, is", access.Check{Require: is(access.Compromised, false)}, func(p *access.Posture) { p.Compromised = access.No }, "", "", ""},
		{"required false, is true", access.Check{Require: is(access.Compromised, false)}, func(p *access.Posture) { p.Compromised = access.Yes }, "compromised", "true", "false"},
		{"required false, unknown", access.Check{Require: is(access.Compromised, false)}, func(p *access.Posture) {}, "compromised", "", "false"},
		{"denied true, is true", access.Check{Deny: is(access.Lost, true)}, func(p *access.Posture) { p.Lost = access.Yes }, "lost", "true", "false"},
		{"denied true, is false", access.Check{Deny: is(access.Lost, true)}, func(p *access.Posture) { p.Lost = access.No }, "", "", ""},
		{"denied true, unknown", access.Check{Deny: is(access.Lost, true)}, func(p *access.Posture) {}, "", "", ""},
		{"denied false, is false", access.Check{Deny: is(access.Compliant, false)}, func(p *access.Posture) { p.Compliant = access.No }, "compliant", "false", "true"},
		{"denied before required", access.Check{Deny: is(access.Lost, true), Require: is(access.Managed, true)}, func(p *access.Posture) { p.Lost, p.Managed = access.Yes, access.No }, "lost", "true", "false"},
		{"a word that names no fact", access.Check{Require: is("shiny", true)}, func(p *access.Posture) {}, "shiny", "", "true"},
		{"encrypted", access.Check{Require: is(access.Encrypted, true)}, func(p *access.Posture) { p.Encrypted = access.Yes }, "", "", ""},
		{"passcode", access.Check{Require: is(access.Passcode, true)}, func(p *access.Posture) { p.Passcode = access.Yes }, "", "", ""},

		{"platform not listed", apple, func(p *access.Posture) { p.Platform = "linux" }, "platform", "linux", ""},
		{"platform unknown", apple, func(p *access.Posture) {}, "platform", "", ""},
		{"platform unknown, and listed so", access.Check{Platforms: []access.PlatformMin{{}}}, func(p *access.Posture) {}, "platform", "", ""},
		{"platform that asks nothing more", apple, func(p *access.Posture) { p.Platform = "chromeos" }, "", "", ""},
		{"version unknown", apple, func(p *access.Posture) { p.Platform = "ipados" }, "os_version", "", ""},
		{"at its branch's minimum", apple, ipad("18.7.3"), "", "", ""},
		{"below its branch's minimum", apple, ipad("18.7.2"), "os_version", "18.7.2", "18.7.3"},
		{"supplement of the minimum", apple, ipad("18.7.3 (a)"), "", "", ""},
		{"supplement of what is too old", apple, ipad("18.7.2 (c)"), "os_version", "18.7.2 (c)", "18.7.3"},
		{"ten is more than seven", apple, ipad("18.10"), "", "", ""},
		{"below every branch", apple, ipad("17.9"), "os_version", "17.9", "18.7.3"},
		{"between branches", apple, ipad("19.0"), "os_version", "19.0", "26.2"},
		{"newer branch, too old", apple, ipad("26.1.9"), "os_version", "26.1.9", "26.2"},
		{"newer branch", apple, ipad("26.2"), "", "", ""},
		{"above every branch", apple, ipad("27.0"), "", "", ""},

		{"android on the limit", apple, android("14", 120*day), "", "", ""},
		{"android patch too old", apple, android("14", 120*day+time.Second), "security_patch", "2880h0m1s", "2880h0m0s"},
		{"android too old", apple, android("13.9", 0), "os_version", "13.9", "14"},
		{"android patch unknown", apple, func(p *access.Posture) { p.Platform, p.OSVersion = "android", version("15") }, "security_patch", "", "2880h0m0s"},
		{"android version unknown", apple, func(p *access.Posture) { p.Platform = "android" }, "os_version", "", ""},
		{"patch level of later this month", apple, android("14", -10*day), "", "", ""},
		{"patch level of next year", apple, android("14", -300*day), "security_patch", "-7200h0m0s", "2880h0m0s"},
		{"patch on the date", apple, func(p *access.Posture) { p.Platform, p.SecurityPatch = "windows", noon.Add(-30*day) }, "", "", ""},
		{"patch before the date", apple, func(p *access.Posture) { p.Platform, p.SecurityPatch = "windows", noon.Add(-31*day) }, "security_patch", "2026-10-20", "2026-10-21"},
		{"patch date unknown", apple, func(p *access.Posture) { p.Platform = "windows" }, "security_patch", "", "2026-10-21"},

		{"checked in on the limit", checkin, seen(day), "", "", ""},
		{"checked in too long ago", checkin, seen(day + time.Second), "checked_in_at", "24h0m1s", "24h0m0s"},
		{"checked in, not known when", checkin, func(p *access.Posture) {}, "checked_in_at", "", "24h0m0s"},
		{"checked in ahead, as clocks differ", checkin, seen(-2 * time.Minute), "", "", ""},
		{"checked in in the future", checkin, seen(-2*time.Minute - time.Second), "checked_in_at", "-2m1s", "24h0m0s"},
		{"fresh statement of a stale check-in", checkin, func(p *access.Posture) { p.AssertedAt, p.CheckedInAt = noon, noon.Add(-30*day) }, "checked_in_at", "720h0m0s", "24h0m0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			device := managed()
			c.device(&device)
			c.check.Name = "it"
			failed := access.Profile{Checks: []access.Check{c.check}}.Assess(device, noon)
			if c.fact == "" {
				if len(failed) > 0 {
					t.Fatalf("fails: %+v", failed)
				}
				return
			}
			if len(failed) != 1 {
				t.Fatalf("%d failures, want one", len(failed))
			}
			f := failed[0]
			if f.Fact != c.fact || f.Have != c.have || f.Want != c.want {
				t.Errorf("%s is %q, want %q; expected %s is %q, want %q", f.Fact, f.Have, f.Want, c.fact, c.have, c.want)
			}
			if f.Missing() != (c.have == "") || f.Reason() != "device_it" {
				t.Errorf("missing %v, reason %s", f.Missing(), f.Reason())
			}
		})
	}
}

func TestAssessHardFirst(t *testing.T) {
	requires := func(name string, hard bool, f access.Field) access.Check {
		return access.Check{Name: name, Hard: hard, Require: []access.FieldIs{{Field: f, Value: true}}}
	}
	p := access.Profile{Checks: []access.Check{
		requires("soft one", false, access.Encrypted),
		requires("hard one", true, access.Compliant),
		requires("met", true, access.Managed),
		requires("soft two", false, access.Passcode),
		requires("hard two", true, access.Lost),
	}}
	names := func(failed []access.Failure) (all []string) {
		for _, f := range failed {
			all = append(all, f.Check)
		}
		return all
	}
	want := []string{"hard one", "hard two", "soft one", "soft two"}
	if diff := cmp.Diff(want, names(p.Assess(managed(), noon))); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	want = []string{"soft one", "hard one", "met", "soft two", "hard two"}
	failed := p.Assess(access.Posture{}, noon)
	if diff := cmp.Diff(want, names(failed)); diff != "" {
		t.Errorf("nothing known (-want +got):\n%s", diff)
	}
	for _, f := range failed {
		if f.Reason() != access.DeviceUnknown || f.Fact != "device" || f.Hard {
			t.Errorf("nothing known: %+v, reason %s", f, f.Reason())
		}
	}
}

// The sender's clock: what it said, and when.
func TestAssessStatement(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*access.Posture)
		known  bool
	}{
		{"now", func(p *access.Posture) {}, true},
		{"on the limit", func(p *access.Posture) { p.Expires = noon }, true},
		{"past the limit", func(p *access.Posture) { p.Expires = noon.Add(-1) }, false},
		{"ahead, as clocks differ", func(p *access.Posture) { p.AssertedAt = noon.Add(2 * time.Minute) }, true},
		{"of the future", func(p *access.Posture) { p.AssertedAt = noon.Add(2*time.Minute + 1) }, false},
		{"of no device", func(p *access.Posture) { p.DeviceID = "" }, false},
		{"of nobody", func(p *access.Posture) { p.Assurance = access.A0 }, false},
	} {
		p := managed()
		c.change(&p)
		if p.Known(noon) != c.known {
			t.Errorf("%s: known %v", c.name, !c.known)
		}
		if failed := clinical.Assess(p, noon); (len(failed) == 0) != c.known {
			t.Errorf("%s: failures %+v", c.name, failed)
		}
		if failed := (access.Profile{Name: "none", Any: true}).Assess(p, noon); len(failed) > 0 {
			t.Errorf("%s: fails the profile that admits any device", c.name)
		}
		if failed := (access.Profile{}).Assess(p, noon); len(failed) == 0 || failed[0].Reason() != access.DeviceUnknown {
			t.Errorf("%s: the zero profile admits it", c.name)
		}
	}
}

func TestPostureWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{access.Tri(0).String(), "unknown"}, {access.Yes.String(), "true"}, {access.No.String(), "false"}, {access.Tri(99).String(), "unknown"},
		{access.Assurance(0).String(), "A0"}, {access.A4.String(), "A4"}, {access.Assurance(99).String(), "A0"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	p := access.Posture{}
	for _, f := range access.Fields() {
		if p.Fact(f) != access.Unknown {
			t.Errorf("%s of the zero Posture is %v", f, p.Fact(f))
		}
	}
}
