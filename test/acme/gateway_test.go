package acme_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// edit has the fixture take its certificates from p.
func edit(p *pebble) func(string) string {
	return func(text string) string {
		redirect := `""`
		if p.Config.HTTPPort != "" {
			redirect = "127.0.0.1:" + p.Config.HTTPPort
		}
		return strings.NewReplacer(
			"tls: {self_signed: true}", fmt.Sprintf("tls: {acme: {email: it@hospital.example, directory: %q, root_ca: %q}}", p.Directory, p.RootFile),
			`redirect_listen: ""`, "redirect_listen: "+redirect,
		).Replace(text)
	}
}

// leaf returns the certificate that a handshake for host gets, verified; nil
// when there is none.
func leaf(address, host string, roots *x509.CertPool) *x509.Certificate {
	c, err := tls.Dial("tcp", address, &tls.Config{ServerName: host, RootCAs: roots})
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// A fresh gateway gets a certificate for each of its hosts, by either way of
// validation; a new host gets one without a restart, and one that is gone is
// no longer served; the rest is asked for by nobody.
func TestFirstIssue(t *testing.T) {
	binary := anteroomtest.Build(t, "anteroom")
	for _, c := range []struct {
		name      string
		http, tls bool
	}{
		{"tls-alpn-01", false, true},
		{"http-01", true, false},
		{"both", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			port, redirect, elsewhere := anteroomtest.FreePort(t), "", anteroomtest.FreePort(t)
			s := settings{TLSPort: elsewhere, HTTPPort: elsewhere}
			if c.tls {
				s.TLSPort = port
			}
			if c.http {
				redirect = anteroomtest.FreePort(t)
				s.HTTPPort = redirect
			}
			p := prepare(t, s)
			p.start()
			p.Config.HTTPPort = redirect
			g := anteroomtest.StartProgram(t, binary, anteroomtest.Setup{Port: port, Edit: edit(p)})
			g.CA = p.trusted()
			serials := map[string]bool{}
			for _, host := range []string{"gate.test", "ehr.test", "img.test"} {
				await(t, host+" has a certificate", func() bool { return leaf(g.Address, host, g.CA) != nil })
				l := leaf(g.Address, host, g.CA)
				if err := l.VerifyHostname(host); err != nil || len(l.DNSNames) != 1 {
					t.Errorf("%s: certificate for %v: %v", host, l.DNSNames, err)
				}
				serials[l.SerialNumber.String()] = true
			}
			if len(serials) != 3 {
				t.Errorf("3 hosts have %d certificates", len(serials))
			}
			if c.name != "both" {
				return
			}

			resp, err := (&http.Client{Transport: g.Transport(true), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(g.URL("ehr.test", "/"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.Header.Get("Strict-Transport-Security") == "" {
				t.Error("no HSTS with a real certificate")
			}
			await(t, "the metric knows of the expiry", func() bool { return g.Metric("anteroom_certificate_expiry_seconds") > 80*24*3600 })

			// Nothing is asked for because somebody connects, by either way.
			if l := leaf(g.Address, "unknown.test", g.CA); l != nil {
				t.Errorf("an unknown name has a certificate for %v", l.DNSNames)
			}
			if c, err := tls.Dial("tcp", g.Address, &tls.Config{ServerName: "unknown.test", InsecureSkipVerify: true}); err != nil {
				t.Error(err)
			} else {
				if l := c.ConnectionState().PeerCertificates[0]; l.DNSNames[0] != "gate.test" {
					t.Errorf("an unknown name gets the certificate of %v, not the sign-in host's", l.DNSNames)
				}
				c.Close()
			}
			for _, host := range []string{"gate.test", "unknown.test"} {
				if c, err := tls.Dial("tcp", g.Address, &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}}); err == nil {
					t.Errorf("%s: a validation that nobody asked for is answered", host)
					c.Close()
				}
			}
			noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err = noRedirect.Get("http://" + g.Redirect + "/.well-known/acme-challenge/token")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusPermanentRedirect {
				t.Errorf("a token that nobody asked for: %d", resp.StatusCode)
			}
			if n := p.orders("unknown.test"); n != 0 {
				t.Errorf("Pebble was asked %d times for an unknown name", n)
			}

			// A reload adds a host, and takes one away.
			text, err := os.ReadFile(filepath.Join(g.Dir, "anteroom.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			g.WriteConfig(strings.ReplaceAll(string(text), "img.test", "new.test"))
			await(t, "new.test has a certificate", func() bool { return leaf(g.Address, "new.test", g.CA) != nil })
			if l := leaf(g.Address, "img.test", g.CA); l != nil {
				t.Error("img.test is still served")
			}
			keysAreSecret(t, filepath.Join(g.Dir, "data"))
		})
	}
}

// keysAreSecret looks for private keys below dir.
func keysAreSecret(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // the store's files come and go
		}
		text, _ := os.ReadFile(path)
		if bytes.Contains(text, []byte("PRIVATE KEY")) || bytes.Contains(text, []byte("it@hospital.example")) {
			t.Errorf("%s holds a key or an account in the clear", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// With the authority down a gateway starts, and serves what it has stored. A
// host of which nothing is stored waits by itself, is told of, and gets its
// certificate once the authority is back.
func TestAuthorityDown(t *testing.T) {
	binary := anteroomtest.Build(t, "anteroom")
	p := prepare(t, settings{TLSPort: anteroomtest.FreePort(t)})
	g := anteroomtest.StartProgram(t, binary, anteroomtest.Setup{Port: p.Config.TLSPort, Edit: edit(p)})
	await(t, "the log says that there is none", func() bool {
		return strings.Contains(g.Log(), "no certificate is stored for this host") && strings.Contains(g.Log(), "the authority issued no certificate")
	})
	if c, err := tls.Dial("tcp", g.Address, &tls.Config{ServerName: "gate.test", InsecureSkipVerify: true}); err == nil {
		t.Error("a host without a certificate is served by some other one")
		c.Close()
	}
	resp, err := http.Get("http://" + g.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/readyz is %d while the authority is down", resp.StatusCode)
	}
	if n := g.Metric("anteroom_certificate_failures_total"); n < 1 {
		t.Error("the metric counts no failure")
	}
	if left := g.Metric("anteroom_certificate_expiry_seconds"); left > 0 {
		t.Errorf("%v s until the expiry of a certificate that is not there", left)
	}
	p.start()
	roots := p.trusted()
	var first *x509.Certificate
	for _, host := range []string{"gate.test", "ehr.test", "img.test"} {
		await(t, host+" has a certificate at last", func() bool { first = leaf(g.Address, host, roots); return first != nil })
	}
	p.stop()
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}

	again := anteroomtest.StartProgram(t, binary, anteroomtest.Setup{Port: p.Config.TLSPort, Edit: func(text string) string {
		return strings.Replace(edit(p)(text), "audit: {on_failure", late+"audit: {on_failure", 1)
	}, Dir: g.Dir, Provider: g.Provider, Backend: g.Backend})
	if l := leaf(again.Address, "img.test", roots); l == nil || l.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("the stored certificate is not in use from the start")
	}
	if l := leaf(again.Address, "late.test", roots); l != nil {
		t.Error("late.test has a certificate from nowhere")
	}
	await(t, "the log tells of late.test", func() bool {
		return strings.Contains(again.Log(), `"msg":"the authority issued no certificate","host":"late.test"`)
	})
	for _, host := range []string{"gate.test", "ehr.test", "img.test"} {
		if leaf(again.Address, host, roots) == nil {
			t.Errorf("%s is not served while late.test waits", host)
		}
	}
}

// late is one more host for the fixture.
const late = `  - name: late
    host: late.test
    backend: {url: "{backend}"}
    allow: public
    device: none
`

// presented returns the certificate that a handshake for host gets, good or not.
func presented(t *testing.T, address, host string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}
