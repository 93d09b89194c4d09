package anteroomtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/cmd/gateway"
)

// A Gateway is a whole gateway on loopback, with a scripted provider and a
// recording backend, until its test ends.
type Gateway struct {
	Provider *Provider
	Backend  *Backend
	Address  string   // of the TLS listener
	Admin    string   // of the admin listener
	Redirect string   // of the listener that redirects to https; "" when it is closed
	Senders  []string // of the listeners of posture sources, in the order of the file
	Dir      string   // holds the configuration and data_dir
	Port     string
	CA       *x509.CertPool

	t    testing.TB
	log  *log
	stop func() error
}

// Setup says how a [Gateway] differs from the fixture.
type Setup struct {
	// Config is the configuration; "" is [Fixture]. In it {port}, {issuer},
	// {backend} and {dir} stand for what the test was given.
	Config string
	// Edit changes the configuration's text before it is written.
	Edit func(string) string
	// Files are written beside the configuration before it is read.
	Files map[string]string
	// Dir, when set, is that of an earlier gateway, whose data goes on.
	Dir string
	// Provider and Backend, when set, are those of an earlier gateway.
	Provider *Provider
	Backend  *Backend
	// Port, when set, is that of an earlier gateway.
	Port string
}

// Fixture is the hospital that tests attack: ehr.test with its open, ordinary
// and guarded places, and img.test, which wants a device.
const Fixture = `
gateway:
  url: https://gate.test:{port}
  listen: 127.0.0.1:0
  redirect_listen: ""
  admin_listen: 127.0.0.1:0
  data_dir: {dir}/data
  help: "Service desk, extension 4000"
tls: {self_signed: true}
providers:
  - name: hospital
    issuer: {issuer}
    client_id: anteroom
    client_secret: ${file:secret}
    scopes: [openid, profile, groups]
    claims: {username: preferred_username, name: name, groups: groups}
logins:
  strong: {acr: [mfa], amr: [hwk]}
roles:
  nurse: {groups: [ehr-nurses]}
  physician: {groups: [ehr-physicians]}
  admin: {groups: [admins]}
sessions: {lock_after: 5m, end_after: 30m, max: 13h}
posture:
  sources:
    - name: tunnel
      type: headers
      senders: [{cidr: [127.0.0.1/32], allow_cidr_only: true}]
      assertion_max_age: 15m
      map:
        device_id: X-Mdm-Device-Id
        platform: X-Mdm-Platform
        os_version: X-Mdm-Os-Version
        managed: X-Mdm-Managed
        compromised: X-Mdm-Compromised
        lost: X-Mdm-Lost
        checked_in_at: X-Mdm-Checked-In-At
        asserted_at: X-Mdm-Asserted-At
  checks:
    not_jailbroken: {require: {compromised: false}, severity: hard}
    managed: {require: {managed: true}, deny: {lost: true}, severity: hard}
    fresh_os: {severity: soft, platforms: {ipados: {min: ["18.7.3", "26.2"]}}}
    fresh_checkin: {checkin_max_age: 24h, severity: soft}
  profiles:
    clinical: {checks: [not_jailbroken, managed, fresh_os, fresh_checkin]}
routes:
  - name: chart
    host: ehr.test
    path: /
    backend:
      url: {backend}
      timeout: 5s
      max_body: 8MiB
      identity:
        headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}
        assertion: {header: X-Anteroom-Assertion, audience: ehr, ttl: 60s}
    allow: {roles: [nurse, physician, admin]}
    device: none
    origins: ["https://portal.test:{port}"]
    background: [/poll]
    patient: {path: "/patients/{patient}/**"}
    rules:
      - name: amend an order
        when: {methods: [POST, PUT, PATCH, DELETE], path: /orders/**}
        require: {within: 2m}
        keep_request: 64KiB
      - name: sign a result
        when: {methods: [POST], path: /results/*}
        require: {login: strong}
      - name: export records
        when: {path: /export/**}
        require: {each_time: true}
      - name: change of billing
        when: {methods: [POST], path: /appointments/*, fields: [/billing, /patient/identity]}
        require: {within: 2m}
      - name: watched
        when: {path: /watched/**}
        require: {roles: [physician]}
        observe: true
  - name: admin
    host: ehr.test
    path: /admin
    backend:
      url: {backend}
      identity:
        headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}
        assertion: {header: X-Anteroom-Assertion, audience: ehr, ttl: 60s}
    allow: {roles: [admin]}
    device: none
  - name: open
    host: ehr.test
    path: /pub
    backend: {url: {backend}}
    allow: public
    device: none
  - name: imaging
    host: img.test
    path: /
    backend:
      url: {backend}
      identity:
        headers: {X-Remote-User: username}
        assertion: {header: X-Anteroom-Assertion}
    allow: {roles: [nurse, physician]}
    device: clinical
    session: {lock_after: 2m}
audit: {on_failure: deny}
limits: {requests_per_session: {per_second: 100000, burst: 100000}} # loads of one session are driven at it
telemetry: {sample: 0.05}
`

