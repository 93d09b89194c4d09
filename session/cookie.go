package session

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/anteroom/anteroom/access"
)

// CookieName is the name of the session's cookie on every host.
const CookieName = "__Host-anteroom"

const (
	maxCookie = 512 // bytes; ours are about 150
	secret    = 32  // bytes of random id
)

// A Found is what a request's cookie leads to. The zero Found is nobody.
type Found struct {
	Handle    *Handle    // nil: nobody
	Tombstone *Tombstone // not nil: this browser's session has ended
	Bad       string     // duplicate, oversized or broken: it has no cookie that counts
}

// A Tombstone is what is remembered of an ended session for a maximum's time.
type Tombstone struct {
	At       time.Time // when it ended; a deadline's moment, not that of its noticing
	Subject  access.Subject
	Session  string // its id in records
	Provider string
}

// Find returns the session that r's cookie leads to at now. A cookie counts on
// the host only that it was made for. The store is not asked.
func (k *Keeper) Find(r *http.Request, host string, now time.Time) Found {
	value, n := ours(r.Header["Cookie"])
	switch {
	case n == 0:
		return Found{}
	case n > 1:
		return Found{Bad: "duplicate"}
	case len(value) > maxCookie:
		return Found{Bad: "oversized"}
	}
	d, ok := k.unseal(host, value)
	if !ok {
		return Found{Bad: "broken"}
	}
	h := k.view.byCookie(d)
	if h == nil {
		return Found{}
	}
	t := k.at(now)
	rec, s := h.stand(t)
	if !rec.accepts(host, d, t) {
		return Found{}
	}
	if !s.ended {
		return Found{Handle: h}
	}
	if t.After(rec.until(k.limits())) {
		return Found{}
	}
	return Found{Tombstone: &Tombstone{
		At: now.Add(s.endedAt.Sub(t)), Subject: rec.Authn.Subject, Session: rec.ID, Provider: rec.Provider,
	}}
}

// ours returns the value of our cookie and how often it is there. A name in
// blanks is ours too: a backend's parser might take it for ours.
func ours(lines []string) (value string, n int) {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, text, _ := strings.Cut(pair, "=")
			if strings.Trim(name, " \t") == CookieName {
				value = strings.Trim(text, " \t")
				n++
			}
		}
	}
	return value, n
}

func codecs(keys []CookieKey) ([]*securecookie.SecureCookie, error) {
	if len(keys) == 0 {
		return nil, errors.New("no cookie key")
	}
	var all []*securecookie.SecureCookie
	for i, key := range keys {
		if len(key.Hash) < 32 || len(key.Block) < 16 {
			return nil, fmt.Errorf("cookie key %d is too short", i+1)
		}
		c := securecookie.New(key.Hash, key.Block).SetSerializer(securecookie.NopEncoder{}).
			MaxLength(maxCookie).MaxAge(0) // the record knows how long it is good
		if _, err := c.Encode(CookieName, make([]byte, secret)); err != nil {
			return nil, fmt.Errorf("cookie key %d: %w", i+1, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// sealName is under the cookie's seal, so that another host's does not open.
func sealName(host string) string { return CookieName + " " + host }

// seal returns a cookie with a new id for host, and the id's digest.
func (k *Keeper) seal(host string) (*http.Cookie, digest, error) {
	id := make([]byte, secret)
	rand.Read(id)
	d := digest(sha256.Sum256(id)) // before the codec encrypts id in place
	value, err := k.codecs[0].Encode(sealName(host), id)
	if err != nil {
		return nil, digest{}, fmt.Errorf("seal cookie: %w", err)
	}
	c := Expire(CookieName)
	c.Value, c.MaxAge = value, 0 // the browser forgets it when it closes; the record decides
	return c, d, nil
}

// unseal returns the digest of the id in a cookie. A cookie that opened once is
// known again by its hash, which costs a tenth.
func (k *Keeper) unseal(host, value string) (digest, bool) {
	var room [maxCookie + 256]byte // a host has at most 253 bytes
	seen := digest(sha256.Sum256(append(append(append(room[:0], host...), 0), value...)))
	if d, ok := k.opened.get(seen); ok {
		return d, true
	}
	d, ok := k.open(host, value)
	if ok {
		k.opened.put(seen, d)
	}
	return d, ok
}

func (k *Keeper) open(host, value string) (digest, bool) {
	name := sealName(host)
	for _, c := range k.codecs {
		var id []byte
		if c.Decode(name, value, &id) == nil && len(id) == secret {
			return sha256.Sum256(id), true
		}
	}
	return digest{}, false
}

// Expire returns the cookie that makes a browser forget ours of that name.
func Expire(name string) *http.Cookie {
	return &http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}
