package access

import "time"

// An EventKind is the kind of an audit record.
type EventKind string

const (
	EventAccess       EventKind = "access"
	EventOutcome      EventKind = "outcome"
	EventSignIn       EventKind = "sign_in"
	EventSignOut      EventKind = "sign_out"
	EventStepUp       EventKind = "step_up"
	EventLock         EventKind = "lock"
	EventUnlock       EventKind = "unlock"
	EventSessionEnded EventKind = "session_ended"
	EventConfig       EventKind = "config"
	EventStart        EventKind = "start"
	EventStop         EventKind = "stop"
	EventCheckpoint   EventKind = "checkpoint"
	EventSecurity     EventKind = "security"
)

// An Event is one thing that happened, as the audit trail keeps it. Fields
// that do not apply stay zero and are left out. It never holds a token, a
// cookie, a query string or a body.
type Event struct {
	Kind    EventKind
	Time    time.Time // zero: when it is recorded
	Verdict string    // a [Verdict]'s word; "" when nothing was decided
	Reason  Reason    // a fixed word; of start, stop, config and security records too
	Route   string
	Rule    string
	Host    string
	Method  string
	Path    string // as received, without the query
	Status  int    // of the answer, in outcome records

	Session *Session // whose; nil when nobody is signed in
	Client  string   // service account

	Posture   *Posture // of the device; nil: nothing is known
	Failed    []Failure
	Warned    []Failure // let through until their Deadline
	LastKnown time.Time // when the facts that were judged were stated, in the silence of their source; zero: by this request

	Judged time.Time // of a request that was held: when the age of its sign-in is judged; in access records

	Observed []Observation // rules under observe that would have decided otherwise

	Patient   string
	SourceIP  string
	RequestID string
	TraceID   string
	SpanID    string // the request's own span; in access records
	Sampled   bool   // the trace is kept

	PurposeOfUse string      // why, as the route says: a code of HL7's v3-ActReason; in access records
	Disclosure   *Disclosure // what the route says of who is told; in access records, nil: nobody outside
	Detail       string      // for start, stop, config, lock and security records: what, in a few fixed words; never what a client wrote
}

// A Disclosure says to whom outside a route lets patients' data go, and why:
// what a patient who asks is told (45 CFR 164.528(b)).
type Disclosure struct {
	Recipient string `json:"recipient"`
	Purpose   string `json:"purpose"`
}

// An Observation is what a rule under `observe` would have decided.
type Observation struct {
	Rule    string `json:"rule"`
	Verdict string `json:"verdict"`
	Reason  Reason `json:"reason"`
}
