package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/store"
)

var key = bytes.Repeat([]byte{7}, 32)

func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Key: key, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func bucket(t testing.TB, s *store.Store, name string) *store.Bucket {
	t.Helper()
	b, err := s.Bucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValues(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := bucket(t, open(t, t.TempDir()), "things")
	for _, name := range []string{"", "a", "a.b.*.>", "Žofie / ünïcode", "x y\x00z", strings.Repeat("k", 1000)} {
		t.Run(fmt.Sprintf("%.10q", name), func(t *testing.T) {
			if _, _, err := b.Get(ctx, name); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("get before create: err = %v, want ErrNotFound", err)
			}
			if _, err := b.Update(ctx, name, []byte("x"), 1, time.Hour); !errors.Is(err, store.ErrConflict) {
				t.Fatalf("update before create: err = %v, want ErrConflict", err)
			}
			rev, err := b.Create(ctx, name, []byte("one"), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Create(ctx, name, []byte("again"), time.Hour); !errors.Is(err, store.ErrExists) {
				t.Fatalf("second create: err = %v, want ErrExists", err)
			}
			next, err := b.Update(ctx, name, []byte("two"), rev, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			for _, stale := range []uint64{rev, 0} {
				if _, err := b.Update(ctx, name, []byte("three"), stale, time.Hour); !errors.Is(err, store.ErrConflict) {
					t.Fatalf("update of revision %d: err = %v, want ErrConflict", stale, err)
				}
			}
			value, got, err := b.Get(ctx, name)
			if err != nil || string(value) != "two" || got != next {
				t.Fatalf("get = %q, %d, %v; want two, %d", value, got, err, next)
			}
			if value, err := b.Take(ctx, name); err != nil || string(value) != "two" {
				t.Fatalf("take = %q, %v", value, err)
			}
			if _, err := b.Take(ctx, name); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("second take: err = %v, want ErrNotFound", err)
			}
			if _, err := b.Update(ctx, name, []byte("back"), next, time.Hour); !errors.Is(err, store.ErrConflict) {
				t.Fatalf("update after take: err = %v, want ErrConflict", err)
			}
			if _, err := b.Create(ctx, name, []byte("anew"), time.Hour); err != nil {
				t.Fatalf("create after take: %v", err)
			}
			for range 2 {
				if err := b.Delete(ctx, name); err != nil {
					t.Fatalf("delete: %v", err)
				}
			}
			if _, _, err := b.Get(ctx, name); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("get after delete: err = %v, want ErrNotFound", err)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := bucket(t, open(t, t.TempDir()), "things")
	rev, err := b.Create(ctx, strings.Repeat("k", 1024), make([]byte, store.MaxValue), time.Hour)
	if err != nil {
		t.Fatalf("largest value and key: %v", err)
	}
	if _, err := b.Update(ctx, strings.Repeat("k", 1024), make([]byte, store.MaxValue+1), rev, time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("update: err = %v, want ErrTooLarge", err)
	}
	if _, err := b.Create(ctx, "v", make([]byte, store.MaxValue+1), time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("value: err = %v, want ErrTooLarge", err)
	}
	if _, err := b.Create(ctx, strings.Repeat("k", 1025), nil, time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("key: err = %v, want ErrTooLarge", err)
	}
}

// Of many who take, update or create at once, exactly one succeeds.
func TestOneWinner(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := bucket(t, open(t, t.TempDir()), "things")
	rev, err := b.Create(ctx, "updated", []byte("x"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, "taken", []byte("x"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, "removed", []byte("x"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(ctx, "removed"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		try  func() error
		lost error
	}{
		{"take", func() error { _, err := b.Take(ctx, "taken"); return err }, store.ErrNotFound},
		{"update", func() error { _, err := b.Update(ctx, "updated", []byte("y"), rev, time.Hour); return err }, store.ErrConflict},
		{"create", func() error { _, err := b.Create(ctx, "created", []byte("y"), time.Hour); return err }, store.ErrExists},
		{"create over a marker", func() error { _, err := b.Create(ctx, "removed", []byte("y"), time.Hour); return err }, store.ErrExists},
	} {
		t.Run(c.name, func(t *testing.T) {
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					switch err := c.try(); {
					case err == nil:
						won.Add(1)
					case !errors.Is(err, c.lost):
						t.Errorf("a loser's err = %v, want %v", err, c.lost)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d of 100 won, want 1", won.Load())
			}
		})
	}
}

// Time runs out on the engine's own clock, so this one waits for real.
func TestTimeRunsOut(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := bucket(t, open(t, t.TempDir()), "things")
	gone := make(chan string, 10)
	err := b.Watch(ctx, func(e store.Entry) {
		if e.Gone {
			gone <- e.Key
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	rev, err := b.Create(ctx, "updated", []byte("x"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Update(ctx, "updated", []byte("y"), rev, time.Millisecond); err != nil { // a second: whole ones only
		t.Fatal(err)
	}
	rev, err = b.Create(ctx, "prolonged", []byte("x"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Update(ctx, "prolonged", []byte("y"), rev, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, "for good", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case k := <-gone:
		if k != "updated" {
			t.Fatalf("%q ran out, want the updated one", k)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("an update's time never runs out")
	}
	if _, _, err := b.Get(ctx, "updated"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get of what ran out: err = %v, want ErrNotFound", err)
	}
	for _, k := range []string{"prolonged", "for good"} {
		if _, _, err := b.Get(ctx, k); err != nil {
			t.Errorf("get of %s: %v", k, err)
		}
	}
	if _, err := b.Create(ctx, "updated", []byte("z"), time.Hour); err != nil {
		t.Errorf("create after time ran out: %v", err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := bucket(t, open(t, t.TempDir()), "things")
	rev, err := b.Create(ctx, "a", []byte("1"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.Create(ctx, "b", []byte("1"), time.Hour)
	b.Delete(ctx, "b")
	seen := make(chan store.Entry, 100)
	if err := b.Watch(ctx, func(e store.Entry) { seen <- e }); err != nil {
		t.Fatal(err)
	}
	var present []string
	for len(seen) > 0 {
		if e := <-seen; !e.Gone {
			present = append(present, e.Key+"="+string(e.Value))
		}
	}
	if !slices.Equal(present, []string{"a=1"}) {
		t.Fatalf("present = %q, want a=1", present)
	}
	if rev, err = b.Update(ctx, "a", []byte("2"), rev, time.Hour); err != nil {
		t.Fatal(err)
	}
	if e := <-seen; e.Key != "a" || string(e.Value) != "2" || e.Rev != rev {
		t.Fatalf("change = %+v, want a=2 of revision %d", e, rev)
	}
	b.Delete(ctx, "a")
	if e := <-seen; e.Key != "a" || !e.Gone || e.Rev <= rev {
		t.Fatalf("change = %+v, want a gone after revision %d", e, rev)
	}
	b.Create(ctx, "c d", nil, time.Hour)
	keys, err := b.Keys(ctx)
	if err != nil || !slices.Equal(keys, []string{"c d"}) {
		t.Fatalf("keys = %q, %v; want c d", keys, err)
	}
	cancel()
	if _, err := b.Keys(ctx); err == nil {
		t.Error("a list that was cut short is returned as if it were whole")
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir)
	b := bucket(t, s, "things")
	const secret = "a token that must not be read from the disk"
	if _, err := b.Create(ctx, "a", []byte(secret), time.Hour); err != nil {
		t.Fatal(err)
	}
	b.Create(ctx, "b", []byte("x"), time.Hour)
	b.Take(ctx, "b")

	if _, err := store.Open(ctx, store.Options{Dir: dir, Key: key}); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("second open: err = %v, want ErrLocked", err)
	}
	if err := s.Healthy(ctx); err != nil {
		t.Errorf("healthy: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := s.Healthy(ctx); err == nil {
		t.Error("a closed store says that it is healthy")
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, key) {
			t.Errorf("%s holds plain text", path)
		}
		return err
	})

	other := bytes.Repeat([]byte{8}, 32)
	if _, err := store.Open(ctx, store.Options{Dir: dir, Key: other}); !errors.Is(err, store.ErrWrongKey) {
		t.Fatalf("open with another key: err = %v, want ErrWrongKey", err)
	}
	s = open(t, dir)
	b = bucket(t, s, "things")
	if value, _, err := b.Get(ctx, "a"); err != nil || string(value) != secret {
		t.Fatalf("get after reopen = %q, %v", value, err)
	}
	if _, _, err := b.Get(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("what was taken is back: err = %v", err)
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file, says string
	}{
		{"marker lost", "marker.json", "marker.json is missing"},
		{"bucket unreadable", "jetstream/GW/streams/KV_things/meta.sum", "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, dir := t.Context(), t.TempDir()
			s := open(t, dir)
			bucket(t, s, "things")
			s.Close()
			if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(ctx, store.Options{Dir: dir, Key: key})
			if err == nil {
				defer s.Close()
				_, err = s.Bucket(ctx, "things")
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("err = %v, want one that says %q", err, c.says)
			}
		})
	}
}

// A start and a stop that go well say nothing that worries an operator.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	dir := t.TempDir()
	for range 2 {
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Key: key, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		bucket(t, s, "things").Create(t.Context(), "a", []byte("x"), time.Hour)
		s.Close()
	}
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", log.String())
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	if _, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Key: key[:16]}); err == nil {
		t.Error("a short key is taken")
	}
	s := open(t, t.TempDir())
	for _, name := range []string{"", "A", "a.b", "a>", "../x"} {
		if _, err := s.Bucket(t.Context(), name); err == nil {
			t.Errorf("bucket %q is opened", name)
		}
	}
}

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	release, err := store.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.LockDir(dir)
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second lock: err = %v, want ErrLocked that names the directory", err)
	}
	release()
	release, err = store.LockDir(dir)
	if err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	release()
}

func BenchmarkUpdate(b *testing.B) {
	kv := bucket(b, open(b, b.TempDir()), "things")
	value := make([]byte, 1000)
	rev, err := kv.Create(b.Context(), "k", value, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if rev, err = kv.Update(b.Context(), "k", value, rev, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}
