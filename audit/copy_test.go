package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// copyOf copies the checkpoints of dir to a second place, and returns it.
func copyOf(t *testing.T, dir, second string) {
	t.Helper()
	sink, f := audit.Copy{Journal: dir, Dir: second}, audit.Follow(dir, audit.Place{})
	for {
		got, err := f.Next(2)
		must(t, err)
		if len(got) == 0 {
			return
		}
		must(t, sink.Send(context.Background(), got))
	}
}

func compare(t *testing.T, dir, second string) string {
	t.Helper()
	p, _, err := audit.Compare(dir, second)
	must(t, err)
	if p == nil {
		return ""
	}
	return p.String()
}

func TestCopies(t *testing.T) {
	dir, second := t.TempDir(), t.TempDir()
	o := options(dir)
	o.CheckpointEvery = 3
	write := func(n int) {
		t.Helper()
		j := open(t, o)
		for range n {
			record(t, j, &access.Event{Kind: access.EventAccess, Path: "/orders/7"}, true)
		}
		closed(t, j)
	}
	write(10)
	copyOf(t, dir, second)
	copyOf(t, dir, second) // again, as after a crash
	text, err := os.ReadFile(filepath.Join(second, "checkpoints.ndjson"))
	must(t, err)
	if strings.Contains(string(text), "/orders") || strings.Count(string(text), "\n") < 4 {
		t.Errorf("copied:\n%s", text)
	}
	whole := lines(t, filepath.Join(dir, today))
	if n := strings.Count(string(text), "\n"); n != strings.Count(strings.Join(whole, "\n"), `"event":"checkpoint"`) {
		t.Errorf("%d checkpoints were copied, of\n%s", n, strings.Join(whole, "\n"))
	}
	if p := compare(t, dir, second); p != "" {
		t.Errorf("the trail is as it was copied: %s", p)
	}
	// A crash while a line was copied.
	f, err := os.OpenFile(filepath.Join(second, "checkpoints.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"seq":9`)
	must(t, errors.Join(err, f.Close()))
	write(4)
	copyOf(t, dir, second)
	if p := compare(t, dir, second); p != "" {
		t.Errorf("after a crash of the copying: %s", p)
	}

	// The trail goes on after the copies; that is no problem.
	older := t.TempDir()
	must(t, os.CopyFS(older, os.DirFS(dir)))
	write(4)
	if p := compare(t, dir, second); p != "" {
		t.Errorf("later records: %s", p)
	}
	// An older copy of the whole directory is put back.
	copyOf(t, dir, second)
	if r, err := audit.Verify(older); err != nil || r.Problem != nil {
		t.Fatalf("the older trail is sound by itself: %v %v", r.Problem, err)
	}
	if p := compare(t, older, second); !strings.Contains(p, "is missing") {
		t.Errorf("an older trail in its place: %q", p)
	}
	// The whole trail is written anew by somebody with another key.
	forged := t.TempDir()
	fo := o
	fo.Dir, fo.Key = forged, other
	j := open(t, fo)
	for range 30 {
		record(t, j, &access.Event{Kind: access.EventAccess, Path: "/orders/8"}, true)
	}
	closed(t, j)
	if p := compare(t, forged, second); !strings.Contains(p, "is not the record that was copied") {
		t.Errorf("another trail in its place: %q", p)
	}
	// A copy that was changed proves nothing, and says so.
	must(t, os.WriteFile(filepath.Join(second, "checkpoints.ndjson"), []byte(strings.Replace(string(text), `"reason":"segment"`, `"reason":"opened"`, 1)), 0o600))
	if _, _, err := audit.Compare(dir, second); err == nil || !strings.Contains(err.Error(), "checkpoints.ndjson:1") {
		t.Errorf("a changed copy: %v", err)
	}
	if _, _, err := audit.Compare(dir, t.TempDir()); !errors.Is(err, audit.ErrNoCopies) {
		t.Errorf("no copies: %v", err)
	}
}

// Old segments may go, and their checkpoints stay in the copies.
func TestCopiesOfWhatIsNotKept(t *testing.T) {
	dir, second := t.TempDir(), t.TempDir()
	day := noon
	o := options(dir)
	o.Now = func() time.Time { return day }
	for range 3 {
		j := open(t, o)
		record(t, j, &access.Event{Kind: access.EventStart}, true)
		closed(t, j)
		day = day.AddDate(0, 0, 1)
	}
	copyOf(t, dir, second)
	must(t, os.Remove(filepath.Join(dir, today)))
	if p := compare(t, dir, second); p != "" {
		t.Errorf("the oldest segment was deleted whole: %s", p)
	}
}

// A second place that is not mounted is an error, and is not made.
func TestCopyNeedsItsPlace(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	record(t, j, &access.Event{Kind: access.EventStart}, true)
	closed(t, j)
	got, err := audit.Follow(dir, audit.Place{}).Next(10)
	must(t, err)
	second := filepath.Join(t.TempDir(), "second")
	sink := audit.Copy{Journal: dir, Dir: second}
	if err := sink.Send(t.Context(), got); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
	if _, err := os.Stat(second); err == nil {
		t.Error("it was made")
	}
	must(t, os.Mkdir(second, 0o700))
	must(t, sink.Send(t.Context(), got))
	if p := compare(t, dir, second); p != "" {
		t.Error(p)
	}
}

func TestHold(t *testing.T) {
	dir := t.TempDir()
	day := noon
	o := options(dir)
	o.Now, o.Retain = func() time.Time { return day }, 24*time.Hour
	days := func(n int) int {
		t.Helper()
		for range n {
			j := open(t, o)
			record(t, j, &access.Event{Kind: access.EventStart}, true)
			closed(t, j)
			day = day.AddDate(0, 0, 1)
		}
		all, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
		must(t, err)
		return len(all)
	}
	days(2)
	for _, why := range []string{"inquiry 12", "another"} {
		if kept, err := audit.Hold(dir, why); err != nil || kept != "inquiry 12\n" {
			t.Errorf("kept %q, %v", kept, err)
		}
	}
	if n := days(4); n != 6 {
		t.Errorf("%d segments on hold, want 6", n)
	}
	must(t, audit.Release(dir))
	must(t, audit.Release(dir))
	if n := days(1); n > 3 {
		t.Errorf("%d segments once released", n)
	}
}
