package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A world is what every measurement shares: the binaries, a certificate, a
// backend, a provider, and somewhere for spans to go.
type world struct {
	dir                string
	gateway, bare      string // binaries
	before             string // another gateway's, to take turns with; "" for none
	cert, key          string
	pool               *x509.CertPool
	provider           *anteroomtest.Provider
	spans              *httptest.Server
	backend            *process
	backendURL         string
	proxies, elsewhere string // cores; "" when nothing can be pinned
	scope              *scope
}

// A scope is the part of [testing.TB] that a provider needs to end with the run.
type scope struct {
	testing.TB
	cleanups []func()
}

func (*scope) Helper()            {}
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }
func (*scope) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
	os.Exit(1)
}
func (s *scope) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

func newWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "anteroom-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{
		dir: dir, gateway: filepath.Join(dir, "anteroom"), bare: filepath.Join(dir, "bareproxy"),
		cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), scope: &scope{},
	}
	if cores := os.Getenv(pinned); cores != "" {
		w.proxies, w.elsewhere = proxyCore, cores
	}
	for binary, pkg := range map[string]string{w.gateway: "./cmd/anteroom", w.bare: "./bench/bareproxy"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return w, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	w.provider = anteroomtest.NewProvider(w.scope)
	w.provider.Person(anteroomtest.Nora)
	if err := w.certificate(); err != nil {
		return w, err
	}
	w.spans = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	port, err := freePort()
	if err != nil {
		return w, err
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	addr := "127.0.0.1:" + port
	if w.backend, err = start("backend", w.elsewhere, self, "-backend", addr); err != nil {
		return w, err
	}
	w.backendURL = "http://" + addr
	return w, w.backend.listening(addr)
}

func (w *world) close() {
	if w.backend != nil {
		w.backend.stop()
	}
	if w.spans != nil {
		w.spans.Close()
	}
	for _, f := range w.scope.cleanups {
		f()
	}
	os.RemoveAll(w.dir)
}

// certificate makes one certificate that every proxy uses.
func (w *world) certificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"ehr.test", "gate.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	w.pool = x509.NewCertPool()
	w.pool.AppendCertsFromPEM(public)
	return errors.Join(os.WriteFile(w.cert, public, 0o600), os.WriteFile(w.key, private, 0o600),
		os.WriteFile(filepath.Join(w.dir, "both.pem"), append(public, private...), 0o600),
		os.WriteFile(filepath.Join(w.dir, "secret"), []byte(w.provider.ClientSecret), 0o600))
}

const head = `
gateway:
  url: https://gate.test:{port}
  listen: 127.0.0.1:{port}
  redirect_listen: ""
  admin_listen: 127.0.0.1:{admin}
  data_dir: {data}{more}
tls: {certificates: [{cert: {cert}, key: {key}}]}
providers:
  - name: hospital
    issuer: {issuer}
    client_id: anteroom
    client_secret: ${file:{secret}}
    scopes: [openid, profile, groups]
    claims: {username: preferred_username, name: name, groups: groups}
`

// A gatewayRun is a running gateway and the way to its application.
type gatewayRun struct {
	*process
	at   target
	data string
}

// startGateway runs the built gateway with an edited configuration, in the data
// directory of that name.
func (w *world) startGateway(name string, edit func(string) string) (*gatewayRun, error) {
	return w.startProgram(w.gateway, name, edit)
}

// startProgram is startGateway for one of the gateway's binaries.
func (w *world) startProgram(binary, name string, edit func(string) string) (*gatewayRun, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	text := head + everyFeature
	if edit != nil {
		text = edit(text)
	}
	data := filepath.Join(dir, "data")
	text = strings.NewReplacer("{port}", port, "{admin}", admin, "{data}", data, "{cert}", w.cert, "{key}", w.key, "{more}", "",
		"{issuer}", w.provider.URL, "{secret}", filepath.Join(w.dir, "secret"), "{backend}", w.backendURL, "{otlp}", w.spans.URL).Replace(text)
	file := filepath.Join(dir, "anteroom.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := start("gateway "+name, w.proxies, binary, "serve", "-c", file, "--grace", "0s")
	if err != nil {
		return nil, err
	}
	p.admin = "127.0.0.1:" + admin
	g := &gatewayRun{process: p, data: data, at: w.target(port)}
	if err := p.ready(); err != nil {
		p.stop()
		return nil, err
	}
	return g, nil
}

func (w *world) target(port string) target {
	return target{
		Address: "127.0.0.1:" + port, Host: "ehr.test", Port: port, TLS: &tls.Config{RootCAs: w.pool},
		Header: asBrowser(deviceLines()...),
	}
}

// signIn goes through the whole sign-in as a browser does and keeps its cookie
// for the load.
func (g *gatewayRun) signIn() error { return g.at.signIn("__Host-anteroom") }

// signIn goes through a sign-in as a browser does, and keeps the cookies whose
// names begin with prefix for the load.
func (t *target) signIn(prefix string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		TLSClientConfig: t.TLS,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, _, _ := net.SplitHostPort(address); net.ParseIP(host) == nil {
				address = t.Address
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	defer transport.CloseIdleConnections()
	address := "https://" + t.authority() + "/?size=1"
	c := &http.Client{Transport: transport, Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		navigation(r.Header)
		return nil
	}}
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	navigation(r.Header)
	resp, err := c.Do(r)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Hostname() != t.Host {
		return fmt.Errorf("sign in: it ends with %s at %s\n%s", resp.Status, resp.Request.URL, body)
	}
	var cookies []string
	for _, k := range jar.Cookies(&url.URL{Scheme: "https", Host: t.Host, Path: "/"}) {
		if strings.HasPrefix(k.Name, prefix) {
			cookies = append(cookies, k.Name+"="+k.Value)
		}
	}
	if len(cookies) == 0 {
		return errors.New("sign in: no cookie")
	}
	t.Header = append(t.Header, "cookie", strings.Join(cookies, "; "))
	return nil
}

func navigation(h http.Header) {
	h.Set("Accept", "text/html")
	h.Set("Sec-Fetch-Mode", "navigate")
	h.Set("Sec-Fetch-Dest", "document")
	for name, values := range deviceHeader() {
		h[name] = values
	}
}

// startBare runs the proxy that the gateway is measured against.
func (w *world) startBare() (*process, target, error) {
	port, err := freePort()
	if err != nil {
		return nil, target{}, err
	}
	admin, err := freePort()
	if err != nil {
		return nil, target{}, err
	}
	p, err := start("bare proxy", w.proxies, w.bare, "-listen", "127.0.0.1:"+port, "-admin", "127.0.0.1:"+admin,
		"-cert", w.cert, "-key", w.key, "-backend", w.backendURL)
	if err != nil {
		return nil, target{}, err
	}
	p.admin = "127.0.0.1:" + admin
	return p, w.target(port), p.listening("127.0.0.1:" + port)
}
