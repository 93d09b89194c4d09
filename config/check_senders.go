package config

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"time"
)

// heard remembers, over all sources, who may speak for which.
type heard struct {
	networks []struct {
		by     netip.Prefix
		source string
	}
	names map[[2]string]string // listener and name of a certificate, and the source that it speaks for
}

func (d *decoder) sources(l list[source], g *gateway) []Source {
	names := map[string]place{}
	who := heard{names: map[[2]string]string{}}
	var all []Source
	for i := range l.Items {
		s := &l.Items[i]
		d.unique(names, "source", s.Name.V, s.Name.where())
		out := Source{Name: s.Name.V, Listen: s.Listen.V, AssertionMaxAge: s.AssertionMaxAge.V, Map: map[string]string{}}
		if s.Senders.given() && len(s.Senders.Items) == 0 && !s.Senders.Bad {
			d.mistake(s.Senders.where(), "senders lists none: nobody would be believed")
		}
		if s.Listen.given() && s.Listen.V == "" && !d.reported(s.Listen.where()) {
			d.emptyAddress(s.Listen)
		}
		for _, other := range []struct {
			name string
			addr listenAddr
		}{{"listen", g.Listen}, {"redirect_listen", g.RedirectListen}, {"admin_listen", g.AdminListen}} {
			d.sameAddress(s.Listen, other.name, other.addr)
		}
		for j := range s.Senders.Items {
			if one, ok := d.sender(s, &s.Senders.Items[j], &who); ok {
				out.Senders = append(out.Senders, one)
			}
		}
		headers := map[string]place{}
		for _, e := range s.Map.Entries {
			if e.Value.V != "" {
				d.ownHeader(e.Value)
				d.uniqueHeader(headers, e.Value)
				out.Map[e.Key.V] = e.Value.V
			}
		}
		if _, ok := out.Map["device_id"]; s.Map.given() && !s.Map.Bad && !ok {
			d.mistake(s.Map.where(), "map lacks device_id, without which no device is known")
		}
		all = append(all, out)
	}
	return all
}

// sender returns who is believed, and whether the file says it rightly.
func (d *decoder) sender(of *source, s *sender, who *heard) (Sender, bool) {
	before := len(d.mistakes)
	if s.MTLS != nil {
		return d.certified(of, s, who)
	}
	out := Sender{}
	switch {
	case d.reported(s.where()):
	case of.Listen.V != "":
		d.mistake(s.where(), "on a listener of its own, every sender has mtls: only certificates open it")
	case len(s.CIDR.Items) == 0:
		if !s.CIDR.Bad {
			d.mistake(s.where(), "a sender lists the networks it speaks from, under cidr")
		}
	case !s.AllowCIDROnly.V:
		d.mistake(s.CIDR.where(), "an address alone is weak proof, since whatever runs there may speak: say allow_cidr_only: true to accept it")
	default:
		d.warn(s.CIDR.where(), "this sender is known by its address only (assurance A1): whatever runs there may speak about any device")
	}
	for _, p := range s.CIDR.Items {
		if !p.V.IsValid() {
			continue
		}
		for _, other := range who.networks {
			if other.by.Overlaps(p.V) {
				d.mistake(p.where(), "%s overlaps %s of source %s: a sender speaks for one source, once", p.V, other.by, quoted(other.source))
				break
			}
		}
		who.networks = append(who.networks, struct {
			by     netip.Prefix
			source string
		}{p.V, of.Name.V})
		out.Networks = append(out.Networks, p.V)
	}
	return out, len(d.mistakes) == before
}

// certified is sender for one that shows a certificate.
func (d *decoder) certified(of *source, s *sender, who *heard) (Sender, bool) {
	before := len(d.mistakes)
	out := Sender{Name: s.MTLS.SANDNS.V}
	for _, p := range s.CIDR.Items {
		if p.V.IsValid() {
			out.Networks = append(out.Networks, p.V)
		}
	}
	if s.AllowCIDROnly.V {
		d.mistake(s.AllowCIDROnly.where(), "allow_cidr_only is for a sender without mtls: here the certificate is what counts")
	}
	if !of.Listen.given() {
		d.mistake(s.MTLS.where(), "a sender with mtls comes in by a listener of its own, so that browsers are not asked for certificates: give the source a `listen`")
	}
	if name := s.MTLS.SANDNS; name.V != "" && of.Listen.V != "" {
		key := [2]string{of.Listen.V, name.V}
		if other, taken := who.names[key]; taken {
			d.mistake(name.where(), "%s speaks already for source %s on this listener: a sender speaks for one source, once", quoted(name.V), quoted(other))
		}
		who.names[key] = of.Name.V
	}
	if s.MTLS.CAFile.V != "" {
		out.Authorities = d.senderAuthorities(s.MTLS.CAFile)
	}
	return out, len(d.mistakes) == before && len(out.Authorities) > 0
}

// senderAuthorities reads the authorities in a file, every one of which must be
// good: one that is passed over is missed only when its senders are refused.
func (d *decoder) senderAuthorities(f text) []*x509.Certificate {
	rest, ok := d.readFile(f.where(), f.V)
	if !ok {
		return nil
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			d.mistake(f.where(), "%s holds a %s: only certificates belong there", quoted(f.V), block.Type)
			return nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			d.mistake(f.where(), "%s holds a certificate that cannot be read: %v", quoted(f.V), err)
			return nil
		case !cert.IsCA:
			d.mistake(f.where(), "%s holds the certificate of %s, which is no authority: list the one that issued it", quoted(f.V), quoted(cert.Subject.String()))
			return nil
		}
		if d.from.Now.After(cert.NotAfter) {
			d.warn(f.where(), "the authority %s in %s expired on %s: whom it certified is refused", quoted(cert.Subject.String()), quoted(f.V), cert.NotAfter.Format(time.DateOnly))
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		d.mistake(f.where(), "%s holds no certificate", quoted(f.V))
	}
	return all
}
