package session

import (
	"maps"
	"slices"
	"sync"

	"github.com/anteroom/anteroom/access"
)

// A view is every session known here, by its own id and by the digests of the
// ids in cookies. No look-up waits for another.
type view struct {
	ids    sync.Map // session id to *Handle
	shards [64]shard
	people people
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

func (v *view) init() {
	for i := range v.shards {
		v.shards[i].handles = make(map[digest]*Handle)
	}
}

func (v *view) shard(d digest) *shard { return &v.shards[d[0]%64] }

func (v *view) byID(id string) *Handle {
	h, _ := v.ids.Load(id)
	handle, _ := h.(*Handle)
	return handle
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
	got, known := v.ids.LoadOrStore(h.id, h)
	if !known {
		v.people.add(h)
	}
	return got.(*Handle)
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
	if v.ids.CompareAndDelete(h.id, h) {
		v.people.remove(h)
	}
}

// all calls fn with every session.
func (v *view) all(fn func(*Handle)) {
	v.ids.Range(func(_, h any) bool {
		fn(h.(*Handle))
		return true
	})
}
