package access

import (
	"slices"
	"time"
)

// A Lapse is what is remembered of a device and a check that it was seen to
// fail: since when, and since when it meets it again. It is forgotten once the
// check has been met for as long as it may be failed, so that neither a sign-in
// nor a device that wavers begins the time anew.
type Lapse struct {
	Check string    `json:"check"`
	Since time.Time `json:"since"`        // first seen to fail it
	Met   time.Time `json:"met,omitzero"` // first seen to meet it since; zero while it fails
}

// A Warning is until when a device may go on failing a check.
type Warning struct {
	Check    string    `json:"check"`
	Deadline time.Time `json:"deadline"`
}

// over reports whether l is to be forgotten at now, of a check with this WarnFor.
func (l Lapse) over(warnFor time.Duration, now time.Time) bool {
	return !l.Met.IsZero() && now.Sub(l.Met) >= warnFor
}

// Observe returns what is to be remembered of a device after a request that
// weighed checks and did not meet those in failed, when before is what was; and
// whether that is anything else. Before is left as it is.
func Observe(before []Lapse, checks []Check, failed []Failure, now time.Time) (after []Lapse, changed bool) {
	after = slices.Clone(before)
	for _, c := range checks {
		if c.Hard || c.WarnFor <= 0 {
			continue
		}
		fails := slices.ContainsFunc(failed, func(f Failure) bool { return f.Check == c.Name })
		i := slices.IndexFunc(after, func(l Lapse) bool { return l.Check == c.Name })
		switch {
		case i < 0 && fails:
			after = append(after, Lapse{Check: c.Name, Since: now})
		case i < 0:
		case fails && after[i].over(c.WarnFor, now):
			after[i] = Lapse{Check: c.Name, Since: now}
		case fails:
			after[i].Met = time.Time{}
		case after[i].Met.IsZero():
			after[i].Met = now
		case after[i].over(c.WarnFor, now):
			after = slices.Delete(after, i, i+1)
		}
	}
	return after, !slices.Equal(before, after)
}

// divide returns the failures that keep the device out at now, and those that
// it may have for a while, each with its deadline. What nothing is known for
// has no time of grace.
func (q *Question) divide(failed []Failure) (blocking, warned []Failure) {
	for _, f := range failed {
		if f.warnFor > 0 && !f.unknown && !q.NoGrace {
			since := q.Now
			i := slices.IndexFunc(q.Lapses, func(l Lapse) bool { return l.Check == f.Check })
			if i >= 0 && !q.Lapses[i].over(f.warnFor, q.Now) {
				since = q.Lapses[i].Since
			}
			f.Deadline = since.Add(f.warnFor)
			if q.Now.Before(f.Deadline) {
				warned = append(warned, f)
				continue
			}
		}
		blocking = append(blocking, f)
	}
	return blocking, warned
}

// evidence returns what the device is judged by: what this request states, or,
// when that is silence and the profile allows it, what was last known. Silence
// is a statement that names the device, by a sender that is believed, and is too
// old or says nothing. No statement is no silence: whoever has a stolen cookie
// could choose it.
func (q *Question) evidence() (at Posture, lastKnown bool) {
	at, last := q.Posture, q.LastKnown
	stale := !at.AssertedAt.IsZero() && !at.Expires.IsZero() && q.Now.After(at.Expires)
	switch {
	case last == nil || q.Require.Device.LastKnown <= 0 || !at.Silent && !stale:
	case at.DeviceID == "" || at.Assurance == A0 || last.DeviceID != at.DeviceID || last.Silent:
	case last.Expires.IsZero() || q.Now.After(last.Expires.Add(q.Require.Device.LastKnown)):
	default:
		known := last.worst(at)
		known.Expires = last.Expires.Add(q.Require.Device.LastKnown)
		return known, true
	}
	return at, false
}

// worst returns p with the bad news of other, and the lesser assurance.
func (p Posture) worst(other Posture) Posture {
	for _, bad := range [...]struct {
		field Field
		value Tri
	}{{Managed, No}, {Compliant, No}, {Compromised, Yes}, {Encrypted, No}, {Passcode, No}, {Lost, Yes}} {
		if other.Fact(bad.field) == bad.value {
			p.set(bad.field, bad.value)
		}
	}
	p.Assurance = min(p.Assurance, other.Assurance)
	return p
}