// Certified is an edit of [Fixture]: the tunnel has a listener of its own, where
// it shows a certificate for tunnel.mdm.test by an authority in the file mdm-ca.pem.
func Certified(text string) string {
	return strings.Replace(text, "senders: [{cidr: [127.0.0.1/32], allow_cidr_only: true}]",
		"listen: 127.0.0.1:0\n      senders: [{mtls: {ca_file: mdm-ca.pem, san_dns: tunnel.mdm.test}}]", 1)
}

// Start runs the gateway that s describes.
func Start(t testing.TB, s Setup) *Gateway {
	t.Helper()
	g := around(t, s)
	address := "127.0.0.1:" + s.Port
	if s.Port == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	g.Address = listener.Addr().String()
	_, g.Port, _ = net.SplitHostPort(g.Address)
	text := s.Config
	if text == "" {
		text = Fixture
	}
	if s.Edit != nil {
		text = s.Edit(text)
	}
	g.WriteFile("secret", g.Provider.ClientSecret)
	g.WriteConfig(text)

	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan gateway.Addresses, 1), make(chan error, 1)
	go func() {
		done <- gateway.Run(ctx, gateway.Options{
			ConfigFile: filepath.Join(g.Dir, "anteroom.yaml"), Version: "test", Grace: -1, Listener: listener,
			Log: gateway.Logger(g.log, slog.LevelInfo), Ready: func(a gateway.Addresses) { ready <- a },
		})
	}()
	select {
	case a := <-ready:
		g.Admin, g.Redirect, g.Senders = a.Admin, a.Redirect, a.Senders
	case err := <-done:
		cancel()
		t.Fatalf("the gateway did not start: %v\n%s", err, g.log)
	case <-time.After(30 * time.Second):
		cancel()
		t.Fatalf("the gateway is not ready after 30 s\n%s", g.log)
	}
	g.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("the gateway ended with: %v", err)
		}
		if Panicked(g.Log()) {
			t.Error("the gateway panicked")
		}
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", g.log)
		}
	})
	AwaitGreeting(t, g.Admin)
	pem, err := os.ReadFile(filepath.Join(g.Dir, "data", "tls", "ca.pem"))
	if err != nil {
		t.Fatalf("read the gateway's CA: %v", err)
	}
	g.CA = x509.NewCertPool()
	g.CA.AppendCertsFromPEM(pem)
	return g
}

// AwaitGreeting waits until the gateway whose admin listener is at admin knows
// whether its provider answers. Who comes before may be told that sign-in isn't
// working: a person is not kept waiting, and a busy machine may be slow.
func AwaitGreeting(t testing.TB, admin string) {
	t.Helper()
	if admin == "" {
		return
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		resp, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && bytes.Contains(text, []byte("\nanteroom_provider_up{")) {
			return
		}
	}
	t.Fatal("the gateway has not asked its provider after a minute")
}

// panics are what a log has of a panic: of one that cost a request, of one that
// net/http or a parser's guard caught, and of one that ended the process.
var panics = regexp.MustCompile(`"panic":|panic: |panic serving|(?m:^fatal error: )`)

// Panicked reports whether a gateway's log tells of a panic. Whatever runs one
// in a test looks, when it ends.
func Panicked(log string) bool { return panics.MatchString(log) }

