package telemetry

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// parseTraceparent reads a traceparent (W3C Trace Context, section 3.2), and
// reports whether it is one. Versions above 00 may go on after the flags.
func parseTraceparent(s string) (trace.SpanContext, bool) {
	const length = 55
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.ToLower(s[:length]) != s[:length] {
		return trace.SpanContext{}, false
	}
	var version, flags [1]byte
	var id trace.TraceID
	var span trace.SpanID
	for _, part := range []struct {
		to   []byte
		from string
	}{{version[:], s[:2]}, {id[:], s[3:35]}, {span[:], s[36:52]}, {flags[:], s[53:55]}} {
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return trace.SpanContext{}, false
		}
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(s) != length, len(s) > length && s[length] != '-', !id.IsValid(), !span.IsValid():
		return trace.SpanContext{}, false
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(flags[0]) & trace.FlagsSampled, Remote: true}), true
}

// formatTraceparent writes version 00.
func formatTraceparent(id trace.TraceID, span trace.SpanID, sampled bool) string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	if sampled {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}

// newTraceID and newSpanID draw from the runtime's ChaCha8 source: they must
// not collide, they open nothing.
func newTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// chosen gives spans the ids that were chosen before they were made, since a
// request has ids whether or not it is sampled.
type chosen struct{}

type chosenKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

func (chosen) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if c, ok := ctx.Value(chosenKey{}).(ids); ok {
		return c.trace, c.span
	}
	return newTraceID(), newSpanID()
}

func (chosen) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if c, ok := ctx.Value(chosenKey{}).(ids); ok {
		return c.span
	}
	return newSpanID()
}
