package replay

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/routes"
)

// A side is a file, and what is worked out of it once.
type side struct {
	File
	whens map[*routes.Rule]string // names what a rule asks of query and body: the same name, the same answer
}

func newSide(f File) *side {
	s := &side{File: f, whens: map[*routes.Rule]string{}}
	for _, route := range f.Table.Routes() {
		for i := range route.Rules {
			rule := &route.Rules[i]
			w := rule.When
			if len(w.Query) == 0 && len(w.Fields) == 0 {
				continue
			}
			key := ""
			for _, name := range slices.Sorted(maps.Keys(w.Query)) {
				key += fmt.Sprintf("?%q=%q", name, w.Query[name])
			}
			s.whens[rule] = key + fmt.Sprintf("%q", w.Fields)
		}
	}
	return s
}

// A question is a record that is judged by one side.
type question struct {
	rec      *audit.Record
	req      *routes.Request
	facts    *facts
	other    *side // the file of then; nil when it is not known
	observed []access.Observation
}

// judge returns what becomes of the request under s.
func (q *question) judge(s *side) outcome {
	route, err := s.Table.Match(q.req)
	switch {
	case errors.Is(err, routes.ErrHost):
		return outcome{verdict: access.Deny.String(), reason: wrongHost}
	case errors.Is(err, routes.ErrNoRoute):
		return outcome{verdict: access.Deny.String(), reason: noRoute}
	case err != nil:
		return outcome{verdict: access.Deny.String(), reason: access.BadRequest}
	case !slices.Contains(route.Methods, q.req.Method):
		return outcome{access.Deny.String(), methodNotAllowed, "", route.Name}
	}
	if !route.Public && (q.rec.Reason == noRoute || q.rec.Reason == wrongHost || q.rec.Reason == methodNotAllowed) {
		// Refused before anybody was looked at: now it may be let through, or not.
		if q.facts.know("who", "who asked is not recorded where no route was") {
			return outcome{access.Allow.String(), access.AllMet, "", route.Name}
		}
		return outcome{access.Deny.String(), access.NoRole, "", route.Name}
	}
	need := route.NeedOf(q.req, func(rule *routes.Rule) bool {
		return q.facts.know("when "+s.whens[rule], fmt.Sprintf("rule %q asks by query or body", rule.Demand.Rule))
	})
	d := access.Decide(q.of(s, &need))
	for _, demand := range need.Observed {
		would := q.of(s, &need)
		would.Require.Demands = []access.Demand{demand}
		if o := access.Decide(would); o.Verdict != access.Allow && o.Rule == demand.Rule {
			q.observed = append(q.observed, access.Observation{Rule: demand.Rule, Verdict: o.Verdict.String(), Reason: o.Reason})
		}
	}
	return outcome{d.Verdict.String(), d.Reason, d.Rule, route.Name}
}

// of returns what [access.Decide] is asked.
func (q *question) of(s *side, need *routes.Need) access.Question {
	out := access.Question{Require: need.Requirement, Now: q.rec.Time}
	if need.Public {
		return out
	}
	out.Session = q.session(s, need)
	if out.Session == nil || out.Session.Ended || out.Session.Locked {
		return out
	}
	out.Posture = q.posture()
	out.Require.Device = q.device(need.Device)
	if need.EachTime() {
		out.Once = q.once()
	}
	q.login(&out, need)
	return out
}

// session returns who asked, as far as the decision goes; nil when nobody was
// signed in.
func (q *question) session(s *side, need *routes.Need) *access.Session {
	rec := q.rec
	if rec.Reason == access.NoSession {
		return nil
	}
	if rec.Session == "" && rec.Subject.Sub == "" && rec.Reason == access.Public {
		return nil
	}
	who := &access.Session{
		ID: rec.Session, Ended: rec.Reason == access.SessionEnded, Locked: rec.Reason == access.SessionLocked,
		LocksAt: rec.Time.Add(time.Minute), EndsAt: rec.Time.Add(time.Minute),
	}
	who.Subject = access.Subject{Issuer: rec.Subject.Issuer, Sub: rec.Subject.Sub}
	who.ACR, who.AMR = rec.Login.ACR, rec.Login.AMR
	if rec.Reason == access.DeviceChanged {
		who.Device = "another" // than the one that is recorded
	}
	if rec.Reason == access.Public && !q.facts.know("alive", "whether the session had ended or locked is not recorded on public routes") {
		who.Ended = true
	}
	who.Roles = q.roles(s, need)
	return who
}

