package contract_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

const cookieName = "__Host-anteroom"

// send puts text on a connection whose handshake named a server, byte for byte,
// and returns the answer with its body read; nil when the connection just ended.
func send(t *testing.T, g *anteroomtest.Gateway, name, text string) *http.Response {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{
		ServerName: name, RootCAs: g.CA, InsecureSkipVerify: true, // names without a certificate are asked for too
	}}
	c, err := d.DialContext(t.Context(), "tcp", g.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("read the answer: %v", err)
	}
	return resp
}

// cookieLine returns the header line with the session cookie that b has on host.
func cookieLine(b *anteroomtest.Browser, host string) string {
	return "Cookie: " + cookieName + "=" + b.Cookie(host, cookieName) + "\r\n"
}

// client returns a client whose connections come from a loopback address, of
// which the gateway may believe more or less than of 127.0.0.1.
func client(g *anteroomtest.Gateway, from string) *http.Client {
	tr := g.Transport(false)
	tr.DisableKeepAlives = true
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(ctx, network, g.Address)
	}
	return &http.Client{Transport: tr, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func TestReservedPathIsNeverForwarded(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	for _, host := range []string{"ehr.test", "img.test", "gate.test"} {
		for _, path := range []string{"/.anteroom/", "/.anteroom/x", "/.anteroom", "/.Anteroom/session", "/%2eanteroom/session", "/.anteroo%6d/x", "/.anteroom/assets/none"} {
			if p := b.Call("GET", g.URL(host, path), "", "", nil); p.Status != 404 {
				t.Errorf("%s%s: %d", host, path, p.Status)
			}
		}
	}
	untouched(t, g, "the gateway's own place")
	for _, c := range []struct{ method, path, allow string }{
		{"POST", "/.anteroom/jwks.json", "GET, HEAD"}, {"POST", "/.anteroom/session", "GET, HEAD"}, {"DELETE", "/.anteroom/logout", "GET, HEAD, POST"},
	} {
		if p := b.Call(c.method, g.URL("ehr.test", c.path), "", "", nil); p.Status != 405 || p.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, p.Status, p.Header.Get("Allow"))
		}
	}
	// What only the sign-in host has, no other host has.
	for _, path := range []string{"start", "callback", "signed-out"} {
		if p := b.Hop("GET", g.URL("ehr.test", "/.anteroom/"+path), "", "", nil); p.Status != 404 {
			t.Errorf("/.anteroom/%s on an application's host: %d", path, p.Status)
		}
	}
	// A page brings its own looks, from its own host, and nothing from elsewhere.
	page := b.Get(g.URL("ehr.test", "/.anteroom/done"))
	assets := 0
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(page.Body, -1) {
		if !strings.HasPrefix(m[1], "/.anteroom/assets/") {
			continue
		}
		assets++
		if p := b.Get(g.URL("ehr.test", m[1])); p.Status != 200 || p.Header.Get("Cache-Control") == "" {
			t.Errorf("%s: %d", m[1], p.Status)
		}
	}
	if csp := page.Header.Get("Content-Security-Policy"); assets == 0 || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("%d assets of a page under %q", assets, csp)
	}
}

// A backend that folds header names into variables must not find a name that
// folds to a protected one, nor one whose folding nobody can foresee.
func TestHeaderNames(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	names := []string{
		"XRemoteUser", "X--Remote-User", "X-RemoteUser", "-X-Remote-User", "X-Remote-User-", "Http-X-Remote-User", "Httpxremoteuser",
		"X_App_Header", "X.App.Header", "X~App", "X'App", "X!App", "Content_Length", "Transfer_Encoding",
		"X-Anteroomx", "Xanteroom-Assertion", "X-Forwarded-User", "X-Forwarded-Prefix", "X-Originalurl", "X-Rewrite-Path", "X-Realip", "XRequestId", "X-Method-Override",
	}
	var lines strings.Builder
	for _, n := range names {
		lines.WriteString(n + ": forged\r\n")
	}
	before := g.Metric("anteroom_headers_dropped_total")
	resp := send(t, g, "ehr.test", "GET /chart/1 HTTP/1.1\r\nHost: ehr.test:"+g.Port+"\r\n"+cookieLine(b, "ehr.test")+lines.String()+
		"Traceparent: forged\r\nTracestate: forged=1\r\nBaggage: forged=1\r\nX-B3-Traceid: forged\r\nB3: forged\r\nTe: trailers, forged\r\nX-App-Header: kept\r\n\r\n")
	if resp == nil || resp.StatusCode != 200 {
		t.Fatalf("answered %v", resp)
	}
	r, _ := g.Backend.Last()
	if raw := g.Backend.Raw(); strings.Contains(raw, "forged") || r.Header.Get("X-App-Header") != "kept" {
		t.Errorf("the backend got\n%s", raw)
	}
	if n := g.Metric("anteroom_headers_dropped_total") - before; n < float64(len(names)) {
		t.Errorf("%v of %d dropped headers were counted", n, len(names))
	}
}

