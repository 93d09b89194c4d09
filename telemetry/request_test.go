package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/telemetry"
)

const (
	outside        = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	outsideDropped = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

func nurse() *access.Session {
	return &access.Session{ID: "s-17", Roles: []string{"nurse", "charge"}, Authentication: access.Authentication{
		Subject: access.Subject{Issuer: "https://login.test", Sub: "u-17"}, Username: "sam", Name: "Sam Okafor"}}
}

// The attributes are a promise: these and no others.
func TestAttributesAreTheContracts(t *testing.T) {
	rec := newReceiver(t)
	tel := setup(t, telemetry.Config{OTLP: rec.URL, ServiceVersion: "1.2.3"})
	start := time.Now().Add(-3 * time.Second)
	r := tel.Open(t.Context(), telemetry.Opening{Start: start, Method: "POST", Route: "pharmacy", Rule: "amend an order", Verdict: access.StepUp,
		Reason: access.OldLogin, Session: nurse(), Assurance: access.A2, RequestID: "req-1"})
	r.Backend()
	r.EndBackend(201, nil)
	r.End(200)
	spans := rec.flush(t, tel)
	if len(spans) != 2 {
		t.Fatalf("%d spans, want a server and a client span", len(spans))
	}
	client, server := spans[0], spans[1]
	got := values(server.Attributes)
	pseudonym, _ := got["enduser.pseudo.id"].(string)
	want := map[string]any{
		"anteroom.route":            "pharmacy",
		"anteroom.rule":             "amend an order",
		"anteroom.verdict":          "step_up",
		"anteroom.reason":           "old_login",
		"anteroom.device.assurance": "A2",
		"anteroom.request_id":       "req-1",
		"enduser.pseudo.id":         pseudonym,
		"session.id":                "s-17",
		"user.roles":                "nurse,charge",
		"http.request.method":       "POST",
		"http.response.status_code": int64(200),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes of the server span (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"http.request.method": "POST", "http.response.status_code": int64(201)}, values(client.Attributes)); diff != "" {
		t.Errorf("attributes of the client span (-want +got):\n%s", diff)
	}
	if len(pseudonym) != 32 || strings.Contains(pseudonym, "u-17") {
		t.Errorf("pseudonym %q", pseudonym)
	}
	if server.Name != "POST pharmacy" || server.Kind != tracepb.Span_SPAN_KIND_SERVER || client.Kind != tracepb.Span_SPAN_KIND_CLIENT {
		t.Errorf("server %q of kind %v, client %q of kind %v", server.Name, server.Kind, client.Name, client.Kind)
	}
	if got := time.Unix(0, int64(server.StartTimeUnixNano)); !got.Equal(start) {
		t.Errorf("server span begins %v, want the true start %v", got, start)
	}
	if id(server.TraceId) != r.TraceID() || id(client.TraceId) != r.TraceID() || id(client.ParentSpanId) != id(server.SpanId) || len(server.ParentSpanId) != 0 {
		t.Errorf("spans are not one trace: %v, %v", server, client)
	}
	if rec.resource["service.name"] != "anteroom" || rec.resource["service.version"] != "1.2.3" {
		t.Errorf("resource %v", rec.resource)
	}
}

func TestNobodyHasNoPersonAttributes(t *testing.T) {
	rec := newReceiver(t)
	tel := setup(t, telemetry.Config{OTLP: rec.URL})
	tel.Open(t.Context(), telemetry.Opening{Method: "BREW", Verdict: access.SignIn, Reason: access.NoSession, RequestID: "r"}).End(0)
	spans := rec.flush(t, tel)
	want := map[string]any{"anteroom.verdict": "sign_in", "anteroom.reason": "no_session", "anteroom.device.assurance": "A0", "anteroom.request_id": "r", "http.request.method": "_OTHER"}
	if diff := cmp.Diff(want, values(spans[0].Attributes)); diff != "" || spans[0].Name != "_OTHER" {
		t.Errorf("name %q, attributes (-want +got):\n%s", spans[0].Name, diff)
	}
}

func TestSampling(t *testing.T) {
	rec := newReceiver(t)
	for _, tt := range []struct {
		name    string
		sample  float64
		opening telemetry.Opening
		want    bool
	}{
		{"ordinary, none", 0, telemetry.Opening{Verdict: access.Allow}, false},
		{"ordinary, all", 1, telemetry.Opening{Verdict: access.Allow}, true},
		{"refusal", 0, telemetry.Opening{Verdict: access.Deny}, true},
		{"step-up", 0, telemetry.Opening{Verdict: access.StepUp}, true},
		{"sign-in", 0, telemetry.Opening{Verdict: access.SignIn}, true},
		{"locked", 0, telemetry.Opening{Verdict: access.Locked}, true},
		{"emergency", 0, telemetry.Opening{Verdict: access.Allow, Force: true}, true},
		{"parent sampled", 0, telemetry.Opening{Verdict: access.Allow, Traceparent: outside}, true},
		{"parent not sampled", 1, telemetry.Opening{Verdict: access.Allow, Traceparent: outsideDropped}, false},
		{"refusal under a parent not sampled", 0, telemetry.Opening{Verdict: access.Deny, Traceparent: outsideDropped}, true},
		{"broken parent", 0, telemetry.Opening{Verdict: access.Allow, Traceparent: "00-zz-01"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tel := setup(t, telemetry.Config{OTLP: rec.URL, Sample: tt.sample})
			before := len(rec.flush(t, setup(t, telemetry.Config{OTLP: rec.URL})))
			tt.opening.Method = "GET"
			r := tel.Open(t.Context(), tt.opening)
			r.Backend()
			h := http.Header{}
			r.Inject(h)
			r.End(200)
			if r.Sampled() != tt.want {
				t.Errorf("sampled = %t, want %t", r.Sampled(), tt.want)
			}
			if flag := h.Get("Traceparent")[53:] == "01"; flag != tt.want {
				t.Errorf("traceparent %s, want sampled %t", h.Get("Traceparent"), tt.want)
			}
			if got := len(rec.flush(t, tel)) > before; got != tt.want {
				t.Errorf("exported = %t, want %t", got, tt.want)
			}
		})
	}
}

func TestSampleIsAShare(t *testing.T) {
	rec := newReceiver(t)
	tel := setup(t, telemetry.Config{OTLP: rec.URL, Sample: 0.25})
	n := 0
	for range 2000 {
		if tel.Open(t.Context(), telemetry.Opening{Method: "GET", Verdict: access.Allow}).Sampled() {
			n++
		}
	}
	if n < 350 || n > 650 { // eight standard deviations
		t.Errorf("%d of 2000 were sampled, want about 500", n)
	}
}

func TestTraceGoesOnToTheBackend(t *testing.T) {
	rec := newReceiver(t)
	for name, c := range map[string]telemetry.Config{"exported": {OTLP: rec.URL, Sample: 1}, "not exported": {}} {
		t.Run(name, func(t *testing.T) {
			tel := setup(t, c)
			r := tel.Open(t.Context(), telemetry.Opening{Method: "GET", Verdict: access.Allow, Traceparent: outside})
			if r.TraceID() != outside[3:35] {
				t.Errorf("trace %s does not continue %s", r.TraceID(), outside)
			}
			h := http.Header{"Traceparent": {"00-" + strings.Repeat("1", 32) + "-" + strings.Repeat("2", 16) + "-01", "two"}, "Tracestate": {"theirs=1"}, "Baggage": {"patient=42"}}
			r.Inject(h)
			inServer := h.Get("Traceparent")
			r.Backend()
			r.Inject(h)
			inClient := h.Get("Traceparent")
			if len(h) != 1 || len(h["Traceparent"]) != 1 {
				t.Errorf("header %v, want one traceparent and nothing else", h)
			}
			if inServer != r.Traceparent() || inClient == inServer || inClient[:36] != inServer[:36] || inClient[36:52] == outside[36:52] {
				t.Errorf("server %s, client %s, outside %s", inServer, inClient, outside)
			}
			r.EndBackend(200, nil)
			r.End(200)
			if spans := rec.flush(t, tel); c.OTLP != "" {
				if id(spans[0].SpanId) != inClient[36:52] || id(spans[1].SpanId) != inServer[36:52] || id(spans[1].ParentSpanId) != outside[36:52] {
					t.Errorf("exported %v, want the ids of the header", spans)
				}
			}
		})
	}
}

func TestTraceIDsDiffer(t *testing.T) {
	tel := setup(t, telemetry.Config{})
	a, b := tel.Open(t.Context(), telemetry.Opening{}), tel.Open(t.Context(), telemetry.Opening{Traceparent: "nonsense"})
	for _, r := range []*telemetry.Request{a, b} {
		if sc := contextOf(r.Traceparent()); !sc.IsValid() || sc.TraceID().String() != r.TraceID() {
			t.Errorf("traceparent %q, trace %q", r.Traceparent(), r.TraceID())
		}
	}
	if a.TraceID() == b.TraceID() {
		t.Error("two requests have the same trace")
	}
}

func contextOf(traceparent string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	return trace.SpanContextFromContext(ctx)
}

func TestErrorsAreMarkedAndSayNothing(t *testing.T) {
	rec := newReceiver(t)
	tel := setup(t, telemetry.Config{OTLP: rec.URL, Sample: 1})
	r := tel.Open(t.Context(), telemetry.Opening{Method: "GET", Route: "pharmacy", Verdict: access.Allow})
	r.Backend()
	r.Backend() // once is enough
	r.EndBackend(0, errors.New("dial http://rx.internal/patients/123: refused"))
	r.End(502)
	r.End(502)
	spans := rec.flush(t, tel)
	if len(spans) != 2 {
		t.Fatalf("%d spans, want 2", len(spans))
	}
	for _, s := range spans {
		if s.Status.Code != tracepb.Status_STATUS_CODE_ERROR || len(s.Events) != 0 || strings.Contains(s.String(), "patients") {
			t.Errorf("span %v", s)
		}
	}
}

func TestSignInIsLinked(t *testing.T) {
	rec := newReceiver(t)
	tel := setup(t, telemetry.Config{OTLP: rec.URL})
	end := tel.SignIn(t.Context(), "sign-in callback", outside)
	end("signed_in", false)
	tel.SignIn(t.Context(), "sign-in start", "nonsense")("state", true)
	tel.Open(t.Context(), telemetry.Opening{Method: "POST", Route: "pharmacy", Verdict: access.Allow, Force: true, Link: outside}).End(200)
	spans := rec.flush(t, tel)
	if len(spans) != 3 {
		t.Fatalf("%d spans, want 3", len(spans))
	}
	for i, want := range []int{1, 0, 1} {
		links := spans[i].Links
		if len(links) != want || want == 1 && (id(links[0].TraceId) != outside[3:35] || id(links[0].SpanId) != outside[36:52]) {
			t.Errorf("%s has links %v", spans[i].Name, links)
		}
		if id(spans[i].TraceId) == outside[3:35] {
			t.Errorf("%s is part of the linked trace", spans[i].Name)
		}
	}
	if diff := cmp.Diff(map[string]any{"anteroom.reason": "signed_in"}, values(spans[0].Attributes)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if spans[0].Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR || spans[1].Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("status %v and %v", spans[0].Status, spans[1].Status)
	}
}

func TestPseudonymIsStableAndKeyed(t *testing.T) {
	rec := newReceiver(t)
	see := func(key string, s *access.Session) string {
		tel := setup(t, telemetry.Config{OTLP: rec.URL, PseudonymKey: []byte(key)})
		tel.Open(t.Context(), telemetry.Opening{Method: "GET", Session: s}).End(403)
		spans := rec.flush(t, tel)
		return values(spans[len(spans)-1].Attributes)["enduser.pseudo.id"].(string)
	}
	const key, other = "a key of sixteen", "another sixteen!"
	moved := nurse() // the same letters, split elsewhere
	moved.Subject = access.Subject{Issuer: "https://login.testu", Sub: "-17"}
	first := see(key, nurse())
	if again := see(key, nurse()); again != first {
		t.Errorf("%q, then %q", first, again)
	}
	if see(other, nurse()) == first || see(key, moved) == first {
		t.Error("another key or subject gives the same pseudonym")
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := telemetry.Logger(&b, slog.LevelInfo)
	r := setup(t, telemetry.Config{}).Open(t.Context(), telemetry.Opening{RequestID: "req-1"})
	r.Logger(log).Info("backend does not answer", "route", "pharmacy")
	log.Debug("not said")
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, b.String())
	}
	if at, _ := line["time"].(string); !strings.HasSuffix(at, "Z") {
		t.Errorf("time %q is not UTC", at)
	}
	delete(line, "time")
	want := map[string]any{"level": "INFO", "msg": "backend does not answer", "route": "pharmacy", "request_id": "req-1", "trace_id": r.TraceID()}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("line differs (-want +got):\n%s", diff)
	}
}

