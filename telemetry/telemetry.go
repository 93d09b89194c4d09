// Package telemetry sets OpenTelemetry and the metrics up; it is the one place
// that knows their names.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A Config says where spans go and how many.
type Config struct {
	OTLP           string  // address of an OTLP collector: http, https, grpc or grpcs; "": what OTEL_EXPORTER_OTLP_* say, else none
	Sample         float64 // share of the ordinary requests that are traced, 0 to 1
	ServiceVersion string
	PseudonymKey   []byte // keys enduser.pseudo.id; at least 16 bytes where spans are exported
	Log            *slog.Logger
}

// Telemetry makes spans and counts. It is safe for concurrent use.
type Telemetry struct {
	*Metrics
	tracer   trace.Tracer // nil: nothing is exported
	provider *sdktrace.TracerProvider
	bound    uint64 // a trace is sampled when its number is below
	key      []byte
}

// Setup returns the gateway's telemetry. It does not wait for the collector,
// which may be down for as long as it likes: spans that find no room are
// dropped and counted. An error means that c cannot be meant.
func Setup(ctx context.Context, c Config) (*Telemetry, error) {
	if !(c.Sample >= 0 && c.Sample <= 1) {
		return nil, fmt.Errorf("telemetry: sample %v is not between 0 and 1", c.Sample)
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	q := &queue{log: log}
	t := &Telemetry{Metrics: newMetrics(q.dropped.Load), bound: uint64(c.Sample * (1 << 63)), key: c.PseudonymKey}
	if !exports(c.OTLP) {
		return t, nil
	}
	if len(c.PseudonymKey) < 16 {
		return nil, errors.New("telemetry: the key of pseudonyms has fewer than 16 bytes")
	}
	exporter, err := newExporter(ctx, c.OTLP, log)
	if err != nil {
		return nil, fmt.Errorf("set up the export of spans: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("anteroom"), semconv.ServiceVersion(c.ServiceVersion)),
		resource.WithFromEnv()) // last, so that OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
	if err != nil {
		log.Warn("part of the telemetry resource is missing", "error", err)
	}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // Open has decided before a span is made
		sdktrace.WithIDGenerator(chosen{}),
		sdktrace.WithSpanProcessor(q.over(exporter)),
	)
	t.tracer = t.provider.Tracer("github.com/anteroom/anteroom/telemetry")
	return t, nil
}

// Shutdown sends what is queued and stops, at the latest when ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}