func TestConnectionHeaderCannotRemoveIdentity(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	for _, c := range []string{"Connection: close, X-Remote-User", "Connection: x-anteroom-assertion", "Connection: keep-alive\r\nConnection: x_remote_roles", "Connection: X-Mdm-Managed"} {
		resp := send(t, g, "ehr.test", "GET /chart/1 HTTP/1.1\r\nHost: ehr.test:"+g.Port+"\r\n"+cookieLine(b, "ehr.test")+c+"\r\n\r\n")
		if resp == nil || resp.StatusCode != 400 || !resp.Close {
			t.Errorf("%s: %v", c, resp)
		}
		untouched(t, g, c)
	}
}

func TestTrailersAreDropped(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	resp := send(t, g, "ehr.test", "POST /chart/1 HTTP/1.1\r\nHost: ehr.test:"+g.Port+"\r\n"+cookieLine(b, "ehr.test")+
		"Trailer: X-Remote-User, X-Late\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\nX-Remote-User: adam\r\nX-Late: adam\r\n\r\n")
	if resp == nil || resp.StatusCode != 200 {
		t.Fatalf("answered %v", resp)
	}
	r, _ := g.Backend.Last()
	if raw := g.Backend.Raw(); strings.Contains(raw, "adam") || strings.Contains(raw, "Trailer") || string(r.Body) != "a=b" || len(r.Trailer) > 0 {
		t.Errorf("the backend got\n%s", raw)
	}
}

func TestOneReadingOfTheTarget(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	host := "Host: ehr.test:" + g.Port + "\r\n" + cookieLine(b, "ehr.test") + "\r\n"
	for _, c := range []struct {
		name, server, text string
		status             int
	}{
		{"another host than the handshake's", "ehr.test", "GET /pub/x HTTP/1.1\r\nHost: img.test:" + g.Port + "\r\n\r\n", 421},
		{"a name in the handshake that nobody has", "nobody.test", "GET /pub/x HTTP/1.1\r\nHost: ehr.test:" + g.Port + "\r\n\r\n", 421},
		{"a host that nobody has", "nobody.test", "GET /pub/x HTTP/1.1\r\nHost: nobody.test:" + g.Port + "\r\n\r\n", 421},
		{"no name in the handshake", "", "GET /pub/x HTTP/1.1\r\nHost: ehr.test:" + g.Port + "\r\n\r\n", 421},
		{"no host", "ehr.test", "GET /pub/x HTTP/1.0\r\n\r\n", 400},
		{"a host that decodes to ours", "ehr.test", "GET /pub/x HTTP/1.1\r\nHost: e%68r.test\r\n\r\n", 400},
		{"absolute form", "ehr.test", "GET https://ehr.test/pub/x HTTP/1.1\r\n" + host, 400},
		{"absolute form of another host", "ehr.test", "GET http://img.test/pub/x HTTP/1.1\r\n" + host, 400},
		{"authority form", "ehr.test", "GET ehr.test:443 HTTP/1.1\r\n" + host, 400},
		{"CONNECT", "ehr.test", "CONNECT ehr.test:443 HTTP/1.1\r\n" + host, 405},
		{"TRACE", "ehr.test", "TRACE /pub/x HTTP/1.1\r\n" + host, 405},
		{"a method of nobody's", "ehr.test", "FOO.BAR /pub/x HTTP/1.1\r\n" + host, 405},
		{"a dot segment", "ehr.test", "GET /pub/../admin HTTP/1.1\r\n" + host, 400},
		{"an escaped dot segment", "ehr.test", "GET /pub/%2e%2E/admin HTTP/1.1\r\n" + host, 400},
		{"a path parameter", "ehr.test", "GET /pub;x=1/y HTTP/1.1\r\n" + host, 400},
		{"an escaped slash", "ehr.test", "GET /pub/..%2fadmin HTTP/1.1\r\n" + host, 400},
		{"a backslash", "ehr.test", "GET /pub\\..\\admin HTTP/1.1\r\n" + host, 400},
		{"a NUL", "ehr.test", "GET /admin%00.png HTTP/1.1\r\n" + host, 400},
		{"another case of a route", "ehr.test", "GET /PUB/x HTTP/1.1\r\n" + host, 404},
		{"a route of another person's", "ehr.test", "GET /%61dmin HTTP/1.1\r\n" + host, 403},
	} {
		resp := send(t, g, c.server, c.text)
		if resp == nil || resp.StatusCode != c.status {
			t.Errorf("%s: answered %v, want %d", c.name, resp, c.status)
		}
		untouched(t, g, c.name)
	}
	// The other spellings of the host are the same host.
	for _, h := range []string{"ehr.test", "EHR.Test", "ehr.test."} {
		if resp := send(t, g, "ehr.test", "GET /pub/x HTTP/1.1\r\nHost: "+h+"\r\nConnection: close\r\n\r\n"); resp == nil || resp.StatusCode != 200 {
			t.Errorf("Host %s: %v", h, resp)
		}
		if r, _ := g.Backend.Last(); r.Host != "ehr.test:"+g.Port {
			t.Errorf("Host %s reached the backend as %q", h, r.Host)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	long := http.Header{"X-Long": {strings.Repeat("x", 40<<10)}}
	if p := b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", long); p.Status != 431 || problem(t, p)["code"] != "headers_too_large" {
		t.Errorf("call: %d", p.Status)
	}
	if p := b.Hop("GET", g.URL("ehr.test", "/chart/1"), "", "", long); p.Status != 431 || p.Code() != "headers_too_large" {
		t.Errorf("navigation: %d %s", p.Status, p.Code())
	}
	untouched(t, g, "a header over the limit")
}
