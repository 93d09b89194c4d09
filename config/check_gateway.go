package config

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
)

func (d *decoder) gateway(g *gateway) Gateway {
	out := Gateway{
		Listen: g.Listen.V, RedirectListen: g.RedirectListen.V, AdminListen: g.AdminListen.V,
		DataDir: d.beside(g.DataDir.V), Help: g.Help.V,
		TimeZone: time.UTC,
	}
	for _, p := range g.TrustedProxies.Items {
		out.TrustedProxies = append(out.TrustedProxies, p.V)
	}
	if u := g.URL.V; u != nil && d.isPlace(g.URL) {
		switch why := hostMistake(u.Hostname()); {
		case u.Scheme != "https":
			d.mistake(g.URL.where(), "gateway.url is https: browsers keep its cookies for https only")
		case why != "":
			d.mistake(g.URL.where(), "%s is not a host name: %s", quoted(u.Hostname()), why)
		default:
			out.URL = &url.URL{Scheme: "https", Host: strings.TrimSuffix(u.Host, ":443")}
		}
	}
	if g.Listen.given() && out.Listen == "" {
		d.emptyAddress(g.Listen)
	}
	if g.AdminListen.given() && out.AdminListen == "" {
		d.emptyAddress(g.AdminListen)
	}
	d.sameAddress(g.RedirectListen, "listen", g.Listen)
	d.sameAddress(g.AdminListen, "listen", g.Listen)
	d.sameAddress(g.AdminListen, "redirect_listen", g.RedirectListen)
	if out.AdminListen != "" && !onLoopback(out.AdminListen) {
		d.warn(g.AdminListen.where(), "the admin listener is open to the network: whoever reaches it reads the metrics")
	}
	if g.TimeZone.V != "" {
		zone, err := time.LoadLocation(g.TimeZone.V)
		if err != nil || g.TimeZone.V == "Local" { // Local means another zone on another machine
			d.mistake(g.TimeZone.where(), "unknown time zone %s: want a name such as Europe/Oslo", quoted(g.TimeZone.V))
		} else {
			out.TimeZone = zone
		}
	}
	return out
}

// emptyAddress reports an address that is given as "". A wrong one is empty
// too, and has been reported where it stands.
func (d *decoder) emptyAddress(a listenAddr) {
	if !d.reported(a.where()) {
		d.mistake(a.where(), "only redirect_listen may be empty")
	}
}

func (d *decoder) reported(at place) bool {
	for _, m := range d.mistakes {
		if m.Line == at.line && m.Column == at.column {
			return true
		}
	}
	return false
}

func (d *decoder) sameAddress(a listenAddr, other string, b listenAddr) {
	if a.V == "" || a.V != b.V || strings.HasSuffix(a.V, ":0") {
		return
	}
	at := a.where()
	if !a.given() {
		at = b.where()
	}
	d.mistake(at, "%s is already gateway.%s", quoted(a.V), other)
}

// addresses returns where a gateway listens; a name but localhost, and a port
// that the system is to choose, are nowhere yet.
func (c *Config) addresses() []netip.AddrPort {
	var all []netip.AddrPort
	listeners := []string{c.Gateway.Listen, c.Gateway.RedirectListen, c.Gateway.AdminListen}
	for _, s := range c.Posture.Sources {
		listeners = append(listeners, s.Listen)
	}
	for _, listen := range listeners {
		host, text, err := net.SplitHostPort(listen)
		port, portErr := strconv.ParseUint(text, 10, 16)
		if err != nil || portErr != nil || port == 0 {
			continue
		}
		if host == "localhost" {
			all = append(all, netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port)))
			host = "127.0.0.1"
		}
		ip := netip.IPv6Unspecified()
		if host != "" {
			if ip, err = netip.ParseAddr(host); err != nil {
				continue
			}
		}
		all = append(all, netip.AddrPortFrom(ip, uint16(port)))
	}
	return all
}

