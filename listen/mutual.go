package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
)

// A Mutual is a TLS listener on which clients prove themselves too, by a
// certificate. It serves the same hosts, under the same policy, as the one for
// browsers, which never asks for one: a browser would ask its person in turn.
type Mutual struct {
	Addr     string
	Listener net.Listener // opened beforehand, in the place of Addr
	Handler  http.Handler

	// Authorities returns those whose certificates are worth showing; a client
	// is told of them.
	Authorities func() *x509.CertPool
	// Admit returns nil when who is at the other end may come in with the
	// certificate that it shows, leaf first, whose key it has. It alone judges:
	// the chain, its time, its use and its name. Both functions are asked anew
	// at each handshake.
	Admit func(from netip.Addr, chain []*x509.Certificate) error
}

func (s *Server) openMutual(version uint16, log *serverLog) error {
	for _, m := range s.c.Mutual {
		l, err := s.listener(m.Listener, m.Addr)
		if err != nil {
			return err
		}
		with := mutualTLS(tlsConfig(version, s.certs.get), m)
		s.mutual = append(s.mutual, &endpoint{newLimited(l, s.c.Limits, s.c.Hooks), s.secure(m.Handler, with, log), true, nil})
	}
	return nil
}

// mutualTLS makes base ask for a certificate and have it admitted. No session
// can be resumed: each connection shows its certificate anew, so that no ticket
// outlives an authority, and none of the other listener opens this one. Whoever
// comes here keeps connections open, and hardly notices.
func mutualTLS(base *tls.Config, m Mutual) *tls.Config {
	base.SessionTicketsDisabled = true
	base.ClientAuth = tls.RequireAnyClientCert
	base.VerifyConnection = func(tls.ConnectionState) error { return errors.New("nobody was asked") }
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		at, err := netip.ParseAddrPort(hello.Conn.RemoteAddr().String())
		if err != nil {
			return nil, fmt.Errorf("read address of the client: %w", err)
		}
		with := base.Clone()
		with.GetConfigForClient = nil
		with.ClientCAs = m.Authorities()
		with.VerifyConnection = func(state tls.ConnectionState) error {
			return m.Admit(at.Addr(), state.PeerCertificates)
		}
		return with, nil
	}
	return base
}

// MutualAddrs returns the addresses of the listeners of [Config.Mutual], in
// their order.
func (s *Server) MutualAddrs() []net.Addr {
	var all []net.Addr
	for _, e := range s.mutual {
		all = append(all, e.addr())
	}
	return all
}
