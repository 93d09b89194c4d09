package inject

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/access"
)

const (
	cacheShards = 16
	cacheMax    = 1 << 16 / cacheShards // assertions in each shard
	sweepEvery  = time.Minute
)

// A cache keeps the last assertion of each session at each place while it may
// be used again.
type cache struct {
	seed   maphash.Seed
	shards *[cacheShards]cacheShard
}

type cacheShard struct {
	mu    sync.Mutex
	made  map[place]assertion
	swept time.Time
}

type place struct{ session, route, audience string }

// A subject is everything else that an assertion says or depends on, but for
// the lists. A struct, as joined strings can be made to look alike.
type subject struct {
	issuer, sub, username, name, acr, device string
	authTime, freshAt                        int64 // freshAt: a step-up within the provider's second counts
	assurance                                access.Assurance
	ttl                                      time.Duration
}

type assertion struct {
	subject
	roles, amr  []string
	token       string
	from, until time.Time
}

func newCache() cache {
	c := cache{seed: maphash.MakeSeed(), shards: new([cacheShards]cacheShard)}
	for i := range c.shards {
		c.shards[i].made = make(map[place]assertion)
	}
	return c
}

func (c *cache) shard(at place) *cacheShard {
	return &c.shards[maphash.Comparable(c.seed, at)%cacheShards]
}

func (c *cache) get(at place, about subject, roles, amr []string, now time.Time) (string, bool) {
	s := c.shard(at)
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.made[at]
	if !ok || a.subject != about || !slices.Equal(a.roles, roles) || !slices.Equal(a.amr, amr) {
		return "", false
	}
	if now.Before(a.from) || !now.Before(a.until) { // also when the clock went back: it would be dated ahead
		return "", false
	}
	return a.token, true
}

func (c *cache) put(at place, a assertion) {
	s := c.shard(at)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, replaces := s.made[at]
	full := !replaces && len(s.made) >= cacheMax
	if full || a.from.Sub(s.swept) >= sweepEvery || a.from.Before(s.swept) {
		s.swept = a.from
		for at, old := range s.made {
			if !a.from.Before(old.until) || a.from.Before(old.from) {
				delete(s.made, at)
			}
		}
	}
	for at := range s.made { // any: the cost is one signature
		if replaces || len(s.made) < cacheMax {
			break
		}
		delete(s.made, at)
	}
	s.made[at] = a
}
