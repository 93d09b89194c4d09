package attack_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// groupG: CONNECT, upgrades, methods.
func groupG() []row {
	tunnel := "GET /admin HTTP/1.1\r\nHost: x\r\nX-Remote-User: adam\r\n\r\n"
	handshake := func(method string, headers ...string) request {
		return h1(method+" /chart/ws", append([]string{"Connection: Upgrade", "Upgrade: websocket"}, headers...)...)
	}
	version, key, origin := "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: https://{host}"
	rows := []row{
		{id: "G1", name: "CONNECT", as: "nora", want: REJ(400, 405), send: one(
			raw("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n"+tunnel),
			raw("CONNECT /chart/1 HTTP/1.1\r\nHost: {host}\r\n{cookie}Content-Length: 60\r\n\r\n"+tunnel),
			frames(":method: CONNECT", ":authority: {host}", "{cookie}").with(tunnel),
			frames(":method: CONNECT", ":authority: {host}", "x-remote-user: adam", "{cookie}"))},
		{id: "G2", name: "h2c", as: "nora", want: STRIP, send: one(h1("GET /chart/1", "Connection: Upgrade", "Upgrade: h2c"))},
		{id: "G2", name: "h2c with settings", as: "nora", want: STRIP, send: one(h1("GET /chart/1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
			h1("GET /chart/1", "HTTP2-Settings: AAMAAABkAAQAAP__", "Upgrade: h2c"))},
		{id: "G3", name: "an unknown upgrade", as: "nora", want: STRIPor400, send: one(h1("GET /chart/1", "Connection: Upgrade", "Upgrade: foo"), h1("GET /chart/1", "Connection: Upgrade", "Upgrade: TLS/1.0"),
			h1("GET /chart/1", "Connection: Upgrade", "Upgrade: websocket, h2c"), h1("GET /chart/1", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"), h1("GET /chart/1", "Upgrade: websocket"), h1("GET /chart/1", "Connection: Upgrade"))},
		{id: "G3", name: "WebSocket by POST", as: "nora", want: STRIPor400, send: one(handshake("POST", version, key, origin, "Content-Length: 0"))},
		{id: "G3", name: "WebSocket with a body", as: "nora", want: REJ(400), send: one(handshake("GET", version, key, origin, "Content-Length: 1"))},
		{id: "G4", name: "version 777", as: "nora", want: status(400, 426), send: one(handshake("GET", "Sec-WebSocket-Version: 777", key, origin))},
		{id: "G4", name: "no version", as: "nora", want: status(400, 426), send: one(handshake("GET", key, origin))},
		{id: "G4", name: "two versions", as: "nora", want: status(400, 426), send: one(handshake("GET", version, "Sec-WebSocket-Version: 8", key, origin))},
		{id: "G4", name: "no key", as: "nora", want: status(400, 426), send: one(handshake("GET", version, origin))},
		{id: "G4", name: "a key of 3 bytes", as: "nora", want: status(400, 426), send: one(handshake("GET", version, "Sec-WebSocket-Key: YWJj", origin))},
		{id: "G4", name: "two keys", as: "nora", want: status(400, 426), send: one(handshake("GET", version, key, key, origin))},
		{id: "G5", name: "a 200 for a handshake", run: answeredHandshake},
		{id: "G5", name: "a 101 with another key's answer", run: wrongAccept},
		{id: "G6", name: "a foreign origin", as: "nora", want: FORB, send: one(handshake("GET", version, key, "Origin: https://evil.test"))},
		{id: "G6", name: "no origin", as: "nora", want: FORB, send: one(handshake("GET", version, key))},
		{id: "G6", name: "no origin but a kind word of itself", as: "nora", want: FORB, send: one(handshake("GET", version, key, "Sec-Fetch-Site: same-origin"))},
		{id: "G6", name: "origin null", as: "nora", want: FORB, send: one(handshake("GET", version, key, "Origin: null"))},
		{id: "G6", name: "two origins", as: "nora", want: FORB, send: one(handshake("GET", version, key, origin, "Origin: https://evil.test"))},
		{id: "G6", name: "the host's own, in clear", as: "nora", want: FORB, send: one(handshake("GET", version, key, "Origin: http://{host}"))},
	}
	for _, m := range []string{"TRACE", "TRACK", "FOO.BAR", "get", "PROPFIND", "DEBUG", "GETX", "PURGE", "post", "QUERY"} {
		rows = append(rows, row{id: "G7", name: m, as: "nora", want: REJ(405, 501), send: one(h1(m+" /chart/1"), h2(m+" /chart/1"))})
	}
	for _, m := range []string{"GE T", "G\x01ET", "", "GET\t", "(GET)", "GET:"} {
		rows = append(rows, row{id: "G7", name: "no token: " + m, as: "nora", want: REJ(400, 405), send: one(h1(m + " /chart/1"))})
	}
	return rows
}

// handshakeWith sends a good handshake, and after the answer a request inside
// what would be the tunnel. It returns the answer.
func handshakeWith(t *testing.T, w *world, handle http.HandlerFunc) *http.Response {
	t.Helper()
	w.Backend.Handle(handle)
	c, err := w.dial(t.Context(), stranger, "ehr.test", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	host, cookie := "ehr.test:"+w.Port, w.cookie("nora", "ehr.test")
	fmt.Fprintf(c, "GET /chart/ws HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: https://%s\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host, cookie, host)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	// As eve: the connection is no longer nora's to speak on, if it ever was.
	fmt.Fprintf(c, "GET /admin HTTP/1.1\r\nHost: %s\r\nX-Remote-User: adam\r\nConnection: close\r\n\r\n", host)
	if next, err := http.ReadResponse(br, nil); err == nil && next.StatusCode < 400 && next.StatusCode != http.StatusSeeOther {
		t.Errorf("what follows is answered %d", next.StatusCode)
	}
	if raw := w.Backend.Text(); strings.Contains(raw, "/admin") {
		t.Errorf("the backend got\n%s", raw)
	}
	return resp
}

func answeredHandshake(t *testing.T, w *world) {
	handshakeWith(t, w, func(out http.ResponseWriter, r *http.Request) { io.WriteString(out, "no socket here") })
}

func wrongAccept(t *testing.T, w *world) {
	resp := handshakeWith(t, w, func(out http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(out).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n")
		rw.Flush()
	})
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d, want 502", resp.StatusCode)
	}
}
