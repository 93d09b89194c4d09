package listen

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// An ACME says which authority issues the certificates (RFC 8555), and where
// they are kept.
type ACME struct {
	Directory string
	Email     string         // of the account at the authority
	Roots     *x509.CertPool // that certify the directory's own server; nil: the system's
	Storage   certmagic.Storage

	CheckEvery  time.Duration // how often renewals are looked for; zero: a minute
	RevokeEvery time.Duration // how often responders are asked about revocation; zero: an hour
}

// alpn is the protocol of validation by TLS-ALPN-01 (RFC 8737, section 6.2).
const alpn = "acme-tls/1"

// retries are the pauses between tries to get a host's first certificate; the
// last one goes on. They stay below the five failures an hour that public
// authorities grant.
var retries = []time.Duration{10 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour}

// cleanEvery is how often what nothing needs any more is taken out of the storage.
const cleanEvery = 24 * time.Hour

// issued are certificates from an ACME authority. What is stored is in use at
// once, whatever the network does; certmagic renews it in time, and replaces
// what was revoked. A host of which nothing is stored is asked for again and
// again, by itself, so that none waits for another. Nothing is ever asked for
// because of a handshake.
type issued struct {
	in    *certificates
	c     ACME
	quick *certmagic.Config // as in.magic, but asks no responder while it loads
	hooks Hooks

	mu      sync.Mutex
	hosts   map[string]*tended
	order   []string
	changed bool            // a certificate, and nobody was told yet
	running context.Context // nil before the listeners answer, and in the end
	working sync.WaitGroup
}

// A tended host has, or is to have, a certificate.
type tended struct {
	hash     string // of the certificate in use; "": none yet
	notAfter time.Time
	asking   context.CancelFunc // set while its first one is being asked for
}

// openIssued readies everything that needs no listener. Nothing is asked of
// the authority before begin.
func openIssued(c Config, in *certificates) *issued {
	a := &issued{in: in, c: *c.ACME, hooks: c.Hooks, hosts: make(map[string]*tended)}
	quick := *in.magic
	quick.OCSP = certmagic.OCSPConfig{DisableStapling: true}
	quick.OnEvent = nil
	a.quick = certmagic.New(in.cache, quick)
	return a
}

// authority makes certmagic's client. The addresses are those of our own
// listeners: certmagic finds them taken and leaves the answers to them.
func (a *issued) authority(listening, redirecting net.Addr) {
	host, port := splitAddr(listening)
	issuer := certmagic.ACMEIssuer{
		CA: a.c.Directory, Email: a.c.Email, Agreed: true, TrustedRoots: a.c.Roots,
		ListenHost: host, AltTLSALPNPort: port, Logger: zap.NewNop(),
		DisableDistributedSolvers: true, // or any request could have the store read
		DisableHTTPChallenge:      redirecting == nil,
	}
	if redirecting != nil {
		_, issuer.AltHTTPPort = splitAddr(redirecting)
	}
	all := []certmagic.Issuer{certmagic.NewACMEIssuer(a.in.magic, issuer)}
	a.in.magic.Issuers, a.quick.Issuers = all, all
}

func splitAddr(a net.Addr) (host string, port int) {
	host, text, err := net.SplitHostPort(a.String())
	if err != nil {
		return "", 0
	}
	port, _ = strconv.Atoi(text)
	return host, port
}

// setHosts puts what is stored for new hosts into use, and takes that of
// others out.
func (a *issued) setHosts(hosts []string) { a.locked(func() { a.replace(hosts) }) }

// locked calls f under the lock, and tells afterwards what f changed.
func (a *issued) locked(f func()) {
	a.mu.Lock()
	f()
	changed := a.changed
	a.changed = false
	a.mu.Unlock()
	if changed && a.in.told != nil {
		a.in.told(nil)
	}
}

func (a *issued) replace(hosts []string) {
	a.order = a.order[:0]
	for _, host := range hosts {
		host = strings.ToLower(host)
		a.order = append(a.order, host)
		if a.hosts[host] == nil {
			a.hosts[host] = &tended{}
		}
	}
	for host, h := range a.hosts {
		if slices.Contains(a.order, host) {
			continue
		}
		if h.asking != nil {
			h.asking()
		}
		a.in.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: host}})
		delete(a.hosts, host)
	}
	a.tend()
}

// begin asks for what is missing, now that the listeners answer the authority.
func (a *issued) begin(ctx context.Context) {
	a.locked(func() { a.running = ctx; a.tend() })
	a.working.Go(func() { a.in.cache.RenewManagedCertificates(ctx) }) // what became due meanwhile, without waiting for certmagic's clock
}

// end waits until nothing is being asked for. The context of begin has ended.
func (a *issued) end() {
	a.locked(func() { a.running = nil })
	a.working.Wait()
}

// tend looks at each host's certificate in use; one that has none gets what is
// stored, or else is asked for. a.mu is held.
func (a *issued) tend() {
	for host, h := range a.hosts {
		if a.note(host, h) || h.asking != nil {
			continue
		}
		_, err := a.quick.CacheManagedCertificate(context.Background(), host)
		if a.note(host, h) {
			continue
		}
		h.hash, h.notAfter = "", time.Time{}
		if a.running == nil {
			if !errors.Is(err, fs.ErrNotExist) {
				a.in.log.Error("the stored certificate cannot be used", "host", host, "error", err)
			}
			a.in.log.Warn("no certificate is stored for this host: browsers cannot connect to it until the authority has issued one", "host", host, "directory", a.c.Directory)
			continue
		}
		var ctx context.Context
		ctx, h.asking = context.WithCancel(a.running)
		a.working.Go(func() { a.ask(ctx, host, h) })
	}
}

