package session

import (
	"encoding/base64"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
)

// A digest is the SHA-256 of a secret id or of a request; the record holds nothing else of them.
type digest [32]byte

// UnmarshalText reads base64url, as records in JSON have it.
func (d *digest) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return errors.New("not a digest")
	}
	copy(d[:], b)
	return nil
}

// A hostID is an id that one host's cookie may carry. One that was replaced
// stays good for a minute: requests that carry it may be under way.
type hostID struct {
	ID    digest    `json:"id"`
	Given time.Time `json:"given"`
	Until time.Time `json:"until,omitzero"` // zero: as long as the session
}

const (
	handover = time.Minute
	// Ids given so shortly after one another do not replace each other. Tabs
	// that prove their person at the same time are each given one, and the one
	// that the browser keeps need not be the one that was made last.
	together  = 5 * time.Second
	maxHostID = 16
)

// A once is the evidence that one request was proven for itself.
type once struct {
	Request digest    `json:"request"`
	Until   time.Time `json:"until"`
}

const (
	maxOnce    = 8
	onceFor    = time.Minute
	maxIDToken = 64 << 10 // bytes; it is kept only as a hint for signing out
)

// A record is what the store keeps of a session; the tags are of its former form. One that others can see is
// never changed in place. Its times are on the Keeper's time line.
type record struct {
	ID          string                `json:"id"`
	Authn       access.Authentication `json:"authn"`
	Provider    string                `json:"provider"`
	ProviderSID string                `json:"provider_sid,omitempty"`
	IDToken     string                `json:"id_token,omitempty"`
	Hosts       map[string][]hostID   `json:"hosts"` // the newest last; never changed in place
	Device      string                `json:"device,omitempty"`
	Once        []once                `json:"once,omitempty"`
	Owned       []ownedCookie         `json:"owned,omitempty"`

	Created time.Time     `json:"created"`
	Proven  time.Time     `json:"proven"` // begun, stepped up or unlocked
	Active  time.Time     `json:"active"` // a few seconds old while in use
	Limits  access.Limits `json:"limits"` // LockAfter since Proven, the others since Created

	LockedAt time.Time     `json:"locked_at,omitzero"`
	EndedAt  time.Time     `json:"ended_at,omitzero"`
	Why      access.Reason `json:"why,omitempty"`
	Expires  time.Time     `json:"expires"` // the store should have forgotten it by then
}

// clone returns a copy that may be changed.
func (r *record) clone() *record {
	c := *r
	c.Hosts = maps.Clone(r.Hosts)
	c.Once = slices.Clone(r.Once)
	return &c
}

// digests yields the digests of every id that leads to r. A nil record has none.
func (r *record) digests() iter.Seq[digest] {
	return func(yield func(digest) bool) {
		if r == nil {
			return
		}
		for _, ids := range r.Hosts {
			for _, h := range ids {
				if !yield(h.ID) {
					return
				}
			}
		}
	}
}

// accepts reports whether the id of digest d is host's at t.
func (r *record) accepts(host string, d digest, t time.Time) bool {
	return slices.ContainsFunc(r.Hosts[host], func(h hostID) bool {
		return h.ID == d && (h.Until.IsZero() || t.Before(h.Until))
	})
}

// give makes d the digest of host's newest id.
func (r *record) give(host string, d digest, t time.Time) {
	var ids []hostID
	for _, h := range r.Hosts[host] {
		if !h.Until.IsZero() && !t.Before(h.Until) {
			continue
		}
		if h.Until.IsZero() && t.Sub(h.Given) > together {
			h.Until = t.Add(handover)
		}
		ids = append(ids, h)
	}
	if r.Hosts == nil {
		r.Hosts = make(map[string][]hostID)
	}
	ids = append(ids, hostID{ID: d, Given: t})
	r.Hosts[host] = ids[max(0, len(ids)-maxHostID):]
}

// A standing is how a session stands at one moment.
type standing struct {
	locked, ended     bool
	lockedAt, endedAt time.Time // zero unless locked, ended
	locksAt, endsAt   time.Time
	detail            string // what ended it: idle or max; "" when somebody did
}

// stand returns how r stands at t, when its person was last active at active
// and the configuration now says limits.
func (r *record) stand(t, active time.Time, limits access.Limits) standing {
	limits = r.Limits.Tighten(limits)
	if limits.Max <= 0 {
		limits.Max = defaultMax
	}
	s := standing{endsAt: r.Created.Add(limits.Max), detail: "max"}
	if limits.EndAfter > 0 {
		if idle := active.Add(limits.EndAfter); idle.Before(s.endsAt) {
			s.endsAt, s.detail = idle, "idle"
		}
	}
	s.locksAt = s.endsAt
	if limits.LockAfter > 0 {
		s.locksAt = active.Add(limits.LockAfter)
	}
	if !r.LockedAt.IsZero() && r.LockedAt.Before(s.locksAt) {
		s.locksAt = r.LockedAt
	}
	if !r.EndedAt.IsZero() {
		s.endsAt, s.detail = r.EndedAt, ""
		s.ended = true // even when t is of before: an end is never taken back
	}
	if s.ended = s.ended || !t.Before(s.endsAt); s.ended {
		s.endedAt = s.endsAt
	}
	if !r.LockedAt.IsZero() || !t.Before(s.locksAt) {
		s.locked, s.lockedAt = true, s.locksAt
	}
	return s
}

// tombstone makes of r what is remembered of an ended session: whose it was,
// and which browsers had it.
func (r *record) tombstone(at time.Time, why access.Reason) {
	r.EndedAt, r.Why = at, why
	r.Authn = access.Authentication{Subject: r.Authn.Subject}
	r.ProviderSID, r.IDToken, r.Device = "", "", ""
	r.Once, r.Owned = nil, nil
}

// until returns when r may be forgotten: a maximum's time after its end, by
// when no browser can still be in the middle of the session.
func (r *record) until(limits access.Limits) time.Time {
	age := r.Limits.Tighten(limits).Max
	kept := max(r.Limits.Max, limits.Max)
	if kept <= 0 {
		age, kept = defaultMax, defaultMax
	}
	if !r.EndedAt.IsZero() {
		return r.EndedAt.Add(kept)
	}
	return r.Created.Add(age + kept)
}
