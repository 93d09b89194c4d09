// Package limit counts what clients take, and says when it is enough.
package limit

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Rate is how often something may happen: PerSecond on average, and Burst
// times at once. The zero Rate sets no limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

// MaxKeys is how many keys a [Rates] remembers at the most. Beyond it those are
// forgotten that were not asked about for the longest time; each of them has
// its whole burst again, so whoever has more addresses than this gains no more
// by being forgotten than by having them.
const MaxKeys = shards * perShard

const (
	shards   = 64
	perShard = 1024
)

// Rates counts what happens under each key. It is safe for concurrent use, and
// no two keys wait for each other but by chance. The zero Rates is ready.
type Rates[K comparable] struct {
	shards [shards]shard[K]
}

// A shard remembers its keys in two generations: one that is asked about moves
// to the young; when that is full, the old is forgotten and the young is old.
type shard[K comparable] struct {
	mu         sync.Mutex
	young, old map[K]*bucket
}

type bucket struct {
	rate Rate
	*rate.Limiter
}

var seed = maphash.MakeSeed()

// Take counts one more under key at now, by the rate in force. It returns zero
// when that is within the rate, and else after how long it would be; what is
// not within it is not counted. A rate that differs from the last one holds at
// once.
func (r *Rates[K]) Take(key K, by Rate, now time.Time) (wait time.Duration) {
	if by == (Rate{}) {
		return 0
	}
	b := r.shards[maphash.Comparable(seed, key)%shards].find(key, by, now)
	if b.AllowN(now, 1) {
		return 0
	}
	short := 1 - b.TokensAt(now)
	return max(time.Nanosecond, time.Duration(short/by.PerSecond*float64(time.Second)))
}

// find returns the key's bucket, filled and emptied by the rate.
func (s *shard[K]) find(key K, by Rate, now time.Time) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.young[key]
	if !known {
		b, known = s.old[key]
		if !known {
			b = &bucket{by, rate.NewLimiter(rate.Limit(by.PerSecond), by.Burst)}
		}
		s.keep(key, b)
	}
	if b.rate != by {
		b.SetLimitAt(now, rate.Limit(by.PerSecond))
		b.SetBurstAt(now, by.Burst)
		b.rate = by
	}
	return b.Limiter
}

func (s *shard[K]) keep(key K, b *bucket) {
	if s.young == nil || len(s.young) >= perShard/2 {
		s.old, s.young = s.young, make(map[K]*bucket)
	}
	s.young[key] = b
}

// Len returns how many keys are remembered.
func (r *Rates[K]) Len() int {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.young)
		for key := range s.old {
			if _, again := s.young[key]; !again {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
