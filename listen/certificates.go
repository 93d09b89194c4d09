package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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

	// One of these is there.
	files *files
	own   *authority
	acme  *issued
}

func openCertificates(c Config) (*certificates, error) {
	ways := 0
	for _, given := range []bool{c.SelfSigned, len(c.Certificates) > 0, c.ACME != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("want certificate files, a self-signed certificate, or an ACME authority: one of the three")
	}
	if len(c.Hosts) == 0 {
		return nil, errors.New("no host to serve")
	}
	var acme ACME
	if c.ACME != nil {
		if err := c.ACME.check(); err != nil {
			return nil, err
		}
		acme = c.ACME.withDefaults()
		c.ACME = &acme
	}
	s := &certificates{log: c.Log, now: c.Now, told: c.Hooks.Reloaded}
	s.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return s.magic, nil },
		Logger:             zap.NewNop(), // it logs each server name; what matters is logged here
		RenewCheckInterval: acme.CheckEvery,
		OCSPCheckInterval:  acme.RevokeEvery,
	})
	how := certmagic.Config{
		Issuers: []certmagic.Issuer{}, // not nil, which would be a public CA
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		Storage: &certmagic.FileStorage{Path: filepath.Join(c.DataDir, "tls")},
		Logger:  zap.NewNop(),
	}
	if c.ACME != nil {
		how.Storage = acme.Storage
		how.OCSP = certmagic.OCSPConfig{HTTPProxy: http.ProxyFromEnvironment} // without one certmagic waits for a responder for ever
		how.OnEvent = func(ctx context.Context, name string, data map[string]any) error {
			return s.acme.event(ctx, name, data)
		}
		how.ShouldEmitFunc = heard
	}
	s.magic = certmagic.New(s.cache, how)
	var err error
	switch {
	case c.SelfSigned:
		s.own, err = openAuthority(filepath.Join(c.DataDir, "tls"), s)
	case c.ACME != nil:
		s.acme = openIssued(c, s)
		return s, nil // its hosts are set once the listeners are open
	default:
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

// close stops what looks after the certificates. It does not wait for an
// authority that does not answer.
func (s *certificates) close() {
	s.stop.Do(func() {
		done := make(chan struct{})
		go func() { s.cache.Stop(); close(done) }()
		select {
		case <-done:
		case <-time.After(closeWait):
		}
	})
}

const closeWait = 2 * time.Second

// use puts pair into use and returns the name to take it out by.
func (s *certificates) use(pair tls.Certificate) (string, error) {
	return s.magic.CacheUnmanagedTLSCertificate(context.Background(), pair, nil)
}

func (s *certificates) drop(hashes ...string) { s.cache.Remove(hashes) }

func (s *certificates) setHosts(hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("no host to serve")
	}
	if s.acme != nil {
		s.acme.setHosts(hosts)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
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
	if s.acme != nil {
		return s.acme.expiry()
	}
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
	if s.acme != nil && validates(hello) {
		return s.acme.prove(hello)
	}
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
	if s.acme != nil {
		return s.acme.anyName()
	}
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
	var clean <-chan time.Time // never, unless there is something to clean
	if s.acme != nil {
		s.acme.begin(ctx)
		defer s.acme.end()
		daily := time.NewTicker(cleanEvery)
		defer daily.Stop()
		clean = daily.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-clean:
			s.acme.clean(ctx)
			continue
		case <-tick.C:
		}
		switch {
		case s.files != nil:
			s.files.look()
			continue
		case s.acme != nil:
			s.acme.look()
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
