package session

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
)

const (
	maxNames  = 64  // cookies that are remembered of one realm
	maxValues = 8   // values of one of them: one name may stand on several paths
	maxOwned  = 512 // cookies of all realms together
)

// A short is the beginning of a SHA-256: enough to know a cookie again, and
// nothing to be used as one.
type short [12]byte

// UnmarshalText reads base64url, as records in JSON have it.
func (s *short) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(s) {
		return errors.New("not a short digest")
	}
	copy(s[:], b)
	return nil
}

func shorten(parts ...string) short {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return short(sum[:12])
}

// An ownedCookie is a cookie that a realm's backend set in this session.
type ownedCookie struct {
	Realm  short   `json:"realm"`
	Name   short   `json:"name"`   // of realm and name
	Values []short `json:"values"` // the newest last
	order  uint64  // grows; the store keeps the list in this order
}

// An owned is every cookie that the session's backends set.
type owned struct {
	mu      sync.RWMutex
	cookies map[short]*ownedCookie // by Name
	order   uint64
}

// load adds what the store knows to what is known here.
func (o *owned) load(list []ownedCookie) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range list {
		if o.cookies[c.Name] == nil {
			o.put(&ownedCookie{Realm: c.Realm, Name: c.Name, Values: slices.Clone(c.Values)})
		}
	}
}

// list returns a copy, the longest unchanged first.
func (o *owned) list() []ownedCookie {
	o.mu.RLock()
	defer o.mu.RUnlock()
	list := make([]ownedCookie, 0, len(o.cookies))
	for _, c := range o.cookies {
		list = append(list, ownedCookie{Realm: c.Realm, Name: c.Name, Values: slices.Clone(c.Values), order: c.order})
	}
	slices.SortFunc(list, func(a, b ownedCookie) int { return cmp.Compare(a.order, b.order) })
	return list
}

// put makes c the newest, in place of the longest unchanged when there are too many.
func (o *owned) put(c *ownedCookie) {
	if o.cookies == nil {
		o.cookies = make(map[short]*ownedCookie)
	}
	if o.cookies[c.Name] == nil {
		inRealm := 0
		var oldest, oldestInRealm *ownedCookie
		for _, other := range o.cookies {
			if oldest == nil || other.order < oldest.order {
				oldest = other
			}
			if other.Realm == c.Realm {
				inRealm++
				if oldestInRealm == nil || other.order < oldestInRealm.order {
					oldestInRealm = other
				}
			}
		}
		if inRealm >= maxNames {
			delete(o.cookies, oldestInRealm.Name)
		} else if len(o.cookies) >= maxOwned {
			delete(o.cookies, oldest.Name)
		}
	}
	o.order++
	c.order = o.order
	o.cookies[c.Name] = c
}

func (o *owned) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cookies = nil
}

func (o *owned) has(name, value short) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	c := o.cookies[name]
	return c != nil && slices.Contains(c.Values, value)
}

// add remembers a value and reports whether it was new.
func (o *owned) add(realm, name, value short) bool {
	if o.has(name, value) {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.cookies[name]
	if c == nil {
		c = &ownedCookie{Realm: realm, Name: name}
	}
	c.Values = append(c.Values, value)
	c.Values = slices.Clone(c.Values[max(0, len(c.Values)-maxValues):])
	o.put(c)
	return true
}

// unquoted drops the quotes that a cookie's value may stand in.
func unquoted(value string) string {
	if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

// Owns reports whether a backend of realm set this cookie in this session.
func (h *Handle) Owns(realm, name, value string) bool {
	return h.owned.has(shorten(realm, name), shorten(realm, name, unquoted(value)))
}

// Remember notes the cookies that a backend of realm sets: of each session at
// most 512, of each realm 64, of each cookie the last 8 values. They reach the
// store in the background.
func (k *Keeper) Remember(h *Handle, realm string, set []*http.Cookie) {
	changed := false
	for _, c := range set {
		if c.MaxAge >= 0 { // a cookie that is being removed will not come back
			changed = h.owned.add(shorten(realm), shorten(realm, c.Name), shorten(realm, c.Name, unquoted(c.Value))) || changed
		}
	}
	if changed && h.cur.Load().EndedAt.IsZero() {
		k.later(h)
	}
}
