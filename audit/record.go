package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
)

// A Record is one line of the journal, decoded. Fields that do not apply are
// zero. docs/audit.md says what each means and promises its name.
type Record struct {
	Seq        uint64           `json:"seq"`
	Time       time.Time        `json:"time"`
	Event      access.EventKind `json:"event"`
	Verdict    string           `json:"verdict"`
	Reason     access.Reason    `json:"reason"`
	Route      string           `json:"route"`
	Rule       string           `json:"rule"`
	Host       string           `json:"host"`
	Method     string           `json:"method"`
	Path       string           `json:"path"`
	Status     int              `json:"status"`
	Subject    Subject          `json:"subject"`
	Client     string           `json:"client"`
	Session    string           `json:"session"`
	Device     Device           `json:"device"`
	Login      Login            `json:"login"`
	Patient    string           `json:"patient"`
	SourceIP   string           `json:"source_ip"`
	RequestID  string           `json:"request_id"`
	TraceID    string           `json:"trace_id"`
	SpanID     string           `json:"span_id"`
	TraceFlags string           `json:"trace_flags"`

	PurposeOfUse string            `json:"purpose_of_use"`
	Disclosure   access.Disclosure `json:"disclosure"`

	Judged time.Time `json:"judged"` // of a request that was held; zero: when it was recorded

	Observed []access.Observation `json:"observed"`
	Detail   string               `json:"detail"`

	Begins string `json:"begins"` // checkpoint: the segment that it begins
	Gaps   []Gap  `json:"gaps"`   // checkpoint: what is known to be missing before it
	Key    string `json:"key"`    // checkpoint: base64 of the Ed25519 public key
	Prev   string `json:"prev"`   // hex SHA-256 of the line before
	Sig    string `json:"sig"`    // checkpoint: base64 of the signature
}

// A Subject is the person of a record.
type Subject struct {
	Issuer   string   `json:"issuer"`
	Sub      string   `json:"sub"`
	Username string   `json:"username"`
	Roles    []string `json:"roles"`
}

// A Device is what was believed of the device, and which checks it failed.
type Device struct {
	ID        string    `json:"id"`
	Assurance string    `json:"assurance"`
	Sender    string    `json:"sender"`
	Failed    []string  `json:"failed"`
	Warned    []string  `json:"warned"`     // let through until Deadline
	Deadline  time.Time `json:"deadline"`   // the first of theirs
	LastKnown time.Time `json:"last_known"` // of what was stated the facts are, while its source was silent
}

// A Login is how strongly and when the person had signed in.
type Login struct {
	ACR      string    `json:"acr"`
	AMR      []string  `json:"amr"`
	AuthTime time.Time `json:"auth_time"`
}

// decode returns the Record that line is. Of the lines that the journal writes
// it makes one string and cuts the fields out of it.
func decode(line []byte) (Record, error) {
	var spelled spelling[string]
	if spelled.read(string(line)) {
		if r, ok := spelled.record(); ok {
			return r, nil
		}
	}
	return decodeAny(line)
}

// decodeAny decodes a line whoever wrote it.
func decodeAny(line []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return Record{}, fmt.Errorf("decode record: %w", err)
	}
	return r, nil
}

// WriteLine writes r to w as one line for a person: the time in zone (nil: UTC),
// who, what became of it, what was asked, and the ids to search on. Whatever
// would move a terminal's cursor is written as an escape.
func WriteLine(w io.Writer, r Record, zone *time.Location) error {
	if zone == nil {
		zone = time.UTC
	}
	var b strings.Builder
	word, verdict := string(r.Event), r.Verdict
	if verdict != "" && r.Event == access.EventAccess {
		word, verdict = verdict, ""
	}
	fmt.Fprintf(&b, "%s  %-14s %-13s", r.Time.In(zone).Format("2006-01-02 15:04:05.000"), shown(who(r)), shown(word))
	what := strings.TrimSpace(r.Method + " " + r.Host + r.Path)
	if r.Status != 0 {
		what = strings.TrimSpace(what + " " + strconv.Itoa(r.Status))
	}
	if what == "" {
		what = r.Detail
	}
	if what == "" {
		what = "-"
	}
	fmt.Fprintf(&b, "  %-40s", shown(what))
	for _, f := range []struct{ name, value string }{
		{"verdict", verdict},
		{"reason", string(r.Reason)},
		{"route", r.Route},
		{"rule", r.Rule},
		{"patient", r.Patient},
		{"device", r.Device.ID},
		{"failed", strings.Join(r.Device.Failed, ",")},
		{"from", r.SourceIP},
		{"session", r.Session},
		{"request", r.RequestID},
	} {
		if f.value == "" {
			continue
		}
		value := shown(f.value)
		if strings.ContainsAny(value, ` "=`) {
			value = `"` + strings.ReplaceAll(value, `"`, `\"`) + `"`
		}
		fmt.Fprintf(&b, "  %s=%s", f.name, value)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

func who(r Record) string {
	for _, name := range []string{r.Subject.Username, r.Subject.Sub, r.Client} {
		if name != "" {
			return name
		}
	}
	return "-"
}

// shown spells s as records spell it, so that a path cannot move the cursor of
// the terminal on which it is read.
func shown(s string) string {
	quoted := appendString(nil, s)
	return strings.ReplaceAll(string(quoted[1:len(quoted)-1]), `\"`, `"`)
}
