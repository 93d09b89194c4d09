package contract_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

const tunnelName = "tunnel.mdm.test"

// certified starts a gateway whose tunnel shows a certificate of ca.
func certified(t *testing.T, ca *anteroomtest.Authority) *anteroomtest.Gateway {
	t.Helper()
	return anteroomtest.Start(t, anteroomtest.Setup{Edit: anteroomtest.Certified, Files: map[string]string{"mdm-ca.pem": ca.PEM}})
}

func TestSenderWithACertificate(t *testing.T) {
	ca := anteroomtest.NewAuthority(t, "MDM")
	g := certified(t, ca)
	b := g.Browser(t)
	b.Through(g.Senders[0], ca.Issue(t, tunnelName, nil))
	b.Device = anteroomtest.Compliant("ipad-1")
	if p := b.Get(g.URL("img.test", "/study/1")); p.Status != 200 {
		t.Fatalf("by the tunnel: %d %s", p.Status, p.Code())
	}
	var last audit.Record
	for _, r := range g.Audit(audit.Query{Event: access.EventAccess}) {
		last = r
	}
	if last.Device.ID != "tunnel:ipad-1" || last.Device.Assurance != "A2" || last.Device.Sender != tunnelName {
		t.Errorf("the record says of the device %+v", last.Device)
	}
	if req, ok := g.Backend.Last(); !ok || req.Header.Get("X-Mdm-Managed") != "" {
		t.Error("the statement reached the backend")
	}
	// The same browser, past the tunnel: what it says of itself counts for nothing.
	dropped := g.Metric("anteroom_headers_dropped_total")
	past := g.Browser(t)
	past.Jar, past.Device = b.Jar, b.Device
	p := past.Get(g.URL("img.test", "/study/1"))
	if p.Status != 403 || p.Code() != "device_unknown" {
		t.Errorf("past the tunnel: %d %s", p.Status, p.Code())
	}
	if g.Metric("anteroom_headers_dropped_total") <= dropped {
		t.Error("what was stripped is not counted")
	}
}

// The rules for hosts are those of every listener.
func TestSenderOfAnotherHost(t *testing.T) {
	ca := anteroomtest.NewAuthority(t, "MDM")
	g := certified(t, ca)
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		RootCAs: g.CA, ServerName: "ehr.test", Certificates: []tls.Certificate{ca.Issue(t, tunnelName, nil)},
	}}
	defer transport.CloseIdleConnections()
	for host, want := range map[string]int{"img.test": 421, "nowhere.test": 421, "ehr.test": 401} {
		r, err := http.NewRequest("GET", "https://"+g.Senders[0]+"/chart/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s in the handshake of ehr.test: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

// An authority that is replaced is replaced for the connections that are open, too.
func TestSenderWhoseAuthorityChanges(t *testing.T) {
	old, next := anteroomtest.NewAuthority(t, "MDM"), anteroomtest.NewAuthority(t, "MDM 2")
	g := certified(t, old)
	by := func(ca *anteroomtest.Authority) *anteroomtest.Browser {
		b := g.Browser(t)
		b.Through(g.Senders[0], ca.Issue(t, tunnelName, nil))
		b.Device = anteroomtest.Compliant("ipad-1")
		return b
	}
	b := by(old)
	if p := b.Get(g.URL("img.test", "/study/1")); p.Status != 200 {
		t.Fatalf("before: %d", p.Status)
	}
	// While both hold, both may speak; a file that cannot be read changes nothing.
	g.WriteFile("mdm-ca.pem", old.PEM+next.PEM)
	wait(t, "the reload", func() bool { return g.Metric("anteroom_config_reloads_total") == 1 })
	if p := by(next).Get(g.URL("img.test", "/study/1")); p.Status != 200 {
		t.Errorf("the new authority: %d", p.Status)
	}
	if err := os.Remove(filepath.Join(g.Dir, "mdm-ca.pem")); err != nil {
		t.Fatal(err)
	}
	wait(t, "the refusal", func() bool { return g.Metric("anteroom_config_reload_success") == 0 })
	if !strings.Contains(g.Log(), "mdm-ca.pem") {
		t.Error("the log does not name the file that is missing")
	}
	if p := b.Get(g.URL("img.test", "/study/1")); p.Status != 200 {
		t.Errorf("while the file is missing: %d", p.Status)
	}
	g.WriteFile("mdm-ca.pem", next.PEM)
	wait(t, "the new authority alone", func() bool { return g.Metric("anteroom_config_reload_success") == 1 })
	p := b.Get(g.URL("img.test", "/study/1"))
	if p.Status != 421 || p.Code() != "wrong_host" {
		t.Errorf("the connection that is open: %d %s", p.Status, p.Code())
	}
	refused := false
	for _, r := range g.Audit(audit.Query{Event: access.EventSecurity}) {
		refused = refused || r.Reason == "sender_certificate"
	}
	if !refused {
		t.Error("the trail does not say that a sender was refused")
	}
	if got := g.Metric(`anteroom_security_events_total{reason="sender_certificate"}`); got == 0 {
		t.Error("it is not counted")
	}
}

// A certificate that proves nothing is named in the trail, not only refused.
func TestCertificateThatIsNoSenders(t *testing.T) {
	ca := anteroomtest.NewAuthority(t, "MDM")
	g := certified(t, ca)
	printer := ca.Issue(t, "printer.mdm.test", func(c *x509.Certificate) {})
	conn, err := tls.Dial("tcp", g.Senders[0], &tls.Config{ServerName: "img.test", RootCAs: g.CA, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{printer}})
	if err == nil {
		conn.Close()
		t.Fatal("a handshake as another of the same authority")
	}
	var found audit.Record
	wait(t, "the record", func() bool {
		for _, r := range g.Audit(audit.Query{Event: access.EventSecurity}) {
			found = r
		}
		return found.Reason == "sender_certificate"
	})
	if found.Detail != "certificate of another name" || found.SourceIP != "127.0.0.1" {
		t.Errorf("the record says %q of %s", found.Detail, found.SourceIP)
	}
}
