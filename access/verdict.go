// Package access holds the words that the other packages share, and the one
// decision that is made with them: [Decide], a pure function of values.
package access

// A Verdict is what becomes of a request. The zero value refuses it.
type Verdict uint8

const (
	Deny   Verdict = iota // refused; signing in again would not help
	Allow                 // forwarded
	SignIn                // nobody is signed in, or no longer
	StepUp                // signed in, but too weakly or too long ago for this
	Locked                // the same person must prove themselves again
)

var verdictWords = [...]string{"deny", "allow", "sign_in", "step_up", "locked"}

// String returns the verdict's word in records, tests and configuration.
func (v Verdict) String() string {
	if int(v) < len(verdictWords) {
		return verdictWords[v]
	}
	return verdictWords[Deny]
}

// ParseVerdict returns the verdict that word names, and whether it names one.
func ParseVerdict(word string) (Verdict, bool) {
	for i, w := range verdictWords {
		if w == word {
			return Verdict(i), true
		}
	}
	return Deny, false
}

// VerdictWords lists the words that [ParseVerdict] knows.
func VerdictWords() []string { return append([]string(nil), verdictWords[:]...) }

// A Reason is the fixed word for what settled a decision. Pages, problems,
// audit records, traces and tests all use it.
type Reason string

const (
	Public         Reason = "public"
	AllMet         Reason = "all_met"
	NoSession      Reason = "no_session"
	SessionEnded   Reason = "session_ended"
	SessionLocked  Reason = "session_locked"
	DeviceChanged  Reason = "device_changed"
	DeviceUnknown  Reason = "device_unknown"
	NoRole         Reason = "no_role"
	WeakLogin      Reason = "weak_login"
	OldLogin       Reason = "old_login"
	OnceUsed       Reason = "once_used"
	SubjectChanged Reason = "subject_changed"
	GroupsLeftOut  Reason = "groups_left_out" // the provider names too few of a person's groups to judge by
	OtherProvider  Reason = "other_provider"  // signed in, but at a provider that does not count here
	BadRequest     Reason = "bad_request"
)

// DeviceFailed is the reason of a posture check that was not met.
func DeviceFailed(check string) Reason { return Reason("device_" + check) }
