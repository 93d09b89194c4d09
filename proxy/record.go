package proxy

import (
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
)

// record opens the span of a decision and writes it down, before anything is
// forwarded: on disk first where a rule applied.
func (x *exchange) record(d access.Decision) error {
	x.open(d)
	durable := len(x.need.Demands) > 0 || x.released != nil
	if err := x.g.Audit.Record(x.background(), x.event(access.EventAccess), durable); err != nil {
		x.g.Meter.AuditFailed()
		x.g.Log.Error("record a decision", "error", err, "route", x.routeName(), "request_id", x.id)
		return err
	}
	x.recorded = true
	return nil
}

func (x *exchange) open(d access.Decision) {
	x.trace = x.g.Tracer.Open(x.r.Context(), Opening{
		Start: x.now, Method: x.method(), Route: x.routeName(), Decision: d, Session: x.session,
		Assurance: x.posture.Assurance, RequestID: x.id, Traceparent: x.trusted,
	})
}

// method returns the request's method, or a fixed word for one that nobody
// knows: a client must not choose what records and spans are called.
func (x *exchange) method() string {
	if knownMethod(x.r.Method) {
		return x.r.Method
	}
	return "OTHER"
}

func (x *exchange) routeName() string {
	if x.route == nil {
		return ""
	}
	return x.route.Name
}

// event returns a record of what is known of the request so far.
func (x *exchange) event(kind access.EventKind) *access.Event {
	e := &x.noted // no record outlives the call that writes it
	*e = access.Event{
		Kind: kind, Verdict: x.decision.Verdict.String(), Reason: x.decision.Reason, Rule: x.decision.Rule,
		Route: x.routeName(), Host: x.req.Host, Method: x.method(), Path: routes.CutParams(x.req.Path.Escaped),
		Session: x.session, Posture: &x.posture, Failed: x.decision.Failed,
		Warned: x.decision.Warned, LastKnown: x.decision.LastKnown, Patient: x.patient,
		RequestID: x.id,
	}
	if e.Host == "" { // refused before its host was looked at
		host, err := canonicalHost(x.r.Host)
		if err != nil {
			host = clip(x.r.Host)
		}
		e.Host = host
	}
	if e.Path == "" {
		e.Path = clip(routes.CutParams(x.r.URL.EscapedPath()))
	}
	if x.from.IsValid() {
		e.SourceIP = x.sourceIP()
	}
	if x.trace != nil {
		e.TraceID = x.trace.TraceID()
	}
	if kind != access.EventAccess {
		return e
	}
	e.Observed = x.observed
	if x.released != nil {
		e.Judged = x.released.Judged
	}
	if x.route != nil {
		e.PurposeOfUse, e.Disclosure = x.route.PurposeOfUse, x.route.Disclosure
	}
	if x.trace != nil {
		// version-trace-parent-flags, W3C Trace Context section 3.2
		if parent := x.trace.Traceparent(); len(parent) == 55 {
			e.SpanID, e.Sampled = parent[36:52], parent[54] == '1'
		}
	}
	return e
}

// sourceIP returns the client's address as text.
func (x *exchange) sourceIP() string {
	if x.origin == "" {
		if host, _, ok := strings.Cut(x.r.RemoteAddr, ":"); ok && x.from == x.peer && x.from.Is4() && host[0] != '[' {
			x.origin = host // as it would be written anew
		} else {
			x.origin = x.from.String()
		}
	}
	return x.origin
}

// clip bounds what a refused request may put into a record.
func clip(s string) string { return s[:min(len(s), 2048)] }

// security records something that smells of an attack.
func (x *exchange) security(reason string) {
	x.g.Meter.Security(reason)
	e := x.event(access.EventSecurity)
	e.Verdict, e.Reason, e.Detail = "", access.Reason(reason), ""
	if e.Session == nil && x.found.Person != nil {
		s := x.found.Person.Value(x.now)
		e.Session = &s
	}
	if err := x.g.Audit.Record(x.background(), e, false); err != nil {
		x.g.Meter.AuditFailed()
		x.g.Log.Error("record a security event", "error", err, "reason", reason, "request_id", x.id)
	}
}

// unrecorded settles a request whose decision could not be written down.
func (x *exchange) unrecorded(err error) {
	grant, ok := x.decision.Grant()
	if !ok {
		x.answer(x.decision)
		return
	}
	if x.route.AuditDeny {
		x.w.Header().Set("Retry-After", "5")
		x.say(answers[cannotRecord], "", nil)
		return
	}
	x.g.Log.Warn("forwarded without a record", "route", x.route.Name, "request_id", x.id, "error", err)
	x.forward(grant)
}

// preflight answers a browser's question about another origin. Nobody's
// identity is looked at, and the backend is not asked.
func (x *exchange) preflight() {
	origin := x.r.Header.Get("Origin")
	ok := origin == x.state.origin(x.req.Host) || listed(origin, x.route.Origins)
	x.decision = access.Decision{Verdict: access.Deny, Reason: access.BadRequest}
	if ok {
		x.decision = access.Decision{Verdict: access.Allow, Reason: access.Public}
	}
	if err := x.record(x.decision); err != nil && x.route.AuditDeny {
		x.say(answers[cannotRecord], "", nil)
		return
	}
	if !ok {
		x.say(answers[foreign], "", nil)
		return
	}
	h := x.w.Header()
	x.allowOrigin()
	h.Set("Access-Control-Allow-Methods", joinMethods(x.route.Methods))
	if asked := x.r.Header.Get("Access-Control-Request-Headers"); asked != "" && cleanTokens(asked) {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	x.w.WriteHeader(http.StatusNoContent)
}

// allowOrigin lets the script of a listed origin read the answer.
func (x *exchange) allowOrigin() {
	if x.route == nil {
		return
	}
	origin := x.r.Header.Get("Origin")
	if !listed(origin, x.route.Origins) {
		return
	}
	h := x.w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Add("Vary", "Origin")
}
