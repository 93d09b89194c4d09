package posture_test

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/posture"
)

const door = ":8443"

// certified is the tunnel as one that shows a certificate of by on its own listener.
func certified(by ...*x509.Certificate) posture.Source {
	return posture.Source{
		Name: "tunnel", Listen: door, AssertionMaxAge: 15 * time.Minute, Map: headers(),
		Senders: []posture.Sender{{Authorities: by, Name: "tunnel.mdm.test"}},
	}
}

func chain(t *testing.T, ca *anteroomtest.Authority, name string, edit func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	var all []*x509.Certificate
	for _, der := range ca.Issue(t, name, edit).Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestCertifiedSender(t *testing.T) {
	now := time.Now()
	ours, theirs := anteroomtest.NewAuthority(t, "MDM"), anteroomtest.NewAuthority(t, "MDM") // of one name
	below := ours.Below(t, "MDM issuing")
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		want  error
	}{
		{"its certificate", chain(t, ours, "tunnel.mdm.test", nil), nil},
		{"its name in other letters", chain(t, ours, "Tunnel.MDM.test", nil), nil},
		{"one of two names", chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) { c.DNSNames = []string{"a.test", "tunnel.mdm.test"} }), nil},
		{"by an authority between", chain(t, below, "tunnel.mdm.test", nil), nil},
		{"without the authority between", chain(t, below, "tunnel.mdm.test", nil)[:1], posture.ErrAuthority},
		{"no certificate", nil, posture.ErrNoCertificate},
		{"another authority of the same name", chain(t, theirs, "tunnel.mdm.test", nil), posture.ErrAuthority},
		{"expired", chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }), posture.ErrExpired},
		{"not yet valid", chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }), posture.ErrExpired},
		{"a server's", chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), posture.ErrUsage},
		{"of no usage", chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) { c.ExtKeyUsage = nil }), posture.ErrUsage},
		{"another name", chain(t, ours, "printer.mdm.test", nil), posture.ErrName},
		{"a name for many", chain(t, ours, "*.mdm.test", nil), posture.ErrName},
		{"a name below", chain(t, ours, "x.tunnel.mdm.test", nil), posture.ErrName},
		{"its name as the common name alone", chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) { c.DNSNames = nil }), posture.ErrName},
		{"its name as an address", chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) {
			c.DNSNames, c.EmailAddresses = nil, []string{"tunnel.mdm.test"}
		}), posture.ErrName},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := posture.New([]posture.Source{certified(ours.Cert)})
			from := posture.Peer{Addr: ward.Addr, Listener: door, Chain: c.chain}
			for range 2 { // the second time it may remember the first
				if err := s.Admit(from, now); !errors.Is(err, c.want) {
					t.Errorf("admitted: %v, want %v", err, c.want)
				}
				h := full()
				h.Del("X-Mdm-Asserted-At")
				p, err := s.Read(from, h, now)
				if err != nil || (p.DeviceID != "") != (c.want == nil) {
					t.Errorf("read: %+v, %v", p, err)
				}
				if c.want == nil && (p.Assurance != access.A2 || p.Sender != "tunnel.mdm.test") {
					t.Errorf("assurance %v of sender %q", p.Assurance, p.Sender)
				}
			}
			if err := s.Admit(from, now); c.want != nil && posture.Word(err) != c.want.Error() {
				t.Errorf("in a record it is %q", posture.Word(err))
			}
		})
	}
}

