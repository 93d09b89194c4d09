// Package protocol_test has the scanners of others look at the gateway's
// process: which TLS it speaks, and how well HTTP/2.
package protocol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// hosts are those of the fixture, and one that scanners can look up.
var hosts = []string{"gate.test", "ehr.test", "img.test", "localhost"}

// start runs the gateway with certificates of an own authority, one for each
// kind of key, as a hospital would, and returns it with the authority's file.
func start(t *testing.T, minVersion string) (*anteroomtest.Program, string) {
	t.Helper()
	dir := t.TempDir()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Hospital Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string, key, public any) {
		leaf := &x509.Certificate{ // without a serial number it is given a random one
			Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(80 * 24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, public, caKey)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".pem"), "CERTIFICATE", der)
		write(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", private)
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(dir, "ca.pem")
	write(t, authority, "CERTIFICATE", der)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue("ecdsa", ec, ec.Public())
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	issue("rsa", old, old.Public())

	edit := strings.NewReplacer(
		"tls: {self_signed: true}", `tls:
  certificates:
    - {cert: `+filepath.Join(dir, "ecdsa.pem")+`, key: `+filepath.Join(dir, "ecdsa.key")+`}
    - {cert: `+filepath.Join(dir, "rsa.pem")+`, key: `+filepath.Join(dir, "rsa.key")+`}
  min_version: "`+minVersion+`"`,
		"\naudit:", `
  - name: scanned
    host: localhost
    path: /
    backend: {url: {backend}}
    allow: public
    device: none
audit:`)
	return anteroomtest.StartProgram(t, anteroomtest.Build(t, "anteroom"), anteroomtest.Setup{Edit: edit.Replace}), authority
}

func write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
