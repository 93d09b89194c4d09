package signin

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/anteroom/anteroom/authn"
)

// The login cookies of a host are a few fixed slots, so that a page whose 200
// requests are all refused at once cannot overflow the browser's cookie jar or
// the header limit. What loses its slot to another starts anew.
const (
	slots     = 5
	slotLife  = 10 * time.Minute
	maxCookie = 3800 // bytes of value; browsers take 4096 with name and attributes
)

func slotName(i int) string { return "__Host-anteroom-login-" + strconv.Itoa(i+1) }

// A slot is the content of one login cookie. On an application's host it binds
// a journey to the browser that was refused; on the sign-in host it holds the
// attempt under way there. When both are one host, it does both.
type slot struct {
	Issued  time.Time `json:"t"`
	Binding string    `json:"b,omitzero"`
	Attempt *attempt  `json:"a,omitzero"`
}

// An attempt is one trip to the provider. Its State stays out of the cookie,
// since the callback brings it; ID, sealed in both, shows that they belong
// together.
type attempt struct {
	ID    string        `json:"i"`
	Begun authn.Attempt `json:"b"`
	Link  link          `json:"l"`
}

// readSlot returns what slot i of the host holds for this browser. A cookie
// that is broken, expired, or there twice holds nothing.
func (d *Desk) readSlot(r *http.Request, i int, now time.Time) (slot, bool) {
	if i < 0 || i >= slots {
		return slot{}, false
	}
	cookies := r.CookiesNamed(slotName(i))
	if len(cookies) != 1 {
		return slot{}, false
	}
	var s slot
	if !d.seal.open(slotName(i), cookies[0].Value, &s) || expired(s.Issued, slotLife, now) {
		return slot{}, false
	}
	return s, true
}

// bound reports whether this browser holds the cookie that l was bound to.
func (d *Desk) bound(r *http.Request, l link, now time.Time) bool {
	s, ok := d.readSlot(r, l.Slot, now)
	return ok && s.Binding != "" && digest(s.Binding) == l.Hash
}

// anyBegun reports whether this browser has a sign-in under way on this host.
func (d *Desk) anyBegun(r *http.Request, now time.Time) bool {
	for i := range slots {
		if _, ok := d.readSlot(r, i, now); ok {
			return true
		}
	}
	return false
}

// freeSlot returns a slot that this browser does not use, at random since
// requests in parallel know nothing of each other; else its oldest.
func (d *Desk) freeSlot(r *http.Request, now time.Time) int {
	var free []int
	oldest, since := 0, now
	for i := range slots {
		s, ok := d.readSlot(r, i, now)
		switch {
		case !ok:
			free = append(free, i)
		case s.Issued.Before(since):
			oldest, since = i, s.Issued
		}
	}
	if len(free) == 0 {
		return oldest
	}
	return free[rand.IntN(len(free))]
}

// sealSlot returns the value of a cookie, and whether a browser would keep it.
func (d *Desk) sealSlot(i int, s slot) (string, bool) {
	value, err := d.seal.seal(slotName(i), s)
	return value, err == nil && len(value) <= maxCookie
}

func setSlot(w http.ResponseWriter, i int, value string) {
	http.SetCookie(w, cookie(slotName(i), value, slotLife))
}

func clearSlot(w http.ResponseWriter, i int) {
	http.SetCookie(w, cookie(slotName(i), "", 0))
}

// cookie returns one of our cookies; a life of zero expires it.
func cookie(name, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if c.MaxAge = int(life / time.Second); c.MaxAge <= 0 {
		c.MaxAge = -1
	}
	return c
}

// expired reports whether what was made at issued is older than life, or from
// the future.
func expired(issued time.Time, life time.Duration, now time.Time) bool {
	return now.Sub(issued) > life || issued.After(now.Add(time.Minute))
}