// note learns which certificate host has now, tells when it is another one
// than before, and reports whether there is one.
func (a *issued) note(host string, h *tended) bool {
	best, found := certmagic.Certificate{}, false
	for _, c := range a.in.cache.AllMatchingCertificates(host) {
		if c.Leaf != nil && (!found || c.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best, found = c, true
		}
	}
	if !found || best.Hash() == h.hash {
		return found
	}
	if a.running != nil || h.hash != "" {
		a.in.log.Info("a new certificate is in use", "host", host, "until", best.Leaf.NotAfter)
	}
	h.hash, h.notAfter = best.Hash(), best.Leaf.NotAfter
	a.changed = true
	return true
}

// ask asks for host's first certificate until there is one or ctx ends.
func (a *issued) ask(ctx context.Context, host string, h *tended) {
	defer a.locked(func() {
		h.asking()
		h.asking = nil
		if a.hosts[host] == h {
			a.note(host, h)
		}
	})
	for try := 0; ; try++ {
		err := a.in.magic.ObtainCertSync(ctx, host)
		if err == nil {
			_, err = a.in.magic.CacheManagedCertificate(ctx, host)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		pause := retries[min(try, len(retries)-1)]
		a.failed(host, err, "again_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (a *issued) failed(host string, err error, more ...any) {
	a.in.log.Error("the authority issued no certificate", append([]any{"host", host, "directory", a.c.Directory, "error", err}, more...)...)
	if a.hooks.NotIssued != nil {
		a.hooks.NotIssued(host)
	}
}

// event hears from certmagic. Of a host that is being asked for, ask tells.
func (a *issued) event(ctx context.Context, name string, data map[string]any) error {
	host, _ := data["identifier"].(string)
	switch name {
	case "cert_obtaining":
		// In its own loop certmagic would try a revoked certificate for a month,
		// and renew no other one meanwhile. It comes back to it in an hour.
		if tries, ok := ctx.Value(certmagic.AttemptsCtxKey).(*int); ok && *tries > 0 {
			return context.Canceled
		}
	case "cert_ocsp_revoked":
		a.in.log.Error("a certificate was revoked, and another one is asked for", "hosts", data["subjects"])
	case "cert_failed":
		a.mu.Lock()
		h := a.hosts[host]
		tell := h != nil && h.asking == nil
		var until time.Time
		if tell {
			until = h.notAfter
		}
		a.mu.Unlock()
		if err, ok := data["error"].(error); ok && tell {
			a.failed(host, err, "old_one_stays_until", until)
		}
	}
	return nil
}

// heard are the events that event does something about; certmagic makes others
// for each handshake.
func heard(name string) bool {
	return name == "cert_obtaining" || name == "cert_ocsp_revoked" || name == "cert_failed"
}

// look sees to it that each host has a certificate in use.
func (a *issued) look() { a.locked(a.tend) }

// expiry is when the first certificate ends; now, when a host has none.
func (a *issued) expiry() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first time.Time
	for _, h := range a.hosts {
		until := h.notAfter
		if h.hash == "" {
			until = a.in.now()
		}
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first
}

// anyName returns a host that has a certificate, the sign-in host if it has one.
func (a *issued) anyName() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, host := range a.order {
		if a.hosts[host].hash != "" {
			return host
		}
	}
	return a.order[0]
}

// clean takes out of the storage what nothing needs any more.
func (a *issued) clean(ctx context.Context) {
	if err := certmagic.CleanStorage(ctx, a.c.Storage, certmagic.CleanStorageOptions{
		Logger: zap.NewNop(), OCSPStaples: true, ExpiredCerts: true, ExpiredCertGracePeriod: 30 * 24 * time.Hour,
	}); err != nil && ctx.Err() == nil {
		a.in.log.Warn("clean the stored certificates", "error", err)
	}
}

// validates reports whether hello is the authority's own, which wants a
// certificate that proves a challenge and goes no further (RFC 8737, section 3).
func validates(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpn
}

// prove returns the certificate that answers the authority's handshake. Only
// what is being asked for just now is looked for, and in memory.
func (a *issued) prove(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if _, asked := certmagic.GetACMEChallenge(hello.ServerName); !asked {
		return nil, errors.New("no certificate is being asked for under this name")
	}
	return a.in.magic.GetCertificateWithContext(hello.Context(), hello)
}

// answer answers the authority's request for a token (RFC 8555, section 8.3),
// and leaves all others to next. A token is that of the very host, and only
// while it is asked for.
func (a *issued) answer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, ok := hostname(r.Host); ok && certmagic.LooksLikeHTTPChallenge(r) {
			if c, asked := certmagic.GetACMEChallenge(host); asked && certmagic.SolveHTTPChallenge(zap.NewNop(), w, r, c.Challenge) {
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a ACME) withDefaults() ACME {
	a.CheckEvery = cmp.Or(a.CheckEvery, time.Minute)
	a.RevokeEvery = cmp.Or(a.RevokeEvery, time.Hour)
	return a
}

func (a *ACME) check() error {
	if a.Directory == "" || a.Email == "" || a.Storage == nil {
		return fmt.Errorf("an ACME authority needs a directory, an email address and a storage")
	}
	return nil
}
