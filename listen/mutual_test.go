package listen_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/listen"
)

// A porter admits who is certified by its authority, and remembers who asked.
type porter struct {
	mu    sync.Mutex
	roots *x509.CertPool
	from  []netip.Addr
}

func (p *porter) trust(ca *anteroomtest.Authority) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roots = x509.NewCertPool()
	p.roots.AddCert(ca.Cert)
}

func (p *porter) authorities() *x509.CertPool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.roots
}

func (p *porter) admit(from netip.Addr, chain []*x509.Certificate) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from = append(p.from, from)
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: p.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// startMutual starts a server with a listener for those that p admits.
func startMutual(t *testing.T, p *porter) *running {
	t.Helper()
	return start(t, func(c *listen.Config) {
		c.Mutual = []listen.Mutual{{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(ok), Authorities: p.authorities, Admit: p.admit}}
	})
}

// ask opens a connection to addr, and reads an answer from it: of TLS 1.3 a
// client learns only then that it was refused.
func (r *running) ask(addr net.Addr, c *tls.Config) (tls.ConnectionState, error) {
	c.ServerName, c.RootCAs = "ehr.test", r.ca
	conn, err := tls.Dial("tcp", addr.String(), c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: ehr.test\r\nConnection: close\r\n\r\n"); err != nil {
		return tls.ConnectionState{}, err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		err = errors.New(string(answer))
	}
	return conn.ConnectionState(), err
}

func TestMutual(t *testing.T) {
	ours, theirs := anteroomtest.NewAuthority(t, "ours"), anteroomtest.NewAuthority(t, "theirs")
	p := &porter{}
	p.trust(ours)
	r := startMutual(t, p)
	at := r.MutualAddrs()[0]
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, c := range []struct {
			name string
			with []tls.Certificate
			ok   bool
		}{
			{"certified", []tls.Certificate{ours.Issue(t, "tunnel.test", nil)}, true},
			{"by another authority", []tls.Certificate{theirs.Issue(t, "tunnel.test", nil)}, false},
			{"no certificate", nil, false},
		} {
			asked := 0
			config := &tls.Config{MinVersion: version, MaxVersion: version, GetClientCertificate: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked++
				if !slices.ContainsFunc(info.AcceptableCAs, func(name []byte) bool { return string(name) == string(ours.Cert.RawSubject) }) {
					t.Errorf("%s: the client is not told of the authority", c.name)
				}
				if len(c.with) == 0 {
					return new(tls.Certificate), nil
				}
				return &c.with[0], nil
			}}
			if _, err := r.ask(at, config); (err == nil) != c.ok {
				t.Errorf("%s, TLS %x: %v", c.name, version, err)
			}
			if asked != 1 {
				t.Errorf("%s, TLS %x: asked %d times for a certificate", c.name, version, asked)
			}
		}
		// Browsers are not asked, whatever they could show.
		config := &tls.Config{MaxVersion: version, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			t.Error("the listener of browsers asks for a certificate")
			return new(tls.Certificate), nil
		}}
		if _, err := r.ask(r.Addr(), config); err != nil {
			t.Errorf("the listener of browsers: %v", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.from) == 0 || p.from[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("judged from %v", p.from)
	}
}

// Each connection shows its certificate anew, to the authority of the moment.
func TestMutualResumesNothing(t *testing.T) {
	ours, next := anteroomtest.NewAuthority(t, "ours"), anteroomtest.NewAuthority(t, "next")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p := &porter{}
		p.trust(ours)
		r := startMutual(t, p)
		at := r.MutualAddrs()[0]
		cache := tls.NewLRUClientSessionCache(8)
		browser := &tls.Config{MaxVersion: version, ClientSessionCache: cache}
		for range 3 {
			if _, err := r.ask(r.Addr(), browser); err != nil {
				t.Fatal(err)
			}
		}
		if state, err := r.ask(r.Addr(), browser); err != nil || !state.DidResume {
			t.Fatalf("TLS %x: the listener of browsers resumes nothing, so this shows nothing: %v", version, err)
		}
		if _, err := r.ask(at, &tls.Config{MaxVersion: version, ClientSessionCache: cache}); err == nil {
			t.Errorf("TLS %x: a session of the listener of browsers opens the other", version)
		}
		tunnel := &tls.Config{MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(8), Certificates: []tls.Certificate{ours.Issue(t, "tunnel.test", nil)}}
		for range 3 {
			if state, err := r.ask(at, tunnel); err != nil || state.DidResume {
				t.Errorf("TLS %x: resumed %v, %v", version, state.DidResume, err)
			}
		}
		p.trust(next)
		if _, err := r.ask(at, tunnel); err == nil {
			t.Errorf("TLS %x: the old authority's certificate is taken", version)
		}
	}
}

func TestMutualOverHTTP2(t *testing.T) {
	ours := anteroomtest.NewAuthority(t, "ours")
	p := &porter{}
	p.trust(ours)
	r := startMutual(t, p)
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: r.ca, ServerName: "ehr.test", Certificates: []tls.Certificate{ours.Issue(t, "tunnel.test", nil)}},
	}}
	resp, err := client.Get("https://" + r.MutualAddrs()[0].String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("it speaks %s", resp.Proto)
	}
}
