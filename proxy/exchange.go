package proxy

import (
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
)

// An exchange is one request and what became of it so far.
type exchange struct {
	g     *Gateway
	state *State
	w     *answered
	r     *http.Request
	now   time.Time
	id    string     // the request id
	shown [1]string  // id, as a header's value
	peer  netip.Addr // of the TCP connection
	from  netip.Addr // of the client, behind trusted proxies

	listener string // "" is that of browsers; else one of senders

	req        routes.Request
	navigation bool
	trusted    string // the traceparent of a trusted proxy

	route    *routes.Route
	place    place
	posture  access.Posture
	last     *access.Posture // what its source last said of the device, when it is silent now
	found    Found
	session  *access.Session // nil: nobody; else person
	person   access.Session
	released *HeldRequest // what a release token stood for
	body     *paced       // the client's own; nil when there is none
	fullBody []byte       // the body, once all of it was read
	whole    bool         // fullBody is the whole body
	need     routes.Need
	patient  string
	observed []access.Observation

	decision access.Decision
	instead  string // what was answered in place of what was allowed, for the record; "": nothing
	trace    Trace
	recorded bool
	backend  time.Duration
	after    func() // what goes on when the handler has returned; nil: nothing

	sent     answered     // what w is
	noted    access.Event // what event returns
	origin   string       // what sourceIP returns
	lasting  lasting      // what background returns
	carriage carriage
}

// begin gives the request its id and takes what it says of itself.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{g: g, state: g.state.Load(), r: r, now: g.now(), id: requestID()}
	x.sent = answered{ResponseWriter: w, x: x}
	x.w = &x.sent
	x.shown[0] = x.id
	x.peer = peerOf(r)
	x.from = source(x.peer, r.Header, x.state.TrustedProxies)
	x.navigation = isNavigation(r)
	if contains(x.state.TrustedProxies, x.peer) {
		x.trusted = r.Header.Get("Traceparent")
	}
	h := w.Header()
	h["X-Request-Id"] = x.shown[:]
	if x.state.HSTS {
		h["Strict-Transport-Security"] = hsts
	}
	return x
}

// hsts is shared by all answers: whoever adds to it makes a copy.
var hsts = []string{"max-age=63072000"}

// requestID names a request. It is no secret, only unlikely to come twice.
func requestID() string {
	var raw [12]byte
	a, b := rand.Uint64(), rand.Uint32()
	for i := range 8 {
		raw[i] = byte(a >> (8 * i))
	}
	for i := range 4 {
		raw[8+i] = byte(b >> (8 * i))
	}
	return hex.EncodeToString(raw[:])
}

// admit refuses what no sign-in can mend, and deletes what no client may send.
func (x *exchange) admit() *refusal {
	r := x.r
	if x.state.protection.connectionNames(r.Header) {
		x.security("connection_header")
		return refuse(badRequest, "connection header")
	}
	if n := x.state.protection.strip(r.Header); n > 0 {
		x.g.Meter.HeadersDropped(n)
	}
	if !slices.Contains(x.route.Methods, x.req.Method) && !isPreflight(r) {
		return refuse(methodNotAllowed, "method")
	}
	if limit := x.route.Backend.MaxBody; limit > 0 {
		if r.ContentLength > limit {
			return refuse(tooLarge, "body")
		}
		if r.ContentLength != 0 {
			r.Body = http.MaxBytesReader(x.w, r.Body, limit)
		}
	}
	x.pace()
	if isServiceWorker(r) && !x.route.ServiceWorkers {
		return refuse(foreign, "service worker")
	}
	return x.checkUpgrade()
}

// unwrap looks whether the request is a release: then the request that was held
// takes its place, and is judged anew like any other.
func (x *exchange) unwrap() *refusal {
	r := x.r
	if r.Method != http.MethodPost || r.ContentLength < 1 || r.ContentLength > maxRelease {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return x.unread(err)
	}
	x.setBody(body)
	token, ok := x.g.Held.Token(r.Header.Get("Content-Type"), body)
	if !ok {
		return nil // the application's own
	}
	if !fromOrigin(r, x.state.origin(x.req.Host), nil) {
		return refuse(foreign, "origin of a release")
	}
	held, err := x.g.Held.Redeem(x.background(), token)
	switch {
	case errors.Is(err, ErrHeldGone):
		return refuse(alreadySent, "release")
	case err != nil:
		x.g.Log.Error("redeem a held request", "error", err, "request_id", x.id)
		return refuse(unavailable, "held")
	}
	if held.Host != x.req.Host || held.Target != x.req.Target() || held.Method != r.Method {
		x.security("release_mismatch")
		return refuse(alreadySent, "release")
	}
	if p := x.found.Person; p == nil || p.Value(x.now).ID != held.Proven || p.Value(x.now).Subject != held.Subject {
		x.security("release_mismatch")
		return refuse(alreadySent, "release")
	}
	for _, name := range heldHeaders {
		delete(r.Header, name)
		if v, ok := held.Header[name]; ok {
			r.Header[name] = v
		}
	}
	x.released = &held
	x.setBody(held.Body)
	return nil
}

// maxRelease is the greatest body that may be a release.
const maxRelease = 128

// Errors of [Held].
var (
	ErrHeldGone     = errors.New("proxy: no such held request")
	ErrHeldFull     = errors.New("proxy: too many held requests")
	ErrHeldTooLarge = errors.New("proxy: too large to hold")
)

