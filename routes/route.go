// Package routes matches a request to the route that governs it, and to the
// rules of that route that ask for more.
package routes

import (
	"net/netip"
	"net/url"
	"time"

	"github.com/anteroom/anteroom/access"
)

// A Route is one protected place: who may enter, and the backend behind it.
type Route struct {
	Name   string
	Host   string // lower case, no port, no trailing dot
	Prefix string // "/" or "/a/b", without a trailing slash; matched on segment boundaries

	Backend   *Backend
	Providers []string // the names of those that sign people in here
	Issuers   []string // theirs: no other's sign-in counts

	Public bool
	Allow  []string       // roles; the only grant there is
	Device access.Profile // its zero value admits no device

	Session        access.Limits // tightens the session; zero fields leave it
	Methods        []string
	Origins        []string  // canonical origins whose scripts and WebSockets may call
	Background     []Pattern // requests that are no activity
	ServiceWorkers bool      // lets the application register service workers
	Patient        Patient
	Rules          []Rule
	AuditDeny      bool // what cannot be recorded is not forwarded

	PurposeOfUse string             // recorded: a code of HL7's v3-ActReason; "" says nothing
	Disclosure   *access.Disclosure // recorded: to whom outside it lets data go; nil: to nobody
}

// A Backend is the server behind a route, and how it is told who is there.
type Backend struct {
	URL        *url.URL         // scheme, host and port
	Own        []netip.AddrPort // where the gateway listens: whatever URL's name leads to, not there
	CAFile     string           // PEM; "" trusts the system's roots
	HostHeader string           // "" keeps the client's Host
	Timeout    time.Duration
	MaxBody    int64 // bytes

	Headers   []IdentityHeader
	Assertion Assertion

	ForwardAuthorization bool // the client's Authorization header goes on
	Tolerate             Tolerance
}

// An IdentityHeader is a plain header and the word whose value it carries.
type IdentityHeader struct {
	Header string // canonical form
	Value  string // one of [IdentityValues]
}

// IdentityValues lists the words that an identity header may carry.
func IdentityValues() []string {
	return []string{"username", "name", "roles", "sub", "issuer", "acr", "session", "device"}
}

// An Assertion says how a backend is sent the signed assertion; an empty Header sends none.
type Assertion struct {
	Header   string
	Audience string
	TTL      time.Duration
}

// A Tolerance names ambiguous path spellings that a backend needs.
type Tolerance struct {
	PathParams   bool // ;name=value
	DoubleSlash  bool // //
	EncodedSlash bool // %2F
}

// A Rule asks more of some of its route's requests. It never grants.
type Rule struct {
	When        When
	Demand      access.Demand
	KeepRequest int64 // bytes of body that are held over a step-up; 0 keeps none
	Observe     bool  // decided, recorded and counted, not enforced
}

// A When says which requests a rule is about; every part that is set must
// match. Paths are compared without regard to case: a rule only asks for more.
type When struct {
	Methods []string          // none: any; HEAD is judged as GET
	Path    *Pattern          // nil: any
	Query   map[string]string // parameter and value; "*" any value
	Fields  []string          // JSON pointers, or form names with a leading slash; any of them, in the body or the query
}

// A Patient says where a request names the patient. At most one is set.
type Patient struct {
	Path  *Pattern // with one {patient} segment
	Query string   // a query parameter
	Form  string   // a form field
}
