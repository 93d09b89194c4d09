// Package listen accepts connections: TLS, certificates, limits and drain.
package listen

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Config says where to listen and with what. A listener that was opened
// beforehand takes the place of its address.
type Config struct {
	Addr         string // TLS, HTTP/1.1 and HTTP/2
	RedirectAddr string // plain HTTP, redirects to https; "" closes it
	AdminAddr    string // plain HTTP; "" closes it

	Listener, RedirectListener, AdminListener net.Listener

	// Inherited are sockets that outlive this process, from whoever supervises
	// it: each takes the place of the address that it is bound to. One that no
	// address names is a mistake, since nobody would answer on it.
	Inherited []net.Listener

	Handler http.Handler
	Mutual  []Mutual // further TLS listeners, for clients that show a certificate

	Admin      http.Handler // sees only GET and HEAD, for a Host that nobody can rebind
	AdminHosts []string     // names that the admin listener answers to, beside addresses, localhost and the host of AdminAddr

	// HeadersTooLarge answers requests over Limits.HeaderBytes; nil: a plain 431.
	// Over twice as much, nobody is asked.
	HeadersTooLarge http.Handler

	// Exactly one of Certificates, SelfSigned and ACME.
	Certificates []Pair
	SelfSigned   bool // an own CA under <DataDir>/tls
	ACME         *ACME
	DataDir      string // where the own CA is kept

	// Hosts are the names to be served, the sign-in host first: its certificate
	// answers those who name no host, or an unknown one.
	Hosts        []string
	MinVersion   string // "1.2" or "1.3"; "": 1.2
	ExternalPort string // the port that browsers use; "" or "443": the default one

	Limits     Limits
	CheckEvery time.Duration // how often certificates are looked at; zero: a second
	Grace      time.Duration // unready but still serving, before the drain; zero: 5 s; negative: none
	Drain      time.Duration // how long running requests may take to end; zero: 30 s
	Hooks      Hooks

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: none
}

// Limits bound what clients may take. A zero field is the default beside it.
type Limits struct {
	Connections int            // open at once: 20,000
	PerAddress  int            // of them from one IPv4 address or IPv6 /64: 1,000
	Unlimited   []netip.Prefix // addresses that PerAddress is not asked of, such as load balancers
	Streams     int            // HTTP/2 requests at once on a connection: 100
	HeaderBytes int            // of a request, else 431: 32 KiB
	ReadHeader  time.Duration  // for the handshake, and for the header: 10 s
	Idle        time.Duration  // between requests: 120 s
	Stall       time.Duration  // a write that the client takes nothing of: 60 s
}

func (l Limits) withDefaults() Limits {
	l.Connections = cmp.Or(l.Connections, 20_000)
	l.PerAddress = cmp.Or(l.PerAddress, 1_000)
	l.Streams = cmp.Or(l.Streams, 100)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 32<<10)
	l.ReadHeader = cmp.Or(l.ReadHeader, 10*time.Second)
	l.Idle = cmp.Or(l.Idle, 2*time.Minute)
	l.Stall = cmp.Or(l.Stall, time.Minute)
	return l
}

// Hooks are told what happens. Any may be nil; all must be quick, but for CloseStreams.
type Hooks struct {
	Draining     func()                // at once when the end was asked for: be unready
	CloseStreams func(context.Context) // after the grace: end upgraded connections, of which this package knows nothing
	Reloaded     func(error)           // a certificate changed: nil when the new one is in use
	NotIssued    func(host string)     // the ACME authority was asked for a certificate and issued none
	Refused      func(why string)      // a connection: "connections", "per_address", or "handshake"
	Crowded      func(from netip.Addr) // by which address Refused came to say "per_address"
	Stalled      func()                // a connection ends whose client took nothing of what was written
}

// A Server listens on up to three addresses, and on those of [Mutual]. Make one
// with [New].
type Server struct {
	c                     Config
	certs                 *certificates
	main, redirect, admin *endpoint
	mutual                []*endpoint
	ready                 chan struct{}
	closing               sync.Once
	inherited             []net.Listener // that no address has named yet
}

// An endpoint is one listener and what answers on it; nil when it is closed.
type endpoint struct {
	listener net.Listener
	server   *http.Server
	tls      bool
	served   chan struct{} // closed when it takes no more connections; nil before it does
}

