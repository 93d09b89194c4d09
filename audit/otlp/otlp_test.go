package otlp_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	log "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/otlp"
)

func records(t *testing.T) []audit.Followed {
	t.Helper()
	text, err := os.ReadFile("../testdata/every_kind.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var all []audit.Followed
	for line := range bytes.Lines(text) {
		f := audit.Followed{Raw: bytes.TrimSpace(line), Place: audit.Place{Hash: "a hash"}}
		if err := json.Unmarshal(line, &f.Record); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// collector answers as told and keeps what it gets.
type collector struct {
	*httptest.Server
	status int
	answer *logs.ExportLogsServiceResponse
	got    []*log.LogRecord
	about  map[string]string
	raw    []byte
}

func newCollector(t *testing.T) *collector {
	c := &collector{status: http.StatusOK, answer: &logs.ExportLogsServiceResponse{}, about: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.raw, _ = io.ReadAll(r.Body)
		var req logs.ExportLogsServiceRequest
		if err := proto.Unmarshal(c.raw, &req); err != nil || r.URL.Path != "/v1/logs" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %v: %v", r.URL, r.Header, err)
		}
		for _, rl := range req.ResourceLogs {
			for _, a := range rl.Resource.Attributes {
				c.about[a.Key] = a.Value.GetStringValue()
			}
			for _, sl := range rl.ScopeLogs {
				c.got = append(c.got, sl.LogRecords...)
			}
		}
		body, _ := proto.Marshal(c.answer)
		w.WriteHeader(c.status)
		w.Write(body)
	}))
	t.Cleanup(c.Close)
	return c
}

func value(r *log.LogRecord, key string) *common.AnyValue {
	i := slices.IndexFunc(r.Attributes, func(a *common.KeyValue) bool { return a.Key == key })
	if i < 0 {
		return nil
	}
	return r.Attributes[i].Value
}

func TestSend(t *testing.T) {
	c := newCollector(t)
	s := &otlp.Sender{URL: c.URL + "/", Site: "gate.test", Version: "1.0"}
	all := records(t)
	if err := s.Send(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if len(c.got) != len(all) || c.about["service.name"] != "anteroom" || c.about["service.instance.id"] != "gate.test" {
		t.Fatalf("%d of %d records, about %v", len(c.got), len(all), c.about)
	}
	for i, r := range c.got {
		want := all[i].Record
		if value(r, "anteroom.seq").GetIntValue() != int64(want.Seq) || value(r, "anteroom.hash").GetStringValue() != "a hash" ||
			r.EventName != "anteroom.audit."+string(want.Event) || int64(r.TimeUnixNano) != want.Time.UnixNano() {
			t.Errorf("record %d is %v", want.Seq, r)
		}
		severity := "INFO"
		switch {
		case want.Event == "security":
			severity = "ERROR"
		case want.Verdict == "deny":
			severity = "WARN"
		}
		if r.SeverityText != severity {
			t.Errorf("record %d: %s, want %s", want.Seq, r.SeverityText, severity)
		}
		if hex.EncodeToString(r.TraceId) != want.TraceID || hex.EncodeToString(r.SpanId) != want.SpanID || (r.Flags == 1) != (want.TraceFlags == "01") {
			t.Errorf("record %d is of trace %x %x %d", want.Seq, r.TraceId, r.SpanId, r.Flags)
		}
	}
	// What traces may not say, this does not say either.
	for _, secret := range []string{"P-17", "/patients", "nora", "248289761001", "10.20.0.7", "tab-0042", "Apotek"} {
		if bytes.Contains(c.raw, []byte(secret)) {
			t.Errorf("%s was sent", secret)
		}
	}
	if !bytes.Contains(c.raw, []byte("amend an order")) {
		t.Error("the rule was not sent")
	}

	c.got = nil
	s.Whole = true
	if err := s.Send(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for i, r := range c.got {
		if r.Body.GetStringValue() != string(all[i].Raw) {
			t.Errorf("record %d: body %s", i+1, r.Body)
		}
	}
}

func TestCollectorSaysNo(t *testing.T) {
	c := newCollector(t)
	var told bytes.Buffer
	s := &otlp.Sender{URL: c.URL, Log: slog.New(slog.NewTextHandler(&told, nil))}
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadRequest, http.StatusFound, http.StatusNoContent} {
		c.status = status
		if err := s.Send(t.Context(), records(t)); err == nil {
			t.Errorf("%d counts as taken", status)
		}
	}
	c.status = http.StatusOK
	c.answer.PartialSuccess = &logs.ExportLogsPartialSuccess{RejectedLogRecords: 3}
	if err := s.Send(t.Context(), records(t)); err != nil || !strings.Contains(told.String(), "refuses records") {
		t.Errorf("a partial success: %v, told %q", err, told.String())
	}
	c.Close()
	if err := s.Send(t.Context(), records(t)); err == nil {
		t.Error("nobody is there, and it counts as taken")
	}
}
