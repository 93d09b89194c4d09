// Package grace remembers since when devices fail the checks that they may fail for a while.
package grace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/store"
)

// MaxDevices is of how many devices something is remembered. Of one beyond
// them, nothing is, and it has no time of grace.
const MaxDevices = 100_000

// keep is how long a device is remembered that is not heard of: one that lay in
// a drawer for a year has no new time of grace.
const keep = 400 * 24 * time.Hour

// A Bucket keeps values by key. [store.Bucket] is one.
type Bucket interface {
	Create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error)
	Update(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error)
	Get(ctx context.Context, key string) ([]byte, uint64, error)
	Delete(ctx context.Context, key string) error
	Watch(ctx context.Context, fn func(store.Entry)) error
}

// A Keeper remembers in memory, where it is read, and in a bucket, from which
// the next start has it. The process that holds the bucket is its only writer.
type Keeper struct {
	bucket Bucket
	log    *slog.Logger
	seed   maphash.Seed
	shards [16]shard
	count  atomic.Int64
	full   atomic.Bool // it was said

	mu    sync.Mutex
	dirty map[string]struct{} // devices to write
	wake  chan struct{}
	stop  context.CancelFunc
	done  chan struct{}
}

type shard struct {
	sync.RWMutex
	devices map[string][]access.Lapse // never changed in place
}

// Open returns a keeper of what is in bucket.
func Open(ctx context.Context, bucket Bucket, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{
		bucket: bucket, log: log, seed: maphash.MakeSeed(),
		dirty: map[string]struct{}{}, wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	for i := range k.shards {
		k.shards[i].devices = map[string][]access.Lapse{}
	}
	present, enough := context.WithCancel(ctx)
	defer enough() // what is written later, this keeper writes
	err := bucket.Watch(present, func(e store.Entry) {
		var lapses []access.Lapse
		if e.Gone || json.Unmarshal(e.Value, &lapses) != nil {
			return // what cannot be read is as nothing: the check begins anew to be failed
		}
		k.put(e.Key, lapses)
	})
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of devices: %w", err)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	go k.write(work)
	return k, nil
}

func (k *Keeper) shard(device string) *shard {
	return &k.shards[maphash.String(k.seed, device)%uint64(len(k.shards))]
}

func (k *Keeper) put(device string, lapses []access.Lapse) {
	s := k.shard(device)
	s.Lock()
	defer s.Unlock()
	_, had := s.devices[device]
	switch {
	case len(lapses) == 0 && had:
		delete(s.devices, device)
		k.count.Add(-1)
	case len(lapses) > 0:
		s.devices[device] = lapses
		if !had {
			k.count.Add(1)
		}
	}
}

// Of returns what is remembered of a device, which is not to be changed, and
// whether more can be. It looks only at what is in memory.
func (k *Keeper) Of(device string) (lapses []access.Lapse, room bool) {
	n := k.count.Load()
	if n == 0 {
		return nil, true
	}
	s := k.shard(device)
	s.RLock()
	defer s.RUnlock()
	lapses, known := s.devices[device]
	return lapses, known || n < MaxDevices
}

// Note takes in that a device was weighed by checks at now, and did not meet
// those in failed. It returns at once; the bucket has it a little later.
func (k *Keeper) Note(device string, checks []access.Check, failed []access.Failure, now time.Time) {
	before, room := k.Of(device)
	if _, changed := access.Observe(before, checks, failed, now); !changed {
		return
	}
	if !room {
		if !k.full.Swap(true) {
			k.log.Error("too many devices fail checks: of further ones nothing is remembered, and they have no time of grace", "devices", MaxDevices)
		}
		return
	}
	k.mu.Lock() // two requests of one device at once must not undo each other
	before, _ = k.Of(device)
	after, changed := access.Observe(before, checks, failed, now)
	if changed {
		k.put(device, after)
		k.dirty[device] = struct{}{}
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Ending returns how many devices will be kept out before the time within has
// passed since now, unless they meet what they fail. warnFor is how long a check
// may be failed; zero for one that there is not.
func (k *Keeper) Ending(within time.Duration, now time.Time, warnFor func(check string) time.Duration) int {
	n := 0
	for i := range k.shards {
		s := &k.shards[i]
		s.RLock()
		for _, lapses := range s.devices {
			for _, l := range lapses {
				left := l.Since.Add(warnFor(l.Check)).Sub(now)
				if l.Met.IsZero() && left > 0 && left <= within {
					n++
					break
				}
			}
		}
		s.RUnlock()
	}
	return n
}

// Close writes what is not written yet, and ends.
func (k *Keeper) Close() error {
	k.stop()
	<-k.done
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if left := k.flush(ctx); left > 0 {
		return fmt.Errorf("of %d devices it is not written down since when they fail a check", left)
	}
	return nil
}

// write writes down what changed, until ctx ends.
func (k *Keeper) write(ctx context.Context) {
	defer close(k.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		}
		for pause := time.Second; k.flush(ctx) > 0; pause = min(2*pause, time.Minute) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

// flush writes every device that is dirty, and returns how many still are,
// since the bucket did not take them.
func (k *Keeper) flush(ctx context.Context) (left int) {
	k.mu.Lock()
	all := k.dirty
	k.dirty = map[string]struct{}{}
	k.mu.Unlock()
	var failed error
	for device := range all {
		if err := k.keep(ctx, device); err != nil {
			failed = err
			k.mu.Lock()
			k.dirty[device] = struct{}{}
			k.mu.Unlock()
			left++
		}
	}
	if failed != nil && ctx.Err() == nil {
		k.log.Error("write down since when devices fail their checks", "devices", left, "error", failed)
	}
	return left
}

func (k *Keeper) keep(ctx context.Context, device string) error {
	lapses, _ := k.Of(device)
	if len(lapses) == 0 {
		return k.bucket.Delete(ctx, device)
	}
	value, err := json.Marshal(lapses)
	if err != nil {
		return fmt.Errorf("encode what is remembered of a device: %w", err)
	}
	_, err = k.bucket.Create(ctx, device, value, keep)
	if !errors.Is(err, store.ErrExists) {
		return err
	}
	_, rev, err := k.bucket.Get(ctx, device)
	if err != nil {
		return err
	}
	_, err = k.bucket.Update(ctx, device, value, rev, keep)
	return err
}
