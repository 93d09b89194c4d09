package demo_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/anteroom/anteroom/demo"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// behind returns a server that stands for the gateway, and a transport to it.
func behind(t *testing.T, h http.Handler) *http.Transport {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{demo.GateHost, demo.PharmacyHost, demo.ImagingHost}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	transport := demo.GatewayTransport(s.Listener.Addr().String(), ca)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// tunnelTo returns a running tunnel, and a client that sends every host through it.
func tunnelTo(t *testing.T, gateway *http.Transport) *http.Client {
	t.Helper()
	s := httptest.NewServer(demo.NewTunnel(demo.TunnelConfig{
		Gateway: gateway, Start: http.NotFoundHandler(), Now: func() time.Time { return noon }, Log: quiet,
	}))
	t.Cleanup(s.Close)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func take(t *testing.T, c *http.Client, device string) {
	t.Helper()
	resp, err := c.PostForm("http://"+demo.DeviceHost+"/device", url.Values{"device": {device}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `value="`+device+`" aria-current="true"`) {
		t.Fatalf("take %s in hand: %s\n%s", device, resp.Status, body)
	}
}

func TestTunnelSpeaksOfTheDevice(t *testing.T) {
	arrived := make(chan *http.Request, 1)
	var got *http.Request
	c := tunnelTo(t, behind(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived <- r })))
	send := func() http.Header {
		t.Helper()
		req, _ := http.NewRequest(http.MethodGet, "http://"+demo.PharmacyHost+":8443/orders/7?a=1;b&a=%zz", nil)
		req.Header = http.Header{
			"X-Mdm-Device-Id":   {"forged"},
			"X-Mdm-Compromised": {"false"},
			"X_mdm_managed":     {"true"},
			"x-MDM-owner":       {"forged"},
			"X-Mdm":             {"forged"},
			"Connection":        {"X-Mdm-Os-Version"},
			"X-Forwarded-For":   {"198.51.100.7"},
			"X-Forwarded-Host":  {"forged"},
			"X-Remote-User":     {"left to the gateway"},
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %s", resp.Status)
		}
		got = <-arrived
		for name, values := range got.Header {
			if strings.Contains(strings.Join(values, ""), "forged") || len(values) != 1 {
				t.Errorf("%s: %q reached the gateway", name, values)
			}
		}
		return got.Header
	}

	for _, want := range []struct{ device, id, version, compromised string }{
		{"ipad", "ward4-ipad-01", "26.3", "false"},
		{"old-ipad", "ward4-ipad-01", "18.5", "false"},
		{"jailbroken", "ward4-ipad-01", "26.3", "true"},
		{"ipad-2", "ward4-ipad-02", "26.3", "false"},
	} {
		take(t, c, want.device)
		h := send()
		if h.Get("X-Mdm-Device-Id") != want.id || h.Get("X-Mdm-Os-Version") != want.version || h.Get("X-Mdm-Compromised") != want.compromised {
			t.Errorf("%s: %v", want.device, h)
		}
		if h.Get("X-Mdm-Asserted-At") != "2026-11-20T12:00:00Z" || h.Get("X-Mdm-Checked-In-At") != "2026-11-20T11:40:00Z" || h.Get("X-Mdm-Platform") != "ipados" {
			t.Errorf("%s: %v", want.device, h)
		}
	}
	take(t, c, "laptop")
	for name := range send() {
		if strings.Contains(strings.ToLower(name), "mdm") {
			t.Errorf("of the laptop the tunnel says %s", name)
		}
	}
	if got.Host != demo.PharmacyHost+":8443" || got.TLS.ServerName != demo.PharmacyHost || got.RequestURI != "/orders/7?a=1;b&a=%zz" {
		t.Errorf("host %q, handshake %q, target %q", got.Host, got.TLS.ServerName, got.RequestURI)
	}
	if v := got.Header.Get("X-Forwarded-For"); v != "198.51.100.7, 127.0.0.1" {
		t.Errorf("X-Forwarded-For: %q", v)
	}
	if v := got.Header.Get("X-Remote-User"); v != "left to the gateway" {
		t.Errorf("the tunnel meddles with X-Remote-User: %q", v)
	}
}

func TestDeviceInHand(t *testing.T) {
	c := tunnelTo(t, nil)
	status, body := get(t, c, "http://"+demo.DeviceHost+"/")
	for _, d := range demo.Devices() {
		if !strings.Contains(body, `id="device-`+d.ID+`"`) {
			t.Errorf("no button for %s (status %d)", d.ID, status)
		}
	}
	take(t, c, "old-ipad")
	_, body = get(t, c, "http://"+demo.DeviceHost+"/device")
	var d struct {
		ID      string
		Headers map[string]string
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || d.ID != "old-ipad" || d.Headers["X-Mdm-Os-Version"] != "18.5" {
		t.Errorf("%v: %s", err, body)
	}
	resp, err := c.PostForm("http://"+demo.DeviceHost+"/device", url.Values{"device": {"toaster"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	req, _ := http.NewRequest(http.MethodPost, "http://"+demo.DeviceHost+"/device", strings.NewReader("device=laptop"))
	req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}}
	foreign, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	foreign.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || foreign.StatusCode != http.StatusForbidden {
		t.Errorf("no such device: %s; from another site: %s", resp.Status, foreign.Status)
	}
}

func TestTunnelPassesStreams(t *testing.T) {
	v := demo.NewImaging(demo.ImagingConfig{Tick: time.Millisecond})
	c := tunnelTo(t, behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Remote-User", "piet")
		v.ServeHTTP(w, r)
	})))
	ctx := t.Context()
	ws, _, err := websocket.Dial(ctx, "ws://"+demo.ImagingHost+"/live", &websocket.DialOptions{
		HTTPClient: c, HTTPHeader: http.Header{"Origin": {"http://" + demo.ImagingHost}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for _, want := range []string{`{"tick":1}`, `{"tick":2}`} {
		if _, got, err := ws.Read(ctx); err != nil || string(got) != want {
			t.Errorf("live: %s, %v; want %s", got, err, want)
		}
	}
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, _, err := websocket.Dial(ctx, "ws://"+demo.ImagingHost+"/live", &websocket.DialOptions{
		HTTPClient: c, HTTPHeader: http.Header{"Origin": {"https://elsewhere.test"}},
	}); err == nil {
		t.Error("a page of another origin may open /live")
	}

	resp, err := c.Get("http://" + demo.ImagingHost + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"id: 1", `data: {"tick":1}`, "", "id: 2"} {
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("events: %q, want %q", lines.Text(), want)
		}
	}
}

func TestTunnelTrustsOnlyTheGatewaysCA(t *testing.T) {
	impostor := httptest.NewUnstartedServer(http.NotFoundHandler())
	impostor.Config.ErrorLog = log.New(io.Discard, "", 0)
	impostor.StartTLS()
	defer impostor.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	c := tunnelTo(t, demo.GatewayTransport(impostor.Listener.Addr().String(), ca))
	if status, _ := get(t, c, "http://"+demo.GateHost+"/"); status != http.StatusBadGateway {
		t.Errorf("before the gateway made its CA: status %d", status)
	}
	own, err := os.ReadFile(open(t, t.TempDir(), "127.0.0.1:0").CAFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, own, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, c, "http://"+demo.GateHost+"/"); status != http.StatusBadGateway {
		t.Errorf("a certificate of another CA: status %d", status)
	}
	good := tunnelTo(t, behind(t, http.NotFoundHandler()))
	if status, _ := get(t, good, "http://"+demo.GateHost+"/"); status != http.StatusNotFound {
		t.Errorf("the gateway's own: status %d", status)
	}
}
