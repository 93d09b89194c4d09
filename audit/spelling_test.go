package audit_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/google/go-cmp/cmp"
)

// Whatever the journal writes is read without the decoder, and the same of it.
func TestLinesAreSpelledAsRead(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	for _, e := range everyKind() {
		record(t, j, e, false)
	}
	record(t, j, &access.Event{Kind: access.EventAccess, Observed: []access.Observation{{}, {Rule: "r"}}, Path: "/é\u202e\"\\\xff\U000e0041"}, false)
	closed(t, j)
	for _, line := range lines(t, filepath.Join(dir, today)) {
		if !audit.AllKnown([]byte(line)) {
			t.Errorf("is not read as written, or has an unknown key: %s", line)
		}
		same(t, line)
	}
}

func same(t *testing.T, line string) {
	t.Helper()
	want, werr := audit.DecodeAny([]byte(line))
	got, err := audit.Decode([]byte(line))
	if (werr == nil) != (err == nil) || cmp.Diff(want, got) != "" {
		t.Errorf("%s\nread as %+v, %v\ndecoded %+v, %v", line, got, err, want, werr)
	}
}

// A key that a record has but a spelling has not would be read slowly for ever.
func TestEveryFieldHasASpelling(t *testing.T) {
	var keys func(t reflect.Type) string
	keys = func(of reflect.Type) string {
		var b strings.Builder
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			value := `"x"`
			switch {
			case name == "-":
				continue
			case name == "gaps":
				value = `[{"kind":"torn_tail","bytes":7}]`
			case f.Type.Kind() == reflect.Uint64 || f.Type.Kind() == reflect.Int:
				value = "7"
			case f.Type.Kind() == reflect.Struct && f.Type.String() != "time.Time":
				value = "{" + keys(f.Type) + "}"
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				value = "[{" + keys(f.Type.Elem()) + "}]"
			case f.Type.Kind() == reflect.Slice:
				value = `["x","y"]`
			}
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + name + `":` + value)
		}
		return b.String()
	}
	line := "{" + keys(reflect.TypeFor[audit.Record]()) + "}"
	if !audit.AllKnown([]byte(line)) {
		t.Errorf("a key of this has no field: %s", line)
	}
	same(t, strings.ReplaceAll(line, `time":"x"`, `time":"2026-11-21T12:00:00.000000Z"`))
}

func TestSpellingLeavesWhatAHandWrote(t *testing.T) {
	for _, line := range []string{
		``, `{`, `{}x`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[]`, `"a"`,
		`{"patient": "P-17"}`, `{ "patient":"P-17"}`, `{"patient":"P-17"} `, "{\"patient\":\"P-17\",\n\"a\":1}",
		`{"Patient":"P-17"}`, `{"\u0070atient":"P-17"}`, `{"patient":"\u0050-17"}`, `{"patient":"P\/17"}`,
		`{"patient":"X","patient":"P-17"}`, `{"subject":{"sub":"a"},"subject":{"username":"b"}}`,
		`{"patient":["P-17"]}`, `{"patient":null}`, `{"seq":01}`, `{"seq":-1}`, `{"seq":1e3}`, `{"seq":"1"}`, `{"seq":1.0}`,
		`{"subject":{"roles":"nurse"}}`, `{"subject":{"roles":[]}}`, `{"subject":[]}`, `{"observed":{}}`,
		`{"path":"\u0041"}`, `{"path":"\u001B"}`, `{"path":"\ud800"}`, `{"path":"` + "\xff" + `"}`, `{"path":"` + "\u202e" + `"}`, `{"path":"a`, `{"path":"a\`,
		`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	} {
		if audit.AsWritten([]byte(line)) {
			t.Errorf("%.60q is taken for what the journal writes", line)
		}
		same(t, line)
	}
}

// What is read as written is JSON, and says the same to the decoder.
func FuzzSpelling(f *testing.F) {
	dir := f.TempDir()
	journal(f, dir, 2)
	for _, e := range everyKind() {
		f.Add(audit.Encode(nil, e, noon))
	}
	all, err := os.ReadFile(filepath.Join(dir, today))
	must(f, err)
	f.Add(all[:strings.Index(string(all), "\n")])
	f.Add([]byte(`{"status":18446744073709551616,"seq":99999999999999999999,"time":"yesterday"}`))
	f.Add([]byte(`{"observed":[{},{"rule":"a","verdict":"b"}],"later":{"x":[1,"y"]},"gaps":[{"kind":"torn_tail"}]}`))
	f.Add([]byte(`{"device":{"failed":["\u202e","a\\b\"c"]},"path":"é"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if audit.AsWritten(line) && !json.Valid(line) {
			t.Fatalf("%q is read, and is no JSON", line)
		}
		same(t, string(line))
	})
}
