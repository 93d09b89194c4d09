package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/anteroom/anteroom/carry"
	"github.com/anteroom/anteroom/routes"
)

// Backends are the pools of connections to the servers behind the routes, one
// for each distinct server and way of reaching it.
type Backends struct {
	pools map[poolKey]carry.Carrier
	of    map[*routes.Backend]carry.Carrier
}

// A poolKey is everything that a connection depends on.
type poolKey struct {
	origin  string
	ca      string // the PEM itself, so that a changed file makes a new pool
	name    string
	timeout time.Duration
}

// NewBackends returns pools for the backends of table. Those that old already
// has go on, with their open connections; old may be nil.
func NewBackends(table *routes.Table, old *Backends) (*Backends, error) {
	b := &Backends{pools: make(map[poolKey]carry.Carrier), of: make(map[*routes.Backend]carry.Carrier)}
	for _, r := range table.Routes() {
		key := poolKey{origin: r.Backend.URL.String(), name: r.Backend.HostHeader, timeout: r.Backend.Timeout}
		if r.Backend.CAFile != "" {
			pem, err := os.ReadFile(r.Backend.CAFile)
			if err != nil {
				return nil, fmt.Errorf("read ca_file of route %q: %w", r.Name, err)
			}
			key.ca = string(pem)
		}
		pool := b.pools[key]
		if pool == nil && old != nil {
			pool = old.pools[key]
		}
		if pool == nil {
			var err error
			if pool, err = newPool(r.Backend, key); err != nil {
				return nil, fmt.Errorf("route %q: %w", r.Name, err)
			}
		}
		b.pools[key], b.of[r.Backend] = pool, pool
	}
	return b, nil
}

// CloseIdle closes the idle connections of the pools that next does not go on with.
func (b *Backends) CloseIdle(next *Backends) {
	for key, pool := range b.pools {
		if next == nil || next.pools[key] != pool {
			pool.CloseIdle()
		}
	}
}

// newPool returns a carrier that follows nothing from its environment, and
// connects to no address where no backend may be.
func newPool(b *routes.Backend, key poolKey) (carry.Carrier, error) {
	o := carry.Options{Address: address(b.URL), Timeout: b.Timeout, Control: onlyBackends(b.Own)}
	if b.URL.Scheme != "https" {
		return newCarrier(o), nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: b.URL.Hostname(), NextProtos: []string{"http/1.1"}}
	if key.ca != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(key.ca)) {
			return nil, fmt.Errorf("ca_file %s holds no certificate", b.CAFile)
		}
	}
	o.TLS = conf
	return newCarrier(o), nil
}

// address returns where u leads.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// onlyBackends refuses, once a name has become an address, one where no backend may be.
func onlyBackends(own []netip.AddrPort) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if why := routes.Forbidden(at, own); why != "" {
			return fmt.Errorf("%s %s", at, why)
		}
		return nil
	}
}
