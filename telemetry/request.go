package telemetry

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/anteroom/anteroom/access"
)

// The names of the contract.
const (
	routeKey     = attribute.Key("anteroom.route")
	ruleKey      = attribute.Key("anteroom.rule")
	verdictKey   = attribute.Key("anteroom.verdict")
	reasonKey    = attribute.Key("anteroom.reason")
	assuranceKey = attribute.Key("anteroom.device.assurance")
	requestIDKey = attribute.Key("anteroom.request_id")
	pseudonymKey = semconv.EnduserPseudoIDKey
	sessionKey   = semconv.SessionIDKey
	rolesKey     = semconv.UserRolesKey
	methodKey    = semconv.HTTPRequestMethodKey
	statusKey    = semconv.HTTPResponseStatusCodeKey
)

// An Opening is what is known of a request once its verdict is.
type Opening struct {
	Start       time.Time // when the request came in
	Method      string    // one that the gateway lists; another is named _OTHER
	Route       string    // its name; "" when no route matched
	Rule        string
	Verdict     access.Verdict
	Reason      access.Reason
	Session     *access.Session // nil: nobody is signed in
	Assurance   access.Assurance
	RequestID   string
	Traceparent string // of a trusted proxy; "" begins a trace
	Link        string // the traceparent of a request that this one goes on from
	Force       bool   // sampled whatever the verdict: emergency access
}

// A Request is one request's trace: a server span and a client span where it
// is sampled, ids where it is not. It is used by one goroutine at a time.
type Request struct {
	telemetry *Telemetry
	method    string
	requestID string
	ids       ids          // of the server span
	client    trace.SpanID // of the client span
	called    bool         // the call to the backend has begun
	named     [1]string    // the traceparent of the client span, as a header's value
	sampled   bool
	server    trace.Span // nil: not recorded, or ended
	backend   trace.Span // nil: not recorded, not begun or ended
}

// Open begins the trace of a request whose verdict is known, with its true
// start. Refusals, step-ups and forced ones are always sampled; others as the
// trusted proxy decided, or by their share.
func (t *Telemetry) Open(ctx context.Context, o Opening) *Request {
	parent, continued := parseTraceparent(o.Traceparent)
	r := &Request{telemetry: t, method: method(o.Method), requestID: o.RequestID, ids: ids{trace: parent.TraceID(), span: newSpanID()}}
	if !continued {
		r.ids.trace = newTraceID()
	}
	r.client = newSpanID()
	if t.tracer == nil {
		r.named[0] = formatTraceparent(r.ids.trace, r.client, false)
		return r
	}
	switch {
	case o.Force || o.Verdict != access.Allow:
		r.sampled = true
	case continued:
		r.sampled = parent.IsSampled()
	default:
		// the same number that the SDK's TraceIDRatioBased compares
		r.sampled = binary.BigEndian.Uint64(r.ids.trace[8:])>>1 < t.bound
	}
	r.named[0] = formatTraceparent(r.ids.trace, r.client, r.sampled)
	if r.sampled {
		r.server = t.serverSpan(context.WithoutCancel(ctx), r, &o, parent)
	}
	return r
}

func (t *Telemetry) serverSpan(ctx context.Context, r *Request, o *Opening, parent trace.SpanContext) trace.Span {
	attrs := make([]attribute.KeyValue, 0, 12)
	attrs = append(attrs,
		methodKey.String(r.method),
		verdictKey.String(o.Verdict.String()),
		reasonKey.String(string(o.Reason)),
		assuranceKey.String(o.Assurance.String()),
		requestIDKey.String(o.RequestID))
	name := r.method
	if o.Route != "" {
		name += " " + o.Route
		attrs = append(attrs, routeKey.String(o.Route))
	}
	if o.Rule != "" {
		attrs = append(attrs, ruleKey.String(o.Rule))
	}
	if s := o.Session; s != nil {
		attrs = append(attrs, sessionKey.String(s.ID), pseudonymKey.String(t.pseudonym(s.Subject)))
		if len(s.Roles) > 0 {
			attrs = append(attrs, rolesKey.StringSlice(s.Roles))
		}
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...)}
	if !o.Start.IsZero() {
		options = append(options, trace.WithTimestamp(o.Start))
	}
	if link, ok := parseTraceparent(o.Link); ok {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: link}))
	}
	ctx = trace.ContextWithSpanContext(ctx, parent) // an invalid one makes a root
	_, span := t.tracer.Start(context.WithValue(ctx, chosenKey{}, r.ids), name, options...)
	return span
}

