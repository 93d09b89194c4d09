package grace_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/grace"
	"github.com/anteroom/anteroom/store"
)

var (
	noon   = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	checks = []access.Check{{Name: "fresh_os", WarnFor: 72 * time.Hour}, {Name: "managed", Hard: true}}
	fails  = []access.Failure{{Check: "fresh_os"}}
)

const day = 24 * time.Hour

func bucket(t *testing.T, dir string) (*store.Bucket, func()) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Key: []byte(strings.Repeat("k", 32)), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bucket(t.Context(), "grace")
	if err != nil {
		t.Fatal(err)
	}
	return b, func() { s.Close() }
}

func open(t *testing.T, b grace.Bucket) *grace.Keeper {
	t.Helper()
	k, err := grace.Open(t.Context(), b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// What is remembered outlives the process, and whatever comes and goes.
func TestRemembersOverARestart(t *testing.T) {
	dir := t.TempDir()
	b, end := bucket(t, dir)
	k := open(t, b)
	k.Note("mdm:1", checks, fails, noon)
	k.Note("mdm:1", checks, fails, noon.Add(day))
	k.Note("mdm:2", checks, fails, noon)
	k.Note("mdm:2", checks, nil, noon.Add(time.Hour))
	k.Note("mdm:3", checks, nil, noon) // nothing to remember
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	end()

	b, end = bucket(t, dir)
	defer end()
	k = open(t, b)
	want := map[string][]access.Lapse{
		"mdm:1": {{Check: "fresh_os", Since: noon}},
		"mdm:2": {{Check: "fresh_os", Since: noon, Met: noon.Add(time.Hour)}},
	}
	for _, device := range []string{"mdm:1", "mdm:2", "mdm:3"} {
		got, room := k.Of(device)
		if !slices.Equal(got, want[device]) || !room {
			t.Errorf("%s: %+v, want %+v", device, got, want[device])
		}
	}
	// Met for three days, it is forgotten, on disk too.
	k.Note("mdm:2", checks, nil, noon.Add(4*day))
	k.Note("mdm:1", checks, fails, noon.Add(4*day))
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := b.Keys(t.Context())
	if err != nil || !slices.Equal(keys, []string{"mdm:1"}) {
		t.Errorf("the bucket has %q, %v", keys, err)
	}
}

func TestEnding(t *testing.T) {
	b, end := bucket(t, t.TempDir())
	defer end()
	k := open(t, b)
	defer k.Close()
	for i, since := range []time.Duration{0, -47 * time.Hour, -48 * time.Hour, -49 * time.Hour, -71 * time.Hour, -72 * time.Hour, -99 * time.Hour} {
		k.Note(fmt.Sprint("mdm:", i), checks, fails, noon.Add(since))
	}
	k.Note("mdm:4", checks, nil, noon) // mended
	warnFor := func(check string) time.Duration {
		if check == "fresh_os" {
			return 72 * time.Hour
		}
		return 0
	}
	if n := k.Ending(24*time.Hour, noon, warnFor); n != 2 { // those of 48 and 49 hours
		t.Errorf("%d devices, want 2", n)
	}
	if n := k.Ending(24*time.Hour, noon, func(string) time.Duration { return 0 }); n != 0 {
		t.Errorf("%d devices for a check that there is no longer", n)
	}
}

// Many requests of one device at once remember one first time.
func TestNoteAtOnce(t *testing.T) {
	b, end := bucket(t, t.TempDir())
	defer end()
	k := open(t, b)
	defer k.Close()
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() { k.Note("mdm:1", checks, fails, noon.Add(time.Duration(i))) })
	}
	all.Wait()
	got, _ := k.Of("mdm:1")
	if len(got) != 1 || got[0].Check != "fresh_os" {
		t.Errorf("%+v", got)
	}
}

func TestFull(t *testing.T) {
	k := open(t, &flaky{})
	for i := range grace.MaxDevices {
		k.Note(fmt.Sprint("mdm:", i), checks, fails, noon)
	}
	if _, room := k.Of("mdm:7"); !room {
		t.Error("no room for a device that is remembered")
	}
	k.Note("one more", checks, fails, noon)
	if lapses, room := k.Of("one more"); room || lapses != nil {
		t.Errorf("room for one more: %v, %+v", room, lapses)
	}
	k.Note("mdm:7", checks, nil, noon)
	k.Note("mdm:7", checks, nil, noon.Add(3*day))
	if _, room := k.Of("one more"); !room {
		t.Error("no room after a device was forgotten")
	}
	k.Close()
}

// flaky is a bucket that takes nothing until it is told to.
type flaky struct {
	mu   sync.Mutex
	well bool
	kept map[string]string
}

func (f *flaky) Create(_ context.Context, key string, value []byte, _ time.Duration) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.well {
		return 0, errors.New("no")
	}
	if f.kept == nil {
		f.kept = map[string]string{}
	}
	f.kept[key] = string(value)
	return 1, nil
}

func (*flaky) Update(context.Context, string, []byte, uint64, time.Duration) (uint64, error) {
	return 0, errors.New("no")
}
func (*flaky) Get(context.Context, string) ([]byte, uint64, error) { return nil, 0, errors.New("no") }
func (*flaky) Delete(context.Context, string) error                { return nil }
func (*flaky) Watch(context.Context, func(store.Entry)) error      { return nil }

// While the store does not answer, requests go on by what is in memory, and it
// is written when the store is back.
func TestStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		k, err := grace.Open(t.Context(), f, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		k.Note("mdm:1", checks, fails, noon)
		if got, _ := k.Of("mdm:1"); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		f.well = true
		f.mu.Unlock()
		time.Sleep(2 * time.Minute)
		f.mu.Lock()
		if f.kept["mdm:1"] == "" {
			t.Error("it was never written")
		}
		f.well = false
		f.mu.Unlock()
		k.Note("mdm:2", checks, fails, noon)
		synctest.Wait()
		if err := k.Close(); err == nil {
			t.Error("what could not be written is not said at the end")
		}
	})
}
