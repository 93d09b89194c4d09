// Package otlp sends the audit trail to an OpenTelemetry collector, as log
// records over HTTP (OTLP 1.x).
package otlp

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	log "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// A Sender sends records to a collector. The collector's answer settles them.
type Sender struct {
	URL     string // of the collector, such as http://127.0.0.1:4318
	Whole   bool   // the records as they stand; else only what traces may hold: nobody's name, no patient, no path
	Site    string // the gateway's name
	Version string
	Client  *http.Client // nil: http.DefaultClient
	Log     *slog.Logger
}

// Send posts records. An error means that the collector may not have them; that it refuses
// some of them is logged, since the same would be refused again (OTLP, partial success).
func (s *Sender) Send(ctx context.Context, records []audit.Followed) error {
	body, err := proto.Marshal(s.request(records))
	if err != nil {
		return fmt.Errorf("encode log records: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.URL, "/")+"/v1/logs", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("send log records: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("send log records: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("send log records: the collector answers %s", resp.Status)
	}
	var told logs.ExportLogsServiceResponse
	if proto.Unmarshal(answer, &told) != nil {
		return errors.New("send log records: the collector's answer is no OTLP")
	}
	if p := told.GetPartialSuccess(); p.GetRejectedLogRecords() > 0 {
		s.Log.Error("a collector refuses records of the trail", "records", p.GetRejectedLogRecords())
	}
	return nil
}

// Settle has nothing to do: Send has the collector's word.
func (*Sender) Settle(context.Context) error { return nil }

// Close has nothing to do.
func (*Sender) Close() error { return nil }

func (s *Sender) request(records []audit.Followed) *logs.ExportLogsServiceRequest {
	all := make([]*log.LogRecord, len(records))
	for i := range records {
		all[i] = s.record(&records[i])
	}
	about := []*common.KeyValue{text("service.name", "anteroom")}
	for _, a := range []*common.KeyValue{text("service.version", s.Version), text("service.instance.id", s.Site)} {
		if a.Value.GetStringValue() != "" {
			about = append(about, a)
		}
	}
	return &logs.ExportLogsServiceRequest{ResourceLogs: []*log.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: about},
		ScopeLogs: []*log.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "github.com/anteroom/anteroom/audit"}, LogRecords: all}},
	}}}
}

func (s *Sender) record(f *audit.Followed) *log.LogRecord {
	r := &f.Record
	at := uint64(0)
	if !r.Time.IsZero() {
		at = uint64(r.Time.UnixNano())
	}
	out := &log.LogRecord{TimeUnixNano: at, ObservedTimeUnixNano: at, EventName: "anteroom.audit." + string(r.Event)}
	out.SeverityNumber, out.SeverityText = severity(r)
	if id, err := hex.DecodeString(r.TraceID); err == nil && len(id) == 16 {
		out.TraceId = id
		if span, err := hex.DecodeString(r.SpanID); err == nil && len(span) == 8 {
			out.SpanId = span
		}
		if r.TraceFlags == "01" {
			out.Flags = 1
		}
	}
	out.Attributes = attributes(f)
	if s.Whole {
		out.Body = &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: string(f.Raw)}}
	}
	return out
}

// attributes holds what spans may say, under the same names, and where the
// record stands in the chain. No name, patient, path or address is among it.
func attributes(f *audit.Followed) []*common.KeyValue {
	r := &f.Record
	all := []*common.KeyValue{
		{Key: "anteroom.seq", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(r.Seq)}}},
		text("anteroom.hash", f.Place.Hash), text("anteroom.prev", r.Prev), text("anteroom.event", string(r.Event)),
	}
	for _, a := range []struct{ key, value string }{
		{"anteroom.verdict", r.Verdict}, {"anteroom.reason", string(r.Reason)},
		{"anteroom.route", r.Route}, {"anteroom.rule", r.Rule}, {"anteroom.request_id", r.RequestID},
		{"anteroom.device.assurance", r.Device.Assurance}, {"session.id", r.Session}, {"http.request.method", r.Method},
		{"anteroom.sig", r.Sig},
	} {
		if a.value != "" {
			all = append(all, text(a.key, a.value))
		}
	}
	if r.Status != 0 {
		all = append(all, &common.KeyValue{Key: "http.response.status_code", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(r.Status)}}})
	}
	if len(r.Subject.Roles) > 0 {
		roles := &common.ArrayValue{}
		for _, role := range r.Subject.Roles {
			roles.Values = append(roles.Values, text("", role).Value)
		}
		all = append(all, &common.KeyValue{Key: "user.roles", Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: roles}}})
	}
	return all
}

// text is an attribute; what is not UTF-8 would make the whole request invalid.
func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.ToValidUTF8(value, "\uFFFD")}}}
}

// severity says how much a record matters: what was refused is a warning, and
// what should not be an error.
func severity(r *audit.Record) (log.SeverityNumber, string) {
	switch {
	case r.Event == access.EventSecurity, r.Event == access.EventCheckpoint && len(r.Gaps) > 0:
		return log.SeverityNumber_SEVERITY_NUMBER_ERROR, "ERROR"
	case r.Verdict != "" && r.Verdict != access.Allow.String(), r.Event == access.EventConfig && r.Reason == "refused", r.Status >= 500:
		return log.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	}
	return log.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
}
