package faults_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// An issuer makes certificates for the fixture's hosts.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	made int64
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hospital CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert: cert, key: key, made: 1}
}

// pair returns a new certificate that is good for life, its key, and its number.
func (i *issuer) pair(t testing.TB, life time.Duration) (cert, key []byte, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.made++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(i.made), DNSNames: []string{"gate.test", "ehr.test", "img.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, private.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), i.made
}

// TestR13Certificates swaps certificate files under handshakes.
func TestR13Certificates(t *testing.T) {
	e := begin(t, "R13")
	swaps := choose(3, 50)
	ca := newIssuer(t)
	cert, key, _ := ca.pair(t, 90*24*time.Hour)
	g := start(t, setup{
		files: map[string][]byte{"gate.pem": cert, "gate.key": key},
		edit:  patient("tls: {self_signed: true}", "tls: {certificates: [{cert: gate.pem, key: gate.key}]}"),
	})
	g.CA = x509.NewCertPool()
	g.CA.AddCert(ca.cert)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var (
		all         sync.WaitGroup
		mu          sync.Mutex
		served      int64 // the newest certificate's number
		good, wrong int
		first       error
	)
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				serial, err := handshake(ctx, g)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				if err != nil {
					if wrong++; first == nil {
						first = err
					}
				} else {
					good++
					served = max(served, serial)
				}
				mu.Unlock()
				time.Sleep(2 * time.Millisecond) // handshakes are dear; this is no test of how many there can be
			}
		})
	}
	newest := func() int64 { mu.Lock(); defer mu.Unlock(); return served }
	var slowest time.Duration
	for range swaps {
		cert, key, serial := ca.pair(t, 30*24*time.Hour)
		g.write("gate.pem", cert) // for a moment the key is of another certificate
		g.write("gate.key", key)
		slowest = max(slowest, eventually(t, 30*time.Second, "the new certificate", func() bool { return newest() == serial }))
	}
	eventually(t, 5*time.Second, "the metric", func() bool {
		left := g.metric("anteroom_certificate_expiry_seconds")
		return left > 29*24*3600 && left < 31*24*3600
	})
	// A pair that does not fit together is refused, and told of.
	was, from := newest(), len(g.log.String())
	cert, _, _ = ca.pair(t, 30*24*time.Hour)
	g.write("gate.pem", cert)
	alarm := eventually(t, 30*time.Second, "the alarm", func() bool { return strings.Contains(g.log.String()[from:], "the old certificate stays in use") })
	mu.Lock()
	before := good
	mu.Unlock()
	eventually(t, 10*time.Second, "handshakes with the old certificate", func() bool { mu.Lock(); defer mu.Unlock(); return good > before+20 })
	e.must(newest() == was, "a certificate without its key is in use")
	stop()
	all.Wait()
	e.figure("%d swaps, each live within %v", swaps, round(slowest))
	e.figure("%d of %d handshakes failed", wrong, good+wrong)
	e.figure("a bad pair kept the old one and alarmed after %v", round(alarm))
	e.must(wrong == 0, "%d handshakes failed: %v", wrong, first)
	e.within(slowest, 5*time.Second, "a new certificate was live after")
	e.within(alarm, 5*time.Second, "the alarm came after")
}

// handshake opens a new connection as a browser does, and returns the number of
// the certificate that it was shown.
func handshake(ctx context.Context, g *process) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{ServerName: "ehr.test", RootCAs: g.CA}}
	c, err := d.DialContext(ctx, "tcp", g.Address)
	if err != nil {
		return 0, fmt.Errorf("handshake: %w", err)
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}
