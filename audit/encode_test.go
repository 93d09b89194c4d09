package audit_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/google/go-cmp/cmp"
)

func TestEncodeShowsWhatATerminalWouldObey(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "/orders/7", `/orders/7`},
		{"letters of other alphabets stay", "Åse Ødegård 山田", `Åse Ødegård 山田`},
		{"line breaks", "a\r\nb\tc", `a\r\nb\tc`},
		{"quote and backslash", `a"b\c`, `a\"b\\c`},
		{"escape sequence", "\x1b[2Jgone", `\u001b[2Jgone`},
		{"NUL and DEL", "\x00\x7f", `\u0000\u007f`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"text turned round", "abc\u202efdp.exe", `abc\u202efdp.exe`},
		{"isolates", "\u2066a\u2069", `\u2066a\u2069`},
		{"line separator", "a\u2028b\u2029", `a\u2028b\u2029`},
		{"zero width", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"no-break space", "a\u00a0b", `a\u00a0b`},
		{"tag characters", "a\U000e0041", `a\udb40\udc41`},
		{"not UTF-8", "a\xffb\xc3", `a\ufffdb\ufffd`},
		{"a field's end", `x","verdict":"allow`, `x\",\"verdict\":\"allow`},
	} {
		line := audit.Encode(nil, &access.Event{Kind: access.EventAccess, Path: c.in}, noon)
		want := `"path":"` + c.want + `"`
		if !bytes.Contains(line, []byte(want)) {
			t.Errorf("%s: %s, want %s in it", c.name, line, want)
		}
	}
}

func TestEncodeTimes(t *testing.T) {
	s := nora()
	s.AuthTime = time.Date(31_000_000, 1, 1, 0, 0, 0, 0, time.UTC)
	line := audit.Encode(nil, &access.Event{Kind: access.EventSignIn, Session: s, Time: time.Unix(1<<60, 0)}, noon)
	r, err := audit.Decode(line)
	if err != nil {
		t.Fatalf("a claimed auth_time beyond the year 9999 broke the record: %v", err)
	}
	if !r.Login.AuthTime.IsZero() || !r.Time.Equal(noon) {
		t.Errorf("auth_time %v, time %v", r.Login.AuthTime, r.Time)
	}
	east := time.Date(2026, 11, 22, 1, 30, 0, 0, time.FixedZone("", 2*3600))
	line = audit.Encode(nil, &access.Event{Kind: access.EventAccess, Time: east}, noon)
	if !strings.Contains(string(line), `"time":"2026-11-21T23:30:00.000000Z"`) {
		t.Errorf("%s: the time is not in UTC", line)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("nora", "/orders/7", "P-17", int64(1795262400), 200)
	f.Add("\x1b]0;x\a\u202e", "\r\n\",\"event\":\"checkpoint\"}", "\xff\xfe", int64(0), -1)
	f.Add("\U000e0041\u2028", `\u0000`, "\ufffd", int64(1<<60), 1<<31)
	f.Fuzz(func(t *testing.T, name, path, patient string, unix int64, status int) {
		s := &access.Session{ID: name + path, Roles: []string{path, "", name}, Authentication: access.Authentication{
			Subject: access.Subject{Issuer: path, Sub: name}, Username: patient, ACR: name, AMR: []string{name, patient}, AuthTime: time.Unix(unix, 0)}}
		e := &access.Event{Kind: access.EventKind(name), Verdict: path, Reason: access.Reason(patient), Route: name, Rule: path, Host: patient,
			Method: name, Path: path, Status: status, Session: s, Client: name, Patient: patient, SourceIP: path, RequestID: name, TraceID: patient, SpanID: path, Sampled: unix%2 == 0,
			PurposeOfUse: patient, Disclosure: &access.Disclosure{Recipient: name, Purpose: path},
			Posture: &access.Posture{DeviceID: path, Assurance: access.A3}, Failed: []access.Failure{{Check: name}, {Check: path}},
			Observed: []access.Observation{{Rule: path, Verdict: name, Reason: access.Reason(patient)}, {}}, Detail: path}
		line := audit.Encode(nil, e, noon)
		if !json.Valid(line) || !utf8.Valid(line) {
			t.Fatalf("not JSON: %q", line)
		}
		for _, c := range string(line) {
			if !unicode.IsPrint(c) {
				t.Fatalf("%U stands bare in %q", c, line)
			}
		}
		got, err := audit.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		v := func(s string) string { return string([]rune(s)) } // each byte that is not UTF-8 becomes U+FFFD
		want := audit.Record{Seq: 1, Time: noon, Event: access.EventKind(v(name)), Verdict: v(path), Reason: access.Reason(v(patient)), Route: v(name), Rule: v(path), Host: v(patient),
			Method: v(name), Path: v(path), Status: status, Client: v(name), Session: v(name + path), Patient: v(patient), SourceIP: v(path), RequestID: v(name), TraceID: v(patient), SpanID: v(path), TraceFlags: map[bool]string{true: "01"}[unix%2 == 0],
			PurposeOfUse: v(patient), Disclosure: access.Disclosure{Recipient: v(name), Purpose: v(path)},
			Subject:  audit.Subject{Issuer: v(path), Sub: v(name), Username: v(patient), Roles: []string{v(path), "", v(name)}},
			Device:   audit.Device{ID: v(path), Assurance: "A3", Failed: []string{v(name), v(path)}},
			Login:    audit.Login{ACR: v(name), AMR: []string{v(name), v(patient)}},
			Observed: []access.Observation{{Rule: v(path), Verdict: v(name), Reason: access.Reason(v(patient))}, {}}, Detail: v(path), Prev: strings.Repeat("0", 64)}
		if at := time.Unix(unix, 0).UTC(); !at.IsZero() && at.Year() >= 0 && at.Year() <= 9999 {
			want.Login.AuthTime = at
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("decoded (-want +got):\n%s", diff)
		}
	})
}
