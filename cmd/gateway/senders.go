package gateway

import (
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/listen"
	"github.com/anteroom/anteroom/posture"
)

// sourcesOf returns who may speak of devices under c.
func sourcesOf(c *config.Config) []posture.Source {
	var all []posture.Source
	for _, s := range c.Posture.Sources {
		out := posture.Source{Name: s.Name, Listen: s.Listen, AssertionMaxAge: s.AssertionMaxAge, Map: s.Map}
		for _, one := range s.Senders {
			out.Senders = append(out.Senders, posture.Sender(one))
		}
		all = append(all, out)
	}
	return all
}

// senderListeners lists the addresses that sources have for their senders.
func senderListeners(c *config.Config) []string {
	var all []string
	for _, s := range c.Posture.Sources {
		if s.Listen != "" && !slices.Contains(all, s.Listen) {
			all = append(all, s.Listen)
		}
	}
	return all
}

// mutual returns the listeners of senders. They judge by the configuration in
// force; only a restart opens another one.
func (g *running) mutual() []listen.Mutual {
	var all []listen.Mutual
	for _, address := range senderListeners(g.loaded.load().Config) {
		sources := func() *posture.Sources { return g.state.load().Devices.(devices).Sources }
		all = append(all, listen.Mutual{
			Addr: address, Handler: g.proxy.On(address),
			Authorities: func() *x509.CertPool { return sources().Authorities(address) },
			Admit: func(from netip.Addr, chain []*x509.Certificate) error {
				now := time.Now()
				err := sources().Admit(posture.Peer{Addr: from, Listener: address, Chain: chain}, now)
				if err != nil {
					go g.noSender(from, err, now) // a handshake does not wait for the trail
				}
				return err
			},
		})
	}
	return all
}

// noSender records a certificate that proves no sender, once in a while for
// each address.
func (g *running) noSender(from netip.Addr, why error, now time.Time) {
	from = from.Unmap().WithZone("")
	g.log.Warn("a certificate is no sender's", "from", from.String(), "error", why)
	if !g.clients.alarms.Tell(from, now) {
		return
	}
	e := &access.Event{Kind: access.EventSecurity, Reason: "sender_certificate", SourceIP: from.String(), Detail: posture.Word(why)}
	if err := (trail{g.journal, g.telemetry}).Record(context.Background(), e, false); err != nil {
		g.log.Error("record a security event", "error", err, "reason", "sender_certificate")
	}
}
