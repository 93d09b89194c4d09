package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	backdate = time.Hour // clocks of clients may be behind
)

// An authority is a CA of our own, for demonstrations and laboratories. Each
// host gets a certificate to itself: browsers then keep hosts on connections
// of their own, where a shared one would be answered 421.
type authority struct {
	in     *certificates
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	leaves map[string]leaf // by host
}

type leaf struct {
	hash                string
	notBefore, notAfter time.Time
}

// openAuthority reads the CA in dir (ca.pem, and ca-key.pem for the owner
// only), or makes one when there is none, or when it ends before a new leaf would.
func openAuthority(dir string, in *certificates) (*authority, error) {
	a := &authority{in: in, leaves: make(map[string]leaf)}
	certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil {
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok || !pair.Leaf.IsCA {
			return nil, fmt.Errorf("%s is not a CA with an ECDSA key", certFile)
		}
		if pair.Leaf.NotAfter.After(in.now().Add(leafLife)) {
			a.cert, a.key = pair.Leaf, key
			return a, nil
		}
		in.log.Warn("the self-signed CA is about to end, and a new one is made: it has to be trusted anew", "file", certFile, "ends", pair.Leaf.NotAfter)
	} else if _, missing := os.Stat(certFile); !errors.Is(missing, fs.ErrNotExist) {
		return nil, fmt.Errorf("read self-signed CA: %w", err)
	}
	if err := a.create(dir, certFile, keyFile); err != nil {
		return nil, fmt.Errorf("make self-signed CA: %w", err)
	}
	in.log.Info("a self-signed CA was made: trust it in browsers that are to come here", "file", certFile)
	return a, nil
}

func (a *authority) create(dir, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := a.in.now()
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Anteroom"}, CommonName: "Anteroom self-signed " + rand.Text()[:6]},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // ca.pem is for everybody
		return err
	}
	// The certificate last: without it, a key that a crash left is made anew.
	if err := replace(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return err
	}
	if err := replace(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return err
	}
	a.key = key
	a.cert, err = x509.ParseCertificate(der)
	return err
}

// replace writes a file whole or not at all.
func replace(file string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// issue gives every host a certificate that has not lived two thirds of its
// life, and takes those of other hosts out of use. It reports whether any was
// there before and is new now.
func (a *authority) issue(hosts []string) (renewed bool, err error) {
	wanted := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		host = strings.ToLower(host)
		wanted[host] = true
		old, ok := a.leaves[host]
		if ok && a.in.now().Before(old.notBefore.Add(old.notAfter.Sub(old.notBefore)*2/3)) {
			continue
		}
		if err := a.leaf(host); err != nil {
			return renewed, fmt.Errorf("issue certificate for %s: %w", host, err)
		}
		if ok {
			a.in.drop(old.hash)
			renewed = true
		}
	}
	for host, old := range a.leaves {
		if !wanted[host] {
			a.in.drop(old.hash)
			delete(a.leaves, host)
		}
	}
	return renewed, nil
}

func (a *authority) leaf(host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := a.in.now()
	template := &x509.Certificate{
		NotBefore: now.Add(-backdate), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	if len(host) <= 64 { // the longest that a common name may be; some old clients show nothing else
		template.Subject.CommonName = host
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	hash, err := a.in.use(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed})
	if err != nil {
		return err
	}
	a.leaves[host] = leaf{hash, parsed.NotBefore, parsed.NotAfter}
	return nil
}

func (a *authority) expiry() time.Time {
	first := a.cert.NotAfter
	for _, l := range a.leaves {
		if l.notAfter.Before(first) {
			first = l.notAfter
		}
	}
	return first
}
