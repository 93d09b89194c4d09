package session

import (
	"hash/maphash"
	"runtime"
	"sync"

	"github.com/anteroom/anteroom/store"
)

// A reading has every processor decode what the store tells at first: a restart
// with many sessions waits for little else. Entries of one key stay in order.
type reading struct {
	changed func(store.Entry)
	seed    maphash.Seed
	all     sync.WaitGroup

	mu    sync.Mutex
	lanes []chan store.Entry // nil: what is there has been read
}

func newReading(changed func(store.Entry)) *reading {
	r := &reading{changed: changed, seed: maphash.MakeSeed(), lanes: make([]chan store.Entry, runtime.GOMAXPROCS(0))}
	for i := range r.lanes {
		lane := make(chan store.Entry, 256)
		r.lanes[i] = lane
		r.all.Go(func() {
			for e := range lane {
				changed(e)
			}
		})
	}
	return r
}

// take takes what the watch tells, which is one entry at a time.
func (r *reading) take(e store.Entry) {
	r.mu.Lock()
	if n := uint64(len(r.lanes)); n > 0 {
		defer r.mu.Unlock()
		r.lanes[maphash.String(r.seed, e.Key)%n] <- e
		return
	}
	r.mu.Unlock()
	r.changed(e)
}

// finish waits until all that was taken is read. What comes meanwhile comes after it.
func (r *reading) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, lane := range r.lanes {
		close(lane)
	}
	r.lanes = nil
	r.all.Wait()
}
