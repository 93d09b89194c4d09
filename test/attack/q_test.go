package attack_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/cmd/gateway"
)

// groupQ: administration, configuration, the way to backends.
func groupQ() []row {
	return []row{
		{id: "Q1", name: "the admin listener, from a web page", run: adminFromPage},
		{id: "Q2", name: "a backend where none may be, at load", run: forbiddenAtLoad},
		{id: "Q2", name: "a name that leads there, at dial", run: forbiddenAtDial},
		{id: "Q3", name: "a backend with a wrong certificate", run: wrongCertificate},
		{id: "Q4", name: "a configuration that is wrong", run: wrongConfiguration},
	}
}

func adminFromPage(t *testing.T, w *world) {
	_, port, err := net.SplitHostPort(w.Admin)
	if err != nil {
		t.Fatal(err)
	}
	for head, want := range map[string]int{
		"GET /metrics HTTP/1.1\r\nHost: " + w.Admin:                                     200,
		"GET /metrics HTTP/1.1\r\nHost: localhost:" + port:                              200,
		"GET /metrics HTTP/1.1\r\nHost: evil.test":                                      403,
		"GET /metrics HTTP/1.1\r\nHost: evil.test:" + port:                              403,
		"GET /metrics HTTP/1.1\r\nHost: localhost.evil.test":                            403,
		"GET /metrics HTTP/1.1\r\nHost: " + w.Admin + "\r\nOrigin: https://evil.test":   403,
		"GET /metrics HTTP/1.1\r\nHost: " + w.Admin + "\r\nOrigin: null":                403,
		"GET /metrics HTTP/1.1\r\nHost: " + w.Admin + "\r\nSec-Fetch-Site: cross-site":  403,
		"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\nHost: " + w.Admin:               405,
		"GET http://evil.test/metrics HTTP/1.1\r\nHost: " + w.Admin:                     403,
		"DELETE /healthz HTTP/1.1\r\nHost: " + w.Admin + "\r\nOrigin: http://evil.test": 403,
	} {
		c, err := net.Dial("tcp", w.Admin)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(limit))
		fmt.Fprintf(c, "%s\r\nConnection: close\r\n\r\n", head)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q: %d, want %d", head, resp.StatusCode, want)
		}
		c.Close()
	}
}

// free returns a port of this machine that nobody listens on now.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func forbiddenAtLoad(t *testing.T, w *world) {
	dir, admin := t.TempDir(), free(t)
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"http://169.254.169.254", "http://169.254.0.1:8080", "http://[fe80::1]:80", "http://[fd00:ec2::254]", "http://[::ffff:169.254.169.254]", "http://0.0.0.0:8080", "http://[::]:80", "http://127.0.0.1:" + admin, "http://[::1]:" + admin, "http://224.0.0.1"} {
		text := strings.NewReplacer("{port}", "8443", "{issuer}", w.Provider.URL, "{dir}", dir, "{backend}", to, "admin_listen: 127.0.0.1:0", "admin_listen: :"+admin).Replace(anteroomtest.Fixture)
		if err := os.WriteFile(filepath.Join(dir, "anteroom.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := gateway.Run(ctx, gateway.Options{ConfigFile: filepath.Join(dir, "anteroom.yaml"), Log: slog.New(slog.DiscardHandler), Grace: -1, Ready: func(gateway.Addresses) {
			t.Errorf("%s: the gateway serves", to)
			cancel()
		}})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "anteroom.yaml:") {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// forbiddenAtDial has a name that was good when it was loaded lead to where no
// backend may be. "localhost" is the one such name that every machine has.
func forbiddenAtDial(t *testing.T, _ *world) {
	admin := free(t)
	w := &world{Backend: newRecorder(t), people: map[string]*person{"": {}}}
	w.Gateway = anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		s = strings.Replace(w.catalogue(s), "admin_listen: 127.0.0.1:0", "admin_listen: 127.0.0.1:"+admin, 1)
		return strings.Replace(s, "path: /pub\n    backend: {url: "+w.Backend.URL+"}", "path: /pub\n    backend: {url: http://localhost:"+admin+"}", 1)
	}})
	a := w.send(t, h1("GET /pub/metrics"), "", stranger)
	if a.status != http.StatusBadGateway || strings.Contains(a.body, "anteroom_") {
		t.Errorf("%d %.200s", a.status, a.body)
	}
}

func wrongCertificate(t *testing.T, _ *world) {
	hits := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { hits++; io.WriteString(out, "secret") }))
	defer s.Close()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w := &world{Backend: newRecorder(t), people: map[string]*person{"": {}}}
	w.Gateway = anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string {
		return strings.Replace(w.catalogue(text), "path: /pub\n    backend: {url: "+w.Backend.URL+"}", "path: /pub\n    backend: {url: "+s.URL+"}", 1)
	}})
	for range 2 {
		a := w.send(t, h1("GET /pub/x"), "", stranger)
		if a.status != http.StatusBadGateway || strings.Contains(a.body, "secret") {
			t.Errorf("%d %.100s", a.status, a.body)
		}
	}
	if hits > 0 {
		t.Errorf("%d requests reached it", hits)
	}
}

func wrongConfiguration(t *testing.T, w *world) {
	good := w.catalogue(anteroomtest.Fixture)
	for name, text := range map[string]string{
		"not YAML":              "gateway: [",
		"an unknown key":        strings.Replace(good, "sessions:", "sesions:", 1),
		"a duplicate key":       strings.Replace(good, "sessions:", "sessions: {lock_after: 1m}\nsessions:", 1),
		"empty":                 "",
		"a route without allow": strings.Replace(good, "    allow: {roles: [admin]}\n", "", 1),
		"an alias bomb":         "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]\n",
	} {
		before := len(w.Log())
		w.WriteConfig(text)
		until(t, "the refusal of "+name, func() bool { return strings.Contains(w.Log()[before:], "is refused") })
		if w.Metric("anteroom_config_reload_success") != 0 {
			t.Errorf("%s: the metric says that all is well", name)
		}
		if log := w.Log()[before:]; !strings.Contains(log, "anteroom.yaml") {
			t.Errorf("%s: the log does not say where:\n%s", name, log)
		}
		for path, want := range map[string]int{"/chart/1": 200, "/admin": 403} {
			if a := w.send(t, h1("GET "+path), "nora", stranger); a.status != want {
				t.Errorf("%s: %s is answered %d", name, path, a.status)
			}
		}
	}
	w.WriteConfig(good)
	until(t, "the good file", func() bool { return w.Metric("anteroom_config_reload_success") == 1 })
}
