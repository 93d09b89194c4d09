package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// certificates holds every certificate in use, in certmagic's cache. A new one
// is put in before the old one is taken out, so that no handshake finds none.
type certificates struct {
	cache *certmagic.Cache
	magic *certmagic.Config
	log   *slog.Logger
	now   func() time.Time
	told  func(error)
	stop  sync.Once

	mu    sync.RWMutex // never held over reading a file, or telling a hook
	hosts []string
	files *files     // nil with an own CA
	own   *authority // nil with files
}

func openCertificates(c Config) (*certificates, error) {
	if c.SelfSigned == (len(c.Certificates) > 0) {
		return nil, errors.New("want certificate files or a self-signed certificate, one of the two")
	}
	if len(c.Hosts) == 0 {
		return nil, errors.New("no host to serve")
	}
	s := &certificates{log: c.Log, now: c.Now, told: c.Hooks.Reloaded}
	s.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return s.magic, nil },
		Logger:           zap.NewNop(), // it logs each server name; what matters is logged here
	})
	s.magic = certmagic.New(s.cache, certmagic.Config{
		Issuers: []certmagic.Issuer{}, // not nil, which would be a public CA
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		Storage: &certmagic.FileStorage{Path: filepath.Join(c.DataDir, "tls")},
		Logger:  zap.NewNop(),
	})
	var err error
	if c.SelfSigned {
		s.own, err = openAuthority(filepath.Join(c.DataDir, "tls"), s)
	} else {
		s.files, err = openFiles(c.Certificates, s)
	}
	if err == nil {
		err = s.setHosts(c.Hosts)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *certificates) close() { s.stop.Do(s.cache.Stop) }

// use puts pair into use and returns the name to take it out by.
func (s *certificates) use(pair tls.Certificate) (string, error) {
	return s.magic.CacheUnmanagedTLSCertificate(context.Background(), pair, nil)
}

func (s *certificates) drop(hashes ...string) { s.cache.Remove(hashes) }

func (s *certificates) setHosts(hosts []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(hosts) == 0 {
		return errors.New("no host to serve")
	}
	if s.own != nil {
		if _, err := s.own.issue(hosts); err != nil {
			return err
		}
	}
	s.hosts = append([]string(nil), hosts...)
	for _, host := range hosts {
		if !s.covers(host) {
			s.log.Warn("no certificate is for this host: browsers will refuse it", "host", host)
		}
	}
	return nil
}

func (s *certificates) covers(name string) bool {
	return name != "" && len(s.cache.AllMatchingCertificates(strings.ToLower(name))) > 0
}

func (s *certificates) expiry() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.own != nil {
		return s.own.expiry()
	}
	return s.files.expiry()
}

// get returns the certificate for a handshake. Who names no host, or one that
// no certificate is for, gets the sign-in host's: a browser then says what is
// wrong, and whoever goes on regardless is answered 421. There is one policy
// for all hosts, so that no name leads to a laxer one.
func (s *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if name == "" { // such as a client that came by address
		if host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String()); err == nil {
			name = host
		}
	}
	if !s.covers(name) {
		name = s.fallback()
	}
	with := *hello
	with.ServerName = name
	cert, err := s.magic.GetCertificateWithContext(hello.Context(), &with)
	if err != nil {
		return nil, fmt.Errorf("find certificate: %w", err)
	}
	return cert, nil
}

func (s *certificates) fallback() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.files != nil && !s.covers(s.hosts[0]) {
		return s.files.anyName()
	}
	return s.hosts[0]
}

// watch looks after the certificates until ctx ends.
func (s *certificates) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.files != nil {
			s.files.look()
			continue
		}
		s.mu.Lock()
		renewed, err := s.own.issue(s.hosts)
		s.mu.Unlock()
		if renewed || err != nil {
			s.report(err)
		}
	}
}

// report says that a certificate was reloaded, or why the old one stays.
func (s *certificates) report(err error) {
	if err != nil {
		s.log.Error("the old certificate stays in use", "error", err)
	} else {
		s.log.Info("a new certificate is in use")
	}
	if s.told != nil {
		s.told(err)
	}
}