// around returns a gateway that does not run yet, with all that s puts around it.
func around(t testing.TB, s Setup) *Gateway {
	t.Helper()
	g := &Gateway{Provider: s.Provider, Backend: s.Backend, Dir: s.Dir, t: t, log: &log{}}
	if g.Provider == nil {
		g.Provider = NewProvider(t)
		g.Provider.Person(Nora)
	}
	if g.Backend == nil {
		g.Backend = NewBackend(t)
	}
	if g.Dir == "" {
		g.Dir = t.TempDir()
	}
	for name, text := range s.Files {
		g.WriteFile(name, text)
	}
	return g
}

// Stop ends the gateway and waits until it has drained.
func (g *Gateway) Stop() error { return g.stop() }

// WriteConfig puts text, with its stand-ins replaced, in the configuration's place at once.
func (g *Gateway) WriteConfig(text string) {
	g.t.Helper()
	text = strings.NewReplacer("{port}", g.Port, "{issuer}", g.Provider.URL, "{backend}", g.Backend.URL, "{dir}", g.Dir).Replace(text)
	g.WriteFile("anteroom.yaml.new", text)
	if err := os.Rename(filepath.Join(g.Dir, "anteroom.yaml.new"), filepath.Join(g.Dir, "anteroom.yaml")); err != nil {
		g.t.Fatal(err)
	}
}

// WriteFile writes a file beside the configuration.
func (g *Gateway) WriteFile(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.Dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// Log returns what the gateway has logged so far.
func (g *Gateway) Log() string { return g.log.String() }

// URL returns the address of target on host.
func (g *Gateway) URL(host, target string) string {
	return fmt.Sprintf("https://%s:%s%s", host, g.Port, target)
}

// Origin returns the origin of host.
func (g *Gateway) Origin(host string) string { return g.URL(host, "") }

// Dial opens a TLS connection as a browser would for host.
func (g *Gateway) Dial(t testing.TB, host string, protocols ...string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", g.Address, &tls.Config{ServerName: host, RootCAs: g.CA, NextProtos: protocols})
	if err != nil {
		t.Fatalf("dial %s: %v", host, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Transport returns a transport that finds every host at the gateway, but for
// loopback addresses, which it reaches as they are.
func (g *Gateway) Transport(http2 bool) *http.Transport { return g.transport(http2, g.Address) }

func (g *Gateway) transport(http2 bool, at string) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, _, _ := net.SplitHostPort(address); net.ParseIP(host) == nil {
				address = at
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		TLSClientConfig:    &tls.Config{RootCAs: g.CA},
		Protocols:          protocols,
		DisableCompression: true,
	}
}

// Audit returns the records in the trail that q wants.
func (g *Gateway) Audit(q audit.Query) []audit.Record {
	g.t.Helper()
	var found []audit.Record
	for line, err := range audit.Search(filepath.Join(g.Dir, "data", "audit"), q) {
		if err != nil {
			g.t.Fatalf("search the audit trail: %v", err)
		}
		found = append(found, line.Record)
	}
	return found
}

// Metric returns the sum of the series whose line begins with name.
func (g *Gateway) Metric(name string) float64 {
	g.t.Helper()
	resp, err := http.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	text.ReadFrom(resp.Body)
	sum := 0.0
	for line := range strings.Lines(text.String()) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			var v float64
			if _, err := fmt.Sscan(rest[strings.LastIndex(rest, " ")+1:], &v); err == nil {
				sum += v
			}
		}
	}
	return sum
}

// People of the fixture.
var (
	Nora = Person{Sub: "nora-sub", Username: "nora", Name: "Nora Lind", Groups: []string{"ehr-nurses"}, ACR: "pwd", AMR: []string{"pwd"}, CanACR: []string{"mfa"}, CanAMR: []string{"pwd", "otp"}}
	Piet = Person{Sub: "piet-sub", Username: "piet", Name: "Piet Vos", Groups: []string{"ehr-physicians"}, ACR: "pwd", AMR: []string{"pwd"}}
	Adam = Person{Sub: "adam-sub", Username: "adam", Name: "Adam Gray", Groups: []string{"admins"}, ACR: "pwd", AMR: []string{"pwd"}}
	Eve  = Person{Sub: "eve-sub", Username: "eve", Name: "Eve Stone", ACR: "pwd", AMR: []string{"pwd"}}
)

// A log keeps what is written to it, for many goroutines.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
