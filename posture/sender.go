package posture

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
)

// A Peer is the other end of a connection, as the listener that took it knows it.
type Peer struct {
	Addr     netip.Addr          // of the TCP connection
	Listener string              // the address that it came to, as [Source.Listen] has it; "": that of browsers
	Chain    []*x509.Certificate // what it showed in the handshake, leaf first; its key signed the handshake
}

// A Sender is one that a source believes. Each of the two proofs that it names
// must hold; a Sender that names none is nobody.
type Sender struct {
	Networks    []netip.Prefix      // one of which the TCP peer is in; none: any, for who has a certificate
	Authorities []*x509.Certificate // that certify it; none: it is known by its address alone
	Name        string              // the DNS name that its certificate holds, exactly
}

// Why a certificate proves no sender. The words go into records.
var (
	ErrNoCertificate = errors.New("no certificate")
	ErrAuthority     = errors.New("certificate of another authority")
	ErrExpired       = errors.New("certificate out of its time")
	ErrUsage         = errors.New("certificate not for client authentication")
	ErrName          = errors.New("certificate of another name")
)

// A sender is a Sender made ready.
type sender struct {
	Sender
	roots  *x509.CertPool // nil: known by its address alone
	proven proven
}

// ready returns s as it is compared with peers.
func (s Sender) ready() *sender {
	out := &sender{Sender: s}
	out.Networks = make([]netip.Prefix, len(s.Networks))
	for i, p := range s.Networks {
		out.Networks[i] = unmap(p)
	}
	if len(s.Authorities) > 0 {
		out.roots = pool(s.Authorities)
	}
	return out
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// assurance returns how well what s says is proven.
func (s *sender) assurance() access.Assurance {
	if s.roots != nil {
		return access.A2
	}
	return access.A1
}

// at reports whether addr is where s may speak from.
func (s *sender) at(addr netip.Addr) bool {
	if len(s.Networks) == 0 {
		return s.roots != nil
	}
	return slices.ContainsFunc(s.Networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// proves returns nil when chain is the certificate of s at now. It is asked of
// every request: a connection may be open for longer than its certificate, or
// its authority, is good. What a certificate proved once is remembered, as its
// bytes do not change; an authority that does makes new [Sources].
func (s *sender) proves(chain []*x509.Certificate, now time.Time) error {
	if s.roots == nil {
		return nil
	}
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	leaf := chain[0]
	if s.proven.holds(leaf, now) {
		return nil
	}
	whole, err := leaf.Verify(x509.VerifyOptions{
		Roots: s.roots, Intermediates: pool(chain[1:]), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", kindOf(err), err)
	}
	// Verify takes a certificate that names no usage for one of every usage.
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return ErrUsage
	}
	if !slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, s.Name) }) {
		return ErrName
	}
	until := leaf.NotAfter
	for _, c := range whole[0] {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	s.proven.note(leaf, until)
	return nil
}

func kindOf(err error) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			return ErrExpired
		case x509.IncompatibleUsage:
			return ErrUsage
		}
	}
	return ErrAuthority
}

// proven remembers certificates that passed, by their bytes, and until when they
// do. Only authorities that are trusted can make entries, one for each
// certificate of a sender; readers wait for nobody.
type proven struct {
	until atomic.Pointer[map[string]time.Time]
}

func (p *proven) holds(leaf *x509.Certificate, now time.Time) bool {
	all := p.until.Load()
	if all == nil {
		return false
	}
	until, ok := (*all)[string(leaf.Raw)]
	return ok && !now.After(until) && !now.Before(leaf.NotBefore)
}

func (p *proven) note(leaf *x509.Certificate, until time.Time) {
	for {
		old, next := p.until.Load(), map[string]time.Time{}
		if old != nil {
			next = maps.Clone(*old)
		}
		next[string(leaf.Raw)] = until
		if p.until.CompareAndSwap(old, &next) {
			return
		}
	}
}

// sent returns the sender of s that from is, and nil when it is none of them.
// What is said on another listener than the source's own counts for nothing.
func (s *source) sent(from Peer, now time.Time) *sender {
	if s.listen != from.Listener {
		return nil
	}
	for i := range s.senders {
		if one := s.senders[i]; one.at(from.Addr) && one.proves(from.Chain, now) == nil {
			return one
		}
	}
	return nil
}

// Admit returns nil when from, on a listener of senders, is one of those that
// speak there at now. The error says what its certificate lacks: it is an
// [ErrNoCertificate], [ErrAuthority], [ErrExpired], [ErrUsage] or [ErrName],
// whichever came nearest to being one of them. On a listener that no source
// has, nobody is admitted.
func (s *Sources) Admit(from Peer, now time.Time) error {
	from.Addr = from.Addr.Unmap().WithZone("")
	nearest := ErrNoCertificate
	for i := range s.list {
		src := &s.list[i]
		if src.listen != from.Listener {
			continue
		}
		for j := range src.senders {
			one := src.senders[j]
			if one.roots == nil || !one.at(from.Addr) {
				continue
			}
			err := one.proves(from.Chain, now)
			if err == nil {
				return nil
			}
			if rank(err) > rank(nearest) {
				nearest = err
			}
		}
	}
	return nearest
}

// rank says how near an error of proves came to success.
func rank(err error) int {
	return slices.IndexFunc(whys[:], func(why error) bool { return errors.Is(err, why) })
}

// whys lists the errors from far off to near.
var whys = [...]error{ErrNoCertificate, ErrAuthority, ErrExpired, ErrUsage, ErrName}

// Authorities returns those that certify who speaks on a listener: what its
// server names to its clients (RFC 8446, section 4.2.4).
func (s *Sources) Authorities(listener string) *x509.CertPool {
	var all []*x509.Certificate
	for i := range s.list {
		for j := range s.list[i].senders {
			if s.list[i].listen == listener {
				all = append(all, s.list[i].senders[j].Authorities...)
			}
		}
	}
	return pool(all)
}

// Word returns the fixed words for err, one of those that [Sources.Admit] returns.
func Word(err error) string {
	if i := rank(err); i >= 0 {
		return whys[i].Error()
	}
	return ""
}