// ask gathers in q what the decision depends on.
func (x *exchange) ask(q *access.Question) {
	q.Require, q.Posture, q.Now = x.need.Requirement, x.posture, x.now
	x.recall(q, x.posture.DeviceID)
	if p := x.found.Person; p != nil {
		x.person = p.Value(x.now)
		x.person.Roles = x.state.RolesOf(x.person.Subject.Issuer, x.person.Groups)
		x.session = &x.person
		q.Session = x.session
		if x.need.EachTime() {
			q.Once = p.Once(x.req.Judged(), x.req.Host, x.req.Target(), x.now)
		}
	} else if !x.found.EndedAt.IsZero() {
		// Nobody, but not a stranger: this browser's session ended.
		q.Session = &access.Session{ID: x.found.EndedID, Authentication: access.Authentication{Subject: x.found.EndedOf}, Ended: true}
	}
	if h := x.released; h != nil {
		q.Judged, q.Once = h.Judged, q.Once || h.Once
	}
}

// spend uses up the evidence of a sign-in made for this one request, where the
// request changes something: two that come at once find it once. A page may be
// loaded again for as long as the evidence lasts.
func (x *exchange) spend(q *access.Question, d access.Decision) access.Decision {
	if d.Verdict != access.Allow || !x.need.EachTime() || x.released != nil || isSafe(x.req.Method) {
		return d
	}
	won, err := x.g.Sessions.Spend(x.background(), x.found.Person, x.req.Judged(), x.req.Host, x.req.Target(), x.now)
	if err != nil {
		x.g.Log.Error("spend the evidence of a sign-in", "error", err, "request_id", x.id)
	}
	if won && err == nil {
		return d
	}
	q.Once = false
	return access.Decide(*q)
}

// decided acts on what a decision means for the session, whatever is answered.
func (x *exchange) decided(q *access.Question, d access.Decision) {
	x.decision = d
	if d.Weighed && x.graceful() {
		x.g.Grace.Note(x.posture.DeviceID, x.need.Device.Checks, slices.Concat(d.Failed, d.Warned), x.now)
	}
	if x.session != nil && d.Reason == access.DeviceChanged {
		x.security(string(access.DeviceChanged))
		x.end(x.g.Sessions.End(x.background(), x.session.ID, access.DeviceChanged))
	}
	if p := x.found.Person; p != nil && d.Verdict != access.SignIn && d.Verdict != access.Locked && d.Reason != access.Public {
		var limits access.Limits
		if d.Verdict == access.Allow {
			limits = x.route.Session
		}
		active := isActivity(x.r, x.navigation) && !x.route.IsBackground(&x.req)
		if err := x.g.Sessions.Use(x.background(), p, limits, active, x.now); err != nil {
			x.g.Log.Warn("note use of a session", "error", err, "request_id", x.id)
		}
		if x.session.Device == "" && x.posture.Known(x.now) {
			if err := x.g.Sessions.Pin(x.background(), p, x.posture.DeviceID); err != nil {
				x.g.Log.Warn("pin a session to its device", "error", err, "request_id", x.id)
			}
			x.session.Device = x.posture.DeviceID
		}
	}
	// After the pin, so that a session on its first request ends with the others.
	if len(d.Failed) > 0 && d.Failed[0].Hard && x.posture.DeviceID != "" {
		x.security(string(d.Reason))
		x.end(x.g.Sessions.EndDevice(x.background(), x.posture.DeviceID, d.Reason))
	}
	if len(x.need.Observed) > 0 {
		x.observe(q)
	}
}

// observe notes what the rules under `observe` would have decided.
func (x *exchange) observe(q *access.Question) {
	for _, demand := range x.need.Observed {
		would := *q
		would.Require.Demands = []access.Demand{demand}
		if o := access.Decide(would); o.Verdict != access.Allow && o.Rule == demand.Rule {
			seen := access.Observation{Rule: demand.Rule, Verdict: o.Verdict.String(), Reason: o.Reason}
			x.observed = append(x.observed, seen)
			x.g.Meter.Observed(x.route.Name, seen)
		}
	}
}

func (x *exchange) end(err error) {
	if err != nil {
		x.g.Log.Error("end a session", "error", err, "request_id", x.id)
	}
}

// finish records the outcome, closes the span and counts.
func (x *exchange) finish() {
	failure := recover()
	if failure != nil && failure != http.ErrAbortHandler {
		x.g.Log.Error("panic in a request", "panic", failure, "request_id", x.id, "stack", string(debug.Stack()))
		if x.w.status == 0 {
			x.g.fault(x)
		}
	}
	if x.outlive() {
		return
	}
	if x.r.ContentLength != 0 && x.r.ProtoMajor == 1 {
		// What nobody read of the body net/http still waits for, so that the
		// connection can go on. It need not wait for ever.
		http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(bodyRest))
	}
	status := x.w.status
	if status == 0 {
		status = http.StatusOK
	}
	if x.recorded {
		e := x.event(access.EventOutcome)
		e.Status = status
		e.Detail = x.instead
		if failure != nil {
			e.Detail = "cut short"
		}
		if err := x.g.Audit.Record(x.background(), e, false); err != nil {
			x.g.Meter.AuditFailed()
			x.g.Log.Error("record an outcome", "error", err, "request_id", x.id)
		}
	}
	exemplar := ""
	if x.trace != nil {
		x.trace.End(status)
		exemplar = x.trace.Exemplar()
	}
	name := ""
	if x.route != nil {
		name = x.route.Name
	}
	x.g.Meter.Done(name, x.decision, status, time.Since(x.now), x.backend, exemplar)
	if failure == http.ErrAbortHandler {
		panic(failure) // net/http cuts the connection: the client must not take half an answer for a whole one
	}
}

// answered remembers the status that was sent.
type answered struct {
	http.ResponseWriter
	status int
	x      *exchange
}

func (a *answered) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answered) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach Flush and Hijack.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }
