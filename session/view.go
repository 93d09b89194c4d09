package session

import (
	"maps"
	"sync"
)

// A view is every session known here, by its own id and by the digests of the
// ids in cookies. No look-up waits for another.
type view struct {
	ids    sync.Map // session id to *Handle
	shards [64]shard
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
	got, _ := v.ids.LoadOrStore(h.id, h)
	return got.(*Handle)
}

// index makes the ids of h those of rec, which were those of old.
func (v *view) index(h *Handle, old, rec *record) {
	if old != nil && maps.Equal(old.Hosts, rec.Hosts) {
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
	v.ids.CompareAndDelete(h.id, h)
}

// all calls fn with every session.
func (v *view) all(fn func(*Handle)) {
	v.ids.Range(func(_, h any) bool {
		fn(h.(*Handle))
		return true
	})
}