// A connection outlives a certificate, and an authority.
func TestCertifiedSenderIsAskedAgain(t *testing.T) {
	now := time.Now()
	ours, next := anteroomtest.NewAuthority(t, "MDM"), anteroomtest.NewAuthority(t, "MDM 2")
	from := posture.Peer{Addr: ward.Addr, Listener: door, Chain: chain(t, ours, "tunnel.mdm.test", func(c *x509.Certificate) { c.NotAfter = now.Add(time.Minute) })}
	s := posture.New([]posture.Source{certified(ours.Cert)})
	if err := s.Admit(from, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Admit(from, now.Add(2*time.Minute)); !errors.Is(err, posture.ErrExpired) {
		t.Errorf("after its end: %v", err)
	}
	if p, err := s.Read(from, full(), now.Add(2*time.Minute)); err != nil || p.DeviceID != "" {
		t.Errorf("after its end: %+v, %v", p, err)
	}
	if err := posture.New([]posture.Source{certified(next.Cert)}).Admit(from, now); !errors.Is(err, posture.ErrAuthority) {
		t.Errorf("when its authority is no longer trusted: %v", err)
	}
	if err := posture.New([]posture.Source{certified(next.Cert, ours.Cert)}).Admit(from, now); err != nil {
		t.Errorf("while both authorities are trusted: %v", err)
	}
}

func TestSendersKeepToTheirListener(t *testing.T) {
	now := time.Now()
	mdm, uem := anteroomtest.NewAuthority(t, "MDM"), anteroomtest.NewAuthority(t, "UEM")
	lab := certified(uem.Cert)
	lab.Name, lab.Map = "lab", map[string]string{"device_id": "X-Lab-Id"}
	far := certified(uem.Cert)
	far.Name, far.Listen, far.Map = "far", ":9443", map[string]string{"device_id": "X-Far-Id"}
	plain := posture.Source{Name: "plain", Map: map[string]string{"device_id": "X-Plain-Id"}, Senders: []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/28")}}}}
	s := posture.New([]posture.Source{certified(mdm.Cert), lab, far, plain})
	h := full()
	h["X-Lab-Id"], h["X-Far-Id"], h["X-Plain-Id"] = []string{"1"}, []string{"1"}, []string{"1"}
	h.Del("X-Mdm-Asserted-At")
	ofMDM, ofUEM := chain(t, mdm, "tunnel.mdm.test", nil), chain(t, uem, "tunnel.mdm.test", nil)
	for _, c := range []struct {
		name string
		from posture.Peer
		want string
	}{
		{"its own listener", posture.Peer{Addr: tunnel.Addr, Listener: door, Chain: ofMDM}, "tunnel:7F-1"},
		{"the other source of that listener", posture.Peer{Addr: tunnel.Addr, Listener: door, Chain: ofUEM}, "lab:1"},
		{"another listener", posture.Peer{Addr: ward.Addr, Listener: ":9443", Chain: ofMDM}, ""},
		{"of the same authority, on another listener", posture.Peer{Addr: ward.Addr, Listener: ":9443", Chain: ofUEM}, "far:1"},
		{"the listener of browsers, from an address that speaks there", posture.Peer{Addr: tunnel.Addr, Chain: ofMDM}, "plain:1"},
		{"the listener of browsers, from elsewhere", posture.Peer{Addr: ward.Addr, Chain: ofMDM}, ""},
		{"that address, on a listener of senders, with no certificate", posture.Peer{Addr: tunnel.Addr, Listener: door}, ""},
		{"a listener that no source has", posture.Peer{Addr: tunnel.Addr, Listener: ":1", Chain: ofMDM}, ""},
	} {
		if p, err := s.Read(c.from, h, now); err != nil || p.DeviceID != c.want {
			t.Errorf("%s: device %q, %v, want %q", c.name, p.DeviceID, err, c.want)
		}
	}
	if err := s.Admit(posture.Peer{Addr: tunnel.Addr, Listener: ":1", Chain: ofMDM}, now); err == nil {
		t.Error("somebody is admitted to a listener that no source has")
	}
	if err := s.Admit(posture.Peer{Addr: tunnel.Addr}, now); err == nil {
		t.Error("somebody is admitted for an address alone")
	}
}

// Where a sender names networks as well, both must hold.
func TestCertificateAndAddress(t *testing.T) {
	now := time.Now()
	ca := anteroomtest.NewAuthority(t, "MDM")
	from := certified(ca.Cert)
	from.Senders[0].Networks = []netip.Prefix{netip.MustParsePrefix("10.20.0.0/28")}
	s := posture.New([]posture.Source{from})
	its := chain(t, ca, "tunnel.mdm.test", nil)
	if err := s.Admit(posture.Peer{Addr: netip.MustParseAddr("::ffff:10.20.0.3"), Listener: door, Chain: its}, now); err != nil {
		t.Errorf("from its network: %v", err)
	}
	if err := s.Admit(posture.Peer{Addr: ward.Addr, Listener: door, Chain: its}, now); err == nil {
		t.Error("from elsewhere it is admitted")
	}
	if err := s.Admit(posture.Peer{Addr: tunnel.Addr, Listener: door}, now); err == nil {
		t.Error("without a certificate it is admitted")
	}
}

func TestAuthorities(t *testing.T) {
	mdm, uem := anteroomtest.NewAuthority(t, "MDM"), anteroomtest.NewAuthority(t, "UEM")
	far := certified(uem.Cert)
	far.Listen = ":9443"
	s := posture.New([]posture.Source{certified(mdm.Cert), far})
	want := x509.NewCertPool()
	want.AddCert(mdm.Cert)
	if !s.Authorities(door).Equal(want) {
		t.Error("a listener names other authorities than those of its senders")
	}
	if !s.Authorities(":1").Equal(x509.NewCertPool()) {
		t.Error("a listener that no source has names an authority")
	}
}

func BenchmarkReadCertifiedSender(b *testing.B) {
	ca := anteroomtest.NewAuthority(b, "MDM")
	s, h := posture.New([]posture.Source{certified(ca.Cert)}), full()
	from := posture.Peer{Addr: ward.Addr, Listener: door, Chain: []*x509.Certificate{ca.Issue(b, "tunnel.mdm.test", nil).Leaf}}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if p, err := s.Read(from, h, now); err != nil || p.DeviceID == "" {
			b.Fatal(p, err)
		}
	}
}
