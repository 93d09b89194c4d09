package feed_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/feed"
)

// A receiver takes records, and loses what it was not settled for when it fails.
type receiver struct {
	mu      sync.Mutex
	down    bool
	pending []uint64
	kept    []uint64
	calls   int
}

var errDown = errors.New("down")

func (r *receiver) Send(_ context.Context, records []audit.Followed) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.down {
		return errDown
	}
	for _, f := range records {
		r.pending = append(r.pending, f.Record.Seq)
	}
	return nil
}

func (r *receiver) Settle(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		r.pending = nil // what lay in its buffers
		return errDown
	}
	r.kept, r.pending = append(r.kept, r.pending...), nil
	return nil
}

func (r *receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = nil
	return nil
}

func (r *receiver) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *receiver) tried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// missing returns the numbers up to last that never came, and how many came twice.
func (r *receiver) missing(last uint64) (gone []uint64, again int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[uint64]int{}
	for _, seq := range r.kept {
		seen[seq]++
	}
	for seq := uint64(1); seq <= last; seq++ {
		if seen[seq] == 0 {
			gone = append(gone, seq)
		}
		again += max(0, seen[seq]-1)
	}
	return gone, again
}

type meter struct {
	mu sync.Mutex
	state
}

type state struct {
	up      bool
	waiting uint64
	lag     time.Duration
	missed  uint64
}

func (m *meter) now() state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *meter) FeedSent(string, int) {}
func (m *meter) FeedState(_ string, up bool, waiting uint64, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up, m.waiting, m.lag = up, waiting, lag
}
func (m *meter) FeedMissed(_ string, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missed += n
}

type world struct {
	t    *testing.T
	dir  string
	look time.Duration
	to   *receiver
	m    *meter
	logs bytes.Buffer
	mu   sync.Mutex
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.Write(p)
}

func (w *world) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.String()
}

