package access

import (
	"slices"
	"strconv"
	"time"
)

// A Profile is a named list of posture checks. The zero Profile admits no
// device; the profile `none` is one with Any set.
type Profile struct {
	Name         string
	Any          bool // any device, or no device
	Checks       []Check
	MinAssurance Assurance     // how well good news must be proven; A0 asks nothing, and bad news always counts
	LastKnown    time.Duration // how long past its end a statement stands in while its source is silent; zero: not at all
}

// A FieldIs is a tri-state fact and the value it is compared with.
type FieldIs struct {
	Field Field
	Value bool
}

// A Check is one thing that a device must be. An empty Check is met by any
// known device; configuration refuses to write one.
type Check struct {
	Name          string
	Hard          bool          // failing it ends the device's sessions and streams
	Require       []FieldIs     // each must be known and equal
	Deny          []FieldIs     // none may be known and equal
	Platforms     []PlatformMin // when any is given, a platform not listed fails
	CheckinMaxAge time.Duration // oldest report to the MDM; zero sets no limit
	WarnFor       time.Duration // how long a known device may fail it, from the first time it was seen to; zero: not at all. Of a hard check it counts for nothing
}

// A PlatformMin is what a check asks of devices of one platform.
type PlatformMin struct {
	Platform    Platform
	Min         []OSVersion   // the minimum of each branch, ascending; none asks nothing
	MinMajor    int           // smallest major version; zero asks nothing
	PatchMin    time.Time     // oldest security patch level; zero asks nothing
	PatchMaxAge time.Duration // greatest age of the security patch level; zero asks nothing
}

// A Failure is one check that a device did not meet, and the fact that failed it.
type Failure struct {
	Check string
	Hard  bool
	Fact  string // the posture field: managed, os_version, security_patch, checked_in_at, platform; "device" when nothing is known
	Have  string // "" when not known
	Want  string // for os_version the smallest acceptable version of the device's branch, for ages a duration
	// Deadline is until when the device is let through regardless; zero: it is not.
	Deadline time.Time
	warnFor  time.Duration
	unknown  bool
}

// Reason returns the decision's reason for f.
func (f Failure) Reason() Reason {
	if f.unknown {
		return DeviceUnknown
	}
	return DeviceFailed(f.Check)
}

// Missing reports that the fact is not known, rather than known to be wrong.
func (f Failure) Missing() bool { return f.Have == "" }

// Assess returns the checks that a device with posture p does not meet at now,
// hard ones first; none when it is fit. Nothing known of a device fails every check.
func (p Profile) Assess(at Posture, now time.Time) []Failure {
	if p.Any {
		return nil
	}
	if !at.Known(now) {
		fact := "device"
		if at.DeviceID != "" && at.Assurance != A0 {
			fact = "statement" // somebody did speak of it, but not of now
		}
		failed := []Failure{{Check: "unknown", Fact: fact, unknown: true}}
		if len(p.Checks) > 0 {
			failed = failed[:0]
		}
		for _, c := range p.Checks {
			failed = append(failed, Failure{Check: c.Name, Fact: fact, unknown: true})
		}
		return failed
	}
	var failed []Failure
	for i := range p.Checks {
		c := &p.Checks[i]
		f, bad := c.failure(at, now)
		if at.Assurance < p.MinAssurance && f.Missing() {
			f, bad = Failure{Fact: "assurance", unknown: true}, true // good news counts only where it is proven
		}
		if bad {
			f.Check, f.Hard = c.Name, c.Hard && !f.unknown
			if !c.Hard {
				f.warnFor = c.WarnFor
			}
			failed = append(failed, f)
		}
	}
	if len(p.Checks) == 0 { // a profile that asks nothing is a mistake, not a permission
		return []Failure{{Check: "unknown", Fact: "device", unknown: true}}
	}
	hardFirst(failed)
	return failed
}

func hardFirst(failed []Failure) {
	slices.SortStableFunc(failed, func(a, b Failure) int {
		switch {
		case a.Hard == b.Hard:
			return 0
		case a.Hard:
			return -1
		}
		return 1
	})
}

func (c *Check) failure(at Posture, now time.Time) (Failure, bool) {
	for _, want := range c.Deny {
		if have := at.Fact(want.Field); have == TriOf(want.Value) {
			return Failure{Fact: string(want.Field), Have: have.String(), Want: TriOf(!want.Value).String()}, true
		}
	}
	for _, want := range c.Require {
		have := at.Fact(want.Field)
		if have == TriOf(want.Value) {
			continue
		}
		f := Failure{Fact: string(want.Field), Want: TriOf(want.Value).String()}
		if have != Unknown {
			f.Have = have.String()
		}
		return f, true
	}
	if len(c.Platforms) > 0 {
		i := slices.IndexFunc(c.Platforms, func(m PlatformMin) bool { return m.Platform == at.Platform })
		if i < 0 || at.Platform == "" {
			return Failure{Fact: "platform", Have: string(at.Platform)}, true
		}
		if f, bad := c.Platforms[i].failure(at, now); bad {
			return f, true
		}
	}
	if c.CheckinMaxAge > 0 {
		if f, bad := tooOld("checked_in_at", at.CheckedInAt, c.CheckinMaxAge, maxAhead, now); bad {
			return f, true
		}
	}
	return Failure{}, false
}

func (m *PlatformMin) failure(at Posture, now time.Time) (Failure, bool) {
	asksVersion := len(m.Min) > 0 || m.MinMajor > 0
	switch {
	case asksVersion && at.OSVersion.IsZero():
		return Failure{Fact: "os_version"}, true
	case m.MinMajor > 0 && at.OSVersion.Major() < m.MinMajor:
		return Failure{Fact: "os_version", Have: at.OSVersion.String(), Want: strconv.Itoa(m.MinMajor)}, true
	}
	if want, ok := at.OSVersion.MeetsBranch(m.Min); len(m.Min) > 0 && !ok {
		return Failure{Fact: "os_version", Have: at.OSVersion.String(), Want: want.String()}, true
	}
	if !m.PatchMin.IsZero() {
		f := Failure{Fact: "security_patch", Want: m.PatchMin.Format(time.DateOnly)}
		if at.SecurityPatch.IsZero() {
			return f, true
		}
		if at.SecurityPatch.Before(m.PatchMin) {
			f.Have = at.SecurityPatch.Format(time.DateOnly)
			return f, true
		}
	}
	if m.PatchMaxAge > 0 {
		return tooOld("security_patch", at.SecurityPatch, m.PatchMaxAge, patchAhead, now)
	}
	return Failure{}, false
}

// patchAhead is how far ahead a security patch level may be dated: a level
// names a day of its month, and phones often have it before that day.
const patchAhead = 31 * 24 * time.Hour

// tooOld fails a moment that is unknown, older than limit, or more than ahead in the future.
func tooOld(fact string, at time.Time, limit, ahead time.Duration, now time.Time) (Failure, bool) {
	switch {
	case at.IsZero():
		return Failure{Fact: fact, Want: limit.String()}, true
	case now.Sub(at) > limit || at.After(now.Add(ahead)):
		return Failure{Fact: fact, Want: limit.String(), Have: now.Sub(at).Round(time.Second).String()}, true
	}
	return Failure{}, false
}
