package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/anteroom/anteroom/routes"
)

// Backends are the pools of connections to the servers behind the routes, one
// for each distinct server and way of reaching it.
type Backends struct {
	pools map[poolKey]*http.Transport
	of    map[*routes.Backend]*http.Transport
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
	b := &Backends{pools: make(map[poolKey]*http.Transport), of: make(map[*routes.Backend]*http.Transport)}
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
			pool.CloseIdleConnections()
		}
	}
}

// newPool returns a transport that follows nothing from its environment, sends
// a body only as it came, and waits for the first byte no longer than it may.
func newPool(b *routes.Backend, key poolKey) (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if key.ca != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(key.ca)) {
			return nil, fmt.Errorf("ca_file %s holds no certificate", b.CAFile)
		}
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: onlyBackends(b.Own)}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  b.Timeout,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // Accept-Encoding is the client's
		ForceAttemptHTTP2:      b.URL.Scheme == "https",
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}, nil
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

// dialTimeout bounds connecting and the handshake: a backend that is down is
// told of within a second or, when it swallows packets, this.
const dialTimeout = 5 * time.Second
