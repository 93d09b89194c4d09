package anteroomtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// An Authority certifies those who come to the gateway in a test.
type Authority struct {
	Cert *x509.Certificate
	PEM  string

	key *ecdsa.PrivateKey
	by  *Authority // nil: itself
}

// NewAuthority returns an authority of its own, good for an hour.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	return authority(t, name, nil)
}

// Below returns an authority that a certifies.
func (a *Authority) Below(t testing.TB, name string) *Authority {
	t.Helper()
	return authority(t, name, a)
}

func authority(t testing.TB, name string, by *Authority) *Authority {
	t.Helper()
	a := &Authority{by: by}
	template := &x509.Certificate{
		SerialNumber: number(t), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.Cert, a.key = sign(t, template, by)
	a.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw}))
	return a
}

// Issue certifies a client called name; edit, which may be nil, makes it another.
func (a *Authority) Issue(t testing.TB, name string, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: number(t), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if edit != nil {
		edit(template)
	}
	leaf, key := sign(t, template, a)
	c := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for up := a; up.by != nil; up = up.by {
		c.Certificate = append(c.Certificate, up.Cert.Raw)
	}
	return c
}

func sign(t testing.TB, template *x509.Certificate, by *Authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.Cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func number(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
