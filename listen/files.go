package listen

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A Pair is a certificate chain, leaf first, and its key, both PEM files.
type Pair struct{ CertFile, KeyFile string }

// files are pairs that somebody else renews. They are read again and again
// rather than watched for events: network file systems send none, and the
// links by which clusters and ACME clients swap files send misleading ones.
type files struct {
	in    *certificates
	pairs []*pair
}

type pair struct {
	Pair
	hash, name     string    // in certmagic's cache; a name on the certificate
	notAfter       time.Time // of the leaf
	used, seen, no [sha256.Size]byte
	// used is the content in use, seen the content at the last look, and no
	// the content that was last refused, so that it is reported once.
}

func openFiles(list []Pair, in *certificates) (*files, error) {
	f := &files{in: in}
	for _, p := range list {
		next := &pair{Pair: p}
		cert, content, err := next.read()
		if err != nil {
			return nil, err
		}
		if err := f.swap(next, cert); err != nil {
			return nil, err
		}
		if in.now().After(next.notAfter) {
			in.log.Error("the certificate has expired: browsers will refuse it", "file", p.CertFile, "expired", next.notAfter)
		}
		next.used, next.seen = content, content
		f.pairs = append(f.pairs, next)
	}
	return f, nil
}

// read returns the pair as it is in the files now, and the hash of what is in
// them, which is also something when they cannot be used.
func (p *pair) read() (tls.Certificate, [sha256.Size]byte, error) {
	cert, err := os.ReadFile(p.CertFile)
	if err != nil {
		return tls.Certificate{}, sha256.Sum256([]byte(err.Error())), fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(p.KeyFile)
	if err != nil {
		return tls.Certificate{}, sha256.Sum256([]byte(err.Error())), fmt.Errorf("read certificate key: %w", err)
	}
	content := sha256.Sum256(slices.Concat(cert, []byte{0}, key))
	both, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, content, fmt.Errorf("read certificate %s with key %s: %w", p.CertFile, p.KeyFile, err)
	}
	return both, content, nil
}

// swap puts cert into use in the place of what p had.
func (f *files) swap(p *pair, cert tls.Certificate) error {
	hash, err := f.in.use(cert)
	if err != nil {
		return fmt.Errorf("use certificate %s: %w", p.CertFile, err)
	}
	f.in.mu.Lock()
	old := p.hash
	p.hash, p.notAfter = hash, cert.Leaf.NotAfter
	switch {
	case len(cert.Leaf.DNSNames) > 0:
		p.name = cert.Leaf.DNSNames[0]
	case len(cert.Leaf.IPAddresses) > 0:
		p.name = cert.Leaf.IPAddresses[0].String()
	default:
		p.name = cert.Leaf.Subject.CommonName
	}
	f.in.mu.Unlock()
	shared := slices.ContainsFunc(f.pairs, func(p *pair) bool { return p.hash == old })
	if old != "" && !shared {
		f.in.drop(old)
	}
	return nil
}

// look reads every pair. New content is used once it was the same at two
// looks, as files may be half written, or one of the two still be the old one.
func (f *files) look() {
	for _, p := range f.pairs {
		cert, content, err := p.read()
		settled := content == p.seen
		p.seen = content
		if !settled || content == p.used || content == p.no {
			continue
		}
		if now := f.in.now(); err == nil && now.After(cert.Leaf.NotAfter) && now.Before(p.notAfter) {
			err = errors.New("certificate " + p.CertFile + " has expired already")
		}
		if err == nil {
			err = f.swap(p, cert)
		}
		if err != nil {
			p.no = content
		} else {
			p.used, p.no = content, [sha256.Size]byte{}
		}
		f.in.report(err)
	}
}

func (f *files) expiry() time.Time {
	first := f.pairs[0].notAfter
	for _, p := range f.pairs[1:] {
		if p.notAfter.Before(first) {
			first = p.notAfter
		}
	}
	return first
}

func (f *files) anyName() string { return f.pairs[0].name }
