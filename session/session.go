// Package session keeps who is signed in between requests: one record for each
// sign-in in the store, and a local view of all of them that answers requests.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/store"
)

var (
	// ErrEnded means that the session is over, or was never there.
	ErrEnded = errors.New("session: ended")
	// ErrLocked means that the session waits for its person to prove themselves.
	ErrLocked = errors.New("session: locked")
	// ErrSubject means that another person signed in than the one whose session it is.
	ErrSubject = errors.New("session: another subject")
	// ErrDevice means that the session is pinned to another device.
	ErrDevice = errors.New("session: pinned to another device")
)

// A Bucket is where records are kept: a [store.Bucket] behaves as one must.
type Bucket interface {
	Create(ctx context.Context, key string, value []byte, ttl time.Duration) (rev uint64, err error)
	Update(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error)
	Get(ctx context.Context, key string) (value []byte, rev uint64, err error)
	Watch(ctx context.Context, fn func(store.Entry)) error
}

// A CookieKey seals session cookies. It does not print.
type CookieKey struct {
	Hash  []byte // 32 or 64 bytes
	Block []byte // 16 or 32 bytes
}

// String keeps the key out of logs.
func (CookieKey) String() string { return "[secret]" }

// GoString keeps the key out of logs.
func (CookieKey) GoString() string { return "[secret]" }

// A Config is all that a [Keeper] needs.
type Config struct {
	Bucket Bucket
	Keys   []CookieKey // the first seals, each opens: a key is rotated by putting one before it

	// Limits returns the configuration's limits in force. They bind a session
	// from its beginning; when they are tightened, also those that are under
	// way. A Max of zero is 13 hours; LockAfter and EndAfter of zero set no limit.
	Limits func() access.Limits

	// PerPerson returns how many sessions one person may have. Beginning one
	// more ends the one that was idle the longest. Zero sets no limit, and so
	// does nil.
	PerPerson func() int

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged

	// OnChange is told of what comes about without anybody asking, one at a
	// time. It must not call the Keeper to change anything, and should not take
	// long.
	OnChange func(Change)
}

// A Change is a lock or an end that nobody asked for. Each is told once, within
// about two seconds; again only when the process was killed before it could note so.
type Change struct {
	Kind    access.EventKind // lock or session_ended
	Session access.Session   // as it was; without Roles
	Why     access.Reason    // session_locked or session_ended
	Detail  string           // idle, max or TooMany
}

// TooMany is the detail of an end that another session's beginning brought.
const TooMany = "sessions_per_person"

const (
	defaultMax  = 13 * time.Hour  // a shift of twelve hours and one more
	sweepEvery  = 2 * time.Second // how late a lock or an end may be noted; answers never wait for it
	flushEvery  = time.Second
	writeEvery  = 5 * time.Second        // between two background writes of one session's activity
	writeWithin = 5 * time.Second        // one background write
	useWithin   = 250 * time.Millisecond // a request waits no longer for a store that hangs
)

// A Keeper keeps sessions. It is safe for concurrent use.
type Keeper struct {
	bucket   Bucket
	codecs   []*securecookie.SecureCookie
	limits   func() access.Limits
	most     func() int // sessions of one person; zero: any number
	now      func() time.Time
	log      *slog.Logger
	onChange func(Change)
	telling  sync.Mutex // one call of onChange at a time
	epoch    time.Time  // where this process's own time line begins

	view   view
	opened opened

	queue struct {
		sync.Mutex
		waiting []*Handle // have something to write in the background
	}
	stop context.CancelFunc
	done sync.WaitGroup
}

// Open reads every session and keeps them from then on. The caller closes the
// Keeper before the store.
func Open(ctx context.Context, c Config) (*Keeper, error) {
	k := &Keeper{bucket: c.Bucket, limits: c.Limits, now: c.Now, log: c.Log, onChange: c.OnChange}
	if k.now == nil {
		k.now = time.Now
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.limits == nil {
		k.limits = func() access.Limits { return access.Limits{} }
	}
	if k.most = c.PerPerson; k.most == nil {
		k.most = func() int { return 0 }
	}
	if k.onChange == nil {
		k.onChange = func(Change) {}
	}
	var err error
	if k.codecs, err = codecs(c.Keys); err != nil {
		return nil, fmt.Errorf("open sessions: %w", err)
	}
	k.epoch = k.now()
	k.view.init()

	// The watch outlives ctx, which bounds only the reading of what is there.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	halt := context.AfterFunc(ctx, stop)
	first := newReading(k.changed)
	err = k.bucket.Watch(running, first.take)
	first.finish()
	if err != nil {
		stop()
		return nil, fmt.Errorf("open sessions: %w", err)
	}
	if !halt() {
		return nil, fmt.Errorf("open sessions: %w", context.Cause(ctx))
	}
	k.stop = stop
	k.done.Go(func() { k.every(running, sweepEvery, k.sweep) })
	k.done.Go(func() { k.every(running, flushEvery, func() { k.flush(running, false) }) })
	return k, nil
}

// Close writes what is not written yet and stops. It returns an error when
// that took more than five seconds.
func (k *Keeper) Close() error {
	k.stop()
	k.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	k.flush(ctx, true)
	k.queue.Lock()
	defer k.queue.Unlock()
	if n := len(k.queue.waiting); n > 0 {
		return fmt.Errorf("close sessions: %d were not written", n)
	}
	return nil
}

// ByID returns the session that records call id, also one that has ended and is
// still remembered; nil when there is none.
func (k *Keeper) ByID(id string) *Handle { return k.view.byID(id) }

// Len returns how many sessions have not ended. An end by time counts within two
// seconds.
func (k *Keeper) Len() int { return int(k.view.going.Load()) }

// at puts now on the Keeper's own time line: it begins at the wall clock's
// reading, and runs by the monotonic clock. When the wall clock is set, nobody
// is locked out or let in by it.
func (k *Keeper) at(now time.Time) time.Time {
	return k.epoch.Add(now.Sub(k.epoch)).Round(0).UTC()
}

// changed takes what the watch tells.
func (k *Keeper) changed(e store.Entry) {
	if e.Gone {
		if h := k.view.byID(e.Key); h != nil {
			h.gone(e.Rev)
		}
		return
	}
	rec, err := decodeRecord(e.Key, e.Value)
	if err != nil {
		k.log.Error("read session", "session", e.Key, "err", err)
		return
	}
	if k.at(k.now()).After(rec.Expires) {
		return
	}
	k.adopt(rec, e.Rev)
}

// adopt brings revision rev of a session into the view.
func (k *Keeper) adopt(rec *record, rev uint64) *Handle {
	h := newHandle(k, rec, rev)
	if got := k.view.add(h); got != h {
		got.merge(rec, rev)
		return got
	}
	k.view.index(h, nil, rec)
	k.view.count(nil, rec)
	return h
}
