package formats_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	log "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// A collector takes log records, once it is up.
type collector struct {
	mu    sync.Mutex
	up    bool
	raw   strings.Builder
	taken []*log.LogRecord
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	var req logs.ExportLogsServiceRequest
	if !c.up || err != nil || proto.Unmarshal(body, &req) != nil || r.URL.Path != "/v1/logs" {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	c.raw.Write(body)
	for _, rl := range req.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			c.taken = append(c.taken, sl.LogRecords...)
		}
	}
}

func seq(r *log.LogRecord) uint64 {
	for _, a := range r.Attributes {
		if a.Key == "anteroom.seq" {
			return uint64(a.Value.GetIntValue())
		}
	}
	return 0
}

// A gateway feeds a collector of OpenTelemetry, also with what happened while
// that was down; and what a request says of its route is in its record.
func TestCollectorGetsEveryRecord(t *testing.T) {
	c := &collector{}
	server := httptest.NewServer(c)
	defer server.Close()
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string {
		text = strings.Replace(text, "audit: {on_failure: deny}", fmt.Sprintf("audit: {on_failure: deny, feeds: [{name: collector, type: otlp, url: %q, begin: oldest}]}", server.URL), 1)
		return strings.Replace(text, "    patient: {path: \"/patients/{patient}/**\"}\n",
			"    patient: {path: \"/patients/{patient}/**\"}\n    audit: {purpose_of_use: TREAT}\n    disclosure: {recipient: Apotek, purpose: dispensing}\n", 1)
	}})
	b := g.Browser(t)
	if p := b.Get(g.URL("ehr.test", "/patients/P-4711/chart")); p.Status != http.StatusOK {
		t.Fatalf("status %d", p.Status)
	}
	for deadline := time.Now().Add(30 * time.Second); g.Metric("anteroom_audit_feed_lag_seconds") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nobody says that the collector is down")
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.mu.Lock()
	c.up = true
	c.mu.Unlock()

	var asked *audit.Record
	var last uint64
	for _, r := range g.Audit(audit.Query{}) {
		last = r.Seq
		if r.Patient == "P-4711" && r.Event == "access" && r.Verdict == "allow" {
			asked = &r
		}
	}
	if asked == nil || asked.PurposeOfUse != "TREAT" || asked.Disclosure.Recipient != "Apotek" || len(asked.SpanID) != 16 || len(asked.TraceID) != 32 {
		t.Fatalf("recorded %+v", asked)
	}
	var taken []*log.LogRecord
	for deadline := time.Now().Add(time.Minute); ; {
		c.mu.Lock()
		taken = slices.Clone(c.taken)
		c.mu.Unlock()
		if len(taken) > 0 && seq(taken[len(taken)-1]) >= last {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d records came, of %d", len(taken), last)
		}
		time.Sleep(10 * time.Millisecond)
	}
	seen := map[uint64]bool{}
	for _, r := range taken {
		seen[seq(r)] = true
		if seq(r) == asked.Seq && (fmt.Sprintf("%x", r.TraceId) != asked.TraceID || fmt.Sprintf("%x", r.SpanId) != asked.SpanID) {
			t.Errorf("the record of the request is of trace %x, span %x; want %s, %s", r.TraceId, r.SpanId, asked.TraceID, asked.SpanID)
		}
	}
	for n := uint64(1); n <= last; n++ {
		if !seen[n] {
			t.Errorf("record %d did not come", n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{"P-4711", "/chart", asked.Subject.Sub, asked.Subject.Username} {
		if strings.Contains(c.raw.String(), secret) {
			t.Errorf("the collector got %q", secret)
		}
	}
}
