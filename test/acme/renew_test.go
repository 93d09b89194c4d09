package acme_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/listen"
	"github.com/anteroom/anteroom/store"
	"github.com/anteroom/anteroom/store/certs"
)

// A front is the gateway's listeners alone, which look for renewals often
// enough for a test.
type front struct {
	*listen.Server
	storage certmagic.Storage
	log     *buffer
	failed  atomic.Int64
}

// hosts counts the hosts that fresh has named.
var hosts atomic.Int64

// fresh names a host that no other test has had. After a renewal that failed,
// certmagic waits a minute before the next one of the same name, for the whole
// process: with one name, a test that ends in the midst of a renewal would
// have the next one wait.
func fresh() string { return fmt.Sprintf("host%d.test", hosts.Add(1)) }

func listening(t *testing.T, p *pebble, hosts ...string) *front {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Key: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b, err := s.Bucket(t.Context(), "certs")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{storage: certs.New(b), log: new(buffer)}
	f.Server, err = listen.New(listen.Config{
		Addr:    "127.0.0.1:" + p.Config.TLSPort,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }),
		Hosts:   hosts, DataDir: t.TempDir(), CheckEvery: 20 * time.Millisecond, Grace: -1,
		ACME:  &listen.ACME{Directory: p.Directory, Email: "it@hospital.example", Roots: p.Roots, Storage: f.storage, CheckEvery: 100 * time.Millisecond, RevokeEvery: 100 * time.Millisecond},
		Hooks: listen.Hooks{NotIssued: func(string) { f.failed.Add(1) }},
		Log:   slog.New(slog.NewTextHandler(f.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the listeners ended with: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", f.log)
		}
	})
	<-f.Ready()
	return f
}

func (f *front) leaf(host string, roots *x509.CertPool) *x509.Certificate {
	return leaf(f.Addr().String(), host, roots)
}

// A certificate is renewed before it ends, and no handshake ever fails for it.
func TestRenewal(t *testing.T) {
	p := prepare(t, settings{TLSPort: anteroomtest.FreePort(t), Validity: 12 * time.Second})
	p.start()
	one, other := fresh(), fresh()
	f, roots := listening(t, p, one, other), p.trusted()
	await(t, "both hosts have a certificate", func() bool { return f.leaf(one, roots) != nil && f.leaf(other, roots) != nil })
	first, seen := f.leaf(one, roots), map[string]bool{}
	await(t, "the first one is over, and others came", func() bool {
		l := f.leaf(one, roots)
		if l == nil {
			t.Fatal("a handshake found no good certificate")
		}
		seen[l.SerialNumber.String()] = true
		return time.Now().After(first.NotAfter.Add(time.Second))
	})
	if len(seen) < 2 {
		t.Errorf("%d certificates over the life of the first", len(seen))
	}
	if left := time.Until(f.CertificateExpiry()); left < 0 || left > 13*time.Second {
		t.Errorf("the expiry is %v away", left)
	}
	if n := f.failed.Load(); n != 0 {
		t.Errorf("%d failures were told", n)
	}
}

// While the authority is down the old certificate stays, even over its end, and
// somebody is told; when it is back, so is a good certificate.
func TestDownAtRenewal(t *testing.T) {
	p := prepare(t, settings{TLSPort: anteroomtest.FreePort(t), Validity: 6 * time.Second})
	p.start()
	host := fresh()
	f, roots := listening(t, p, host), p.trusted()
	await(t, "there is a certificate", func() bool { return f.leaf(host, roots) != nil })
	p.stop()
	old := f.CertificateExpiry()
	await(t, "the failure is told", func() bool { return f.failed.Load() > 0 })
	if text := f.log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "old_one_stays_until=") {
		t.Errorf("the log does not say what happens:\n%s", text)
	}
	await(t, "the certificate is over", func() bool { return time.Now().After(old) })
	var unverified *x509.Certificate
	if unverified = presented(t, f.Addr().String(), host); unverified == nil {
		t.Fatal("the old certificate is no longer served")
	}
	if !f.CertificateExpiry().Equal(unverified.NotAfter) || f.CertificateExpiry().After(time.Now()) {
		t.Errorf("the expiry is told as %v, and is %v", f.CertificateExpiry(), unverified.NotAfter)
	}
}

// A certificate that was revoked, for whatever reason, is replaced.
func TestRevoked(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason int
	}{{"superseded", 4}, {"key compromise", 1}} {
		t.Run(c.name, func(t *testing.T) {
			var p *pebble
			url := responder(t, &p, time.Second)
			p = prepare(t, settings{TLSPort: anteroomtest.FreePort(t), Responder: url})
			p.start()
			host := fresh()
			f, roots := listening(t, p, host), p.trusted()
			await(t, "there is a certificate", func() bool { return f.leaf(host, roots) != nil })
			old := f.leaf(host, roots)
			p.revoke(f.storage, old, c.reason)
			await(t, "it is replaced", func() bool {
				l := f.leaf(host, roots)
				return l != nil && l.SerialNumber.Cmp(old.SerialNumber) != 0
			})
			l := f.leaf(host, roots)
			if bytes.Equal(l.RawSubjectPublicKeyInfo, old.RawSubjectPublicKeyInfo) {
				t.Error("the new certificate has the old key")
			}
			if !strings.Contains(f.log.String(), "a certificate was revoked") {
				t.Error("the log does not tell of it")
			}
		})
	}
}

// revoke has the owner of the account revoke cert (RFC 8555, section 7.6).
func (p *pebble) revoke(storage certmagic.Storage, cert *x509.Certificate, reason int) {
	p.t.Helper()
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil }, Logger: zap.NewNop(),
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{Storage: storage, Logger: zap.NewNop()})
	issuer := certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA: p.Directory, Email: "it@hospital.example", Agreed: true, TrustedRoots: p.Roots, Logger: zap.NewNop(),
	})
	if err := issuer.PreCheck(p.t.Context(), cert.DNSNames, false); err != nil { // has it find the account
		p.t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := issuer.Revoke(p.t.Context(), certmagic.CertificateResource{CertificatePEM: chain}, reason); err != nil {
		p.t.Fatal(err)
	}
}
