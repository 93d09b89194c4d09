package limit

import (
	"net/netip"
	"time"
)

// Client returns what of an address names one client: all of an IPv4 address,
// and the network of an IPv6 one, since each client has a /64 to itself.
func Client(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // the length is in range
	return p.Addr()
}

// Alarms says which of many events are told of: of one address one a minute,
// and in all ten a second, so that whoever causes them cannot bury what else is
// told. The zero Alarms is ready. It is safe for concurrent use.
type Alarms struct {
	clients Rates[netip.Addr]
	all     Rates[struct{}]
}

var (
	alarmsOfOne = Rate{PerSecond: 1.0 / 60, Burst: 1}
	alarmsOfAll = Rate{PerSecond: 10, Burst: 100}
)

// Tell reports whether an event that from caused at now is told of.
func (a *Alarms) Tell(from netip.Addr, now time.Time) bool {
	return a.clients.Take(Client(from), alarmsOfOne, now) == 0 && a.all.Take(struct{}{}, alarmsOfAll, now) == 0
}
