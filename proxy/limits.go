package proxy

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/limit"
	"github.com/anteroom/anteroom/pages"
)

// Limits bound what clients may take of the gateway. A zero field sets no
// limit, but for Stall.
type Limits struct {
	InFlight    int            // requests at once; nobody signed in has more than three quarters of them
	OpenStreams int            // WebSockets and event streams that leave InFlight once they are open
	PerAddress  limit.Rate     // requests of nobody signed in
	PerSession  limit.Rate     // requests of one session
	Shared      []netip.Prefix // addresses that stand for many people, so that PerAddress is not asked of them
	Stall       time.Duration  // a body of which nothing comes; zero: a minute
}

// taken counts what clients have taken. It outlives a reload, which changes
// only how much it may be. The zero value is ready.
type taken struct {
	flight    limit.Gate
	strangers limit.Gate // those in flight of nobody signed in
	streams   limit.Gate
	addresses limit.Rates[netip.Addr]
	sessions  limit.Rates[string]
	rechecks  limit.Rates[string] // by device
	alarms    limit.Alarms
}

// A place is what a request takes up while it is answered.
type place struct{ flight, stranger, stream bool }

// enter takes a place among the requests in flight, or answers that there is none.
func (x *exchange) enter() bool {
	if x.place.flight = x.g.taken.flight.Enter(x.state.Limits.InFlight); !x.place.flight {
		x.overloaded()
	}
	return x.place.flight
}

// leave gives back what the request takes up, once nothing of it goes on.
func (x *exchange) leave() {
	if x.after != nil {
		return
	}
	t := &x.g.taken
	if x.place.flight {
		t.flight.Leave()
	}
	if x.place.stranger {
		t.strangers.Leave()
	}
	if x.place.stream {
		t.streams.Leave()
	}
	x.place = place{}
}

// settle moves a request whose answer goes on for as long as its person looks
// at it out of the way of those that are soon done, while there is room.
func (x *exchange) settle() {
	if x.place.flight && x.g.taken.streams.Enter(x.state.Limits.OpenStreams) {
		x.leave()
		x.place.stream = true
	}
}

// overloaded answers a request for which there is no place. The waits differ,
// so that not all who were refused come back at the same moment.
func (x *exchange) overloaded() {
	x.turnAway(answers[busy], "in_flight", time.Duration(1+rand.IntN(4))*time.Second)
}

// within reports whether the request is within what its session may take, or
// what nobody signed in may take, or it answers that it is not. It comes before
// all that is recorded, so that no flood fills the trail.
func (x *exchange) within() bool {
	l, t := &x.state.Limits, &x.g.taken
	if p := x.found.Person; p != nil {
		wait := t.sessions.Take(p.Value(x.now).ID, l.PerSession, x.now)
		if wait > 0 {
			x.turnAway(answers[tooMany], "requests_per_session", wait)
		}
		return wait == 0
	}
	// Slow clients that anybody can be must not take every place there is.
	if x.place.stranger = t.strangers.Enter((3*l.InFlight + 3) / 4); !x.place.stranger {
		x.overloaded()
		return false
	}
	if contains(l.Shared, x.from) {
		return true
	}
	wait := t.addresses.Take(limit.Client(x.from), l.PerAddress, x.now)
	if wait > 0 {
		if t.alarms.Tell(x.from, x.now) {
			x.security("requests_per_address")
		}
		x.turnAway(answers[tooMany], "requests_per_address", wait)
	}
	return wait == 0
}

// turnAway answers a request that is not looked at. It was not decided, so
// there is no record of it.
func (x *exchange) turnAway(a answer, name string, wait time.Duration) {
	x.g.Meter.Limited(name)
	x.decision = access.Decision{Verdict: access.Deny, Reason: access.Reason(a.code)}
	seconds := int((wait + time.Second - 1) / time.Second)
	h := x.w.Header()
	h.Set("Retry-After", strconv.Itoa(seconds))
	if x.r.ContentLength != 0 && x.r.ProtoMajor == 1 {
		h.Set("Connection", "close") // or net/http would wait for the body before it answers
	}
	x.say(a, "", func(p *pages.Page) { p.RetryAfter = seconds })
}
