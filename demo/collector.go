package demo

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A span is what the demo's collector keeps of one.
type span struct {
	Trace, ID, Parent string
	Name, Kind        string
	Start, End        time.Time
	Failed            bool
	Attributes        []attribute
	Links             []string // ids of other traces
}

type attribute struct{ Key, Value string }

// Took returns how long the span lasted.
func (s span) Took() time.Duration { return s.End.Sub(s.Start) }

// collector takes spans by OTLP over HTTP, as protocol buffers. It is no more
// of a collector than this demo needs.
func (s *stories) collector() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		req, err := readSpans(w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, of := range req.ResourceSpans {
			for _, in := range of.ScopeSpans {
				for _, sp := range in.Spans {
					s.traced(readSpan(sp))
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf") // an empty answer is an ExportTraceServiceResponse
	})
	return mux
}

func readSpans(w http.ResponseWriter, r *http.Request) (*collector.ExportTraceServiceRequest, error) {
	if t := r.Header.Get("Content-Type"); t != "application/x-protobuf" {
		return nil, fmt.Errorf("spans as %q are not understood here, only as application/x-protobuf", t)
	}
	const most = 8 << 20
	var body io.Reader = http.MaxBytesReader(w, r.Body, most)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("read spans: %w", err)
		}
		body = io.LimitReader(z, most)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("read spans: %w", err)
	}
	var req collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &req); err != nil {
		return nil, fmt.Errorf("read spans: %w", err)
	}
	return &req, nil
}

func readSpan(p *tracepb.Span) span {
	out := span{
		Trace: hex.EncodeToString(p.TraceId), ID: hex.EncodeToString(p.SpanId), Parent: hex.EncodeToString(p.ParentSpanId),
		Name: p.Name, Kind: strings.ToLower(strings.TrimPrefix(p.Kind.String(), "SPAN_KIND_")),
		Start: time.Unix(0, int64(p.StartTimeUnixNano)), End: time.Unix(0, int64(p.EndTimeUnixNano)),
		Failed: p.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
	}
	for _, a := range p.Attributes {
		out.Attributes = append(out.Attributes, attribute{a.Key, plain(a.Value)})
	}
	slices.SortFunc(out.Attributes, func(a, b attribute) int { return strings.Compare(a.Key, b.Key) })
	for _, l := range p.Links {
		out.Links = append(out.Links, hex.EncodeToString(l.TraceId))
	}
	return out
}

// plain returns an attribute's value as text.
func plain(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	case *common.AnyValue_ArrayValue:
		var parts []string
		for _, e := range v.ArrayValue.GetValues() {
			parts = append(parts, plain(e))
		}
		return strings.Join(parts, ", ")
	}
	return ""
}
