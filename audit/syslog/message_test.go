package syslog_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rfc5424 "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	parsed "github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/fhir"
	"github.com/anteroom/anteroom/audit/syslog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func events(t *testing.T) []fhir.AuditEvent {
	t.Helper()
	text, err := os.ReadFile("../fhir/testdata/events.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []fhir.AuditEvent
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// records are one of every kind.
func records(t *testing.T) []audit.Followed {
	t.Helper()
	text, err := os.ReadFile("../testdata/every_kind.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var all []audit.Followed
	for line := range bytes.Lines(text) {
		f := audit.Followed{Raw: bytes.TrimSpace(line)}
		if err := json.Unmarshal(line, &f.Record); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

func TestGolden(t *testing.T) {
	var got bytes.Buffer
	for _, e := range events(t) {
		got.Write(syslog.DICOM(e))
		got.WriteByte('\n')
	}
	golden := filepath.Join("testdata", "messages.xml")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// A node is an element, read without our types.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Nodes   []node     `xml:",any"`
	Text    string     `xml:",chardata"`
}

func (n node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// The schema of DICOM PS3.15, section A.5.1: what each element needs and may
// have, in which order its children stand, and how often.
var schema = map[string]struct {
	need, may []string
	children  []string // name, with ? * + after it
}{
	"AuditMessage":                    {nil, nil, []string{"EventIdentification", "ActiveParticipant+", "AuditSourceIdentification", "ParticipantObjectIdentification*"}},
	"EventIdentification":             {[]string{"EventDateTime", "EventOutcomeIndicator"}, []string{"EventActionCode"}, []string{"EventID", "EventTypeCode*", "EventOutcomeDescription?", "PurposeOfUse*"}},
	"ActiveParticipant":               {[]string{"UserID", "UserIsRequestor"}, []string{"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"}, []string{"RoleIDCode*"}},
	"AuditSourceIdentification":       {[]string{"AuditSourceID"}, []string{"AuditEnterpriseSiteID"}, []string{"AuditSourceTypeCode*"}},
	"ParticipantObjectIdentification": {[]string{"ParticipantObjectID", "ParticipantObjectTypeCode"}, []string{"ParticipantObjectTypeCodeRole"}, []string{"ParticipantObjectIDTypeCode", "ParticipantObjectName?", "ParticipantObjectQuery?", "ParticipantObjectDetail*"}},
	"EventID":                         {[]string{"csd-code", "codeSystemName", "originalText"}, nil, nil},
	"EventTypeCode":                   {[]string{"csd-code", "codeSystemName", "originalText"}, nil, nil},
	"PurposeOfUse":                    {[]string{"csd-code", "codeSystemName", "originalText"}, nil, nil},
	"RoleIDCode":                      {[]string{"csd-code", "codeSystemName", "originalText"}, nil, nil},
	"ParticipantObjectIDTypeCode":     {[]string{"csd-code", "codeSystemName", "originalText"}, nil, nil},
	"AuditSourceTypeCode":             {[]string{"csd-code"}, nil, nil},
	"ParticipantObjectDetail":         {[]string{"type", "value"}, nil, nil},
	"ParticipantObjectName":           {},
	"ParticipantObjectQuery":          {},
	"EventOutcomeDescription":         {},
}

func (n node) check(wrong func(string)) {
	s, known := schema[n.XMLName.Local]
	if !known {
		wrong("unknown element " + n.XMLName.Local)
	}
	for _, name := range s.need {
		if n.attr(name) == "" {
			wrong(n.XMLName.Local + " lacks " + name)
		}
	}
	for _, a := range n.Attrs {
		if !slices.Contains(s.need, a.Name.Local) && !slices.Contains(s.may, a.Name.Local) {
			wrong(n.XMLName.Local + " has " + a.Name.Local)
		}
	}
	rest := n.Nodes
	for _, c := range s.children {
		name := strings.TrimRight(c, "?*+")
		count := 0
		for len(rest) > 0 && rest[0].XMLName.Local == name {
			rest, count = rest[1:], count+1
		}
		if count == 0 && (c == name || strings.HasSuffix(c, "+")) || count > 1 && (c == name || strings.HasSuffix(c, "?")) {
			wrong(n.XMLName.Local + ": wrong number of " + name)
		}
	}
	if len(rest) > 0 {
		wrong(n.XMLName.Local + ": " + rest[0].XMLName.Local + " is out of order")
	}
	for _, c := range n.Nodes {
		c.check(wrong)
	}
}

func TestMessagesFollowTheSchema(t *testing.T) {
	for _, e := range events(t) {
		var n node
		text := syslog.DICOM(e)
		if err := xml.Unmarshal(text, &n); err != nil {
			t.Fatalf("%s: %v", e.ID, err)
		}
		n.check(func(what string) { t.Errorf("%s: %s\n%s", e.ID, what, text) })
		names := 0
		for _, c := range n.Nodes {
			for _, d := range c.Nodes {
				if d.XMLName.Local == "ParticipantObjectQuery" && slices.ContainsFunc(c.Nodes, func(n node) bool { return n.XMLName.Local == "ParticipantObjectName" }) {
					names++
				}
			}
		}
		if names > 0 {
			t.Errorf("%s: an object has a name and a query", e.ID)
		}
	}
}

// What a record says of patient, person and place in the chain can be read.
func TestMessageSays(t *testing.T) {
	for _, r := range records(t) {
		if r.Record.Route != "pharmacy" || r.Record.Verdict != "allow" {
			continue
		}
		text := string(syslog.DICOM(fhir.Mapper{Site: "gate.test"}.Event(fhir.Joined{Record: r.Record})))
		for _, want := range []string{
			`EventActionCode="C"`, `UserID="248289761001" AlternativeUserID="https://login.hospital.example|248289761001" UserName="nora" UserIsRequestor="true"`,
			`NetworkAccessPointID="10.20.0.7" NetworkAccessPointTypeCode="2"`, `csd-code="110153" codeSystemName="DCM"`,
			`ParticipantObjectID="P-17" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"`,
			`ParticipantObjectID="5" ParticipantObjectTypeCode="4"><ParticipantObjectIDTypeCode csd-code="seq"`,
			`AuditEnterpriseSiteID="gate.test"`, `ParticipantObjectID="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		return
	}
	t.Fatal("no such record")
}

// Others read the frames: each message is whole, in order, and says what it is.
func TestFrames(t *testing.T) {
	all := records(t)
	all = append(all, audit.Followed{Raw: []byte("not a record \x00\xff\n at all")})
	for _, format := range []syslog.Format{syslog.FormatDICOM, syslog.FormatNDJSON} {
		f := syslog.Framer{Format: format, Host: "gate.hospital.example", Mapper: fhir.Mapper{Site: "gate.hospital.example"}}
		var stream []byte
		for _, r := range all {
			stream = f.Frame(stream, r)
		}
		var got []*parsed.SyslogMessage
		p := octetcounting.NewParser(rfc5424.WithMaxMessageLength(1<<20), rfc5424.WithListener(func(r *rfc5424.Result) {
			if r.Error != nil {
				t.Errorf("%s: message %d: %v", format, len(got)+1, r.Error)
				return
			}
			got = append(got, r.Message.(*parsed.SyslogMessage))
		}))
		p.Parse(bytes.NewReader(stream))
		if len(got) != len(all) {
			t.Fatalf("%s: %d messages of %d records", format, len(got), len(all))
		}
		for i, m := range got {
			r := all[i]
			if *m.Facility != 10 || *m.Hostname != "gate.hospital.example" || *m.Appname != "anteroom" || m.Message == nil {
				t.Errorf("%s: message %d is %+v", format, i+1, m)
				continue
			}
			wantID, want := "DICOM+RFC3881", `<?xml version="1.0" encoding="UTF-8"?><AuditMessage>`
			if format == syslog.FormatNDJSON || r.Record.Seq == 0 {
				wantID, want = "anteroom", string(r.Raw)
			}
			if *m.MsgID != wantID || !strings.HasPrefix(*m.Message, want) {
				t.Errorf("%s: message %d: %s %.80q, want %.80q", format, i+1, *m.MsgID, *m.Message, want)
			}
			severity := uint8(5)
			if r.Record.Verdict == "deny" || r.Record.Event == "security" {
				severity = 4
			}
			if *m.Severity != severity {
				t.Errorf("%s: message %d (%s) has severity %d, want %d", format, i+1, r.Record.Event, *m.Severity, severity)
			}
			if r.Record.Seq > 0 && !m.Timestamp.Equal(r.Record.Time) {
				t.Errorf("%s: message %d is of %v, want %v", format, i+1, m.Timestamp, r.Record.Time)
			}
		}
	}
}
