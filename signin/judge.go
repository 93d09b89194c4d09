package signin

import (
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
)

// resolution is that of auth_time and iat, which come in whole seconds: a
// sign-in's moment is known to be at most this much later than it seems.
const resolution = time.Second

// A shortfall is what a sign-in does not prove. The empty one is none. The
// words go into records.
type shortfall string

const (
	proven   shortfall = ""
	notFresh shortfall = "sign-in is not newer than the lock, the end or the asking"
	tooWeak  shortfall = "sign-in is too weak"
	tooOld   shortfall = "sign-in is too old"
)

// fresh reports whether a was made after notBefore, which sets no limit when
// it is zero. A sign-in whose time the provider does not tell is not.
func fresh(a access.Authentication, notBefore time.Time) bool {
	if notBefore.IsZero() {
		return true
	}
	return !a.AuthTime.IsZero() && !a.FreshAt.IsZero() && a.FreshAt.Add(resolution).After(notBefore)
}

// judge returns what a lacks for j at now, of a person that j is about. An
// unlock takes any strength and age after the lock: what else the request asks
// is for the application's host to say.
func judge(j access.Journey, a access.Authentication, now time.Time) shortfall {
	if !fresh(a, j.NotBefore) {
		return notFresh
	}
	if j.Reason == access.SessionLocked {
		return proven
	}
	for _, l := range j.Logins {
		if !l.ProvenBy(a.ACR, a.AMR) {
			return tooWeak
		}
	}
	if j.Within > 0 && (a.FreshAt.IsZero() || now.Sub(a.FreshAt) > j.Within) {
		return tooOld
	}
	return proven
}

// silent reports whether s, the session that this browser has on the sign-in
// host, already is all that j asks.
func silent(j access.Journey, s *access.Session, now time.Time) bool {
	if s == nil || s.Locked || j.EachTime {
		return false
	}
	if j.Subject != (access.Subject{}) && j.Subject != s.Subject {
		return false
	}
	return judge(j, s.Authentication, now) == proven
}

// askFor returns what to ask the provider for l of the person of s, who may be
// nobody. The ID token alone proves the answer.
func askFor(l link, s *access.Session) authn.Ask {
	j := l.journey()
	ask := authn.Ask{Login: l.Insist || j.EachTime || !j.NotBefore.IsZero() || s != nil && s.Locked}
	var have access.Authentication
	if s != nil {
		have = s.Authentication
	}
	unproven := false
	seen := make(map[string]bool)
	for _, l := range j.Logins {
		if l.ProvenBy(have.ACR, have.AMR) {
			continue
		}
		unproven = true
		for _, acr := range l.Asks() {
			if !seen[acr] {
				seen[acr] = true
				ask.ACRValues = append(ask.ACRValues, acr)
			}
		}
	}
	if unproven && len(ask.ACRValues) == 0 {
		ask.Login = true // an amr cannot be asked for by name
	}
	switch {
	case j.Within >= time.Second:
		ask.MaxAge = j.Within
	case j.Within > 0:
		ask.Login = true // max_age counts whole seconds
	}
	return ask
}

// later returns the later of two moments, of which either may be zero.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
