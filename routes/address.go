package routes

import (
	"net"
	"net/netip"
	"slices"
)

// metadata are addresses, beside those of the link, at which clouds tell
// whoever asks from the machine itself what opens the rest of it.
var metadata = [...]netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200")}

// Forbidden says why no backend may be at an address: it is no single host's,
// or a cloud's metadata service, or where the gateway itself listens (own,
// whose unspecified address stands for all of this machine's). It returns ""
// where one may.
func Forbidden(at netip.AddrPort, own []netip.AddrPort) string {
	ip := at.Addr().Unmap().WithZone("")
	switch {
	case ip.IsLinkLocalUnicast() || slices.Contains(metadata[:], ip):
		return "is a link-local or metadata address, where no application is"
	case ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is not the address of a host"
	}
	for _, o := range own {
		if o.Port() == at.Port() && (o.Addr().Unmap() == ip || o.Addr().IsUnspecified() && isLocal(ip)) {
			return "is where the gateway itself listens"
		}
	}
	return ""
}

func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap() == ip
	})
}