// A traceparent is read as OpenTelemetry's own reader reads it, but for unknown
// flags, which are ignored (W3C Trace Context, section 3.2.2.5).
func FuzzTraceparent(f *testing.F) {
	for _, s := range []string{outside, outsideDropped, "", "00-", strings.ToUpper(outside), outside + "-x", "01" + outside[2:] + "-x", "01" + outside[2:] + "x", "ff" + outside[2:],
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", outside[:53] + "ff", "00_" + outside[3:]} {
		f.Add(s)
	}
	tel := setup(f, telemetry.Config{})
	f.Fuzz(func(t *testing.T, s string) {
		r := tel.Open(t.Context(), telemetry.Opening{Traceparent: s})
		if !contextOf(r.Traceparent()).IsValid() {
			t.Fatalf("%q gave %q", s, r.Traceparent())
		}
		if len(s) >= 55 && r.TraceID() == s[3:35] && !contextOf(s[:53]+"01"+s[55:]).IsValid() {
			t.Fatalf("%q was continued, but is no traceparent", s)
		}
		if len(s) == 55 && strings.HasPrefix(s, "00-") && strings.HasSuffix(s, "-01") && contextOf(s).IsValid() && r.TraceID() != s[3:35] {
			t.Fatalf("%q was not continued", s)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	rec := newReceiver(b)
	for name, c := range map[string]telemetry.Config{"off": {}, "unsampled": {OTLP: rec.URL}, "sampled": {OTLP: rec.URL, Sample: 1}} {
		b.Run(name, func(b *testing.B) {
			tel := setup(b, c)
			route := tel.Route("pharmacy")
			s, h := nurse(), http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				r := tel.Open(b.Context(), telemetry.Opening{Start: time.Now(), Method: "GET", Route: "pharmacy", Verdict: access.Allow, Reason: access.AllMet, Session: s, RequestID: "r"})
				r.Backend()
				r.Inject(h)
				r.EndBackend(200, nil)
				r.End(200)
				route.Done(access.Allow, access.AllMet, 200, time.Millisecond, "")
			}
			rec.flush(b, tel)
		})
	}
}
