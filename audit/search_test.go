package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

func found(t testing.TB, dir string, q audit.Query) string {
	t.Helper()
	var seqs []string
	for line, err := range audit.Search(dir, q) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, fmt.Sprint(line.Record.Seq))
	}
	return strings.Join(seqs, " ")
}

func TestSearch(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	for _, e := range everyKind() { // records 2 to 15; checkpoints are 1 and 16
		record(t, j, e, false)
	}
	closed(t, j)
	o := options(dir)
	o.Now = at(noon.AddDate(0, 0, 3)) // 17 and 20, with a person's own text between
	j = open(t, o)
	record(t, j, &access.Event{Kind: access.EventAccess, Path: `/x","patient":"P-17`, Patient: "P-\"1\u202e"}, false)
	record(t, j, &access.Event{Kind: access.EventAccess, Session: &access.Session{Authentication: access.Authentication{Username: "248289761001"}}}, false)
	closed(t, j)
	for _, c := range []struct {
		name string
		q    audit.Query
		want string
	}{
		{"everything", audit.Query{}, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"},
		{"by username", audit.Query{Person: "nora", Event: access.EventAccess}, "5 7"},
		{"by sub, or the same as a username", audit.Query{Person: "248289761001", Event: access.EventAccess}, "5 7 19"},
		{"part of a name is not the name", audit.Query{Person: "nor"}, ""},
		{"by patient, with the outcome", audit.Query{Patient: "P-17"}, "5 6"},
		{"a patient that needs escapes", audit.Query{Patient: "P-\"1\u202e"}, "18"},
		{"by device", audit.Query{Device: "tab-0099"}, "12"},
		{"by session and verdict", audit.Query{Session: "s-41f0", Verdict: "deny"}, "7"},
		{"by route", audit.Query{Route: "results"}, "8"},
		{"by request", audit.Query{RequestID: "01JD7Q", Limit: 3}, "4 5 6"},
		{"by trace", audit.Query{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Event: access.EventSignOut}, "14"},
		{"from on, and before to", audit.Query{From: noon.Add(3 * time.Second), To: noon.Add(5 * time.Second)}, "5 6"},
		{"a later day", audit.Query{From: noon.AddDate(0, 0, 2), Event: access.EventCheckpoint}, "17 20"},
		{"an earlier day", audit.Query{To: noon.AddDate(0, 0, 1), Event: access.EventCheckpoint}, "1 16"},
	} {
		if got := found(t, dir, c.q); got != c.want {
			t.Errorf("%s: found %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSearchGoesOnAfterABrokenLine(t *testing.T) {
	dir := t.TempDir()
	journal(t, dir, 3)
	edit(t, filepath.Join(dir, today), func(all []string) []string {
		all[2] = strings.Replace(all[2], `"time"`, `"time`, 1)
		return all
	})
	var errs, records int
	for _, err := range audit.Search(dir, audit.Query{Event: access.EventAccess}) {
		if err != nil {
			errs++
		} else {
			records++
		}
	}
	if errs != 1 || records != 2 {
		t.Errorf("%d errors, %d records, want 1 and 2", errs, records)
	}
	for _, err := range audit.Search(filepath.Join(dir, "none"), audit.Query{}) {
		if err == nil {
			t.Error("a missing directory gave a record")
		}
	}
}

func TestSearchLooksOnlyAtWholeLines(t *testing.T) {
	dir := t.TempDir()
	journal(t, dir, 2)
	f, err := os.OpenFile(filepath.Join(dir, today), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"seq":5,"time":"2026-11-21T12:00:00.000000Z","event":"acc`)
	must(t, err)
	must(t, f.Close())
	if got := found(t, dir, audit.Query{}); got != "1 2 3 4" {
		t.Errorf("found %s, want 1 2 3 4", got)
	}
}

func TestWriteLineKeepsTheTerminal(t *testing.T) {
	var b bytes.Buffer
	r := audit.Record{Time: noon, Event: access.EventAccess, Verdict: "deny", Method: "GET", Path: "/\x1b[2J\r\u202e",
		Rule: `a "strange" rule=x`, Subject: audit.Subject{Username: "no\nra"}}
	if err := audit.WriteLine(&b, r, nil); err != nil {
		t.Fatal(err)
	}
	want := `2026-11-21 12:00:00.000  no\nra         deny           GET /\u001b[2J\r\u202e                    rule="a \"strange\" rule=x"` + "\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// seeds are the files of a small journal, and some ways to spoil them.
func seeds(f *testing.F) (segment []byte) {
	dir := f.TempDir()
	journal(f, dir, 2)
	segment, err := os.ReadFile(filepath.Join(dir, today))
	must(f, err)
	head, err := os.ReadFile(filepath.Join(dir, "head"))
	must(f, err)
	f.Add(segment, head)
	f.Add(segment[:len(segment)-9], head[:512])
	f.Add(segment[300:], []byte{})
	f.Add([]byte(`{"seq":1,"event":"checkpoint","prev":"","sig":""}`+"\n"), head)
	f.Add([]byte("\n\n{}\n\x00\x00"), []byte(`{"head":1}`))
	return segment
}

func spoilt(t *testing.T, segment, head []byte) string {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, today), segment, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "head"), head, 0o600))
	return dir
}

// Arbitrary bytes in a journal's files end no process, and never look sound.
func FuzzVerify(f *testing.F) {
	made := seeds(f)
	f.Fuzz(func(t *testing.T, segment, head []byte) {
		dir := spoilt(t, segment, head)
		if r := verify(t, dir); r.Problem == nil && !bytes.Equal(segment, made) {
			t.Fatalf("verify is content with %q", segment)
		}
		for range audit.Search(dir, audit.Query{Person: "nora"}) {
		}
	})
}

// A journal of arbitrary bytes can be opened, and what is written then is found.
func FuzzOpen(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, segment, head []byte) {
		dir := spoilt(t, segment, head)
		j := open(t, options(dir))
		record(t, j, numbered(77), false)
		closed(t, j)
		if ids := tolerant(dir); !strings.HasSuffix(ids, "r77") {
			t.Fatalf("a record written after damage is not found: %s", ids)
		}
	})
}

func tolerant(dir string) string {
	var ids []string
	for line, err := range audit.Search(dir, audit.Query{Event: access.EventAccess}) {
		if err == nil {
			ids = append(ids, line.Record.RequestID)
		}
	}
	return strings.Join(ids, " ")
}
