// Package acme_test has a real ACME server, Pebble, issue the gateway's
// certificates: the first ones, their renewal, the replacement of a revoked
// one, and what happens while it is down.
package acme_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A pebble is an ACME server on loopback that validates hosts at the ports of
// a gateway, whatever their names.
type pebble struct {
	Directory, RootFile string         // of the server itself
	Roots               *x509.CertPool // likewise
	Config              settings

	t        testing.TB
	dir, dns string
	manage   string // address of the management interface
	process  *exec.Cmd
	out      *buffer
}

type settings struct {
	TLSPort, HTTPPort string
	Validity          time.Duration // of certificates; zero: 90 days
	Responder         string        // URL for OCSP; "" names none
}

// A buffer is written to by one process while tests read it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "anteroom-pebble-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	cmd.Dir = "../pebble"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build Pebble: %w\n%s", err, out)
	}
	return filepath.Join(dir, "pebble"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := built(); err == nil {
		os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// prepare readies a server without starting it.
func prepare(t testing.TB, c settings) *pebble {
	t.Helper()
	p := &pebble{Config: c, t: t, dir: t.TempDir(), dns: names(t), Roots: x509.NewCertPool(), out: new(buffer)}
	p.manage = "127.0.0.1:" + anteroomtest.FreePort(t)
	address := "127.0.0.1:" + anteroomtest.FreePort(t)
	p.Directory = "https://" + address + "/dir"
	p.RootFile = filepath.Join(p.dir, "root.pem")
	p.certify()
	validity := c.Validity
	if validity == 0 {
		validity = 90 * 24 * time.Hour
	}
	algorithm := "ecdsa"
	if c.Responder != "" {
		algorithm = "rsa" // Pebble shows no key of another kind
	}
	number := func(port string) int { n, _ := strconv.Atoi(port); return n }
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "managementListenAddress": p.manage,
		"certificate": filepath.Join(p.dir, "cert.pem"), "privateKey": filepath.Join(p.dir, "key.pem"),
		"httpPort": number(c.HTTPPort), "tlsPort": number(c.TLSPort), "ocspResponderURL": c.Responder,
		"keyAlgorithm": algorithm, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": int(validity.Seconds())}},
	}})
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "pebble.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// certify makes the certificate of the server itself.
func (p *pebble) certify() {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "directory"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, text := range map[string][]byte{"root.pem": cert, "cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(p.dir, file), text, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	p.Roots.AppendCertsFromPEM(cert)
}

// start starts the server, and returns when it answers. It forgets everything
// when it is started again, its own root among it.
func (p *pebble) start() {
	p.t.Helper()
	binary, err := built()
	if err != nil {
		p.t.Fatal(err)
	}
	p.process = exec.Command(binary, "-config", filepath.Join(p.dir, "pebble.json"), "-dnsserver", p.dns)
	p.process.Env = []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0"}
	p.process.Stdout, p.process.Stderr = p.out, p.out
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.stop)
	p.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("Pebble:\n%s", p.out)
		}
	})
	await(p.t, "Pebble answers", func() bool { return p.get("/roots/0") != nil })
}

func (p *pebble) stop() {
	if p.process != nil {
		p.process.Process.Kill()
		p.process.Wait()
		p.process = nil
	}
}

// get asks the management interface; nil when there is no answer.
func (p *pebble) get(path string) []byte {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Roots}, DisableKeepAlives: true}}
	resp, err := client.Get("https://" + p.manage + path)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil
	}
	return text
}

// trusted returns the roots that browsers would have to trust.
func (p *pebble) trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.get("/roots/0"))
	return pool
}

// issuer returns the certificate and key that Pebble signs with; nil when it
// does not show them.
func (p *pebble) issuer() (*x509.Certificate, crypto.Signer) {
	cert, _ := pem.Decode(p.get("/intermediates/0"))
	secret, _ := pem.Decode(p.get("/intermediate-keys/0"))
	if cert == nil || secret == nil {
		return nil, nil
	}
	parsed, err := x509.ParseCertificate(cert.Bytes)
	if err != nil {
		return nil, nil
	}
	key, err := x509.ParsePKCS1PrivateKey(secret.Bytes)
	if err != nil {
		return nil, nil
	}
	return parsed, key
}

// A responder answers for Pebble, which has none of its own: it signs with
// Pebble's key what Pebble knows of a certificate. Answers are good for life.
func responder(t testing.TB, of **pebble, life time.Duration) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		q, err := ocsp.ParseRequest(text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p := *of
		var known struct{ Status string }
		json.Unmarshal(p.get("/cert-status-by-serial/"+q.SerialNumber.Text(16)), &known)
		cert, key := p.issuer()
		if key == nil {
			http.Error(w, "Pebble shows no key", http.StatusBadGateway)
			return
		}
		answer := ocsp.Response{SerialNumber: q.SerialNumber, Status: ocsp.Good, ThisUpdate: time.Now().Add(-time.Second), NextUpdate: time.Now().Add(life)}
		if known.Status == "Revoked" {
			answer.Status, answer.RevokedAt = ocsp.Revoked, time.Now()
		}
		der, err := ocsp.CreateResponse(cert, cert, answer, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(der)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// names starts a DNS server by which every name leads to 127.0.0.1. It speaks
// TCP alone, as Pebble does.
func names(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for resolve(c) == nil {
				}
			}()
		}
	}()
	return l.Addr().String()
}

// resolve answers one question on c (RFC 1035, section 4.2.2).
func resolve(c net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	answer, err := m.AppendPack(make([]byte, 2, 512))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
	_, err = c.Write(answer)
	return err
}

// limit is for what never comes, and measures nothing.
const limit = 20 * time.Second

// await waits until met.
func await(t testing.TB, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !met(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, not yet: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// orders counts how often Pebble was asked for a certificate for host.
func (p *pebble) orders(host string) int { return strings.Count(p.out.String(), host) }
