package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// take reads everything that f has, n at a time.
func take(t *testing.T, f *audit.Follower, n int) []uint64 {
	t.Helper()
	var all []uint64
	for {
		got, err := f.Next(n)
		must(t, err)
		if len(got) == 0 {
			return all
		}
		for _, g := range got {
			all = append(all, g.Record.Seq)
		}
	}
}

func spelled(seqs []uint64) string { return strings.Trim(fmt.Sprint(seqs), "[]") }

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	day := noon
	o := options(dir)
	o.Now = func() time.Time { return day }
	j := open(t, o)
	f := audit.Follow(dir, audit.Place{})
	record(t, j, &access.Event{Kind: access.EventStart}, true)
	closed(t, j) // checkpoint, start, checkpoint
	if got := spelled(take(t, f, 2)); got != "1 2 3" {
		t.Fatalf("followed %s", got)
	}
	if got := take(t, f, 2); len(got) != 0 || f.Waiting() != 0 {
		t.Fatalf("followed %v again, %d waiting", got, f.Waiting())
	}
	place := f.At()

	day = noon.AddDate(0, 0, 1) // another segment
	j = open(t, o)
	record(t, j, &access.Event{Kind: access.EventStart}, true)
	closed(t, j)
	rest := spelled(take(t, f, 1))
	if f = audit.Follow(dir, place); spelled(take(t, f, 100)) != rest || !strings.HasPrefix(rest, "4 5 6") {
		t.Fatalf("went on with %s, from the kept place with another", rest)
	}
	end, err := audit.End(dir)
	must(t, err)
	if end != f.At() {
		t.Errorf("the end is %+v, and a follower stands at %+v", end, f.At())
	}
	f.Rewind(place)
	if got := spelled(take(t, f, 3)); got != rest {
		t.Errorf("rewound: %s, want %s", got, rest)
	}
}

// Nothing that the disk has not confirmed is given out.
func TestFollowConfirmed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	record(t, j, &access.Event{Kind: access.EventStart}, true)
	closed(t, j)
	file := filepath.Join(dir, today)
	whole, err := os.ReadFile(file)
	must(t, err)
	later := []byte(`{"seq":4,"time":"2026-11-21T12:00:00.000000Z","event":"stop","prev":"` + strings.Repeat("0", 64) + "\"}\n")
	must(t, os.WriteFile(file, append(whole, later...), 0o600))
	f := audit.Follow(dir, audit.Place{})
	if got := spelled(take(t, f, 100)); got != "1 2 3" {
		t.Errorf("followed %s, and the head says that 3 is the last", got)
	}
	must(t, os.Remove(filepath.Join(dir, "head")))
	if got := take(t, audit.Follow(dir, audit.Place{}), 100); len(got) != 0 {
		t.Errorf("followed %v without a head", got)
	}
}

func TestFollowAfterRetention(t *testing.T) {
	dir := t.TempDir()
	day := noon
	o := options(dir)
	o.Now = func() time.Time { return day }
	var files []string
	for range 4 {
		j := open(t, o)
		record(t, j, &access.Event{Kind: access.EventStart}, true)
		closed(t, j)
		files = append(files, day.Format(time.DateOnly)+".ndjson")
		day = day.AddDate(0, 0, 1)
	}
	whole := spelled(take(t, audit.Follow(dir, audit.Place{}), 100))
	f := audit.Follow(dir, audit.Place{})
	if got, err := f.Next(2); err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	place := f.At()
	must(t, os.Remove(filepath.Join(dir, files[0])))
	must(t, os.Remove(filepath.Join(dir, files[1])))

	for name, f := range map[string]*audit.Follower{"under way": f, "from a kept place": audit.Follow(dir, place)} {
		var missed uint64
		f.Missed = func(n uint64, _ string) { missed += n }
		got := spelled(take(t, f, 100))
		first, _, _ := strings.Cut(got, " ")
		if !strings.HasSuffix(whole, got) || fmt.Sprint(missed+3) != first {
			t.Errorf("%s: followed %s of %s and missed %d", name, got, whole, missed)
		}
	}

	// A place in a line that was changed, or of another journal, is read from anew: twice rather than never.
	for name, p := range map[string]audit.Place{
		"another hash":    {File: files[2], Offset: place.Offset, Seq: 1000, Hash: place.Hash},
		"a later journal": {File: "2030-01-01.ndjson", Offset: 7, Seq: 1_000_000, Hash: place.Hash},
	} {
		f := audit.Follow(dir, p)
		told := ""
		f.Missed = func(_ uint64, why string) { told = why }
		got := spelled(take(t, f, 100))
		if !strings.HasSuffix(whole, got) || told == "" || len(got) < 10 {
			t.Errorf("%s: followed %q, told %q", name, got, told)
		}
	}
}
