package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/store"
)

// A Handle is one session in the local view. Its methods answer from memory.
// It is safe for concurrent use, also after the session has ended.
type Handle struct {
	keeper *Keeper
	id     string
	cur    atomic.Pointer[record] // as it holds here; the store may be a moment behind
	active atomic.Int64           // Unix nanoseconds on the time line; cur may be behind
	owned  owned

	mu      sync.Mutex // guards what follows, and the replacing of cur
	rev     uint64     // the newest revision that is known here
	pending []step     // done here and not yet in the store

	turn   chan struct{} // whoever puts one in may write to the store
	queued atomic.Bool   // waits for a background write
	wrote  atomic.Int64  // when the last one was, Unix nanoseconds on the time line
}

// A step changes a record, or reports false. Taking it twice, or on a newer
// record than it was made for, does no harm.
type step func(*record) bool

const (
	maxTries  = 64         // of a write; each that is in vain is one that another gateway made of the same session
	forgotten = ^uint64(0) // a revision after all others
)

func newHandle(k *Keeper, rec *record, rev uint64) *Handle {
	h := &Handle{keeper: k, id: rec.ID, rev: rev, turn: make(chan struct{}, 1)}
	h.cur.Store(rec)
	h.active.Store(rec.Active.UnixNano())
	h.owned.load(rec.Owned)
	return h
}

// ID names the session in records. It opens nothing.
func (h *Handle) ID() string { return h.id }

// Value returns the session as it stands at now, without Roles. Groups and AMR
// are shared: the caller does not change them.
func (h *Handle) Value(now time.Time) access.Session {
	t := h.keeper.at(now)
	rec, s := h.stand(t)
	return rec.value(s, now, t)
}

// value converts deadlines to the clock of now, so that a monotonic reading in
// now holds for them too.
func (r *record) value(s standing, now, t time.Time) access.Session {
	return access.Session{
		ID: r.ID, Authentication: r.Authn, Device: r.Device,
		Ended: s.ended, Locked: s.locked,
		LocksAt: now.Add(s.locksAt.Sub(t)), EndsAt: now.Add(s.endsAt.Sub(t)),
	}
}

// LockedSince returns when the session locked; zero when it is not locked.
func (h *Handle) LockedSince(now time.Time) time.Time {
	t := h.keeper.at(now)
	if _, s := h.stand(t); s.locked {
		return now.Add(s.lockedAt.Sub(t))
	}
	return time.Time{}
}

// Proven returns when the person of the session last proved themselves to it,
// on the clock of now.
func (h *Handle) Proven(now time.Time) time.Time {
	return now.Add(h.cur.Load().Proven.Sub(h.keeper.at(now)))
}

// Provider returns the name of the provider that signed the person in.
func (h *Handle) Provider() string { return h.cur.Load().Provider }

// ProviderSID returns the provider's own name of its session; "" when not said, and once ended.
func (h *Handle) ProviderSID() string { return h.cur.Load().ProviderSID }

// IDToken returns the newest ID token, to be used as a hint; "" when it was
// over 64 KiB, and once ended.
func (h *Handle) IDToken() string { return h.cur.Load().IDToken }

func (h *Handle) stand(t time.Time) (*record, standing) {
	rec := h.cur.Load()
	return rec, rec.stand(t, h.lastActive(rec), h.keeper.limits())
}

func (h *Handle) lastActive(rec *record) time.Time {
	if n := h.active.Load(); n > rec.Active.UnixNano() {
		return time.Unix(0, n).UTC()
	}
	return rec.Active
}

// see makes rec what holds here. The caller has mu.
func (h *Handle) see(rec *record) {
	old := h.cur.Load()
	h.cur.Store(rec)
	h.keeper.view.index(h, old, rec)
	h.keeper.view.count(old, rec)
	if !rec.EndedAt.IsZero() {
		h.owned.clear()
	}
}

// replay returns rec with what is pending done to it. The caller has mu.
func (h *Handle) replay(rec *record) *record {
	rec = rec.clone()
	for _, do := range h.pending {
		do(rec)
	}
	return rec
}

// do takes a step here and now, and leaves it to be written. It reports
// whether the step changed anything.
func (h *Handle) do(change step) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.cur.Load().clone()
	if !change(next) {
		return false
	}
	h.pending = append(h.pending, change)
	h.see(next)
	return true
}

// unwritten reports whether a step is pending.
func (h *Handle) unwritten() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.pending) > 0
}

// merge takes revision rev of the record, whoever wrote it.
func (h *Handle) merge(rec *record, rev uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rev <= h.rev {
		return
	}
	h.rev = rev
	h.owned.load(rec.Owned)
	h.see(h.replay(rec))
}

// gone takes that the store has forgotten the session.
func (h *Handle) gone(rev uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rev <= h.rev {
		return
	}
	h.rev, h.pending = rev, nil
	if rec := h.cur.Load(); rec.EndedAt.IsZero() { // whoever holds the handle must see an end
		rec = rec.clone()
		rec.tombstone(h.keeper.at(h.keeper.now()), access.SessionEnded)
		h.see(rec)
	}
	h.keeper.view.remove(h)
}

// write makes what is pending durable, and change with it; others see change
// only when it is. It returns change's own error, [ErrEnded] when the store
// has forgotten the session, or why the store could not be written.
func (h *Handle) write(ctx context.Context, change func(*record) error) error {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return fmt.Errorf("write session: %w", ctx.Err())
	}
	k := h.keeper
	for range maxTries {
		h.mu.Lock()
		next, rev, steps := h.cur.Load().clone(), h.rev, len(h.pending)
		h.mu.Unlock()
		if change != nil {
			if err := change(next); err != nil {
				return err
			}
		}
		if next.EndedAt.IsZero() {
			next.Active = h.lastActive(next)
			next.Owned = h.owned.list()
		}
		t := k.at(k.now())
		next.Expires = next.until(k.limits())
		got, err := k.bucket.Update(ctx, h.id, next.encode(), rev, max(next.Expires.Sub(t), time.Second))
		if err == nil {
			h.written(next, got, steps)
			h.wrote.Store(t.UnixNano())
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("write session: %w", err)
		}
		if err := h.reread(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("write session: %w", store.ErrConflict)
}

// written takes that the store has rec, with the first steps of what was pending.
func (h *Handle) written(rec *record, rev uint64, steps int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = h.pending[min(steps, len(h.pending)):]
	if rev < h.rev {
		return // the watch has told of a later one already
	}
	h.rev = rev
	h.see(h.replay(rec))
}

// reread merges what another wrote.
func (h *Handle) reread(ctx context.Context) error {
	value, rev, err := h.keeper.bucket.Get(ctx, h.id)
	if errors.Is(err, store.ErrNotFound) {
		h.gone(forgotten)
		return ErrEnded
	}
	if err != nil {
		return fmt.Errorf("read session: %w", err)
	}
	rec, err := decodeRecord(h.id, value)
	if err != nil {
		return err
	}
	h.merge(rec, rev)
	return nil
}
