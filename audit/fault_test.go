package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// A disk is where segments are written; it fails as it is told to.
type disk struct {
	mu       sync.Mutex
	room     int   // bytes until it is full; -1: endless
	sync     error // of fsync
	once     bool  // fsync fails once only: the kernel forgets
	synced   int   // calls of fsync
	truncate error
	opened   int
	stuck    chan struct{} // fsync waits until it is closed
}

func (d *disk) set(change func(d *disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *disk) open(path string, flag int) (audit.File, error) {
	d.set(func(d *disk) { d.opened++ })
	f, err := audit.OpenFile(path, flag)
	return diskFile{f, d}, err
}

type diskFile struct {
	audit.File
	disk *disk
}

func (f diskFile) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.room < 0 || len(b) <= f.disk.room {
		if f.disk.room >= 0 {
			f.disk.room -= len(b)
		}
		return f.File.Write(b)
	}
	n, err := f.File.Write(b[:f.disk.room]) // as much as fits, as a full disk does
	f.disk.room = 0
	return n, errors.Join(err, syscall.ENOSPC)
}

func (f diskFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.truncate != nil {
		return f.disk.truncate
	}
	return f.File.Truncate(size)
}

func (f diskFile) Sync() error {
	f.disk.mu.Lock()
	stuck, err := f.disk.stuck, f.disk.sync
	if f.disk.synced++; f.disk.once {
		f.disk.sync = nil
	}
	f.disk.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	if err != nil {
		return err
	}
	return f.File.Sync()
}

func on(d *disk, dir string) audit.Options {
	o := options(dir).Through(d.open)
	o.Now = nil
	return o
}

func kinds(gaps []audit.Gap) []audit.GapKind {
	var all []audit.GapKind
	for _, g := range gaps {
		all = append(all, g.Kind)
	}
	return all
}

func TestFullDisk(t *testing.T) {
	for _, room := range []int{0, 1, 50, 300, 500} { // before, in and after the first record of what follows
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			d := &disk{room: -1}
			j := open(t, on(d, dir))
			record(t, j, numbered(0), false)
			d.set(func(d *disk) { d.room = room })
			refused := 0
			for i := range 5 {
				err := j.Record(context.Background(), numbered(1+i), i%2 == 0)
				switch {
				case err == nil:
				case !errors.Is(err, audit.ErrNotRecorded) || !errors.Is(err, syscall.ENOSPC):
					t.Fatalf("room for %d: err = %v, want ErrNotRecorded and ENOSPC", room, err)
				default:
					refused++
				}
			}
			if refused < 3 {
				t.Fatalf("room for %d: %d records refused", room, refused)
			}
			if err := j.Healthy(); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("room for %d: Healthy = %v, want ENOSPC", room, err)
			}
			sound(t, dir)
			d.set(func(d *disk) { d.room = -1 })
			time.Sleep(time.Second) // it recovers without being asked
			if err := j.Healthy(); err != nil {
				t.Errorf("room for %d: Healthy = %v after there is room again", room, err)
			}
			record(t, j, numbered(9), true)
			closed(t, j)
			r := sound(t, dir)
			if len(r.Gaps) != 1 || r.Gaps[0].Kind != audit.NotWritten || r.Gaps[0].Records != refused {
				t.Errorf("room for %d: gaps %+v, want one of %d records not written", room, r.Gaps, refused)
			}
			if got := requests(t, dir); len(got) != 1+5-refused+1 || got[len(got)-1] != "r9" {
				t.Errorf("room for %d: records %v with %d refused", room, got, refused)
			}
			if r.Segments != 1 {
				t.Errorf("room for %d: %d segments, want the same one", room, r.Segments)
			}
		})
	}
}

func TestTornEndThatCannotBeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := &disk{room: -1}
		j := open(t, on(d, dir))
		record(t, j, numbered(0), true)
		d.set(func(d *disk) { d.room, d.truncate = 60, syscall.EIO })
		if err := j.Record(context.Background(), numbered(1), false); !errors.Is(err, audit.ErrNotRecorded) {
			t.Fatalf("err = %v, want ErrNotRecorded", err)
		}
		d.set(func(d *disk) { d.room, d.truncate = -1, nil })
		record(t, j, numbered(2), true)
		closed(t, j)
		r := sound(t, dir)
		if !slices.Equal(kinds(r.Gaps), []audit.GapKind{audit.TornSegment, audit.NotWritten}) || r.Segments != 2 {
			t.Errorf("%d segments, gaps %v", r.Segments, r.Gaps)
		}
		if got := strings.Join(requests(t, dir), " "); got != "r0 r2" {
			t.Errorf("records %s, want r0 r2", got)
		}
		j = open(t, on(d, dir)) // and a start later
		closed(t, j)
		sound(t, dir)
	})
}

func TestFailedFlushIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := &disk{room: -1}
		j := open(t, on(d, dir))
		record(t, j, numbered(0), true)
		d.set(func(d *disk) { d.sync = syscall.EIO })
		record(t, j, numbered(1), false) // does not wait for the disk, and is not refused
		err := j.Record(context.Background(), numbered(2), true)
		if !errors.Is(err, audit.ErrNotRecorded) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("err = %v, want ErrNotRecorded and EIO", err)
		}
		if err := j.Healthy(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Healthy = %v, want EIO", err)
		}
		if err := j.Record(context.Background(), numbered(3), false); !errors.Is(err, audit.ErrNotRecorded) {
			t.Errorf("on a segment that failed to flush: err = %v, want ErrNotRecorded", err)
		}
		d.set(func(d *disk) { d.sync = nil })
		time.Sleep(time.Second)
		if err := j.Healthy(); err != nil {
			t.Errorf("Healthy = %v after the disk is back", err)
		}
		record(t, j, numbered(4), true)
		closed(t, j)
		r := sound(t, dir)
		if r.Segments != 2 || r.Gaps[0].Kind != audit.FlushFailed || r.Gaps[0].From != 3 || r.Gaps[0].To != 4 {
			t.Errorf("%d segments, gaps %+v, want records 3 to 4 unconfirmed", r.Segments, r.Gaps)
		}
		// What the disk never confirmed may be gone after a power failure.
		path := filepath.Join(dir, "2000-01-01.ndjson")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		confirmed := strings.Index(string(whole), `{"seq":3,`)
		for cut := confirmed; cut <= len(whole); cut += 37 {
			must(t, os.WriteFile(path, whole[:cut], 0o600))
			sound(t, dir)
		}
		must(t, os.WriteFile(path, whole[:confirmed-1], 0o600))
		if r := verify(t, dir); r.Problem == nil {
			t.Error("a confirmed record was cut, and verify is content")
		}
	})
}

// After a failed fsync the kernel may drop the pages and let the next one pass.
func TestFlushThatFailsOnceIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := &disk{room: -1}
		j := open(t, on(d, dir))
		d.set(func(d *disk) { d.sync, d.once = syscall.EIO, true })
		if err := j.Record(context.Background(), numbered(0), true); !errors.Is(err, syscall.EIO) {
			t.Fatalf("err = %v, want EIO", err)
		}
		record(t, j, numbered(1), true)
		closed(t, j)
		r := sound(t, dir)
		if r.Segments != 2 || !slices.Equal(kinds(r.Gaps), []audit.GapKind{audit.FlushFailed}) {
			t.Errorf("%d segments, gaps %v; want a new segment that tells of the failure", r.Segments, r.Gaps)
		}
	})
}

func TestEveryRecordReachesTheDiskSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: -1}
		j := open(t, on(d, t.TempDir()))
		record(t, j, numbered(0), false)
		d.mu.Lock()
		before := d.synced
		d.mu.Unlock()
		time.Sleep(1200 * time.Millisecond)
		d.mu.Lock()
		if d.synced != before+1 {
			t.Errorf("%d flushes within 1.2 s of a record, want 1", d.synced-before)
		}
		d.mu.Unlock()
		closed(t, j)
	})
}

func TestOrdinaryRecordsDoNotWaitForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: -1}
		j := open(t, on(d, t.TempDir()))
		stuck := make(chan struct{})
		d.set(func(d *disk) { d.stuck = stuck })
		durable := make(chan error, 1)
		go func() { durable <- j.Record(context.Background(), numbered(0), true) }()
		synctest.Wait()
		for i := range 10 {
			record(t, j, numbered(1+i), false)
		}
		select {
		case err := <-durable:
			t.Fatalf("a durable record returned %v before the disk confirmed it", err)
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := j.Record(ctx, numbered(99), true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want the deadline's", err)
		}
		close(stuck)
		if err := <-durable; err != nil {
			t.Error(err)
		}
		closed(t, j)
	})
}

func TestOpenOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := &disk{room: -1}
		closed(t, open(t, on(d, dir)))
		d.set(func(d *disk) { d.room = 10 })
		j := open(t, on(d, dir)) // care goes on where a route says alarm
		if err := j.Healthy(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Healthy = %v, want ENOSPC", err)
		}
		d.set(func(d *disk) { d.room = -1 })
		time.Sleep(time.Second)
		if err := j.Healthy(); err != nil {
			t.Errorf("Healthy = %v after there is room again", err)
		}
		closed(t, j)
		sound(t, dir)
	})
}

// A power failure may take lines that the disk had not confirmed, although the
// head already speaks of them.
func TestPowerFailure(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		made := t.TempDir()
		o := on(&disk{room: -1}, made)
		j := open(t, o)
		record(t, j, numbered(0), true)
		for i := range 3 {
			record(t, j, numbered(1+i), false)
		}
		time.Sleep(200 * time.Millisecond) // signed, and not flushed yet
		must(t, os.CopyFS(dir, os.DirFS(made)))
		closed(t, j)
	})
	for _, c := range []struct {
		name string
		lose func(all []string) []string
		want []audit.GapKind
		from uint64 // first record that is lost
	}{
		{"the last lines", func(all []string) []string { return all[:3] }, []audit.GapKind{audit.LostTail}, 4},
		{"what the last lines were chained to", func(all []string) []string {
			all[3] = strings.Replace(all[3], `"prev":"`, `"prev":"00`, 1)[:len(all[3])-2] + `"}`
			return all
		}, []audit.GapKind{audit.TornTail, audit.LostTail}, 4},
		{"lines before others that were written", func(all []string) []string { return slices.Delete(all, 2, 3) },
			[]audit.GapKind{audit.TornTail, audit.LostTail}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, made := t.TempDir(), dir
			must(t, os.CopyFS(dir, os.DirFS(made)))
			edit(t, filepath.Join(dir, "2000-01-01.ndjson"), c.lose)
			if r := verify(t, dir); r.Problem == nil || r.Problem.Seq != c.from {
				t.Errorf("before the next start: %v, want record %d missing", r.Problem, c.from)
			}
			o := options(dir)
			o.Now = at(time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC))
			j := open(t, o)
			record(t, j, numbered(9), false)
			closed(t, j)
			r := sound(t, dir)
			if last := r.Gaps[len(r.Gaps)-1]; !slices.Equal(kinds(r.Gaps), c.want) || last.From != c.from || last.To != 5 {
				t.Errorf("gaps %+v, want %v of records %d to 5", r.Gaps, c.want, c.from)
			}
			told(t, dir)
		})
	}
}

// A second power failure may take the record that told of the first. That is
// nobody's doing either.
func TestPowerFailureTwice(t *testing.T) {
	dir := t.TempDir()
	lose := func() {
		edit(t, filepath.Join(dir, "2000-01-01.ndjson"), func(all []string) []string { return all[:3] })
	}
	fail := func(n int) { // after n records of which the head speaks, and the disk does not
		synctest.Test(t, func(t *testing.T) {
			j := open(t, on(&disk{room: -1}, dir))
			record(t, j, numbered(0), n > 0)
			for i := range n {
				record(t, j, numbered(1+i), false)
			}
			time.Sleep(200 * time.Millisecond)
			made := t.TempDir()
			must(t, os.CopyFS(made, os.DirFS(dir)))
			closed(t, j)
			must(t, os.RemoveAll(dir))
			must(t, os.CopyFS(dir, os.DirFS(made)))
		})
		lose()
	}
	fail(3)
	fail(0)
	synctest.Test(t, func(t *testing.T) { closed(t, open(t, on(&disk{room: -1}, dir))) })
	if r := sound(t, dir); !slices.Equal(kinds(r.Gaps), []audit.GapKind{audit.LostTail}) {
		t.Errorf("gaps %+v, want one lost tail", r.Gaps)
	}
}

func told(t *testing.T, dir string) {
	t.Helper()
	for line, err := range audit.Search(dir, audit.Query{Event: access.EventCheckpoint}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(line.Record.Gaps) > 0 && line.Record.Seq != 6 {
			t.Errorf("the gap is told by record %d, want 6: a number is never given twice", line.Record.Seq)
		}
	}
}
