package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exports reports whether there is a collector, by configuration or environment.
func exports(configured string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return configured != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// newExporter returns what sends spans to the collector at address. The scheme
// says how: http and https mean OTLP over HTTP, grpc and grpcs OTLP over gRPC,
// the latter of each under TLS. "" leaves address and protocol to the
// environment (OpenTelemetry specification, protocol/exporter). It connects to
// nothing: a collector that is down is found out when there are spans for it.
func newExporter(ctx context.Context, address string, log *slog.Logger) (sdktrace.SpanExporter, error) {
	if address == "" {
		if protocol(log) == "grpc" {
			return otlptracegrpc.New(ctx, grpcRetries)
		}
		return otlptracehttp.New(ctx, httpRetries)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a collector", address)
	}
	switch u.Scheme {
	case "http", "https":
		return otlptracehttp.New(ctx, httpRetries, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()))
	case "grpc", "grpcs":
		if u.Path != "" && u.Path != "/" {
			return nil, fmt.Errorf("%q has a path, which gRPC does not send", address)
		}
		// the exporter takes its own word for TLS from the schemes of the web
		return otlptracegrpc.New(ctx, grpcRetries, otlptracegrpc.WithEndpointURL("http"+strings.TrimPrefix(u.Scheme, "grpc")+"://"+u.Host))
	}
	return nil, fmt.Errorf("%q is neither http, https, grpc nor grpcs", address)
}

// protocol returns the word of the environment for how to speak with the
// collector that it names. One that is not spoken here is as good as none, as
// the specification wants, but not in silence.
func protocol(log *slog.Logger) string {
	const standard = "http/protobuf"
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch word := os.Getenv(name); word {
		case "":
		case "grpc", standard, "http/json": // the exporter over HTTP looks for the last itself
			return word
		default:
			log.Warn("spans are sent by "+standard+": the protocol that the environment asks for is not spoken", "variable", name, "protocol", word)
			return standard
		}
	}
	return standard
}

// Both protocols try a batch again for as long as its export may take.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 3 * time.Second
)

var (
	httpRetries = otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: firstRetry, MaxInterval: lastRetry, MaxElapsedTime: exportTimeout})
	grpcRetries = otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: firstRetry, MaxInterval: lastRetry, MaxElapsedTime: exportTimeout})
)
