package routes_test

import (
	"net/netip"
	"testing"

	"github.com/anteroom/anteroom/routes"
)

func TestForbidden(t *testing.T) {
	own := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9180"), netip.MustParseAddrPort("[::]:443")}
	for address, forbidden := range map[string]bool{
		"10.0.0.7:8080": false, "[2001:db8::1]:443": false, "127.0.0.1:8080": false, "127.0.0.2:9180": false, "10.0.0.7:443": false,
		"169.254.169.254:80": true, "[::ffff:169.254.169.254]:80": true, "[fe80::1%eth0]:80": true, "[fd00:ec2::254]:80": true, "100.100.100.200:80": true,
		"0.0.0.0:8080": true, "[::]:8080": true, "224.0.0.1:80": true, "[ff02::1]:80": true, "255.255.255.255:80": true,
		"127.0.0.1:9180": true, "[::ffff:127.0.0.1]:9180": true, "127.0.0.1:443": true, "127.9.9.9:443": true, "[::1]:443": true,
	} {
		if why := routes.Forbidden(netip.MustParseAddrPort(address), own); (why != "") != forbidden {
			t.Errorf("%s: %q", address, why)
		}
	}
}
