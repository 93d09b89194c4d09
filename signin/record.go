package signin

import (
	"context"
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

// An entry is what one audit record of this package says beyond the request.
type entry struct {
	kind    access.EventKind
	verdict string
	reason  access.Reason
	session *access.Session
	journey access.Journey
	detail  string // a few fixed words; never what a client wrote
}

// record writes e, flushed to disk: what it tells is about to take effect.
func (d *Desk) record(ctx context.Context, r *http.Request, at Place, e entry) error {
	host := e.journey.Host
	if host == "" {
		host = at.Host
	}
	return d.Audit.Record(ctx, &access.Event{
		Kind: e.kind, Verdict: e.verdict, Reason: e.reason, Detail: e.detail,
		Host: host, Route: e.journey.Route, Rule: e.journey.Rule,
		Method: r.Method, Path: r.URL.Path,
		Session: e.session, Posture: &at.Device,
		SourceIP: at.SourceIP, RequestID: at.RequestID, TraceID: traceOf(e.journey.Traceparent),
	}, true)
}

// traceOf returns the trace of the request that a journey began with, which its
// spans are linked to; "" when there is none.
func traceOf(traceparent string) string {
	if parts := strings.Split(traceparent, "-"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}

// note records what has already come to pass, or a refusal: nothing hangs on
// the record any more, so a trail that fails is only logged.
func (d *Desk) note(ctx context.Context, r *http.Request, at Place, e entry) {
	if err := d.record(ctx, r, at, e); err != nil {
		d.Log.Error("record "+string(e.kind), "error", err, "request_id", at.RequestID)
	}
}

// cannotRecord answers a sign-in that could not be recorded.
func (d *Desk) cannotRecord(w http.ResponseWriter, at Place, err error) {
	d.Log.Error("record a sign-in", "error", err, "request_id", at.RequestID)
	d.page(w, at, pages.Page{Kind: pages.CannotRecord})
}

// end ends s and records that. The session has ended here even when the store
// could not be told yet, which goes on in the background.
func (d *Desk) end(ctx context.Context, r *http.Request, at Place, s *access.Session, why access.Reason, j access.Journey) {
	if err := d.Sessions.End(ctx, s.ID, why); err != nil {
		d.Log.Error("end a session", "error", err, "session", s.ID, "request_id", at.RequestID)
	}
	d.note(ctx, r, at, entry{kind: access.EventSessionEnded, reason: why, session: s, journey: j})
}