// pseudonym names a subject without saying who it is. It is the same for as
// long as the key is.
func (t *Telemetry) pseudonym(s access.Subject) string {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte(s.Issuer))
	h.Write([]byte{0})
	h.Write([]byte(s.Sub))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// method keeps names bounded, as the semantic conventions ask.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return "_OTHER"
}

// TraceID returns the trace's id in hexadecimal, sampled or not.
func (r *Request) TraceID() string { return r.named[0][3:35] }

// Traceparent returns what names the server span to others, as a link or a parent.
func (r *Request) Traceparent() string { return formatTraceparent(r.ids.trace, r.ids.span, r.sampled) }

// Sampled reports whether the request's spans are kept.
func (r *Request) Sampled() bool { return r.sampled }

// Exemplar returns the trace's id where its spans are kept, and "" where
// nobody could look it up.
func (r *Request) Exemplar() string {
	if r.sampled {
		return r.TraceID()
	}
	return ""
}

// Logger returns l with the ids that lead from a line to the trace, the page
// and the audit record.
func (r *Request) Logger(l *slog.Logger) *slog.Logger {
	return l.With("request_id", r.requestID, "trace_id", r.TraceID())
}

// Backend begins the call to the backend. There is one for each request; a
// second call changes nothing.
func (r *Request) Backend() {
	if r.called {
		return
	}
	r.called = true
	if r.server == nil {
		return
	}
	ctx := context.WithValue(trace.ContextWithSpan(context.Background(), r.server), chosenKey{}, ids{r.ids.trace, r.client})
	_, r.backend = r.telemetry.tracer.Start(ctx, r.method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(methodKey.String(r.method)))
}

// Inject makes h name this trace to the backend, and takes from it what a
// client or a proxy said of traces of their own.
func (r *Request) Inject(h http.Header) {
	delete(h, "Tracestate")
	delete(h, "Baggage")
	if !r.called {
		h["Traceparent"] = []string{r.Traceparent()}
		return
	}
	h["Traceparent"] = r.named[:]
}

// EndBackend ends the call to the backend: with its status, or 0 and the error
// why there is none. Of the error only that there was one is kept, since its
// text may hold a URL.
func (r *Request) EndBackend(status int, err error) {
	if r.backend == nil {
		return
	}
	end(r.backend, status, err != nil || status >= 400) // a client span fails from 400 on
	r.backend = nil
}

// End ends the request with the status that the client was sent; 0 when it was
// sent none. A call to the backend that is still open ends too.
func (r *Request) End(status int) {
	r.EndBackend(0, nil)
	if r.server == nil {
		return
	}
	end(r.server, status, status >= 500)
	r.server = nil
}

func end(span trace.Span, status int, failed bool) {
	if status > 0 {
		span.SetAttributes(statusKey.Int(status))
	}
	if failed {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// SignIn begins a span of a sign-in, such as "sign-in callback", with a link to
// the request that began it (a traceparent; another text links to nothing).
// name must be a fixed one. The span is always sampled. It ends with the
// outcome, a fixed word, and whether that is an error.
func (t *Telemetry) SignIn(ctx context.Context, name, link string) (end func(outcome access.Reason, failed bool)) {
	if t.tracer == nil {
		return func(access.Reason, bool) {}
	}
	options := []trace.SpanStartOption{trace.WithNewRoot()}
	if from, ok := parseTraceparent(link); ok {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	_, span := t.tracer.Start(ctx, name, options...)
	return func(outcome access.Reason, failed bool) {
		span.SetAttributes(reasonKey.String(string(outcome)))
		if failed {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