// New loads the certificates and opens the listeners. Connections wait in the
// system's queue until [Server.Run]. A Server that will not run needs [Server.Close].
func New(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Limits = c.Limits.withDefaults()
	c.CheckEvery = cmp.Or(c.CheckEvery, time.Second)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Drain = cmp.Or(c.Drain, 30*time.Second)
	version, err := minVersion(c.MinVersion)
	if err != nil {
		return nil, err
	}
	certs, err := openCertificates(c)
	if err != nil {
		return nil, err
	}
	s := &Server{c: c, certs: certs, ready: make(chan struct{}), inherited: slices.Clone(c.Inherited)}
	if err := s.open(version); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func minVersion(word string) (uint16, error) {
	switch word {
	case "", "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("TLS version %q is neither 1.2 nor 1.3", word)
}

func (s *Server) open(version uint16) error {
	c, log := s.c, &serverLog{log: s.c.Log, refused: s.refused}
	l, err := s.listener(c.Listener, c.Addr)
	if err != nil {
		return err
	}
	if l == nil {
		return errors.New("no address to listen on")
	}
	s.main = &endpoint{newLimited(l, c.Limits, c.Hooks), s.secure(c.Handler, tlsConfig(version, s.certs.get), log), true, nil}
	if err := s.openMutual(version, log); err != nil {
		return err
	}

	if l, err = s.listener(c.RedirectListener, c.RedirectAddr); err != nil {
		return err
	}
	if l != nil {
		handler := redirect(c.ExternalPort)
		if s.certs.acme != nil {
			handler = s.certs.acme.answer(handler)
		}
		s.redirect = &endpoint{newLimited(l, c.Limits, c.Hooks), plain(handler, log), false, nil}
	}
	if s.certs.acme != nil {
		server := s.main.server
		server.TLSConfig.NextProtos = append(server.TLSConfig.NextProtos, alpn)
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
			alpn: func(_ *http.Server, c *tls.Conn, _ http.Handler) { c.Close() }, // the handshake was the answer
		}
		s.certs.acme.authority(s.main.addr(), s.redirect.addr())
		if err := s.certs.setHosts(c.Hosts); err != nil {
			return err
		}
	}
	if l, err = s.listener(c.AdminListener, c.AdminAddr); err != nil {
		return err
	}
	if l != nil {
		s.admin = &endpoint{l, plain(guard(c.Admin, c.AdminAddr, c.AdminHosts), log), false, nil}
		s.admin.server.WriteTimeout = time.Minute // a profile or a large scrape may take a while
	}
	return s.allTaken()
}

// secure returns a server of requests over TLS.
func (s *Server) secure(h http.Handler, with *tls.Config, log *serverLog) *http.Server {
	c := s.c
	return &http.Server{
		Handler:           bounded(h, c.Limits.HeaderBytes, c.HeadersTooLarge),
		TLSConfig:         with,
		ReadHeaderTimeout: c.Limits.ReadHeader, // net/http bounds the handshake by it too
		IdleTimeout:       c.Limits.Idle,
		MaxHeaderBytes:    2 * c.Limits.HeaderBytes,
		ErrorLog:          log.logger(),
		ConnState:         noteState,
		Protocols:         protocols(true),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: c.Limits.Streams,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     c.Limits.Stall,
		},
		DisableGeneralOptionsHandler: true, // OPTIONS * is for the handler to judge
		// No WriteTimeout: event streams and downloads take as long as they take.
	}
}

// plain returns a server of short, bodiless requests over HTTP/1.1.
func plain(h http.Handler, log *serverLog) *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadTimeout:                  5 * time.Second,
		WriteTimeout:                 5 * time.Second,
		IdleTimeout:                  30 * time.Second,
		MaxHeaderBytes:               16 << 10,
		ErrorLog:                     log.logger(),
		ConnState:                    noteState,
		Protocols:                    protocols(false),
		DisableGeneralOptionsHandler: true,
	}
}

// protocols is never HTTP/2 without TLS: an upgrade to h2c is a tunnel past every rule.
func protocols(http2 bool) *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(http2)
	return &p
}

func (s *Server) refused(why string) {
	if s.c.Hooks.Refused != nil {
		s.c.Hooks.Refused(why)
	}
}

// Ready is closed once connections are being answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr returns the address that TLS connections come to.
func (s *Server) Addr() net.Addr { return s.main.addr() }

// RedirectAddr returns the address of the redirecting listener; nil when it is closed.
func (s *Server) RedirectAddr() net.Addr { return s.redirect.addr() }

// AdminAddr returns the address of the admin listener; nil when it is closed.
func (s *Server) AdminAddr() net.Addr { return s.admin.addr() }

func (e *endpoint) addr() net.Addr {
	if e == nil {
		return nil
	}
	return e.listener.Addr()
}

func (e *endpoint) serve() error {
	if e.tls {
		return e.server.ServeTLS(e.listener, "", "")
	}
	return e.server.Serve(e.listener)
}

func (s *Server) endpoints() []*endpoint {
	var all []*endpoint
	for _, e := range append([]*endpoint{s.main, s.redirect, s.admin}, s.mutual...) {
		if e != nil {
			all = append(all, e)
		}
	}
	return all
}

// SetHosts changes the names to be served, the sign-in host first. With an own
// CA, new ones get a certificate before it returns, as do those whose
// certificate has lived two thirds of its life. With an ACME authority, new
// ones have what is stored for them; the rest is asked for meanwhile.
func (s *Server) SetHosts(hosts []string) error { return s.certs.setHosts(hosts) }

// CertificateExpiry returns when the first of the certificates in use expires;
// the present, when a host has none yet.
func (s *Server) CertificateExpiry() time.Time { return s.certs.expiry() }

// Close closes everything at once. Run does it in the end.
func (s *Server) Close() {
	s.closing.Do(func() {
		for _, e := range s.endpoints() {
			e.server.Close()
			e.listener.Close() // of a server that never served, too
		}
		for _, l := range s.inherited {
			l.Close()
		}
		s.certs.close()
	})
}
