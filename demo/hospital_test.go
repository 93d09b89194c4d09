package demo_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/demo"
)

func open(t *testing.T, dir, listen string) *demo.Hospital {
	t.Helper()
	h, err := demo.Open(demo.Options{Dir: dir, Listen: listen, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// run serves h until the test ends, and returns a client that reaches every
// name under localhost and trusts the demo's CA alone.
func run(t *testing.T, h *demo.Hospital) *http.Client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	pem, err := os.ReadFile(h.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, h.TunnelAddr())
		},
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t *testing.T, c *http.Client, at string) (int, string) {
	t.Helper()
	resp, err := c.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestHospitalOpens(t *testing.T) {
	h := open(t, t.TempDir(), "127.0.0.1:0")
	c := run(t, h)
	status, body := get(t, c, h.URL(demo.StartHost, "/"))
	if status != http.StatusOK || !strings.Contains(body, h.URL(demo.PharmacyHost, "/orders/7")) {
		t.Errorf("start page: %d\n%s", status, body)
	}
	if status, _ := get(t, c, h.URL(demo.StartHost, "/style.css")); status != http.StatusOK {
		t.Errorf("style: %d", status)
	}
	if status, body := get(t, c, h.URL(demo.GateHost, "/")); status != http.StatusBadGateway {
		t.Errorf("without a gateway: %d %s", status, body)
	}
	welcome := h.Welcome()
	for _, want := range []string{h.URL(demo.StartHost, "/"), h.ConfigFile(), h.CAFile(), h.AuditDir(), "nora", demo.Password} {
		if !strings.Contains(welcome, want) {
			t.Errorf("the welcome does not say %q", want)
		}
	}
}

func TestConfigurationIsKept(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, "127.0.0.1:0")
	at := first.TunnelAddr()
	first.Close()
	f, err := os.OpenFile(first.ConfigFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("# mine\n")
	f.Close()
	ca, err := os.ReadFile(first.CAFile())
	if err != nil {
		t.Fatal(err)
	}

	second := open(t, dir, "")
	if second.TunnelAddr() != at {
		t.Errorf("the tunnel moved from %s to %s", at, second.TunnelAddr())
	}
	if b, _ := os.ReadFile(second.ConfigFile()); !strings.HasSuffix(string(b), "# mine\n") {
		t.Error("the edited configuration was written over")
	}
	if b, _ := os.ReadFile(second.CAFile()); string(b) != string(ca) {
		t.Error("the CA changed: browsers would have to trust another")
	}
}

func TestSecretsAreKeptFromOthers(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, "127.0.0.1:0")
	for _, name := range []string{"client-secret", "provider.key", "demo-ca.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", name, info.Mode().Perm())
		}
	}
	secret, _ := os.ReadFile(filepath.Join(dir, "client-secret"))
	config, _ := os.ReadFile(filepath.Join(dir, "anteroom.yaml"))
	if strings.Contains(string(config), strings.TrimSpace(string(secret))) {
		t.Error("the configuration holds the secret itself")
	}
}

func TestOpenSaysWhatIsInTheWay(t *testing.T) {
	busy := open(t, t.TempDir(), "127.0.0.1:0")
	edited := func(from, to string) string {
		dir := t.TempDir()
		h := open(t, dir, "127.0.0.1:0")
		h.Close()
		b, err := os.ReadFile(h.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), from, to, 1)
		if text == string(b) {
			t.Fatalf("the configuration has no %q", from)
		}
		if err := os.WriteFile(h.ConfigFile(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct{ name, dir, listen, want string }{
		{"tunnel's port taken", t.TempDir(), busy.TunnelAddr(), "take the port of the MDM tunnel"},
		{"another port than the configuration's", edited("# The demo", "# The"), "127.0.0.1:1", "change gateway.url"},
		{"another sign-in host", edited(demo.GateHost, "gate.hospital.example"), "", "does not say gateway.url"},
		{"no yaml", edited("gateway:", "gateway"), "", "read "},
		{"no imaging", edited("host: "+demo.ImagingHost, "host: pictures."+demo.Domain), "", "does not say a route for " + demo.ImagingHost},
	} {
		h, err := demo.Open(demo.Options{Dir: c.dir, Listen: c.listen, Log: quiet})
		if err == nil {
			h.Close()
			t.Errorf("%s: opened", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAnUnreadableConfigurationIsNotWrittenOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "anteroom.yaml")
	if err := os.WriteFile(path, []byte("gateway: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := demo.Open(demo.Options{Dir: dir, Log: quiet}); err == nil {
		t.Fatal("opened")
	}
	if b, _ := os.ReadFile(path); string(b) != "gateway: [\n" {
		t.Error("the file was changed")
	}
}

// A CA that a browser is told to trust must not be able to vouch for a bank.
func TestTheCAVouchesForTheDemoOnly(t *testing.T) {
	h := open(t, t.TempDir(), "127.0.0.1:0")
	c := run(t, h)
	_, err := c.Get("https://hospital.example/")
	if err == nil {
		t.Fatal("the tunnel's certificate is good for hospital.example")
	}
	pair, err := tls.LoadX509KeyPair(h.CAFile(), filepath.Join(filepath.Dir(h.CAFile()), "demo-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if got := pair.Leaf.PermittedDNSDomains; len(got) != 1 || got[0] != demo.Domain || !pair.Leaf.PermittedDNSDomainsCritical {
		t.Errorf("the CA may vouch for %q", got)
	}
}

func TestRunStopsOpenStreams(t *testing.T) {
	h := open(t, t.TempDir(), "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	at := imagingAddr(t, h)
	req, _ := http.NewRequest(http.MethodGet, "http://"+at+"/events", nil)
	req.Header.Set("X-Remote-User", "piet")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := http.Get("http://" + at + "/"); err == nil {
		t.Error("imaging still listens")
	}
}

// imagingAddr reads from the configuration where imaging listens.
func imagingAddr(t *testing.T, h *demo.Hospital) string {
	t.Helper()
	b, err := os.ReadFile(h.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "host: "+demo.ImagingHost)
	_, rest, _ = strings.Cut(rest, "url: ")
	raw, _, _ := strings.Cut(rest, "\n")
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
