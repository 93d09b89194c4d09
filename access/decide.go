package access

import (
	"slices"
	"time"
)

// A Demand is what one rule asks beyond the route's own grant. Its zero value
// asks for nothing.
type Demand struct {
	Rule     string        // the rule's name
	Roles    []string      // any of them; none: asks for no role
	Login    *Login        // nil asks for no strength
	Within   time.Duration // oldest acceptable sign-in; zero sets no limit
	EachTime bool          // a sign-in made for this very request
}

// A Requirement is everything that a request must meet: the route's grant, and
// the demands of every rule that matches. Each one must be met, so the
// strictest holds whatever the order. The zero Requirement admits nobody.
type Requirement struct {
	Public  bool     // open without sign-in; nothing below is looked at
	Issuers []string // whose sign-ins count; none: nobody's
	Allow   []string // the route's grant: any of these roles
	Device  Profile
	Demands []Demand
}

// Within returns the tightest login age that is asked; zero when none is.
func (r Requirement) Within() time.Duration {
	var t time.Duration
	for i := range r.Demands {
		t = tighter(t, r.Demands[i].Within)
	}
	return t
}

// EachTime reports whether any demand wants a sign-in for this very request.
func (r Requirement) EachTime() bool {
	for i := range r.Demands {
		if r.Demands[i].EachTime {
			return true
		}
	}
	return false
}

// LoginsOf returns the strengths of sign-in that are asked, each once, as a
// person of issuer can prove them.
func (r Requirement) LoginsOf(issuer string) []Login {
	var all []Login
next:
	for _, d := range r.Demands {
		if d.Login == nil {
			continue
		}
		for _, seen := range all {
			if seen.Name == d.Login.Name {
				continue next
			}
		}
		all = append(all, d.Login.Of(issuer))
	}
	return all
}

// Standing returns what of r must go on holding while a stream stays open: the
// grant and the device, without what is asked only of the request that opens it.
func (r Requirement) Standing() Requirement {
	r.Demands = nil
	return r
}

// A Question is all that a decision depends on.
type Question struct {
	Require Requirement
	Session *Session // nil: nobody is signed in
	Posture Posture
	// LastKnown is what the same source said of the device before it fell silent;
	// nil: nothing.
	LastKnown *Posture
	Lapses    []Lapse   // of the device
	NoGrace   bool      // since when it fails a check cannot be remembered, so it may not fail any
	Once      bool      // the session holds unspent evidence for this method and URL
	Judged    time.Time // when the login's age is judged: of a held request the callback; zero: Now
	Now       time.Time
}

// A Decision is the answer to a [Question]. The zero Decision refuses.
type Decision struct {
	Verdict Verdict
	Reason  Reason
	Rule    string    // the rule whose demand settled it, or the first that matched; "" for the route's own
	Failed  []Failure // the posture checks that were not met, and keep the device out
	Warned  []Failure // those that were not met, and do not yet
	Weighed bool      // the checks were weighed by what this request states
	// LastKnown is when that by which they were weighed was stated, in the silence
	// of its source; zero: by this request.
	LastKnown time.Time
	granted   bool // set by Decide alone, so that a Decision made by hand grants nothing
	session   *Session
}

// Grant returns the right to forward, and whether d gives one. There is no
// other way to come by a Grant that gives any right.
func (d Decision) Grant() (Grant, bool) {
	if d.Verdict != Allow || !d.granted {
		return Grant{}, false
	}
	return Grant{session: d.session, allowed: true}, true
}

// A Grant is the right to forward one request for the person it names. The zero
// Grant gives no right.
type Grant struct {
	session *Session
	allowed bool
}

// Allowed reports whether g came out of a decision that allows.
func (g Grant) Allowed() bool { return g.allowed }

// Session returns the session of the person let through; nil on a public route.
func (g Grant) Session() *Session { return g.session }

// Decide answers q. The demands are tried in order and the first that is not
// met settles the answer: a device that may not enter before the role, the role
// before the login, so that nobody steps up for a page that would still refuse.
func Decide(q Question) Decision {
	need, who := &q.Require, q.Session
	switch {
	case need.Public:
		return Decision{Verdict: Allow, Reason: Public, granted: true}
	case who == nil:
		return Decision{Verdict: SignIn, Reason: NoSession}
	case who.Ended || !q.Now.Before(who.EndsAt):
		return Decision{Verdict: SignIn, Reason: SessionEnded}
	case who.Subject.Issuer == "" || !slices.Contains(need.Issuers, who.Subject.Issuer):
		// Before the lock: to unlock it would not help.
		return Decision{Verdict: SignIn, Reason: OtherProvider}
	case who.Locked || !q.Now.Before(who.LocksAt):
		return Decision{Verdict: Locked, Reason: SessionLocked}
	case who.Device != "" && q.Posture.DeviceID != "" && who.Device != q.Posture.DeviceID:
		return Decision{Verdict: SignIn, Reason: DeviceChanged}
	}
	at, lastKnown := q.evidence()
	blocking, warned := q.divide(need.Device.Assess(at, q.Now))
	d := Decision{Verdict: Deny, Failed: blocking}
	if len(blocking) > 0 {
		d.Reason = blocking[0].Reason()
	} else {
		d = q.beyond()
	}
	d.Warned, d.Weighed = warned, !lastKnown && at.Known(q.Now) && at.Assurance >= need.Device.MinAssurance
	if lastKnown {
		d.LastKnown = at.AssertedAt
	}
	return d
}

// beyond decides what is left to ask once session and device are fit.
func (q *Question) beyond() Decision {
	need, who := &q.Require, q.Session
	if !overlap(need.Allow, who.Roles) {
		return Decision{Verdict: Deny, Reason: NoRole}
	}
	for _, d := range need.Demands {
		if len(d.Roles) > 0 && !overlap(d.Roles, who.Roles) {
			return Decision{Verdict: Deny, Reason: NoRole, Rule: d.Rule}
		}
	}
	for _, d := range need.Demands {
		if d.Login != nil && !d.Login.Of(who.Subject.Issuer).ProvenBy(who.ACR, who.AMR) {
			return Decision{Verdict: StepUp, Reason: WeakLogin, Rule: d.Rule}
		}
	}
	judged := q.Judged
	if judged.IsZero() {
		judged = q.Now
	}
	for _, d := range need.Demands {
		// A sign-in of the future has no age: this machine's clock went back.
		if d.Within > 0 && (judged.Sub(who.FreshAt) > d.Within || who.FreshAt.After(q.Now.Add(maxAhead))) {
			return Decision{Verdict: StepUp, Reason: OldLogin, Rule: d.Rule}
		}
	}
	for _, d := range need.Demands {
		if d.EachTime && !q.Once {
			return Decision{Verdict: StepUp, Reason: OnceUsed, Rule: d.Rule}
		}
	}
	met := Decision{Verdict: Allow, Reason: AllMet, granted: true, session: who}
	if len(need.Demands) > 0 {
		met.Rule = need.Demands[0].Rule
	}
	return met
}