// roles returns which of the roles that need asks for the person held. Roles
// are recorded, groups are not: one whose groups are others now is not known.
func (q *question) roles(s *side, need *routes.Need) []string {
	held := q.rec.Subject.Roles
	if q.other == nil || s == q.other {
		return held
	}
	var all []string
	add := func(role string) {
		if slices.Contains(all, role) {
			return
		}
		was := slices.Contains(held, role)
		now, then := s.Roles[role], q.other.Roles[role]
		switch {
		case was && subset(then, now), !was && subset(now, then): // whoever held it holds it, and whoever did not does not
		default:
			was = q.facts.know("role "+role, fmt.Sprintf("role %q has other groups", role))
		}
		if was {
			all = append(all, role)
		}
	}
	for _, role := range need.Allow {
		add(role)
	}
	for _, d := range slices.Concat(need.Demands, need.Observed) {
		for _, role := range d.Roles {
			add(role)
		}
	}
	return all
}

func subset(some, of []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(of, s) })
}

// posture returns a device that is known, or not, as the record says.
func (q *question) posture() access.Posture {
	d := q.rec.Device
	if d.ID == "" || d.Assurance == "" || d.Assurance == access.A0.String() || q.rec.Reason == access.DeviceUnknown {
		return access.Posture{}
	}
	return access.Posture{DeviceID: d.ID, Assurance: access.A1, AssertedAt: q.rec.Time} // which of them makes no difference
}

// device returns p with checks that are met or not as they were. The facts
// that they look at are not recorded; which of them failed is.
func (q *question) device(p access.Profile) access.Profile {
	if p.Any || q.posture() == (access.Posture{}) {
		return p
	}
	as := access.Profile{Name: p.Name}
	for _, c := range p.Checks {
		one := access.Check{Name: c.Name, Hard: c.Hard} // asks nothing
		if q.fails(c) {
			one.Require = []access.FieldIs{{Field: access.Managed, Value: true}}
		}
		as.Checks = append(as.Checks, one)
	}
	return as
}

// fails reports whether the device did not meet c.
func (q *question) fails(c access.Check) bool {
	if then, ok := q.then(c.Name); ok {
		then.Hard = c.Hard // how grave it is changes nothing of whether it is met
		if reflect.DeepEqual(then, c) {
			return slices.Contains(q.rec.Device.Failed, c.Name)
		}
	}
	return q.facts.know("check "+fmt.Sprintf("%+v", c), fmt.Sprintf("check %q was not asked then, or otherwise", c.Name))
}

// then returns the check of a name that was asked of the device when the record
// was made; none when that is not known.
func (q *question) then(name string) (access.Check, bool) {
	if q.other == nil {
		return access.Check{}, false
	}
	switch q.rec.Reason {
	case noRoute, wrongHost, methodNotAllowed, access.Public:
		return access.Check{}, false
	}
	route, err := q.other.Table.Match(q.req)
	if err != nil || route.Public || route.Device.Any {
		return access.Check{}, false
	}
	i := slices.IndexFunc(route.Device.Checks, func(c access.Check) bool { return c.Name == name })
	if i < 0 {
		return access.Check{}, false
	}
	return route.Device.Checks[i], true
}

// once reports whether the session held a sign-in that was made for this very
// request. Where no rule asked for one, there was none.
func (q *question) once() bool {
	rec := q.rec
	if rec.Reason == access.OnceUsed || rec.Verdict == access.Allow.String() && rec.Rule == "" {
		return false
	}
	if q.other != nil {
		route, err := q.other.Table.Match(q.req)
		if err != nil || !slices.ContainsFunc(route.Rules, func(r routes.Rule) bool { return r.Demand.EachTime && !r.Observe }) {
			return false
		}
	}
	return q.facts.know("once", "whether a sign-in was made for this very request is not recorded")
}

// skew is how far the provider's clock, by which auth_time is recorded, may be
// from this machine's, by which ages are judged.
const skew = time.Minute

// login sets how old the sign-in was.
func (q *question) login(out *access.Question, need *routes.Need) {
	at, now := q.rec.Login.AuthTime, q.rec.Time
	who := out.Session
	who.FreshAt = at
	if len(need.Demands) == 0 && len(need.Observed) == 0 {
		return
	}
	out.Judged = q.rec.Judged
	judged := now
	if !out.Judged.IsZero() {
		judged = out.Judged
	}
	near, asks := false, false
	for _, all := range [2][]access.Demand{need.Demands, need.Observed} {
		for _, d := range all {
			if d.Within == 0 {
				continue
			}
			age := judged.Sub(at)
			asks = true
			near = near || age > d.Within-skew && age <= d.Within+skew
		}
	}
	switch {
	case !asks:
	case at.IsZero() || at.After(now.Add(skew)):
		if q.facts.know("auth_time", "when the person signed in was not said, or not believably") {
			who.FreshAt = now
		}
	case near && q.facts.know("younger", "a minute more or less of the login's age"):
		who.FreshAt = at.Add(skew)
	case near && q.facts.know("older", "a minute more or less of the login's age"):
		who.FreshAt = at.Add(-skew)
	}
}
