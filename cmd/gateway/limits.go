package gateway

import (
	"context"
	"net/netip"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/limit"
	"github.com/anteroom/anteroom/listen"
	"github.com/anteroom/anteroom/proxy"
)

// clients counts what is counted by address outside the proxy.
type clients struct {
	signIns limit.Rates[netip.Addr]
	alarms  limit.Alarms
}

// shared lists the networks whose addresses stand for many people each:
// balancers, and the tunnels that speak about their devices.
func shared(c *config.Config) []netip.Prefix {
	var all []netip.Prefix
	all = append(all, c.Gateway.TrustedProxies...)
	for _, s := range c.Posture.Sources {
		for _, one := range s.Senders {
			all = append(all, one.Networks...)
		}
	}
	return all
}

// loopback is this machine itself: whatever forwards to the gateway from here
// does so for others.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func listenLimits(c *config.Config) listen.Limits {
	l := c.Limits
	return listen.Limits{
		Connections: l.Connections, PerAddress: l.ConnectionsPerAddress, Unlimited: append(shared(c), loopback...),
		Streams: l.Streams, HeaderBytes: l.HeaderBytes,
		ReadHeader: l.ReadHeader, Idle: l.Idle, Stall: l.Stall,
	}
}

func requestLimits(c *config.Config) proxy.Limits {
	l := c.Limits
	return proxy.Limits{
		InFlight: l.InFlight, OpenStreams: l.OpenStreams, Stall: l.Stall, Shared: shared(c),
		PerAddress: limit.Rate(l.RequestsPerAddress), PerSession: limit.Rate(l.RequestsPerSession),
	}
}

// fixedLimits returns what of l only a restart can change.
func fixedLimits(l config.Limits) config.Limits {
	l.InFlight, l.OpenStreams, l.SessionsPerPerson = 0, 0, 0
	l.RequestsPerAddress, l.RequestsPerSession, l.SignInsPerAddress = config.Rate{}, config.Rate{}, config.Rate{}
	return l
}

// signInBegun counts a browser that is about to be sent to a provider. It
// returns how long it has to wait when there were too many from its address.
func (g *running) signInBegun(source string, now time.Time) time.Duration {
	from, err := netip.ParseAddr(source)
	c := g.loaded.load().Config
	if err != nil || within(shared(c), from) {
		return 0
	}
	wait := g.clients.signIns.Take(limit.Client(from), limit.Rate(c.Limits.SignInsPerAddress), now)
	if wait > 0 {
		g.telemetry.Limited("sign_ins_per_address")
		g.alarm("sign_ins_per_address", from, now)
	}
	return wait
}

// refused counts a connection that was closed for a limit, or in its handshake.
func (g *running) refused(why string) {
	g.telemetry.ConnectionRefused(why)
	switch why {
	case "connections":
		g.telemetry.Limited("connections")
	case "per_address":
		g.telemetry.Limited("connections_per_address")
	}
}

// crowded tells of an address with too many connections. It returns at once:
// whoever accepts connections does not wait for the trail.
func (g *running) crowded(from netip.Addr) { go g.alarm("connections_per_address", from, time.Now()) }

// alarm records that a limit was reached which an attack would reach, once in a while.
func (g *running) alarm(what access.Reason, from netip.Addr, now time.Time) {
	if !g.clients.alarms.Tell(from, now) {
		return
	}
	e := &access.Event{Kind: access.EventSecurity, Reason: what, SourceIP: from.String()}
	if err := (trail{g.journal, g.telemetry}).Record(context.Background(), e, false); err != nil {
		g.log.Error("record a security event", "error", err, "reason", string(what))
	}
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
