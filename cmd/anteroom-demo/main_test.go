package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/demo"
)

// The file that the demo writes is one that the gateway takes, its routes' own tests included.
func TestConfigurationIsTaken(t *testing.T) {
	h, err := demo.Open(demo.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, _, err := config.Load(h.ConfigFile()); err != nil {
		t.Fatal(err)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--help"}, 0}, {[]string{"--nonsense"}, 2}, {[]string{"argument"}, 2},
		{[]string{"--dir", t.TempDir(), "--listen", "nowhere"}, 1},
	} {
		var stderr bytes.Buffer
		if got := run(t.Context(), c.args, io.Discard, &stderr); got != c.want || stderr.Len() == 0 {
			t.Errorf("%q: exit code %d, want %d; said %q", c.args, got, c.want, &stderr)
		}
	}
}

// A person drives a running demo as a browser would.
type person struct {
	*testing.T
	*http.Client
	dir string
	at  map[string]string // the URLs of the welcome, by the first letters of their host
}

// start runs the demo in dir until the returned stop, which checks that it ended well.
func start(t *testing.T, dir string) (p *person, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--dir", dir, "--listen", "127.0.0.1:0"}, in, io.Discard)
		in.Close()
	}()
	p = &person{T: t, dir: dir, at: map[string]string{}}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := regexp.MustCompile(`https://([a-z]+)\.\S+`).FindStringSubmatch(lines.Text()); m != nil {
			p.at[m[1]] = strings.TrimSuffix(m[0], "/")
		}
		if strings.HasPrefix(lines.Text(), "Ctrl-C") {
			break
		}
	}
	go io.Copy(io.Discard, out)
	if p.at["rx"] == "" {
		cancel()
		t.Fatalf("the demo ended with %d and said nothing", <-code)
	}
	return p, func() {
		t.Helper()
		cancel()
		if c := <-code; c != 0 {
			t.Errorf("exit code %d", c)
		}
	}
}

// browser gives p a browser that keeps the cookies in jar.
func (p *person) browser(jar http.CookieJar) {
	p.Helper()
	pem, err := os.ReadFile(filepath.Join(p.dir, "demo-ca.pem"))
	if err != nil {
		p.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	p.Client = &http.Client{Jar: jar, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if host, port, _ := net.SplitHostPort(addr); strings.HasSuffix(host, ".localhost") {
				addr = net.JoinHostPort("127.0.0.1", port)
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		DisableKeepAlives: true,
	}}
}

// visit follows all redirects and returns the page and where it is.
func (p *person) visit(method, at string, form url.Values) (status int, body string, end *url.URL) {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, at, strings.NewReader(form.Encode()))
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	resp, err := p.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return resp.StatusCode, html.UnescapeString(string(b)), resp.Request.URL
}

var formID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// signIn fills the form of the provider that body shows, at end.
func (p *person) signIn(body string, end *url.URL, pairs ...string) (int, string, *url.URL) {
	p.Helper()
	m := formID.FindStringSubmatch(body)
	if m == nil {
		p.Fatalf("no sign-in form at %s:\n%s", end, body)
	}
	form := url.Values{"id": {m[1]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return p.visit(http.MethodPost, end.Scheme+"://"+end.Host+"/login", form)
}

func (p *person) hold(device string) {
	p.Helper()
	if status, _, _ := p.visit(http.MethodPost, p.at["device"]+"/device", url.Values{"device": {device}}); status != http.StatusOK {
		p.Fatalf("take %s in hand: %d", device, status)
	}
}

// Signing out at the provider reaches the gateway by back-channel logout.
func TestSignOutAtTheProvider(t *testing.T) {
	p, stop := start(t, t.TempDir())
	defer stop()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.browser(jar)
	_, body, login := p.visit(http.MethodGet, p.at["plan"]+"/appointments/3", nil)
	if status, body, _ := p.signIn(body, login, "username", "tess", "password", "demo"); status != http.StatusOK || !strings.Contains(body, `<b id="remote-user">tess`) {
		t.Fatalf("after sign-in %d:\n%s", status, body)
	}
	if status, body, _ := p.visit(http.MethodGet, "http://"+login.Host+"/end_session", nil); status != http.StatusOK || !strings.Contains(body, "signed out") {
		t.Fatalf("sign out: %d\n%s", status, body)
	}
	if status, body, end := p.visit(http.MethodGet, p.at["plan"]+"/appointments/3", nil); end.Host != login.Host || !formID.MatchString(body) {
		t.Errorf("signed out at the provider, but the gateway answers %d at %s", status, end)
	}
}

func TestADayInTheHospital(t *testing.T) {
	dir := t.TempDir()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p, stop := start(t, dir)
	p.browser(jar)

	_, body, end := p.visit(http.MethodGet, p.at["rx"]+"/orders/7", nil)
	status, body, end := p.signIn(body, end, "person", "piet", "password", "demo")
	if status != http.StatusOK || end.String() != p.at["rx"]+"/orders/7" || !strings.Contains(body, `<b id="remote-user">piet`) {
		t.Fatalf("after sign-in %d at %s:\n%s", status, end, body)
	}
	var told demo.Received
	_, body, _ = p.visit(http.MethodGet, p.at["rx"]+"/whoami.json", nil)
	if err := json.Unmarshal([]byte(body), &told); err != nil || !told.Verified || told.Claims["username"] != "piet" {
		t.Errorf("the pharmacy was told %s (%v)", body, err)
	}

	text := strings.Repeat("a long reason ", 143)
	status, body, _ = p.visit(http.MethodPost, p.at["rx"]+"/orders/7", url.Values{"text": {text}})
	if status != http.StatusOK || !strings.Contains(body, `<b id="sent">1</b>`) || !strings.Contains(body, "2002 characters") {
		t.Errorf("amend: %d\n%s", status, body)
	}

	// A step-up takes the password and the code, and leads back to the export.
	_, body, end = p.visit(http.MethodGet, p.at["rx"]+"/export/orders.csv", nil)
	_, body, end = p.signIn(body, end, "person", "piet", "password", "demo")
	status, body, _ = p.signIn(body, end, "code", demo.Code)
	if status != http.StatusOK || !strings.HasPrefix(body, "order,patient") {
		t.Errorf("export: %d\n%s", status, body)
	}

	p.hold("old-ipad")
	if status, body, _ := p.visit(http.MethodGet, p.at["rx"]+"/orders/7", nil); status != http.StatusForbidden || !strings.Contains(body, "device_fresh_os") {
		t.Errorf("on an outdated iPad: %d\n%s", status, body)
	}
	p.hold("ipad")
	if status, _, end := p.visit(http.MethodGet, p.at["img"]+"/", nil); status != http.StatusOK || !strings.HasPrefix(end.String(), p.at["img"]) {
		t.Errorf("imaging after the pharmacy: %d at %s", status, end)
	}
	old := p.at
	stop()

	// The same demo, once more: the ports and the sessions are what they were.
	p, stop = start(t, dir)
	defer stop()
	p.browser(jar)
	if p.at["rx"] != old["rx"] {
		t.Fatalf("the pharmacy moved from %s to %s", old["rx"], p.at["rx"])
	}
	if status, body, _ := p.visit(http.MethodGet, p.at["rx"]+"/orders/7", nil); status != http.StatusOK || !strings.Contains(body, `<b id="remote-user">piet`) {
		t.Errorf("after a restart: %d\n%s", status, body)
	}
	if status, body, _ := p.visit(http.MethodGet, p.at["rx"]+"/status", nil); status != http.StatusOK || !strings.Contains(body, "you are: nobody") {
		t.Errorf("status: %d\n%s", status, body)
	}
}
