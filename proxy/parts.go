package proxy

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/netip"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

// Sessions finds the session a request belongs to, and keeps it going.
type Sessions interface {
	// Find looks only at what is in memory.
	Find(r *http.Request, host string, now time.Time) Found
	// Use notes that p used a route with these limits; active counts as activity.
	Use(ctx context.Context, p Person, limits access.Limits, active bool, now time.Time) error
	// Spend uses up what [Person.Once] looks at; of many callers one wins.
	Spend(ctx context.Context, p Person, method, host, target string, now time.Time) (bool, error)
	Pin(ctx context.Context, p Person, device string) error
	// End ends one session, and EndDevice every session of a device.
	End(ctx context.Context, session string, why access.Reason) error
	EndDevice(ctx context.Context, device string, why access.Reason) error
	// Remember notes the cookies that a backend set in p's session.
	Remember(p Person, realm string, set []*http.Cookie)
}

// Found is what a request's cookies say of its session. The zero Found is nobody.
type Found struct {
	Person  Person // nil: nobody is signed in
	EndedAt time.Time
	EndedID string // the session of this browser that ended at EndedAt
	EndedOf access.Subject
	Bad     string // a word for a cookie that was refused; "" when none was
}

// A Person is a session in the keeper's view, read anew at each call.
type Person interface {
	Value(now time.Time) access.Session // without roles
	LockedSince(now time.Time) time.Time
	Once(method, host, target string, now time.Time) bool
	Owns(realm, name, value string) bool // whether this session's backend set the cookie
}

// Held keeps a request while its person proves themselves.
type Held interface {
	Hold(ctx context.Context, h HeldRequest) (id string, err error) // ErrHeldFull, ErrHeldTooLarge
	Redeem(ctx context.Context, token string) (HeldRequest, error)  // ErrHeldGone
	// Token returns the release token that a body consists of.
	Token(contentType string, body []byte) (string, bool)
}

// A HeldRequest is a request as it was when it was refused.
type HeldRequest struct {
	Session, Host, Route, Rule, Origin, Method, Target string
	Subject                                            access.Subject
	Header                                             http.Header
	Body                                               []byte

	// Set by Redeem: the session that proved itself, when, and whether by a
	// sign-in made for this request alone.
	Proven string
	Judged time.Time
	Once   bool
}

// Audit writes the audit trail; when durable it returns after the record is on disk.
type Audit interface {
	Record(ctx context.Context, e *access.Event, durable bool) error
}

// Devices reads what is known of the device behind a request. An error means
// that a trusted sender's statement can be read two ways.
type Devices interface {
	Read(from Peer, h http.Header, now time.Time) (access.Posture, error)
	Latest(device string) (access.Posture, bool)
	// Admit returns an error when from, on a listener of senders, is none of
	// them any more: it was, or there would be no connection.
	Admit(from Peer, now time.Time) error
}

// A Peer is the other end of a connection, as the listener that took it knows it.
type Peer struct {
	Addr     netip.Addr
	Listener string              // "" is that of browsers; else one of senders
	Chain    []*x509.Certificate // what it showed in the handshake, leaf first
}

// Grace remembers since when devices fail the checks that they may fail for a while.
type Grace interface {
	// Of looks only at what is in memory. It reports false when nothing can be
	// remembered of the device.
	Of(device string) (lapses []access.Lapse, room bool)
	// Note takes in that checks were weighed, and returns at once.
	Note(device string, checks []access.Check, failed []access.Failure, now time.Time)
}

// Tracer opens the span of a request once its verdict is known.
type Tracer interface {
	Open(ctx context.Context, o Opening) Trace
}

// An Opening is what a span says of a request.
type Opening struct {
	Start       time.Time
	Method      string
	Route       string
	Decision    access.Decision
	Session     *access.Session
	Assurance   access.Assurance
	RequestID   string
	Traceparent string // from a trusted proxy; else ""
}

// A Trace is one request's span, sampled or not.
type Trace interface {
	TraceID() string
	Traceparent() string
	Exemplar() string      // TraceID where the spans are kept, else ""
	Backend(h http.Header) // begins the backend call and names it in the outgoing headers
	BackendDone(status int, err error)
	End(status int)
}

// Meter counts.
type Meter interface {
	Done(route string, d access.Decision, status int, total, backend time.Duration, exemplar string)
	Observed(route string, o access.Observation)
	HeadersDropped(n int)
	Security(reason string)
	Limited(limit string)
	AuditFailed()
	Streams(change int)
}

// Signer makes the signed assertion that tells a backend who was let through.
type Signer interface {
	Assertion(g access.Grant, p access.Posture, route, audience string, ttl time.Duration, now time.Time) (string, error)
	Value(word string, g access.Grant, p access.Posture) string
	JWKS() []byte
}

// Desk serves the endpoints that move browsers through sign-in.
type Desk interface {
	// Serve answers a request under /.anteroom/ on a known host.
	Serve(w http.ResponseWriter, r *http.Request, at Place)
	// Link returns where a browser goes to make j, and sets the cookie that binds it.
	Link(w http.ResponseWriter, r *http.Request, j access.Journey) string
}

// A Place is where a request under /.anteroom/ arrived, and from whom.
type Place struct {
	Host, RequestID, SourceIP string
	Device                    access.Posture
	Warnings                  []access.Warning // until when the device may go on as it is
}

// Words writes the gateway's own pages and problems.
type Words interface {
	Write(w http.ResponseWriter, p pages.Page)
	Assets() http.Handler
}
