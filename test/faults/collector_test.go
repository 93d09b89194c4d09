package faults_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// A collector takes spans by one protocol, until it hangs and then goes away.
type collector struct {
	coltrace.UnimplementedTraceServiceServer
	url   string
	hangs atomic.Bool
	taken atomic.Int64  // batches
	cut   func()        // ends the connections that are open
	stop  func()        // and answers no other
	over  chan struct{} // closed when t ends
}

// collectors lists what a gateway may be told to send to.
var collectors = []struct {
	name string
	open func(testing.TB, *collector)
}{
	{"HTTP", func(t testing.TB, c *collector) {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			c.take(r.Context())
		}))
		c.url, c.cut = s.URL, s.CloseClientConnections
		c.stop = func() { s.CloseClientConnections(); s.Listener.Close() }
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	}},
	{"gRPC", func(t testing.TB, c *collector) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		coltrace.RegisterTraceServiceServer(s, c)
		go s.Serve(l)
		c.url, c.cut, c.stop = "grpc://"+l.Addr().String(), func() {}, s.Stop
		t.Cleanup(s.Stop)
	}},
}

// take keeps a batch, or its sender waiting.
func (c *collector) take(ctx context.Context) {
	if c.hangs.Load() {
		select {
		case <-ctx.Done():
		case <-c.over:
		}
		return
	}
	c.taken.Add(1)
}

func (c *collector) Export(ctx context.Context, _ *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	c.take(ctx)
	return &coltrace.ExportTraceServiceResponse{}, ctx.Err()
}

// TestR14Collector has the collector swallow every span, and then go away.
func TestR14Collector(t *testing.T) {
	for _, kind := range collectors {
		t.Run(kind.name, func(t *testing.T) {
			c := &collector{over: make(chan struct{})}
			kind.open(t, c)
			t.Cleanup(func() { close(c.over) })
			collectorFails(t, kind.name, c)
		})
	}
}

func collectorFails(t *testing.T, protocol string, c *collector) {
	e := begin(t, "R14")
	// Without the room that garbage is given, memory tells what the queue holds.
	g := start(t, setup{env: []string{"GOGC=100"}, edit: patient("telemetry: {sample: 0.05}", "telemetry: {sample: 1, otlp: "+c.url+"}")})
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	client := g.client(t, false, 32)
	get := g.get(t, client, "ehr.test", "/chart", cookie)
	during(t, time.Second, 200, get) // warms up
	eventually(t, 30*time.Second, "spans arrive", func() bool { return c.taken.Load() > 0 })
	before := g.memory()
	more, p99, failed, first := disturbance(t, 5*time.Millisecond, 200, get, func() func() {
		c.hangs.Store(true)
		return func() { c.hangs.Store(false); c.cut() }
	})
	e.figure("collector over %s hanging: p99 +%v to %v", protocol, round(more), round(p99))
	e.must(failed == 0, "%d requests failed: %s", failed, first)
	e.within(more, 5*time.Millisecond, "with a collector that hangs p99 rose by")

	// More spans than have room, to one that hangs and to one that is gone.
	c.hangs.Store(true)
	var sent atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for sent.Add(1) <= 6000 {
				if _, err := get(0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	grown := g.memory() - before
	dropped := g.metric("anteroom_telemetry_dropped_total")
	e.figure("6,000 more requests: memory +%d MiB, %d spans dropped and counted", grown>>20, int(dropped))
	e.must(grown < 64<<20, "memory grew by %d MiB", grown>>20)
	e.must(dropped > 0, "no span was counted as dropped")
	c.stop()
	y := during(t, time.Second, 200, get)
	e.figure("collector gone: %d of %d requests failed", len(y.failed), y.total())
	e.must(len(y.failed) == 0, "%d requests failed: %s", len(y.failed), y.first())
}
