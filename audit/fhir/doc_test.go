package fhir_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// leaves adds the values in v under their paths, without indexes.
func leaves(at map[string][]string, path string, v any) {
	switch v := v.(type) {
	case object:
		for key, value := range v {
			leaves(at, strings.TrimPrefix(path+"."+key, "."), value)
		}
	case []any:
		for _, value := range v {
			leaves(at, path, value)
		}
	default:
		at[path] = append(at[path], fmt.Sprint(v))
	}
}

// Every field of a record has a row in docs/audit.md, and goes where that says.
func TestDocumentSaysWhereFieldsGo(t *testing.T) {
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	section := func(heading string) string {
		_, s, ok := strings.Cut(string(text), "\n"+heading+"\n")
		if !ok {
			t.Fatalf("docs/audit.md has no section %q", heading)
		}
		s, _, _ = strings.Cut(s, "\n#")
		return s
	}

	full := asked("GET", "allow", access.AllMet, 404, func(r *audit.Record) {
		r.Seq, r.Rule, r.Detail, r.Sig = 4711, "the rule", "the detail", "the signature"
		r.Device.Failed, r.Device.Warned, r.Device.Sender = []string{"the check"}, []string{"the warning"}, "tunnel.test"
		r.Device.Deadline, r.Device.LastKnown = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 11, 40, 0, 0, time.UTC)
		r.Judged = noon.Add(-time.Minute)
		r.Disclosure = access.Disclosure{Recipient: "the recipient", Purpose: "the purpose"}
		r.Observed = []access.Observation{{Rule: "observed rule", Verdict: "observed verdict", Reason: "observed reason"}}
	})
	at := map[string][]string{}
	leaves(at, "", decoded(t, events(full, hospital)[0]))
	bot := asked("GET", "allow", access.AllMet, 200, func(r *audit.Record) { r.Client, r.Subject = "the client", audit.Subject{} })
	leaves(at, "", decoded(t, events(bot, hospital)[0]))
	cut := audit.Record{Seq: 1, Event: access.EventCheckpoint, Gaps: []audit.Gap{{Kind: audit.CutTail, From: 77001, To: 77002}}}
	leaves(at, "", decoded(t, events([]audit.Record{cut}, hospital)[0]))

	r := full[0]
	want := map[string]string{
		"seq": "4711", "time": "2026-11-21T12:00:00.000000Z", "event": "checkpoint", "verdict": r.Verdict, "reason": string(r.Reason),
		"route": r.Route, "rule": r.Rule, "host": r.Host, "method": "read", "path": r.Path, "status": "404",
		"subject.issuer": r.Subject.Issuer, "subject.sub": r.Subject.Sub, "subject.username": r.Subject.Username, "subject.roles": "charge nurse",
		"client": "the client", "session": r.Session, "device.id": r.Device.ID, "device.assurance": r.Device.Assurance, "device.failed": "the check",
		"device.sender": r.Device.Sender, "device.warned": "the warning", "device.deadline": "2026-11-22T12:00:00Z", "device.last_known": "2026-11-21T11:40:00Z",
		"login.acr": r.Login.ACR, "login.amr": "hwk", "login.auth_time": "2026-11-21T11:55:00Z", "patient": r.Patient, "source_ip": r.SourceIP,
		"request_id": r.RequestID, "trace_id": r.TraceID, "span_id": r.SpanID, "trace_flags": "-01", "purpose_of_use": r.PurposeOfUse,
		"disclosure.recipient": "the recipient", "disclosure.purpose": "the purpose",
		"judged":        "2026-11-21T11:59:00Z",
		"observed.rule": "observed rule", "observed.verdict": "observed verdict", "observed.reason": "observed reason",
		"detail": r.Detail, "gaps": "77001 to 77002", "prev": r.Prev, "sig": r.Sig,
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| `([A-Za-z.\\[\\]]+)` \\|$").FindAllStringSubmatch(section("### FHIR"), -1) {
		field, path := m[1], regexp.MustCompile(`\[\w+\]`).ReplaceAllString(m[2], "")
		told[field] = true
		if value := want[field]; value == "" || !slices.ContainsFunc(at[path], func(s string) bool { return strings.Contains(s, value) }) {
			t.Errorf("%s: no %q at %s, where there is %q", field, value, path, at[path])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\|").FindAllStringSubmatch(section("## Fields"), -1) {
		switch field := m[1]; field {
		case "subject", "device", "login", "disclosure", "observed": // their parts have rows
		case "begins", "key": // of checkpoints, which are proven by the trail itself
		default:
			if !told[field] && !strings.HasPrefix(field, "gaps.") {
				t.Errorf("docs/audit.md does not say where %s goes in FHIR", field)
			}
		}
	}
}
