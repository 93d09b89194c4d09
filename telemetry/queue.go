package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	maxWaiting    = 4096 // spans, of about 2 KiB each
	batchSize     = 512
	batchEvery    = time.Second
	exportTimeout = 10 * time.Second
)

// A queue bounds the spans between their end and the collector, and counts
// those that it drops. The batch processor of the SDK does drop, but tells
// nobody how many; so room is kept here, and its own queue never fills.
type queue struct {
	log     *slog.Logger
	waiting atomic.Int64
	dropped atomic.Int64
	failing atomic.Bool
	next    sdktrace.SpanProcessor
}

func (q *queue) over(exporter sdktrace.SpanExporter) sdktrace.SpanProcessor {
	q.next = sdktrace.NewBatchSpanProcessor(&outlet{q, exporter},
		sdktrace.WithMaxQueueSize(maxWaiting),
		sdktrace.WithMaxExportBatchSize(batchSize),
		sdktrace.WithBatchTimeout(batchEvery),
		sdktrace.WithExportTimeout(exportTimeout))
	return q
}

func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if q.waiting.Add(1) > maxWaiting {
		q.waiting.Add(-1)
		q.dropped.Add(1)
		return
	}
	q.next.OnEnd(s)
}

func (q *queue) ForceFlush(ctx context.Context) error { return q.next.ForceFlush(ctx) }
func (q *queue) Shutdown(ctx context.Context) error   { return q.next.Shutdown(ctx) }

// An outlet hands spans to the collector. It keeps errors from the SDK, which
// would write each to the standard error.
type outlet struct {
	queue    *queue
	exporter sdktrace.SpanExporter
}

func (o *outlet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := o.exporter.ExportSpans(ctx, spans)
	o.queue.waiting.Add(-int64(len(spans)))
	if err != nil {
		o.queue.dropped.Add(int64(len(spans)))
	}
	if failing := err != nil; o.queue.failing.Swap(failing) != failing {
		if failing {
			o.queue.log.Warn("spans cannot be exported; they are dropped and counted", "error", err)
		} else {
			o.queue.log.Info("spans are exported again")
		}
	}
	return nil
}

func (o *outlet) Shutdown(ctx context.Context) error { return o.exporter.Shutdown(ctx) }
