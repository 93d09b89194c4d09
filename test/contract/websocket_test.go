package contract_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// echo is a backend that sends every message back.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the origin is for the gateway to judge
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, data, err := c.Read(context.WithoutCancel(r.Context()))
		if err != nil {
			return
		}
		if c.Write(context.WithoutCancel(r.Context()), kind, data) != nil {
			return
		}
	}
}

// open dials a WebSocket with b's session, from a page of origin.
func open(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser, host, target, origin string, more http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	h := http.Header{"Cookie": {cookieName + "=" + b.Cookie(host, cookieName)}}
	if origin != "" {
		h.Set("Origin", origin)
	}
	for name, values := range b.Device {
		h[name] = values
	}
	for name, values := range more {
		h[name] = values
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, g.URL(host, target), &websocket.DialOptions{HTTPClient: &http.Client{Transport: g.Transport(false)}, HTTPHeader: h})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, resp, err
}

func speak(t *testing.T, c *websocket.Conn, text string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return err
	}
	_, got, err := c.Read(ctx)
	if err == nil && string(got) != text {
		t.Errorf("%q came back as %q", text, got)
	}
	return err
}

func TestWebSocket(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	g.Backend.Handle(echo)
	for name, origin := range map[string]string{"its own": g.Origin("ehr.test"), "a listed one": g.Origin("portal.test")} {
		c, _, err := open(t, g, b, "ehr.test", "/ws?x=1", origin, nil)
		if err != nil {
			t.Fatalf("from %s origin: %v", name, err)
		}
		for _, text := range []string{"a", strings.Repeat("b", 20<<10), ""} {
			if err := speak(t, c, text); err != nil {
				t.Errorf("from %s origin: %v", name, err)
			}
		}
		r, _ := g.Backend.Last()
		if r.Target != "/ws?x=1" || r.Header.Get("X-Remote-User") != "nora" || r.Header.Get("Origin") != origin || strings.Contains(r.Header.Get("Cookie"), "anteroom") {
			t.Errorf("the backend got %+v", r)
		}
		c.Close(websocket.StatusNormalClosure, "")
	}
	g.Backend.Forget()
	for name, origin := range map[string]string{"a foreign": "https://evil.test", "no": "", "a null": "null", "a prefixed": g.Origin("ehr.test") + ".evil.test"} {
		_, resp, err := open(t, g, b, "ehr.test", "/ws", origin, http.Header{"Sec-Fetch-Site": {"same-origin"}})
		if err == nil || resp == nil || resp.StatusCode != 403 {
			t.Errorf("from %s origin: %v, %v", name, resp, err)
		}
		untouched(t, g, name+" origin")
	}
	if n := len(g.Audit(audit.Query{Event: access.EventSecurity})); n < 4 {
		t.Errorf("%d security records of foreign handshakes", n)
	}
	if _, resp, err := open(t, g, g.Browser(t), "ehr.test", "/ws", g.Origin("ehr.test"), nil); err == nil || resp == nil || resp.StatusCode != 401 {
		t.Errorf("nobody: %v, %v", resp, err)
	}
	untouched(t, g, "a handshake of nobody's")
}

