package telemetry_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/telemetry"
)

// A grpcReceiver is an OTLP/gRPC collector.
type grpcReceiver struct {
	collector.UnimplementedTraceServiceServer
	receiver
	addr   string
	answer func(context.Context) error // nil: takes what it is sent
}

func newGRPCReceiver(t testing.TB, answer func(context.Context) error, options ...grpc.ServerOption) *grpcReceiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &grpcReceiver{addr: l.Addr().String(), answer: answer}
	server := grpc.NewServer(options...)
	collector.RegisterTraceServiceServer(server, rec)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return rec
}

func (rec *grpcReceiver) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	if rec.answer != nil {
		if err := rec.answer(ctx); err != nil {
			return nil, err
		}
	}
	rec.keep(req)
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestGRPC(t *testing.T) {
	rec := newGRPCReceiver(t, nil)
	tel := setup(t, telemetry.Config{OTLP: "grpc://" + rec.addr})
	r := tel.Open(t.Context(), telemetry.Opening{Method: "GET", Route: "chart", Verdict: access.StepUp})
	r.End(200)
	if spans := rec.flush(t, tel); len(spans) != 1 || id(spans[0].TraceId) != r.TraceID() || spans[0].Name != "GET chart" {
		t.Errorf("the collector got %v", spans)
	}
}

// grpcs is TLS, by the authority that the environment names; a collector of
// another authority gets nothing.
func TestGRPCOverTLS(t *testing.T) {
	https := httptest.NewTLSServer(nil) // for its certificate
	defer https.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	rec := newGRPCReceiver(t, nil, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: https.TLS.Certificates})))
	send := func() int {
		tel := setup(t, telemetry.Config{OTLP: "grpcs://" + rec.addr})
		tel.Open(t.Context(), telemetry.Opening{Method: "GET", Verdict: access.StepUp}).End(200)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		tel.Shutdown(ctx)
		rec.mu.Lock()
		defer rec.mu.Unlock()
		return len(rec.spans)
	}
	if n := send(); n != 0 {
		t.Error("spans went to a collector whose certificate nobody vouches for")
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", ca)
	if n := send(); n != 1 {
		t.Errorf("%d spans arrived over TLS", n)
	}
}

func TestEnvironment(t *testing.T) {
	rec := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", rec.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=ward-7")
	tel := setup(t, telemetry.Config{Sample: 1})
	tel.Open(t.Context(), telemetry.Opening{Method: "GET", Verdict: access.Allow}).End(200)
	if spans := rec.flush(t, tel); len(spans) != 1 || rec.resource["deployment.environment.name"] != "ward-7" || rec.resource["service.name"] != "anteroom" {
		t.Errorf("%d spans of %v", len(spans), rec.resource)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if setup(t, telemetry.Config{Sample: 1}).Open(t.Context(), telemetry.Opening{Method: "GET"}).Sampled() {
		t.Error("sampled though the SDK is disabled")
	}
}

// The environment says the protocol where it says the address, and not where
// the configuration does.
func TestEnvironmentProtocol(t *testing.T) {
	for _, c := range []struct {
		name                string
		of, all             string // OTEL_EXPORTER_OTLP_TRACES_PROTOCOL and OTEL_EXPORTER_OTLP_PROTOCOL
		configured, viaGRPC bool
	}{
		{"nothing said", "", "", false, false},
		{"grpc", "", "grpc", false, true},
		{"http/protobuf", "", "http/protobuf", false, false},
		{"traces have their own", "grpc", "http/protobuf", false, true},
		{"http/json", "", "http/json", false, false},
		{"not spoken", "", "pigeon", false, false},
		{"the configuration wins", "grpc", "grpc", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			overHTTP, overGRPC := newReceiver(t), newGRPCReceiver(t, nil)
			t.Setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", c.of)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", c.all)
			config := telemetry.Config{}
			switch {
			case c.configured:
				config.OTLP = overHTTP.URL
			case c.viaGRPC:
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+overGRPC.addr)
			default:
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", overHTTP.URL)
			}
			want, other := overHTTP, &overGRPC.receiver
			if c.viaGRPC {
				want, other = other, want
			}
			tel := setup(t, config)
			tel.Open(t.Context(), telemetry.Opening{Method: "GET", Verdict: access.StepUp}).End(200)
			if n := len(want.flush(t, tel)); n != 1 || len(other.spans) != 0 {
				t.Errorf("%d spans where they belong, %d elsewhere", n, len(other.spans))
			}
		})
	}
}

func TestGRPCCollectorThatRefuses(t *testing.T) {
	rec := newGRPCReceiver(t, func(context.Context) error { return status.Error(codes.InvalidArgument, "no") })
	tel := setup(t, telemetry.Config{OTLP: "grpc://" + rec.addr})
	for range 10 {
		tel.Open(t.Context(), telemetry.Opening{Method: "GET"}).End(403)
	}
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := dropped(t, tel); n != "10" {
		t.Errorf("%s spans counted as dropped, want 10", n)
	}
}

// Nobody waits for a collector that hangs, nor for one that is not there.
func TestGRPCCollectorThatHangs(t *testing.T) {
	hanging := newGRPCReceiver(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, addr := range map[string]string{"hanging": hanging.addr, "gone": gone.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			tel := setup(t, telemetry.Config{OTLP: "grpc://" + addr})
			const all, room = 10000, 4096
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range all / 4 {
						tel.Open(context.Background(), telemetry.Opening{Method: "GET"}).End(403)
					}
				})
			}
			wg.Wait()
			if n := dropped(t, tel); n != strconv.Itoa(all-room) {
				t.Errorf("%s spans dropped of %d with room for %d", n, all, room)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			if err := tel.Shutdown(ctx); err == nil {
				t.Error("shutdown waited for a collector that does not answer, and found no fault")
			}
		})
	}
}
