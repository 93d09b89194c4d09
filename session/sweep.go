package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/access"
)

// every calls fn again and again until ctx ends.
func (k *Keeper) every(ctx context.Context, period time.Duration, fn func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}

// sweep notes the deadlines that have passed, and forgets tombstones whose
// time is over.
func (k *Keeper) sweep() {
	now := k.now()
	k.view.all(func(h *Handle) {
		k.note(h, now)
		if rec := h.cur.Load(); !rec.EndedAt.IsZero() && k.at(now).After(rec.until(k.limits())) {
			h.gone(forgotten)
		}
	})
}

// note makes final, and tells of, what time has done to h.
func (k *Keeper) note(h *Handle, now time.Time) {
	t := k.at(now)
	rec, s := h.stand(t)
	var c Change
	switch {
	case s.ended && rec.EndedAt.IsZero() && h.do(endAt(s.endedAt, access.SessionEnded)):
		c = Change{Kind: access.EventSessionEnded, Why: access.SessionEnded, Detail: s.detail}
	case !s.ended && s.locked && rec.LockedAt.IsZero() && h.do(lockAt(s.lockedAt)):
		c = Change{Kind: access.EventLock, Why: access.SessionLocked, Detail: "idle"}
	default:
		return
	}
	c.Session = rec.value(s, now, t) // as it stood
	k.later(h)
	k.tell(c)
}

func (k *Keeper) tell(c Change) {
	k.telling.Lock()
	defer k.telling.Unlock()
	k.onChange(c)
}

// later has h written in the background.
func (k *Keeper) later(h *Handle) {
	if !h.queued.CompareAndSwap(false, true) {
		return
	}
	k.queue.Lock()
	k.queue.waiting = append(k.queue.waiting, h)
	k.queue.Unlock()
}

const writers = 8 // background writes at once

// flush writes what waits for it: steps at once, mere activity when the
// session's last write is long enough ago, or all of it.
func (k *Keeper) flush(ctx context.Context, all bool) {
	k.queue.Lock()
	waiting := k.queue.waiting
	k.queue.waiting = nil
	k.queue.Unlock()

	t := k.at(k.now())
	var urgent, due []*Handle
	for _, h := range waiting {
		switch {
		case h.unwritten():
			urgent = append(urgent, h)
		case all || t.Sub(time.Unix(0, h.wrote.Load())) >= writeEvery:
			due = append(due, h)
		default:
			k.queue.Lock()
			k.queue.waiting = append(k.queue.waiting, h)
			k.queue.Unlock()
		}
	}
	work := slices.Concat(urgent, due)
	for len(work) > 0 {
		n := min(writers, len(work))
		failed := k.writeAll(ctx, work[:n])
		work = work[n:]
		if failed != nil { // the rest would only wait in vain
			k.log.Warn("sessions are not written; trying again", "waiting", n+len(work), "err", failed)
			k.queue.Lock()
			k.queue.waiting = append(k.queue.waiting, work...)
			k.queue.Unlock()
			return
		}
	}
}

// writeAll writes the sessions side by side, queues again what failed, and returns one of its errors.
func (k *Keeper) writeAll(ctx context.Context, handles []*Handle) error {
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	for _, h := range handles {
		wg.Go(func() {
			h.queued.Store(false) // before the reading, so that what comes later is queued again
			ctx, cancel := context.WithTimeout(ctx, writeWithin)
			defer cancel()
			err := h.write(ctx, nil)
			if err == nil || errors.Is(err, ErrEnded) {
				return
			}
			k.later(h)
			mu.Lock()
			failed = err
			mu.Unlock()
		})
	}
	wg.Wait()
	return failed
}
