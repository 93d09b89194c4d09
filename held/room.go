package held

import (
	"sync"
	"time"
)

// A room counts what is held.
type room struct {
	mu              sync.Mutex
	perSession, all int
	tags            map[string]map[string]time.Time // session tag to store key to when its time runs out
	held            int
}

// take makes room for one more, and reports whether there is.
func (r *room) take(tag, key string, now, expires time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prune(tag, now)
	if r.held >= r.all { // rare enough to look at every one
		for t := range r.tags {
			r.prune(t, now)
		}
	}
	if len(r.tags[tag]) >= r.perSession || r.held >= r.all {
		return false
	}
	r.put(tag, key, expires)
	return true
}

// note counts what is held already.
func (r *room) note(tag, key string, expires time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(tag, key, expires)
}

func (r *room) put(tag, key string, expires time.Time) {
	if r.tags == nil {
		r.tags = make(map[string]map[string]time.Time)
	}
	if r.tags[tag] == nil {
		r.tags[tag] = make(map[string]time.Time)
	}
	if _, there := r.tags[tag][key]; !there {
		r.held++
	}
	r.tags[tag][key] = expires
}

func (r *room) leave(tag, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(tag, key)
}

func (r *room) remove(tag, key string) {
	if _, there := r.tags[tag][key]; !there {
		return
	}
	delete(r.tags[tag], key)
	r.held--
	if len(r.tags[tag]) == 0 {
		delete(r.tags, tag)
	}
}

func (r *room) len(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for tag := range r.tags {
		r.prune(tag, now)
	}
	return r.held
}

// prune forgets what the store has forgotten.
func (r *room) prune(tag string, now time.Time) {
	for key, expires := range r.tags[tag] {
		if !now.Before(expires) {
			r.remove(tag, key)
		}
	}
}
