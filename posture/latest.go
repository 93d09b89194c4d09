package posture

import (
	"container/list"
	"hash/maphash"
	"sync"

	"github.com/anteroom/anteroom/access"
)

const (
	latestShards = 16
	latestMax    = 100_000 / latestShards // devices in each shard
)

// latest keeps the newest statement about each device, the least recently
// heard of out first. The zero latest is empty and ready.
type latest struct {
	once   sync.Once
	seed   maphash.Seed
	shards [latestShards]latestShard
}

type latestShard struct {
	mu      sync.Mutex
	devices map[string]*list.Element // of *access.Posture
	heard   list.List                // least recently first
}

func (l *latest) shard(deviceID string) *latestShard {
	l.once.Do(func() { l.seed = maphash.MakeSeed() })
	return &l.shards[maphash.String(l.seed, deviceID)%latestShards]
}

// note keeps p unless a newer statement is known. Of two as old, the later
// read one holds, good news or bad.
func (l *latest) note(p access.Posture) {
	s := l.shard(p.DeviceID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.devices[p.DeviceID]; ok {
		if old := e.Value.(*access.Posture); !p.AssertedAt.Before(old.AssertedAt) {
			*old = p
		}
		s.heard.MoveToBack(e)
		return
	}
	if s.devices == nil {
		s.devices = make(map[string]*list.Element)
	}
	if len(s.devices) >= latestMax {
		oldest := s.heard.Front()
		delete(s.devices, s.heard.Remove(oldest).(*access.Posture).DeviceID)
	}
	kept := p // here, or every p would be moved to the heap
	s.devices[p.DeviceID] = s.heard.PushBack(&kept)
}

func (l *latest) get(deviceID string) (access.Posture, bool) {
	s := l.shard(deviceID)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.devices[deviceID]
	if !ok {
		return access.Posture{}, false
	}
	return *e.Value.(*access.Posture), true
}
