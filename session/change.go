package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/access"
)

// A Begin is what a session begins with, or goes on with.
type Begin struct {
	Authn       access.Authentication
	Provider    string // its name in the configuration
	ProviderSID string // the sid claim; "" when not said
	IDToken     string
}

// Begin starts a session and returns it with host's cookie for it. The session
// is in the store when Begin returns.
func (k *Keeper) Begin(ctx context.Context, b Begin, host string) (*Handle, *http.Cookie, error) {
	if b.Authn.Subject.Sub == "" {
		return nil, nil, errors.New("begin session: of nobody")
	}
	t := k.at(k.now())
	rec := &record{Created: t, Limits: k.limits()}
	rec.ID = newID()
	rec.prove(b, k.limits(), t)
	cookie, d, err := k.seal(host)
	if err != nil {
		return nil, nil, fmt.Errorf("begin session: %w", err)
	}
	rec.give(host, d, t)
	rec.Expires = rec.until(k.limits())
	rev, err := k.bucket.Create(ctx, rec.ID, rec.encode(), rec.Expires.Sub(t))
	if err != nil {
		return nil, nil, fmt.Errorf("begin session: %w", err)
	}
	h := k.adopt(rec, rev) // the watch may have brought it in already
	k.crowd(ctx, h)
	return h, cookie, nil
}

// prove makes b what the session rests on from t: unlocked, with the
// configuration's own lock limit until a route tightens it anew.
func (r *record) prove(b Begin, limits access.Limits, t time.Time) {
	r.Authn, r.Provider, r.ProviderSID = b.Authn, b.Provider, b.ProviderSID
	if r.IDToken = b.IDToken; len(r.IDToken) > maxIDToken {
		r.IDToken = ""
	}
	r.Limits.LockAfter = limits.LockAfter
	r.Proven, r.Active, r.LockedAt = t, t, time.Time{}
}

// newID returns 128 random bits in hex.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Join returns a new cookie of host for the session. Those that host gave
// before stay good for a minute, and those of the last five seconds stay good.
// It returns [ErrEnded] for a session that is over.
func (k *Keeper) Join(ctx context.Context, sessionID, host string) (*http.Cookie, error) {
	h := k.view.byID(sessionID)
	if h == nil {
		return nil, ErrEnded
	}
	cookie, d, err := k.seal(host)
	if err != nil {
		return nil, fmt.Errorf("join session: %w", err)
	}
	return cookie, h.write(ctx, func(rec *record) error {
		t := k.at(k.now())
		if h.ended(rec, t) {
			return ErrEnded
		}
		rec.give(host, d, t)
		return nil
	})
}

func (h *Handle) ended(rec *record, t time.Time) bool {
	return rec.stand(t, h.lastActive(rec), h.keeper.limits()).ended
}

// A Once is the evidence that its person proved themselves for one request. It
// is good for at most a minute.
type Once struct {
	Method, Host, Target string // the target is path and query
	Until                time.Time
}

func requestDigest(method, host, target string) digest {
	return sha256.Sum256([]byte(method + "\x00" + host + "\x00" + target))
}

// Renew puts what b proves in place of what was proven before, unlocks the
// session and starts its idle clocks afresh; once may be nil. It returns
// [ErrEnded] for a session that is over and [ErrSubject] when b is of another
// person; the session is then as it was.
func (k *Keeper) Renew(ctx context.Context, sessionID string, b Begin, evidence *Once) error {
	h := k.view.byID(sessionID)
	if h == nil {
		return ErrEnded
	}
	k.note(h, k.now()) // a lock that is lifted before it was noted is told of all the same
	return h.write(ctx, func(rec *record) error {
		t := k.at(k.now())
		switch {
		case h.ended(rec, t):
			return ErrEnded
		case rec.Authn.Subject != b.Authn.Subject:
			return ErrSubject
		}
		rec.prove(b, k.limits(), t)
		if evidence != nil {
			rec.keepOnce(*evidence, k.at(evidence.Until), t)
		}
		return nil
	})
}

// keepOnce adds the evidence to what is not outdated, in place of the oldest
// when there is too much.
func (r *record) keepOnce(e Once, until, t time.Time) {
	if limit := t.Add(onceFor); until.After(limit) {
		until = limit
	}
	add := once{Request: requestDigest(e.Method, e.Host, e.Target), Until: until}
	kept := []once{}
	for _, o := range r.Once {
		if t.Before(o.Until) && o.Request != add.Request {
			kept = append(kept, o)
		}
	}
	kept = append(kept, add)
	r.Once = kept[max(0, len(kept)-maxOnce):]
}

func (r *record) findOnce(d digest, t time.Time) int {
	for i, o := range r.Once {
		if o.Request == d && t.Before(o.Until) {
			return i
		}
	}
	return -1
}

// Once reports whether the session holds evidence for this very request. It
// spends nothing; see [Keeper.Spend].
func (h *Handle) Once(method, host, target string, now time.Time) bool {
	return h.cur.Load().findOnce(requestDigest(method, host, target), h.keeper.at(now)) >= 0
}