func (w *world) journal() *audit.Journal {
	w.t.Helper()
	j, err := audit.Open(audit.Options{Dir: filepath.Join(w.dir, "audit"), Key: ed25519.NewKeyFromSeed(make([]byte, 32))})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *world) record(j *audit.Journal, n int) {
	w.t.Helper()
	for range n {
		if err := j.Record(context.Background(), &access.Event{Kind: access.EventAccess, Verdict: "allow"}, true); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) open(first bool) *feed.Feed {
	w.t.Helper()
	f, err := feed.Open(feed.Config{
		Name: "siem", Dir: filepath.Join(w.dir, "audit"), Place: filepath.Join(w.dir, "feeds", "siem.json"),
		LookEvery: w.look, Sink: w.to, Meter: w.m, Log: slog.New(slog.NewTextHandler(w, nil)), First: first,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// run runs f and returns a function that ends it as a stop does.
func (w *world) run(f *feed.Feed) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	return func() { cancel(); <-done }
}

func in(t *testing.T, test func(w *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { test(&world{t: t, dir: dir, look: time.Second, to: &receiver{}, m: &meter{}}) })
}

// An hour's outage and a restart in it lose nothing, and are told.
func TestOutage(t *testing.T) {
	in(t, func(w *world) {
		j := w.journal() // record 1 is its checkpoint
		stop := w.run(w.open(true))
		w.record(j, 100)
		time.Sleep(time.Minute)
		if gone, again := w.to.missing(101); len(gone) > 0 || again > 0 {
			t.Fatalf("before the outage %v are missing, %d came twice", gone, again)
		}
		w.to.set(true)
		for range 30 {
			w.record(j, 50)
			time.Sleep(time.Minute)
		}
		if m := w.m.now(); m.up || m.waiting < 1500 || m.lag < 29*time.Minute {
			t.Errorf("after half an hour: %+v", m)
		}
		stop() // cannot settle, and ends all the same
		stop = w.run(w.open(true))
		for range 30 {
			w.record(j, 50)
			time.Sleep(time.Minute)
		}
		calls := w.to.tried()
		time.Sleep(10 * time.Minute)
		if tried := w.to.tried() - calls; tried < 10 || tried > 60 {
			t.Errorf("tried %d times in 10 minutes", tried)
		}
		w.to.set(false)
		time.Sleep(2 * time.Minute)
		stop()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		end, err := audit.End(filepath.Join(w.dir, "audit"))
		if err != nil {
			t.Fatal(err)
		}
		if gone, again := w.to.missing(3101); len(gone) > 0 || again > 0 {
			t.Errorf("%d of %d are missing (%v…), %d came twice", len(gone), end.Seq, gone[:min(3, len(gone))], again)
		}
		if m := w.m.now(); !m.up || m.lag != 0 {
			t.Errorf("afterwards: %+v", m)
		}
		text := w.text()
		if strings.Count(text, "do not reach a feed") != 2 || strings.Count(text, "reach the feed again") != 1 {
			t.Errorf("log:\n%s", text)
		}
	})
}

// What was sent and not settled when a receiver dies is sent again.
func TestReceiverLosesItsBuffer(t *testing.T) {
	in(t, func(w *world) {
		j := w.journal()
		stop := w.run(w.open(true))
		time.Sleep(time.Second)
		for range 20 {
			w.record(j, 10)
			time.Sleep(2 * time.Second)
			w.to.set(true) // its buffer goes with the next that it is asked
			time.Sleep(time.Second)
			w.record(j, 1)
			time.Sleep(40 * time.Second)
			w.to.set(false)
			time.Sleep(40 * time.Second)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		stop()
		if gone, _ := w.to.missing(221); len(gone) > 0 {
			t.Errorf("missing: %v", gone)
		}
	})
}

// A crash before the place was kept sends again, and leaves nothing out.
func TestCrash(t *testing.T) {
	in(t, func(w *world) {
		place := filepath.Join(w.dir, "feeds", "siem.json")
		j := w.journal()
		stop := w.run(w.open(true))
		w.record(j, 10)
		time.Sleep(time.Minute)
		before, err := os.ReadFile(place)
		if err != nil {
			t.Fatal(err)
		}
		w.record(j, 10)
		time.Sleep(time.Minute)
		stop()
		if err := os.WriteFile(place, before, 0o600); err != nil {
			t.Fatal(err)
		}
		stop = w.run(w.open(true))
		w.record(j, 10)
		time.Sleep(time.Minute)
		stop()
		j.Close()
		if gone, again := w.to.missing(31); len(gone) > 0 || again != 10 {
			t.Errorf("missing %v, %d came twice, want 10", gone, again)
		}
	})
}

func TestBegin(t *testing.T) {
	in(t, func(w *world) {
		j := w.journal()
		w.record(j, 10)
		time.Sleep(time.Second)
		stop := w.run(w.open(false))
		time.Sleep(time.Second)
		w.record(j, 1)
		time.Sleep(time.Minute)
		stop()
		if fmt.Sprint(w.to.kept) != "[12]" {
			t.Errorf("a feed that begins now got %v", w.to.kept)
		}
		stop = w.run(w.open(true)) // it has begun: what it says of its beginning counts no more
		w.record(j, 1)
		time.Sleep(time.Minute)
		stop()
		j.Close()
		if fmt.Sprint(w.to.kept) != "[12 13]" {
			t.Errorf("then %v", w.to.kept)
		}
	})
}

// The journal keeps what a feed has not settled, and says so where it is too old.
func TestNeeded(t *testing.T) {
	in(t, func(w *world) {
		w.to.set(true)
		w.look = time.Hour
		f := w.open(true)
		if f.Needed() == "" {
			t.Error("a feed that begins with the oldest needs nothing")
		}
		var needed func() string = f.Needed
		open := func() *audit.Journal {
			j, err := audit.Open(audit.Options{Dir: filepath.Join(w.dir, "audit"), Key: ed25519.NewKeyFromSeed(make([]byte, 32)),
				Retain: 24 * time.Hour, Needed: needed, Log: slog.New(slog.NewTextHandler(w, nil))})
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		segments := func() int {
			all, _ := filepath.Glob(filepath.Join(w.dir, "audit", "*.ndjson"))
			return len(all)
		}
		j := open()
		stop := w.run(f)
		for range 5 {
			w.record(j, 1)
			time.Sleep(24 * time.Hour)
		}
		w.record(j, 1)
		if n := segments(); n != 6 {
			t.Errorf("%d segments are left while the feed is down, want 6", n)
		}
		if !strings.Contains(w.text(), "a feed has not sent it") {
			t.Error("nothing was said")
		}
		w.to.set(false)
		time.Sleep(24 * time.Hour)
		w.record(j, 1)
		if n := segments(); n > 3 {
			t.Errorf("%d segments are left once the feed has sent them", n)
		}
		stop()
		j.Close()
		if m := w.m.now(); m.missed != 0 {
			t.Errorf("missed %d", m.missed)
		}
	})
}

func TestBrokenPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "siem.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Open(feed.Config{Place: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v", err)
	}
}
