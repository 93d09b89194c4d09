package proxy

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

// readDevice takes what the sender at the other end says of the device.
func (x *exchange) readDevice() *refusal {
	from := Peer{Addr: x.peer, Listener: x.listener}
	if x.listener != "" {
		from.Chain = x.r.TLS.PeerCertificates // parse has seen that there is a handshake
		if err := x.state.Devices.Admit(from, x.now); err != nil {
			// Its certificate ran out, or its authority is no longer trusted. It
			// has to show another one, on another connection.
			x.security("sender_certificate")
			x.w.Header().Set("Connection", "close")
			return refuse(wrongHost, err.Error())
		}
	}
	var err error
	if x.posture, err = x.state.Devices.Read(from, x.r.Header, x.now); err != nil {
		x.security("posture_headers")
		return refuse(badRequest, err.Error())
	}
	return nil
}

// graceful reports whether the route's profile has a check that may be failed
// for a while.
func (x *exchange) graceful() bool { return hasGrace(x.need.Device) }

func hasGrace(p access.Profile) bool {
	for i := range p.Checks {
		if p.Checks[i].WarnFor > 0 {
			return true
		}
	}
	return false
}

// recall adds to q what is remembered of the device, where the profile asks.
func (x *exchange) recall(q *access.Question, device string) {
	if device == "" {
		return
	}
	if x.graceful() {
		lapses, room := x.g.Grace.Of(device)
		q.Lapses, q.NoGrace = lapses, !room
	}
	if x.need.Device.LastKnown > 0 && (x.posture.Silent || !x.posture.Known(x.now)) {
		if last, ok := x.state.Devices.Latest(device); ok {
			x.last = &last
		}
		q.LastKnown = x.last
	}
}

// forewarn tells the person of a device that is still let through, and will not
// be, until when that is: every answer in a header, and once in a session and day
// by a page of its own in the place of the one asked for. No form is in its way,
// and nothing that was confirmed for this very request.
func (x *exchange) forewarn() bool {
	if len(x.decision.Warned) == 0 {
		return false
	}
	var b strings.Builder
	for i, f := range x.decision.Warned {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Check + "; deadline=" + f.Deadline.UTC().Format(time.RFC3339))
	}
	x.w.Header()["X-Anteroom-Device-Warning"] = []string{b.String()}
	switch {
	case !x.navigation || x.r.Method != http.MethodGet || isFramed(x.r) || x.r.Header.Get("Sec-Purpose") != "":
		return false
	case len(x.need.Demands) > 0 || x.released != nil || x.route.IsBackground(&x.req):
		return false
	case !x.g.told.first(x.session.ID, x.now):
		return false
	}
	p := pages.Page{
		Kind: pages.DeviceWarning, Code: string(access.DeviceFailed(x.decision.Warned[0].Check)), Failed: x.decision.Warned,
		Platform: x.posture.Platform, Continue: pages.Here, Now: x.now.In(x.state.zone()),
	}
	if x.r.Header.Get("Sec-Fetch-Dest") == "" { // an old browser does not say whether it is a frame
		p.Frame = x.state.origin(x.req.Host)
	}
	x.instead = "not forwarded: device warning shown"
	x.page(p)
	return true
}

func (s *State) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// told remembers which sessions were shown a warning today. It is kept in
// memory alone: who is told once more after a restart is not harmed.
type told struct {
	mu       sync.Mutex
	day      time.Time
	sessions map[string]struct{}
}

// maxTold is how many are remembered; beyond them, it is forgotten and begins anew.
const maxTold = 100_000

func (t *told) first(session string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if day := now.UTC().Truncate(24 * time.Hour); day != t.day || len(t.sessions) >= maxTold {
		t.day, t.sessions = day, map[string]struct{}{}
	}
	_, again := t.sessions[session]
	t.sessions[session] = struct{}{}
	return !again
}

// warnings lists what the device will be kept out for on this host, and when.
func (x *exchange) warnings() []access.Warning {
	var all []access.Warning
	lapses, _ := x.g.Grace.Of(x.posture.DeviceID)
	for _, l := range lapses {
		for _, r := range x.state.Table.Routes() {
			i := slices.IndexFunc(r.Device.Checks, func(c access.Check) bool { return c.Name == l.Check })
			if r.Host != x.req.Host || i < 0 || !l.Met.IsZero() {
				continue
			}
			if end := l.Since.Add(r.Device.Checks[i].WarnFor); x.now.Before(end) {
				all = append(all, access.Warning{Check: l.Check, Deadline: end.UTC().Truncate(time.Second)})
			}
			break
		}
	}
	return all
}
