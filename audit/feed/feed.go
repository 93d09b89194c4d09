// Package feed carries the audit trail to other systems as it grows. The trail
// on disk is the queue: a feed keeps no more than the place that it has come
// to, so an outage of any length costs no memory, and nothing that a request
// waits for.
package feed

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/audit"
)

// A Sink takes records to where they go.
type Sink interface {
	// Send sends records, which follow those of the call before. An error
	// means that none of what was sent since Settle may be taken for delivered.
	Send(ctx context.Context, records []audit.Followed) error
	// Settle returns nil once everything that was sent is known to have
	// arrived, as well as the sink can know.
	Settle(ctx context.Context) error
	// Close gives up what is under way. The sink can be used again.
	Close() error
}

// A Meter counts.
type Meter interface {
	FeedSent(feed string, records int)
	FeedState(feed string, up bool, waiting uint64, lag time.Duration)
	FeedMissed(feed string, records uint64)
}

// A Config says what a feed does. All of it is required but From.
type Config struct {
	Name  string
	Dir   string // of the journal
	Place string // file that keeps how far the feed has come
	Sink  Sink
	Meter Meter
	Log   *slog.Logger
	First bool // a feed that is new begins with the oldest record that is kept; else with the next

	LookEvery   time.Duration // how often the journal is looked at; 0: 250 ms
	SettleEvery time.Duration // longest that what was sent stays unsettled; 0: 30 s, less: settled at once
}

// How a feed works.
const (
	batch       = 256
	sendWithin  = 30 * time.Second
	stopWithin  = 5 * time.Second
	settleAfter = 5000 // records
	saveEvery   = time.Second
	firstPause  = 500 * time.Millisecond
	longPause   = 30 * time.Second
)

// A Feed carries the journal to one sink. Each record arrives at least once,
// in order; after an outage or a restart some come again, with the same number.
type Feed struct {
	c      Config
	begun  bool
	follow *audit.Follower
	needed atomic.Pointer[audit.Place] // settled: what comes after has to be kept

	settled   audit.Place
	saved     audit.Place
	savedAt   time.Time
	unsettled int
	since     time.Time // when the first of them was sent
	failing   bool
}

// Open returns the feed of c at the place that it had come to. It does not
// look at the journal, which may not be there yet.
func Open(c Config) (*Feed, error) {
	if c.SettleEvery == 0 {
		c.SettleEvery = 30 * time.Second
	}
	f := &Feed{c: c}
	if c.LookEvery == 0 {
		c.LookEvery = 250 * time.Millisecond
	}
	at, ok, err := load(c.Place)
	if err != nil {
		return nil, err
	}
	f.begun = ok
	f.settled, f.saved = at, at
	f.needed.Store(&at)
	return f, nil
}

// oldest sorts before the name of every segment there will be.
const oldest = "0001-01-01.ndjson"

// Needed returns the segment that the feed has still to read, or "" while it
// needs none. It may be called from anywhere.
func (f *Feed) Needed() string {
	if file := f.needed.Load().File; file != "" || !f.c.First {
		return file
	}
	return oldest
}

// Run sends until ctx ends, and then settles what it can in a few seconds. The
// journal has been opened before.
func (f *Feed) Run(ctx context.Context) {
	if !f.begin(ctx) {
		return
	}
	pause := firstPause
	for ctx.Err() == nil {
		more, err := f.step(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			f.fail(err)
			wait(ctx, time.Duration((0.5+rand.Float64())*float64(pause)))
			pause = min(2*pause, longPause)
		case !more:
			pause = firstPause
			wait(ctx, f.c.LookEvery)
		default:
			pause = firstPause
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	for { // what was recorded meanwhile, the stop itself too
		if more, err := f.step(last); err != nil || !more {
			break
		}
	}
	if err := f.settle(last); err != nil {
		f.c.Log.Warn("the last records of the trail may be sent to a feed again", "feed", f.c.Name, "error", err)
	}
	f.save(true)
	f.c.Sink.Close()
}

// begin finds where a new feed starts.
func (f *Feed) begin(ctx context.Context) bool {
	for !f.begun && !f.c.First {
		end, err := audit.End(f.c.Dir)
		if err == nil {
			f.begun, f.settled = true, end
			break
		}
		f.fail(err)
		if !wait(ctx, longPause) {
			return false
		}
	}
	f.follow = audit.Follow(f.c.Dir, f.settled)
	f.follow.Missed = f.missed
	at := f.settled
	f.needed.Store(&at)
	f.save(true)
	return true
}

func (f *Feed) missed(n uint64, why string) {
	f.c.Log.Error("a feed of the trail did not find where it was", "feed", f.c.Name, "why", why, "missed", n)
	f.c.Meter.FeedMissed(f.c.Name, n)
}

// step sends what comes next. more is false when there was nothing.
func (f *Feed) step(ctx context.Context) (more bool, err error) {
	records, err := f.follow.Next(batch)
	if err != nil {
		return false, err
	}
	if len(records) > 0 {
		lag := time.Since(records[0].Record.Time)
		if f.failing {
			f.c.Meter.FeedState(f.c.Name, false, f.follow.Waiting()+uint64(len(records)), lag)
		}
		send, cancel := context.WithTimeout(ctx, sendWithin)
		defer cancel()
		if err := f.c.Sink.Send(send, records); err != nil {
			f.c.Meter.FeedState(f.c.Name, false, f.follow.Waiting()+uint64(len(records)), lag)
			return false, err
		}
		f.c.Meter.FeedSent(f.c.Name, len(records))
		if f.unsettled == 0 {
			f.since = time.Now()
		}
		f.unsettled += len(records)
	}
	if f.unsettled >= settleAfter || f.unsettled > 0 && time.Since(f.since) >= f.c.SettleEvery {
		if err := f.settle(ctx); err != nil {
			return false, err
		}
	}
	f.save(false)
	if f.failing {
		f.failing = false
		f.c.Log.Info("records of the trail reach the feed again", "feed", f.c.Name)
	}
	f.c.Meter.FeedState(f.c.Name, true, f.follow.Waiting(), 0)
	return len(records) > 0, nil
}

// settle makes sure of what was sent, and keeps how far that is.
func (f *Feed) settle(ctx context.Context) error {
	if f.unsettled == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	if err := f.c.Sink.Settle(ctx); err != nil {
		return err
	}
	f.unsettled = 0
	f.settled = f.follow.At()
	at := f.settled
	f.needed.Store(&at)
	f.save(false)
	return nil
}

// fail goes back to what is known to have arrived.
func (f *Feed) fail(err error) {
	if !f.failing {
		f.failing = true
		f.c.Log.Error("records of the trail do not reach a feed; they are kept and sent later", "feed", f.c.Name, "error", err)
	}
	if f.follow == nil {
		return
	}
	f.c.Sink.Close()
	f.follow.Rewind(f.settled)
	f.unsettled = 0
}

// save keeps the place, not more often than it matters: whatever was settled
// since is sent again after a crash, and known by its number.
func (f *Feed) save(now bool) {
	if f.settled == f.saved || !now && time.Since(f.savedAt) < saveEvery {
		return
	}
	if err := store(f.c.Place, f.settled); err != nil {
		f.c.Log.Error("how far a feed has come cannot be kept", "feed", f.c.Name, "error", err)
		return
	}
	f.saved, f.savedAt = f.settled, time.Now()
}

// wait returns false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