func onLoopback(hostport string) bool {
	host, _, _ := net.SplitHostPort(hostport)
	return isLoopback(host)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// isPlace reports whether a names scheme, host and port and nothing more.
func (d *decoder) isPlace(a address) bool {
	if a.V.Path == "" || a.V.Path == "/" {
		return true
	}
	d.mistake(a.where(), "%s has a path: scheme, host and port are all it says", quoted(a.V.Redacted()))
	return false
}

func (d *decoder) isWeb(a address) bool {
	if a.V.Scheme == "https" || a.V.Scheme == "http" {
		return true
	}
	d.mistake(a.where(), "%s is neither http nor https", quoted(a.V.Redacted()))
	return false
}

// isCollector reports whether a names a collector by a protocol that is spoken.
func (d *decoder) isCollector(a address) bool {
	switch u := a.V; {
	case u.Scheme == "https" || u.Scheme == "http":
	case u.Scheme != "grpcs" && u.Scheme != "grpc":
		d.mistake(a.where(), "%s is none of http, https, grpc and grpcs", quoted(u.Redacted()))
		return false
	case u.Path != "" && u.Path != "/":
		d.mistake(a.where(), "%s has more than a host and a port, which gRPC does not send", quoted(u.Redacted()))
		return false
	}
	return true
}

func (d *decoder) tls(f *file) TLS {
	t := &f.TLS
	out := TLS{SelfSigned: t.SelfSigned.V, MinVersion: t.MinVersion.V}
	switch {
	case t.ACME != nil && t.Certificates.given():
		d.mistake(t.ACME.where(), "certificates are given as well: exactly one of acme, certificates and self_signed holds")
	case t.ACME != nil && t.SelfSigned.V:
		d.mistake(t.SelfSigned.where(), "acme is given as well: exactly one of acme, certificates and self_signed holds")
	case t.Certificates.given() && t.SelfSigned.V:
		d.mistake(t.SelfSigned.where(), "certificates are given as well: exactly one of acme, certificates and self_signed holds")
	case t.Certificates.given() && len(t.Certificates.Items) == 0 && !t.Certificates.Bad:
		d.mistake(t.Certificates.where(), "tls.certificates lists none")
	case t.given() && t.ACME == nil && !t.Certificates.given() && !t.SelfSigned.V && !d.reported(t.SelfSigned.where()) && !d.reported(t.where()):
		d.mistake(t.where(), "tls says neither acme, nor certificates, nor self_signed: true")
	}
	if t.ACME != nil {
		out.ACME = d.acme(f, t.ACME)
	}
	var leaves []*x509.Certificate
	whole := true // every certificate could be read
	for _, c := range t.Certificates.Items {
		leaf := d.certificate(c)
		if whole = whole && leaf != nil; leaf != nil {
			leaves = append(leaves, leaf)
		}
		out.Certificates = append(out.Certificates, Pair{d.beside(c.Cert.V), d.beside(c.Key.V)})
	}
	if whole && len(leaves) > 0 {
		d.covered(f, leaves)
	}
	return out
}

// certificate returns the certificate that browsers would see, or nil and a mistake.
func (d *decoder) certificate(c certificate) *x509.Certificate {
	if c.Cert.V == "" || c.Key.V == "" {
		return nil
	}
	cert, ok := d.readFile(c.Cert.where(), c.Cert.V)
	key, okKey := d.readFile(c.Key.where(), c.Key.V)
	if !ok || !okKey {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		d.mistake(c.Cert.where(), "certificate %s and key %s: %v", quoted(c.Cert.V), quoted(c.Key.V), err)
		return nil
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		d.mistake(c.Cert.where(), "certificate %s: %v", quoted(c.Cert.V), err)
		return nil
	}
	switch now := d.from.Now; {
	case now.After(leaf.NotAfter):
		d.warn(c.Cert.where(), "certificate %s expired on %s", quoted(c.Cert.V), leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		d.warn(c.Cert.where(), "certificate %s is not valid before %s", quoted(c.Cert.V), leaf.NotBefore.Format(time.DateOnly))
	}
	return leaf
}

// covered warns of hosts that no certificate is for.
func (d *decoder) covered(f *file, leaves []*x509.Certificate) {
	hosts := map[string]bool{}
	ask := func(at place, host string) {
		if host == "" || hosts[host] {
			return
		}
		hosts[host] = true
		for _, leaf := range leaves {
			if leaf.VerifyHostname(host) == nil {
				return
			}
		}
		d.warn(at, "no certificate is for %s: browsers will refuse it", quoted(host))
	}
	if u := f.Gateway.URL.V; u != nil {
		ask(f.Gateway.URL.where(), u.Hostname())
	}
	for i := range f.Routes.Items {
		ask(f.Routes.Items[i].Host.where(), f.Routes.Items[i].Host.V)
	}
}

func (d *decoder) sessions(s sessionLimits) access.Limits {
	l := access.Limits{LockAfter: s.LockAfter.V, EndAfter: s.EndAfter.V, Max: s.Max.V}
	d.ordered(l, s.EndAfter, s.Max, s.where())
	return l
}

// ordered reports limits that do not come one after the other. Zero ones were
// reported where they stand.
func (d *decoder) ordered(l access.Limits, end, longest span, whole place) {
	at := func(v span) place {
		if v.given() {
			return v.where()
		}
		return whole
	}
	if l.LockAfter > 0 && l.EndAfter > 0 && l.LockAfter >= l.EndAfter {
		d.mistake(at(end), "end_after (%s) is not longer than lock_after (%s): the session would end before it locks", short(l.EndAfter), short(l.LockAfter))
	}
	if l.EndAfter > 0 && l.Max > 0 && l.EndAfter >= l.Max {
		d.mistake(at(longest), "max (%s) is not longer than end_after (%s)", short(l.Max), short(l.EndAfter))
	}
}

// short writes d as the file would: 2m, 1h30m.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