func TestHandshake(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	head := "Host: ehr.test:" + g.Port + "\r\n" + cookieLine(b, "ehr.test") + "Origin: " + g.Origin("ehr.test") + "\r\nConnection: Upgrade\r\n"
	const key, version = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n"
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"another version", "GET /ws HTTP/1.1\r\n" + head + "Upgrade: websocket\r\nSec-WebSocket-Version: 777\r\n" + key + "\r\n", 426},
		{"two versions", "GET /ws HTTP/1.1\r\n" + head + "Upgrade: websocket\r\n" + version + version + key + "\r\n", 426},
		{"no key", "GET /ws HTTP/1.1\r\n" + head + "Upgrade: websocket\r\n" + version + "\r\n", 400},
		{"a key of three bytes", "GET /ws HTTP/1.1\r\n" + head + "Upgrade: websocket\r\n" + version + "Sec-WebSocket-Key: YWJj\r\n\r\n", 400},
		{"two keys", "GET /ws HTTP/1.1\r\n" + head + "Upgrade: websocket\r\n" + version + key + key + "\r\n", 400},
		{"by POST", "POST /ws HTTP/1.1\r\n" + head + "Upgrade: websocket\r\nContent-Length: 0\r\n" + version + key + "\r\n", 400},
	} {
		resp := send(t, g, "ehr.test", c.text)
		if resp == nil || resp.StatusCode != c.status {
			t.Errorf("%s: %v, want %d", c.name, resp, c.status)
		} else if c.status == 426 && resp.Header.Get("Sec-Websocket-Version") != "13" {
			t.Errorf("%s: the answer does not name the version", c.name)
		}
		untouched(t, g, c.name)
	}
	// Any other upgrade is an ordinary request.
	for _, upgrade := range []string{"h2c", "foo", "websocket, h2c", "TLS/1.0"} {
		resp := send(t, g, "ehr.test", "GET /ws HTTP/1.1\r\n"+strings.Replace(head, "Upgrade\r\n", "Upgrade, HTTP2-Settings\r\n", 1)+
			"Upgrade: "+upgrade+"\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"+version+key+"\r\n")
		raw := g.Backend.Raw()
		if resp == nil || resp.StatusCode != 200 || strings.Contains(raw, "Upgrade: ") || strings.Contains(strings.ToLower(raw), "http2-settings") {
			t.Errorf("upgrade to %s: %v, the backend got\n%s", upgrade, resp, raw)
		}
		g.Backend.Forget()
	}
	// A backend must prove that it understood (RFC 6455, section 4.1).
	for name, answer := range map[string]http.Header{
		"a wrong accept key": {"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOx="}},
		"no accept key":      {"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
		"another protocol":   {"Upgrade": {"h2c"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}},
	} {
		g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
			for n, v := range answer {
				w.Header()[n] = v
			}
			w.WriteHeader(http.StatusSwitchingProtocols)
		})
		resp := send(t, g, "ehr.test", "GET /ws HTTP/1.1\r\n"+head+"Upgrade: websocket\r\n"+version+key+"\r\n")
		if resp == nil || resp.StatusCode != 502 {
			t.Errorf("%s: %v, want 502", name, resp)
		}
	}
}

// stream is a backend that says one thing at once and then waits for the end.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "data: first\n\n")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// listen opens an event stream with b's session and returns its body once the
// first event is there.
func listen(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser, host string) io.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", g.URL(host, "/events"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range b.Device {
		r.Header[name] = values
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cookie", cookieName+"="+b.Cookie(host, cookieName))
	resp, err := (&http.Client{Transport: g.Transport(true)}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	first := make([]byte, len("data: first\n\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "data: first\n\n" {
		t.Fatalf("the first event: %q, %v (%d)", first, err, resp.StatusCode)
	}
	return resp.Body
}

// TestOpenStreams holds that what stays open is judged as long as it is: it
// closes within two seconds of the end of what let it in.
func TestOpenStreams(t *testing.T) {
	for _, c := range []struct {
		name string
		host string
		edit func(string) string
		end  func(*testing.T, *anteroomtest.Gateway, *anteroomtest.Browser)
	}{
		{"sign-out", "ehr.test", nil, func(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) { signOut(t, g, b, "ehr.test") }},
		{"lock", "ehr.test", short(shortLock), func(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) {
			wait(t, "the lock", func() bool { return sessionOf(t, g, b)["locked"] == true })
		}},
		{"device no longer fit", "img.test", nil, func(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) {
			b.Device.Set("X-Mdm-Os-Version", "18.0")
			b.Call("GET", g.URL("img.test", "/study/1"), "", "", nil)
		}},
		{"role taken away", "ehr.test", nil, func(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) {
			g.WriteConfig(strings.Replace(anteroomtest.Fixture, "nurse: {groups: [ehr-nurses]}", "nurse: {groups: [others]}", 1))
			wait(t, "the reload", func() bool { return g.Metric("anteroom_config_reloads_total") == 1 })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := anteroomtest.Start(t, anteroomtest.Setup{Edit: c.edit})
			b := signedIn(t, g)
			b.Get(g.URL(c.host, "/"))
			g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/events":
					stream(w, r)
				case "/ws":
					echo(w, r)
				}
			})
			events := listen(t, g, b, c.host)
			ws, _, err := open(t, g, b, c.host, "/ws", g.Origin(c.host), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := speak(t, ws, "before"); err != nil {
				t.Fatal(err)
			}
			c.end(t, g, b)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, _, err := ws.Read(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the WebSocket goes on: %v", err)
			}
			if rest, err := io.ReadAll(events); len(rest) > 0 || err == nil {
				t.Errorf("the event stream went on with %q and ended with %v", rest, err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("they closed after %v", took)
			}
		})
	}
}
