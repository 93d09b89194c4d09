package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
)

// streams are the exchanges that may go on for long: WebSockets, event streams,
// large bodies. Each is judged again while it is open. The zero value is ready.
type streams struct {
	mu   sync.Mutex // taken when a stream opens and closes, never by other requests
	open map[*stream]struct{}
}

type stream struct {
	route    string
	person   Person
	device   string
	posture  access.Posture
	last     *access.Posture // what stood in for it when the stream opened in the silence of its source
	stop     func(why error)
	upgraded atomic.Bool
}

// Why an open stream is cut.
var (
	errStreamEnded = errors.New("its session ended, locked or lost its device")
	errStopping    = errors.New("the gateway is stopping")
)

// closeCode is what a WebSocket that is cut is told.
func closeCode(why error) uint32 {
	if errors.Is(why, errStopping) {
		return goingAway
	}
	return policyViolation
}

func (s *streams) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*stream]struct{})
	}
	s.open[st] = struct{}{}
}

func (s *streams) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, st)
}

func (s *streams) all() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*stream, 0, len(s.open))
	for st := range s.open {
		list = append(list, st)
	}
	return list
}

// watchEvery is how often open streams are judged. They must close within 2 s
// of what ends them.
const watchEvery = 500 * time.Millisecond

// WatchStreams closes open streams whose session ended, locked, or lost its
// role or device, until ctx ends.
func (g *Gateway) WatchStreams(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, st := range g.streams.all() {
				if d := g.judge(st); d.Verdict != access.Allow {
					g.Log.Info("close a stream", "route", st.route, "verdict", d.Verdict.String(), "reason", string(d.Reason))
					st.stop(errStreamEnded)
				}
			}
		}
	}
}

// CloseStreams closes every open WebSocket, which a draining server knows nothing
// of, and returns once it has. They close one after another, in no order, since
// the browsers all come back at once.
func (g *Gateway) CloseStreams() {
	var all sync.WaitGroup
	open := g.streams.all()
	spread := max(1, min(time.Duration(len(open))*10*time.Millisecond, 2*time.Second))
	for _, st := range open {
		if st.upgraded.Load() {
			all.Go(func() {
				time.Sleep(rand.N(spread))
				st.stop(errStopping)
			})
		}
	}
	all.Wait()
}

// judge decides anew what must hold while st is open, by the routes now in force.
func (g *Gateway) judge(st *stream) access.Decision {
	state, now := g.state.Load(), g.now()
	posture := st.posture
	if latest, ok := state.Devices.Latest(st.device); ok {
		posture = latest
	}
	r := state.Table.Named(st.route)
	if r == nil {
		return access.Decision{} // the route is gone
	}
	s := st.person.Value(now)
	s.Roles = state.RolesOf(s.Subject.Issuer, s.Groups)
	q := access.Question{Require: r.Base().Standing(), Session: &s, Posture: posture, LastKnown: st.last, Now: now}
	if hasGrace(q.Require.Device) {
		lapses, room := g.Grace.Of(posture.DeviceID)
		q.Lapses, q.NoGrace = lapses, !room
	}
	return access.Decide(q)
}
