package session

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/anteroom/anteroom/access"
)

// A view is every session known here, by its own id and by the digests of the
// ids in cookies. No look-up waits for another.
type view struct {
	ids    [64]named
	shards [64]shard
	people people
	going  atomic.Int64 // how many have not ended
}

// people are the sessions of each person, ended ones among them. They are asked
// for only when a session begins.
type people struct {
	sync.Mutex
	of map[access.Subject][]*Handle
}

type shard struct {
	sync.RWMutex
	handles map[digest]*Handle
}

// A named is a part of the sessions, by their own ids.
type named struct {
	sync.RWMutex
	handles map[string]*Handle
}

func (v *view) init() {
	for i := range v.shards {
		v.shards[i].handles = make(map[digest]*Handle)
		v.ids[i].handles = make(map[string]*Handle)
	}
}

func (v *view) shard(d digest) *shard { return &v.shards[d[0]%64] }

var seed = maphash.MakeSeed()

func (v *view) named(id string) *named { return &v.ids[maphash.String(seed, id)%64] }

func (v *view) byID(id string) *Handle {
	s := v.named(id)
	s.RLock()
	defer s.RUnlock()
	return s.handles[id]
}

// byCookie returns the session to which the id of digest d once led. Whether
// it still does, the record says.
func (v *view) byCookie(d digest) *Handle {
	s := v.shard(d)
	s.RLock()
	defer s.RUnlock()
	return s.handles[d]
}

// add returns h, or the handle that this session has already.
func (v *view) add(h *Handle) *Handle {
	s := v.named(h.id)
	s.Lock()
	got := s.handles[h.id]
	if got == nil {
		s.handles[h.id] = h
	}
	s.Unlock()
	if got != nil {
		return got
	}
	v.people.add(h)
	return h
}

// count takes that a record with old's end, if that is one, has rec's now.
func (v *view) count(old, rec *record) {
	switch {
	case old != nil && old.EndedAt.IsZero() == rec.EndedAt.IsZero():
	case rec.EndedAt.IsZero():
		v.going.Add(1)
	case old != nil:
		v.going.Add(-1)
	}
}

// subject returns whose session h is, which nothing changes.
func (h *Handle) subject() access.Subject { return h.cur.Load().Authn.Subject }

func (p *people) add(h *Handle) {
	p.Lock()
	defer p.Unlock()
	who := h.subject()
	if p.of == nil {
		p.of = make(map[access.Subject][]*Handle)
	}
	p.of[who] = append(p.of[who], h)
}

func (p *people) remove(h *Handle) {
	p.Lock()
	defer p.Unlock()
	who := h.subject()
	left := slices.DeleteFunc(p.of[who], func(other *Handle) bool { return other == h })
	if p.of[who] = left; len(left) == 0 {
		delete(p.of, who)
	}
}

// sessions returns every session of who.
func (p *people) sessions(who access.Subject) []*Handle {
	p.Lock()
	defer p.Unlock()
	return slices.Clone(p.of[who])
}

// index makes the ids of h those of rec, which were those of old.
func (v *view) index(h *Handle, old, rec *record) {
	if old != nil && maps.EqualFunc(old.Hosts, rec.Hosts, slices.Equal) {
		return
	}
	keep := make(map[digest]bool)
	for d := range rec.digests() {
		keep[d] = true
		s := v.shard(d)
		s.Lock()
		s.handles[d] = h
		s.Unlock()
	}
	for d := range old.digests() {
		if !keep[d] {
			v.drop(d)
		}
	}
}

func (v *view) drop(d digest) {
	s := v.shard(d)
	s.Lock()
	delete(s.handles, d)
	s.Unlock()
}

func (v *view) remove(h *Handle) {
	for d := range h.cur.Load().digests() {
		v.drop(d)
	}
	s := v.named(h.id)
	s.Lock()
	there := s.handles[h.id] == h
	if there {
		delete(s.handles, h.id)
	}
	s.Unlock()
	if there {
		v.people.remove(h)
	}
}

// all calls fn with every session that is there throughout.
func (v *view) all(fn func(*Handle)) {
	for i := range v.ids {
		s := &v.ids[i]
		s.RLock()
		some := slices.Collect(maps.Values(s.handles))
		s.RUnlock()
		for _, h := range some {
			fn(h)
		}
	}
}
