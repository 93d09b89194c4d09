package session

import "sync"

// An opened remembers what cookies opened to, by hashes of them, so that most
// requests need no cipher. Neither a cookie nor an id can be got out of it. It
// knows nothing of sessions: whether one is still there, the view says. The
// zero value is ready.
type opened struct{ shards [64]openedShard }

type openedShard struct {
	sync.RWMutex
	ids map[digest]digest // hash of host and cookie, and digest of the id in it
}

const maxOpened = 1 << 17 / 64 // in each shard

func (o *opened) get(cookie digest) (digest, bool) {
	s := &o.shards[cookie[0]%64]
	s.RLock()
	defer s.RUnlock()
	id, ok := s.ids[cookie]
	return id, ok
}

// put remembers one more, in place of any other when there are too many.
func (o *opened) put(cookie, id digest) {
	s := &o.shards[cookie[0]%64]
	s.Lock()
	defer s.Unlock()
	if s.ids == nil {
		s.ids = make(map[digest]digest)
	}
	for other := range s.ids {
		if len(s.ids) < maxOpened {
			break
		}
		delete(s.ids, other)
	}
	s.ids[cookie] = id
}
