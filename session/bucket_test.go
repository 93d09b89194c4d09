package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/store"
)

// A memory is a bucket without a disk, on the clock of the bubble it is in.
type memory struct {
	mu     sync.Mutex
	kept   map[string]kept
	rev    uint64
	told   []func(store.Entry)
	err    error // every write's answer, when set
	hang   bool  // writes take until their context ends
	mute   bool  // watches are told nothing, as if they were behind
	writes int
}

type kept struct {
	value   []byte
	rev     uint64
	expires time.Time
}

func (m *memory) live(key string) (kept, bool) {
	k, ok := m.kept[key]
	return k, ok && time.Now().Before(k.expires)
}

func (m *memory) down(ctx context.Context) error {
	m.mu.Lock()
	err, hang := m.err, m.hang
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (m *memory) put(key string, value []byte, ttl time.Duration) uint64 {
	m.rev++
	m.writes++
	if m.kept == nil {
		m.kept = make(map[string]kept)
	}
	m.kept[key] = kept{slices.Clone(value), m.rev, time.Now().Add(ttl)}
	if m.mute {
		return m.rev
	}
	for _, fn := range m.told {
		fn(store.Entry{Key: key, Value: slices.Clone(value), Rev: m.rev})
	}
	return m.rev
}

func (m *memory) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	if err := m.down(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.live(key); ok {
		return 0, store.ErrExists
	}
	return m.put(key, value, ttl), nil
}

func (m *memory) Update(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	if err := m.down(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.live(key); !ok || k.rev != rev {
		return 0, store.ErrConflict
	}
	return m.put(key, value, ttl), nil
}

func (m *memory) Get(_ context.Context, key string) ([]byte, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.live(key)
	if !ok {
		return nil, 0, store.ErrNotFound
	}
	return slices.Clone(k.value), k.rev, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, key)
	m.rev++
	for _, fn := range m.told {
		fn(store.Entry{Key: key, Rev: m.rev, Gone: true})
	}
	return nil
}

func (m *memory) Watch(_ context.Context, fn func(store.Entry)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.kept {
		if k, ok := m.live(key); ok {
			fn(store.Entry{Key: key, Value: slices.Clone(k.value), Rev: k.rev})
		}
	}
	m.told = append(m.told, fn)
	return nil
}

func (m *memory) set(err error, hang bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err, m.hang = err, hang
}

// text returns all that is kept.
func (m *memory) text() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []byte
	for _, k := range m.kept {
		all = append(all, k.value...)
	}
	return all
}

func openStore(t testing.TB, dir string) (*store.Store, *store.Bucket) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Key: bytes.Repeat([]byte{9}, 32), MaxBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b, err := s.Bucket(t.Context(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

// What the other tests use in place of the store behaves as the store does.
func TestBuckets(t *testing.T) {
	type bucket interface {
		session.Bucket
		Delete(ctx context.Context, key string) error
	}
	_, real := openStore(t, t.TempDir())
	for name, b := range map[string]bucket{"memory": new(memory), "store": real} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			first, err := b.Create(ctx, "a", []byte("1"), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Create(ctx, "a", []byte("1"), time.Hour); !errors.Is(err, store.ErrExists) {
				t.Errorf("second create: err = %v, want ErrExists", err)
			}
			told := make(chan string, 10)
			err = b.Watch(ctx, func(e store.Entry) { told <- fmt.Sprintf("%s %s +%d %t", e.Key, e.Value, e.Rev-first, e.Gone) })
			if err != nil {
				t.Fatal(err)
			}
			second, err := b.Update(ctx, "a", []byte("2"), first, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Update(ctx, "a", []byte("3"), first, time.Hour); !errors.Is(err, store.ErrConflict) {
				t.Errorf("stale update: err = %v, want ErrConflict", err)
			}
			if value, rev, err := b.Get(ctx, "a"); err != nil || string(value) != "2" || rev != second {
				t.Errorf("get = %q, %d, %v; want 2, %d", value, rev, err, second)
			}
			if err := b.Delete(ctx, "a"); err != nil {
				t.Error(err)
			}
			if _, _, err := b.Get(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("get after delete: err = %v, want ErrNotFound", err)
			}
			if _, err := b.Update(ctx, "a", []byte("3"), second, time.Hour); !errors.Is(err, store.ErrConflict) {
				t.Errorf("update after delete: err = %v, want ErrConflict", err)
			}
			for _, want := range []string{"a 1 +0 false", "a 2 +1 false", "a  +2 true"} {
				if got := <-told; got != want {
					t.Errorf("told %s, want %s", got, want)
				}
			}
		})
	}
}
