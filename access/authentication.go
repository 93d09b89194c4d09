package access

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A Subject names a person for good: the pair of issuer and sub (OpenID
// Connect Core 1.0, section 2). An email address or a user name does not.
type Subject struct {
	Issuer string `json:"issuer"`
	Sub    string `json:"sub"`
}

// An Authentication is what a provider's ID token proved of a person.
type Authentication struct {
	Subject  Subject
	Username string   // for display and for backends that want one
	Name     string   // for display
	Groups   []string // as the provider names them
	ACR      string   // authentication context class; several stand apart by blanks; "" when not said
	AMR      []string // authentication methods (RFC 8176)

	AuthTime time.Time // the auth_time claim, by the provider's clock; zero when not said
	// FreshAt is AuthTime on this machine's clock: the moment of the callback
	// less the age that the provider gave (iat less auth_time). Ages are
	// measured from here, so that two clocks a minute apart do no harm.
	FreshAt time.Time
}

// Display returns what a page calls the person: their name, else their user
// name, else the sub.
func (a Authentication) Display() string {
	return cmp.Or(a.Name, a.Username, a.Subject.Sub)
}

// A Session is one person's sign-in as a decision sees it: plain values, read once.
type Session struct {
	ID string // names the session in records; opens nothing
	Authentication
	Roles   []string  // held by the person under the configuration in force
	Device  string    // the device it is pinned to; "" while none was reported
	Ended   bool      // signed out, or ended from outside
	Locked  bool      // locked from outside, or seen past its deadline
	LocksAt time.Time // idle deadline: locked from here on
	EndsAt  time.Time // the earlier of idle end and overall maximum
}

// Limits are the three clocks of a session. Zero means not said.
type Limits struct {
	LockAfter time.Duration // idle time until it locks
	EndAfter  time.Duration // idle time until it ends
	Max       time.Duration // age at which it ends whatever its person does
}

// Tighten returns the tighter of l and other, clock by clock.
func (l Limits) Tighten(other Limits) Limits {
	return Limits{
		LockAfter: tighter(l.LockAfter, other.LockAfter),
		EndAfter:  tighter(l.EndAfter, other.EndAfter),
		Max:       tighter(l.Max, other.Max),
	}
}

func tighter(a, b time.Duration) time.Duration {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}

// A Login is a word of the configuration for a strength of sign-in: it is
// proven by any of the listed acr values, or any of the listed amr values.
// The zero Login cannot be proven.
type Login struct {
	Name string
	ACR  []string
	AMR  []string
	Ask  []string // acr values to ask for, the most wanted first; none: those of ACR

	// By says, for each issuer, what proves it there. When it is not nil, ACR,
	// AMR and Ask of the Login itself count for nobody: a word of one provider
	// means nothing from another.
	By map[string]Login
}

// Of returns l as issuer can prove it. It cannot be proven when l says nothing
// of that issuer.
func (l Login) Of(issuer string) Login {
	if l.By == nil {
		return l
	}
	there := l.By[issuer]
	return Login{Name: l.Name, ACR: there.ACR, AMR: there.AMR, Ask: there.Ask}
}

// Asks returns the acr values to ask a provider for, of a Login that is one
// issuer's.
func (l Login) Asks() []string {
	if len(l.Ask) > 0 {
		return l.Ask
	}
	return l.ACR
}

// ProvenBy reports whether an ID token with this acr and amr proves l, which is
// one issuer's.
func (l Login) ProvenBy(acr string, amr []string) bool {
	if l.By != nil {
		return false
	}
	for one := range strings.SplitSeq(acr, " ") {
		if one != "" && slices.Contains(l.ACR, one) {
			return true
		}
	}
	return overlap(l.AMR, amr)
}

func overlap(a, b []string) bool {
	for _, x := range a {
		if x != "" && slices.Contains(b, x) {
			return true
		}
	}
	return false
}