// Spend uses the evidence for one request up. Of many callers exactly one is told true.
func (k *Keeper) Spend(ctx context.Context, h *Handle, method, host, target string, now time.Time) (bool, error) {
	d := requestDigest(method, host, target)
	errNone := errors.New("no evidence")
	err := h.write(ctx, func(rec *record) error {
		i := rec.findOnce(d, k.at(now))
		if i < 0 {
			return errNone
		}
		rec.Once = append(rec.Once[:i], rec.Once[i+1:]...) // rec is a copy
		return nil
	})
	if err == errNone || errors.Is(err, ErrEnded) {
		return false, nil
	}
	return err == nil, err
}

// Use counts a request that a route with these limits answers: the session is
// tightened to them from now on, and active says whether its person did
// something. It returns [ErrEnded] or [ErrLocked] when the session is so at
// now, which no activity changes. After any other error the limits hold, but
// are not yet in the store; that goes on in the background.
func (k *Keeper) Use(ctx context.Context, h *Handle, limits access.Limits, active bool, now time.Time) error {
	t := k.at(now)
	moved := false
	for {
		rec, seen := h.cur.Load(), h.active.Load()
		s := rec.stand(t, h.lastActive(rec), k.limits())
		switch {
		case s.ended:
			return ErrEnded
		case s.locked:
			return ErrLocked
		}
		if !active || t.UnixNano() <= seen {
			break
		}
		if h.active.CompareAndSwap(seen, t.UnixNano()) {
			moved = true
			break
		}
	}
	if moved {
		k.later(h)
	}
	if have := h.cur.Load().Limits; have.Tighten(limits) == have {
		return nil
	}
	tightened := h.do(func(rec *record) bool {
		next := rec.Limits.Tighten(limits)
		if !rec.EndedAt.IsZero() || next == rec.Limits {
			return false
		}
		rec.Limits = next
		return true
	})
	if !tightened {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, useWithin)
	defer cancel()
	return k.persist(ctx, h)
}

// persist writes what was done, and leaves it to the background when the store
// will not take it now.
func (k *Keeper) persist(ctx context.Context, h *Handle) error {
	err := h.write(ctx, nil)
	if err != nil && !errors.Is(err, ErrEnded) {
		k.later(h)
		return err
	}
	return nil
}

// Pin binds the session to the device that was reported for it. It returns
// [ErrDevice] when it is bound to another. After any other error the session
// is bound, but that is not yet in the store.
func (k *Keeper) Pin(ctx context.Context, h *Handle, device string) error {
	pinned := h.do(func(rec *record) bool {
		if rec.Device != "" || device == "" || !rec.EndedAt.IsZero() {
			return false
		}
		rec.Device = device
		return true
	})
	if pinned {
		return k.persist(ctx, h)
	}
	switch rec := h.cur.Load(); {
	case !rec.EndedAt.IsZero():
		return ErrEnded
	case device != "" && rec.Device != device:
		return ErrDevice
	}
	return nil
}

// lockAt locks a record at a moment since which nobody proved themselves.
func lockAt(at time.Time) step {
	return func(rec *record) bool {
		if !rec.LockedAt.IsZero() || !rec.EndedAt.IsZero() || at.Before(rec.Proven) {
			return false
		}
		rec.LockedAt = at
		return true
	}
}

func endAt(at time.Time, why access.Reason) step {
	return func(rec *record) bool {
		if !rec.EndedAt.IsZero() {
			return false
		}
		rec.tombstone(at, why)
		return true
	}
}

// Lock locks the session at once. An error means that this is not yet in the
// store; that goes on in the background. A session that is locked or over stays so.
func (k *Keeper) Lock(ctx context.Context, sessionID string) error {
	h := k.view.byID(sessionID)
	if h == nil {
		return nil
	}
	now := k.now()
	k.note(h, now) // it may have been so before anybody asked
	if !h.do(lockAt(k.at(now))) && !h.unwritten() {
		return nil
	}
	return k.persist(ctx, h)
}

// End ends the session at once, for good. An error means that this is not yet
// in the store; that goes on in the background. A session that is over stays so.
func (k *Keeper) End(ctx context.Context, sessionID string, why access.Reason) error {
	h := k.view.byID(sessionID)
	if h == nil {
		return nil
	}
	now := k.now()
	k.note(h, now) // it may have been so before anybody asked
	if !h.do(endAt(k.at(now), why)) && !h.unwritten() {
		return nil
	}
	return k.persist(ctx, h)
}

// EndWhere ends every session that match accepts and returns those, as they
// were. All are ended at once; the error is that of [Keeper.End].
func (k *Keeper) EndWhere(ctx context.Context, match func(s access.Session, provider, providerSID string) bool, why access.Reason) ([]access.Session, error) {
	now := k.now()
	var ended []access.Session
	var handles []*Handle
	k.view.all(func(h *Handle) {
		rec, s := h.stand(k.at(now))
		if s.ended {
			return
		}
		was := rec.value(s, now, k.at(now))
		if match(was, rec.Provider, rec.ProviderSID) && h.do(endAt(k.at(now), why)) {
			ended, handles = append(ended, was), append(handles, h)
		}
	})
	var errs []error
	for _, h := range handles {
		errs = append(errs, k.persist(ctx, h))
	}
	return ended, errors.Join(errs...)
}
