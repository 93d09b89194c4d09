package listen_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/anteroom/anteroom/listen"
)

// A running server on loopback, with an own CA unless the test says otherwise.
type running struct {
	*listen.Server
	stop func() error // ends Run and returns what it returned
	ca   *x509.CertPool
	log  *logged
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func ok(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.Host) }

func start(t *testing.T, change func(*listen.Config)) *running {
	t.Helper()
	r := &running{log: new(logged)}
	c := listen.Config{
		Addr: "127.0.0.1:0", Handler: http.HandlerFunc(ok), Admin: http.HandlerFunc(ok),
		SelfSigned: true, DataDir: t.TempDir(), Hosts: []string{"gate.test", "ehr.test"},
		CheckEvery: 5 * time.Millisecond, Grace: -1,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&c)
	}
	s, err := listen.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-s.Ready()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = r.stop() })
	if c.SelfSigned {
		r.ca = pool(t, filepath.Join(c.DataDir, "tls", "ca.pem"))
	}
	return r
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", file)
	}
	return p
}

// client speaks to the server whatever host a URL names.
func (r *running) client(http2 bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: r.ca},
			ForceAttemptHTTP2: http2,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, r.Addr().String())
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (r *running) handshake(c *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", r.Addr().String(), c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

func TestServes(t *testing.T) {
	r := start(t, nil)
	for _, http2 := range []bool{false, true} {
		c := r.client(http2)
		res, err := c.Get("https://ehr.test/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		c.CloseIdleConnections()
		want := map[bool]string{false: "HTTP/1.1 ehr.test", true: "HTTP/2.0 ehr.test"}[http2]
		if string(body) != want {
			t.Errorf("%q, want %q", body, want)
		}
	}
	if r.RedirectAddr() != nil || r.AdminAddr() != nil {
		t.Error("listeners without an address are open")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestHandshakes(t *testing.T) {
	r := start(t, nil)
	strict := start(t, func(c *listen.Config) { c.MinVersion = "1.3" })
	v12 := func(suites ...uint16) *tls.Config {
		return &tls.Config{ServerName: "ehr.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, CipherSuites: suites}
	}
	for _, c := range []struct {
		name string
		to   *running
		with *tls.Config
		ok   bool
	}{
		{"TLS 1.3", r, &tls.Config{ServerName: "ehr.test"}, true},
		{"TLS 1.2", r, v12(), true},
		{"TLS 1.2 where 1.3 is asked", strict, v12(), false},
		{"TLS 1.3 where 1.3 is asked", strict, &tls.Config{ServerName: "ehr.test"}, true},
		{"TLS 1.1", r, &tls.Config{ServerName: "ehr.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"TLS 1.0", r, &tls.Config{ServerName: "ehr.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
		{"AES-128 GCM", r, v12(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), true},
		{"AES-256 GCM", r, v12(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), true},
		{"ChaCha20", r, v12(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), true},
		{"CBC, SHA-1", r, v12(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA), false},
		{"CBC, SHA-256", r, v12(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256), false},
		{"RSA key exchange", r, v12(tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384), false},
		{"RC4 and 3DES", r, v12(tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA), false},
		{"P-384", r, &tls.Config{ServerName: "ehr.test", CurvePreferences: []tls.CurveID{tls.CurveP384}}, true},
		{"P-521", r, &tls.Config{ServerName: "ehr.test", CurvePreferences: []tls.CurveID{tls.CurveP521}}, false},
		{"HTTP/2", r, &tls.Config{ServerName: "ehr.test", NextProtos: []string{"h2"}}, true},
		{"HTTP/1.1", r, &tls.Config{ServerName: "ehr.test", NextProtos: []string{"http/1.1"}}, true},
		{"another protocol", r, &tls.Config{ServerName: "ehr.test", NextProtos: []string{"acme-tls/1"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.with.RootCAs = c.to.ca
			state, err := c.to.handshake(c.with)
			if (err == nil) != c.ok {
				t.Fatalf("handshake: %v", err)
			}
			if c.ok && len(c.with.NextProtos) > 0 && state.NegotiatedProtocol != c.with.NextProtos[0] {
				t.Errorf("protocol %q", state.NegotiatedProtocol)
			}
			if c.name == "TLS 1.3" && state.CurveID != tls.X25519MLKEM768 {
				t.Errorf("key exchange %v, want one that outlasts quantum computers", state.CurveID)
			}
		})
	}
}

// The names of a handshake: every host its own certificate, the sign-in host's
// for those who name none that is known.
func TestServerNames(t *testing.T) {
	r := start(t, func(c *listen.Config) { c.Hosts = []string{"gate.test", "EHR.test", "127.0.0.1"} })
	for _, c := range []struct{ name, sni, cert string }{
		{"sign-in host", "gate.test", "gate.test"},
		{"another host", "ehr.test", "ehr.test"},
		{"in capitals", "EHR.TEST", "ehr.test"},
		{"an unknown host", "evil.test", "gate.test"},
		{"below a known host", "x.gate.test", "gate.test"},
	} {
		state, err := r.handshake(&tls.Config{ServerName: c.sni, InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		leaf := state.PeerCertificates[0]
		if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != c.cert {
			t.Errorf("%s: certificate for %v, want %s", c.name, leaf.DNSNames, c.cert)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: r.ca, DNSName: c.cert}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := r.handshake(&tls.Config{ServerName: "127.0.0.1", RootCAs: r.ca}); err != nil {
		t.Errorf("by address, for which there is a certificate: %v", err) // an address is never sent as a server name
	}
	if _, err := r.handshake(&tls.Config{ServerName: "evil.test", RootCAs: r.ca}); err == nil {
		t.Error("a client that checks names went on to a host that is not served")
	}

	r = start(t, nil)
	state, err := r.handshake(&tls.Config{InsecureSkipVerify: true})
	if err != nil || state.PeerCertificates[0].DNSNames[0] != "gate.test" {
		t.Errorf("no server name: %v, %v", state.PeerCertificates, err)
	}
}

func TestSelfSigned(t *testing.T) {
	now, mu := time.Now(), sync.Mutex{}
	later := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	dir := t.TempDir()
	setup := func(c *listen.Config) {
		c.DataDir, c.CheckEvery = dir, time.Hour
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}
	r := start(t, setup)
	leaf := func(host string) *x509.Certificate {
		t.Helper()
		state, err := r.handshake(&tls.Config{ServerName: host, RootCAs: r.ca, Time: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0]
	}
	first := leaf("gate.test")
	if life := first.NotAfter.Sub(now).Round(time.Minute); life != 90*24*time.Hour {
		t.Errorf("a leaf lives %v", life)
	}
	if !r.CertificateExpiry().Equal(first.NotAfter) && r.CertificateExpiry().After(first.NotAfter) {
		t.Errorf("expiry %v, after %v", r.CertificateExpiry(), first.NotAfter)
	}
	if k, ok := first.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("key %T", first.PublicKey)
	}
	info, err := os.Stat(filepath.Join(dir, "tls", "ca-key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the CA's key: %v, %v", info.Mode(), err)
	}

	later(59 * 24 * time.Hour)
	if err := r.SetHosts([]string{"gate.test", "rx.test"}); err != nil {
		t.Fatal(err)
	}
	if !leaf("gate.test").Equal(first) {
		t.Error("renewed before two thirds of its life")
	}
	leaf("rx.test")
	if state, err := r.handshake(&tls.Config{ServerName: "ehr.test", InsecureSkipVerify: true}); err != nil || !state.PeerCertificates[0].Equal(first) {
		t.Errorf("a host that is gone: %v, %v", state.PeerCertificates, err)
	}
	later(2 * 24 * time.Hour)
	if err := r.SetHosts([]string{"gate.test", "rx.test"}); err != nil {
		t.Fatal(err)
	}
	if leaf("gate.test").Equal(first) {
		t.Error("not renewed at two thirds of its life")
	}
	if err := r.SetHosts(nil); err == nil {
		t.Error("no hosts at all are accepted")
	}

	// The CA is the same after a restart, and a new one when it is near its end.
	ca, _ := os.ReadFile(filepath.Join(dir, "tls", "ca.pem"))
	_ = r.stop()
	start(t, setup)
	if again, _ := os.ReadFile(filepath.Join(dir, "tls", "ca.pem")); !bytes.Equal(ca, again) {
		t.Error("a restart made a new CA")
	}
	later(10*365*24*time.Hour - 100*24*time.Hour)
	start(t, setup)
	if again, _ := os.ReadFile(filepath.Join(dir, "tls", "ca.pem")); bytes.Equal(ca, again) {
		t.Error("a CA that is near its end stays")
	}
	if err := os.WriteFile(filepath.Join(dir, "tls", "ca-key.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := listen.New(listen.Config{Addr: "127.0.0.1:0", SelfSigned: true, DataDir: dir, Hosts: []string{"gate.test"}}); err == nil {
		s.Close()
		t.Error("a CA without its key is replaced in silence")
	}
}

func TestRenewedInTheBackground(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	renewed := make(chan error, 10)
	r := start(t, func(c *listen.Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
		c.Hooks.Reloaded = func(err error) { renewed <- err }
	})
	before := r.CertificateExpiry()
	mu.Lock()
	now = now.Add(61 * 24 * time.Hour)
	mu.Unlock()
	if err := <-renewed; err != nil || !r.CertificateExpiry().After(before) {
		t.Errorf("%v, expiry %v", err, r.CertificateExpiry())
	}
}

// pairFiles writes a certificate for hosts that ends at notAfter, and its key.
func pairFiles(t *testing.T, p listen.Pair, notAfter time.Time, hosts ...string) *big.Int {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{DNSNames: hosts, NotBefore: notAfter.Add(-time.Hour * 24 * 90), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, p.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func withFiles(p listen.Pair, told chan error) func(*listen.Config) {
	return func(c *listen.Config) {
		c.SelfSigned, c.Certificates = false, []listen.Pair{p}
		c.Hosts = []string{"gate.test"}
		c.Hooks.Reloaded = func(err error) { told <- err }
	}
}

func (r *running) serial(t *testing.T, host string) *big.Int {
	t.Helper()
	state, err := r.handshake(&tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return state.PeerCertificates[0].SerialNumber
}

func TestFilesSwappedUnderLoad(t *testing.T) {
	dir := t.TempDir()
	p := listen.Pair{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	end := time.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	pairFiles(t, p, end, "gate.test")
	told := make(chan error, 100)
	r := start(t, withFiles(p, told))

	stop := make(chan struct{})
	var load sync.WaitGroup
	var mu sync.Mutex
	made, failed := 0, 0
	for range 3 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := r.handshake(&tls.Config{ServerName: "gate.test", InsecureSkipVerify: true})
				mu.Lock()
				made++
				if err != nil {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	for i := range 20 {
		// One file after the other, so that for a moment they do not fit.
		want := pairFiles(t, p, end.Add(time.Duration(i)*time.Hour), "gate.test")
		for {
			if err := <-told; err == nil {
				break
			}
		}
		if got := r.serial(t, "gate.test"); got.Cmp(want) != 0 {
			t.Errorf("swap %d: the old certificate is in use", i)
		}
		if got := r.CertificateExpiry(); !got.Equal(end.Add(time.Duration(i) * time.Hour)) {
			t.Errorf("swap %d: expiry %v", i, got)
		}
	}
	close(stop)
	load.Wait()
	if failed > 0 || made == 0 {
		t.Errorf("%d of %d handshakes failed", failed, made)
	}
}

func TestBadFilesKeepTheOld(t *testing.T) {
	dir := t.TempDir()
	p := listen.Pair{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	other := listen.Pair{CertFile: filepath.Join(dir, "c2.pem"), KeyFile: filepath.Join(dir, "k2.pem")}
	end := time.Now().Add(30 * 24 * time.Hour)
	pairFiles(t, other, end, "gate.test")
	first := pairFiles(t, p, end, "gate.test")
	told := make(chan error, 100)
	r := start(t, withFiles(p, told))

	for _, c := range []struct {
		name, says string
		spoil      func()
	}{
		{"no PEM", p.CertFile, func() { write(t, p.CertFile, []byte("nothing")) }},
		{"another's certificate", p.KeyFile, func() {
			text, _ := os.ReadFile(other.CertFile)
			write(t, p.CertFile, text)
		}},
		{"gone", p.CertFile, func() { os.Remove(p.CertFile) }},
		{"expired already", "expired", func() { pairFiles(t, p, time.Now().Add(-time.Hour), "gate.test") }},
	} {
		c.spoil()
		err := <-told
		for err == nil || !strings.Contains(err.Error(), c.says) {
			err = <-told // files half way from the case before
		}
		if got := r.serial(t, "gate.test"); got.Cmp(first) != 0 {
			t.Errorf("%s: the old certificate is not in use", c.name)
		}
	}
	select {
	case err := <-told:
		t.Errorf("told twice: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	next := pairFiles(t, p, end, "gate.test", "more.test")
	for err := range told {
		if err == nil {
			break
		}
	}
	if r.serial(t, "gate.test").Cmp(next) != 0 || r.serial(t, "more.test").Cmp(next) != 0 {
		t.Error("a good pair after bad ones is not in use")
	}
	if r.serial(t, "elsewhere.test").Cmp(next) != 0 {
		t.Error("an unknown name does not get the sign-in host's certificate")
	}
	if !strings.Contains(r.log.String(), "the old certificate stays in use") {
		t.Error("nothing is logged")
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	good := listen.Pair{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	pairFiles(t, good, time.Now().Add(time.Hour), "gate.test")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	kept := &certmagic.FileStorage{Path: dir}
	for name, change := range map[string]func(*listen.Config){
		"no certificate": func(c *listen.Config) { c.Certificates = nil },
		"two kinds":      func(c *listen.Config) { c.SelfSigned = true },
		"a third kind": func(c *listen.Config) {
			c.ACME = &listen.ACME{Directory: "https://acme.test/dir", Email: "it@test", Storage: kept}
		},
		"ACME half said": func(c *listen.Config) {
			c.Certificates, c.ACME = nil, &listen.ACME{Directory: "https://acme.test/dir", Storage: kept}
		},
		"ACME kept nowhere": func(c *listen.Config) {
			c.Certificates, c.ACME = nil, &listen.ACME{Directory: "https://acme.test/dir", Email: "it@test"}
		},
		"no file":             func(c *listen.Config) { c.Certificates[0].KeyFile = filepath.Join(dir, "none") },
		"key in place of one": func(c *listen.Config) { c.Certificates[0].CertFile = good.KeyFile },
		"no hosts":            func(c *listen.Config) { c.Hosts = nil },
		"old TLS":             func(c *listen.Config) { c.MinVersion = "1.1" },
		"no address":          func(c *listen.Config) { c.Addr = "" },
		"address in use":      func(c *listen.Config) { c.Addr = taken.Addr().String() },
		"admin in use":        func(c *listen.Config) { c.AdminAddr = taken.Addr().String() },
		"redirect in use":     func(c *listen.Config) { c.RedirectAddr = taken.Addr().String() },
	} {
		c := listen.Config{Addr: "127.0.0.1:0", Certificates: []listen.Pair{good}, Hosts: []string{"gate.test"}, DataDir: dir}
		change(&c)
		if s, err := listen.New(c); err == nil {
			s.Close()
			t.Errorf("%s is accepted", name)
		}
	}
}

// Files may be half written when they are looked at, so that what is new has to
// be there at two looks. A look may come late, so the longest of a few waits counts.
func TestFilesSettle(t *testing.T) {
	dir := t.TempDir()
	p := listen.Pair{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	end := time.Now().Add(30 * 24 * time.Hour)
	pairFiles(t, p, end, "gate.test")
	told := make(chan error, 100)
	const every = 100 * time.Millisecond
	start(t, func(c *listen.Config) {
		withFiles(p, told)(c)
		c.CheckEvery = every
	})
	var longest time.Duration
	for range 3 {
		pairFiles(t, p, end, "gate.test")
		written := time.Now()
		for err := range told {
			if err == nil {
				break
			}
		}
		longest = max(longest, time.Since(written))
	}
	if longest < every*3/2 { // each writing follows a look at once: the first is an interval later, the second two
		t.Errorf("new files are in use after %v, at the first look", longest)
	}
}
