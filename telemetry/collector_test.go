package telemetry_test

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/anteroom/anteroom/telemetry"
)

// A receiver is an OTLP/HTTP collector that keeps what it is sent.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]any
}

func newReceiver(t testing.TB) *receiver {
	rec := &receiver{}
	rec.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			read := proto.Unmarshal
			if r.Header.Get("Content-Type") == "application/json" {
				read = protojson.Unmarshal
			}
			err = read(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("collector got %s: %v", r.URL.Path, err)
		}
		rec.keep(&req)
	}))
	t.Cleanup(rec.Close)
	return rec
}

func (rec *receiver) keep(req *collector.ExportTraceServiceRequest) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		rec.resource = values(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			rec.spans = append(rec.spans, ss.Spans...)
		}
	}
}

// values returns attributes as plain values, roles joined by commas.
func values(attrs []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range attrs {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = v.IntValue
		case *common.AnyValue_ArrayValue:
			var parts []string
			for _, e := range v.ArrayValue.Values {
				parts = append(parts, e.GetStringValue())
			}
			all[a.Key] = strings.Join(parts, ",")
		default:
			all[a.Key] = v
		}
	}
	return all
}

func setup(t testing.TB, c telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	if c.PseudonymKey == nil {
		c.PseudonymKey = []byte("sixteen bytes or more of key")
	}
	tel, err := telemetry.Setup(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

// flush stops tel and returns what the collector got.
func (rec *receiver) flush(t testing.TB, tel *telemetry.Telemetry) []*tracepb.Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.spans
}

func id(b []byte) string { return hex.EncodeToString(b) }
