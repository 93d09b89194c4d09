package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/held"
	"github.com/anteroom/anteroom/inject"
	"github.com/anteroom/anteroom/posture"
	"github.com/anteroom/anteroom/proxy"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/signin"
	"github.com/anteroom/anteroom/telemetry"
)

// The proxy states what it needs as small interfaces; these are the parts in
// its words.

// sessions is a [session.Keeper] for the proxy.
type sessions struct{ *session.Keeper }

func (s sessions) Find(r *http.Request, host string, now time.Time) proxy.Found {
	f := s.Keeper.Find(r, host, now)
	out := proxy.Found{Bad: f.Bad}
	if f.Handle != nil {
		out.Person = f.Handle
	}
	if t := f.Tombstone; t != nil {
		out.EndedAt, out.EndedID, out.EndedOf = t.At, t.Session, t.Subject
	}
	return out
}

func (s sessions) Use(ctx context.Context, p proxy.Person, limits access.Limits, active bool, now time.Time) error {
	err := s.Keeper.Use(ctx, p.(*session.Handle), limits, active, now)
	if errors.Is(err, session.ErrEnded) || errors.Is(err, session.ErrLocked) {
		return nil // it happened since the decision; the next request is told
	}
	return err
}

func (s sessions) Spend(ctx context.Context, p proxy.Person, method, host, target string, now time.Time) (bool, error) {
	return s.Keeper.Spend(ctx, p.(*session.Handle), method, host, target, now)
}

func (s sessions) Pin(ctx context.Context, p proxy.Person, device string) error {
	err := s.Keeper.Pin(ctx, p.(*session.Handle), device)
	if errors.Is(err, session.ErrDevice) || errors.Is(err, session.ErrEnded) {
		return nil // two requests at once; the next one is judged by the device that won
	}
	return err
}

func (s sessions) EndDevice(ctx context.Context, device string, why access.Reason) error {
	_, err := s.EndWhere(ctx, func(v access.Session, _, _ string) bool { return v.Device == device }, why)
	return err
}

func (s sessions) Remember(p proxy.Person, realm string, set []*http.Cookie) {
	s.Keeper.Remember(p.(*session.Handle), realm, set)
}

// devices are [posture.Sources] for the proxy.
type devices struct{ *posture.Sources }

func (d devices) Read(from proxy.Peer, h http.Header, now time.Time) (access.Posture, error) {
	return d.Sources.Read(posture.Peer(from), h, now)
}

func (d devices) Admit(from proxy.Peer, now time.Time) error {
	return d.Sources.Admit(posture.Peer(from), now)
}

// requests is a [held.Keeper] for the proxy.
type requests struct{ *held.Keeper }

func (h requests) Hold(ctx context.Context, r proxy.HeldRequest) (string, error) {
	id, err := h.Keeper.Hold(ctx, held.Request{
		Session: r.Session, Subject: r.Subject, Host: r.Host, Route: r.Route, Rule: r.Rule,
		Origin: r.Origin, Method: r.Method, Target: r.Target, Header: r.Header, Body: r.Body,
	})
	switch {
	case errors.Is(err, held.ErrFull):
		return "", proxy.ErrHeldFull
	case errors.Is(err, held.ErrTooLarge):
		return "", proxy.ErrHeldTooLarge
	}
	return id, err
}

func (h requests) Redeem(ctx context.Context, token string) (proxy.HeldRequest, error) {
	r, p, err := h.Keeper.Redeem(ctx, token)
	if errors.Is(err, held.ErrGone) {
		return proxy.HeldRequest{}, proxy.ErrHeldGone
	}
	return proxy.HeldRequest{
		Session: r.Session, Subject: r.Subject, Host: r.Host, Route: r.Route, Rule: r.Rule,
		Origin: r.Origin, Method: r.Method, Target: r.Target, Header: r.Header, Body: r.Body,
		Proven: p.Session, Judged: p.Judged, Once: p.Once,
	}, err
}

func (requests) Token(contentType string, body []byte) (string, bool) {
	return held.Token(contentType, body)
}

// signer is an [inject.Signer] for the proxy.
type signer struct{ *inject.Signer }

func (s signer) Assertion(g access.Grant, p access.Posture, route, audience string, ttl time.Duration, now time.Time) (string, error) {
	return s.Signer.Assertion(g, p, inject.Audience{Route: route, Audience: audience, TTL: ttl}, now)
}

func (signer) Value(word string, g access.Grant, p access.Posture) string {
	return inject.Value(word, g, p)
}

// desk is a [signin.Desk] for the proxy.
type desk struct{ *signin.Desk }

func (d desk) Serve(w http.ResponseWriter, r *http.Request, at proxy.Place) {
	d.Desk.Serve(w, r, signin.Place(at))
}

// tracer is a [telemetry.Telemetry] for the proxy and for sign-in.
type tracer struct{ *telemetry.Telemetry }

func (t tracer) Open(ctx context.Context, o proxy.Opening) proxy.Trace {
	return trace{t.Telemetry.Open(ctx, telemetry.Opening{
		Start: o.Start, Method: o.Method, Route: o.Route, Rule: o.Decision.Rule,
		Verdict: o.Decision.Verdict, Reason: o.Decision.Reason, Session: o.Session,
		Assurance: o.Assurance, RequestID: o.RequestID, Traceparent: o.Traceparent,
	})}
}

func (t tracer) SignIn(ctx context.Context, endpoint, origin string) (context.Context, func()) {
	end := t.Telemetry.SignIn(ctx, endpoint, origin)
	return ctx, func() { end("", false) }
}

// trail is an [audit.Journal] for sign-in, whose records are counted too.
type trail struct {
	*audit.Journal
	telemetry *telemetry.Telemetry
}

func (t trail) Record(ctx context.Context, e *access.Event, durable bool) error {
	switch e.Kind {
	case access.EventSignIn, access.EventStepUp, access.EventUnlock:
		t.telemetry.SignedIn(access.Reason(e.Verdict))
	case access.EventSecurity:
		t.telemetry.SecurityEvent(e.Reason)
	}
	err := t.Journal.Record(ctx, e, durable)
	if err != nil {
		t.telemetry.AuditFailed()
	}
	return err
}

type trace struct{ *telemetry.Request }

func (t trace) Backend(h http.Header) {
	t.Request.Backend()
	t.Inject(h)
}

func (t trace) BackendDone(status int, err error) { t.EndBackend(status, err) }

// meter counts for the proxy.
type meter struct{ *telemetry.Telemetry }

func (m meter) Done(route string, d access.Decision, status int, total, backend time.Duration, exemplar string) {
	r := m.Route(route)
	r.Done(d.Verdict, d.Reason, status, total, exemplar)
	if backend > 0 {
		r.Answered(backend, exemplar)
	}
}

func (m meter) Observed(route string, o access.Observation) {
	v, _ := access.ParseVerdict(o.Verdict)
	m.Route(route).Observed(o.Rule, v)
}

func (m meter) Security(reason string) { m.SecurityEvent(access.Reason(reason)) }

func (m meter) Streams(change int) {
	if change > 0 {
		m.StreamOpened()
	} else {
		m.StreamClosed()
	}
}

// current is a value that a reload replaces.
type current[T any] struct{ p atomic.Pointer[T] }

func (c *current[T]) load() T   { return *c.p.Load() }
func (c *current[T]) store(v T) { c.p.Store(&v) }
