package listen_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/anteroom/anteroom/listen"
)

// raw sends text to addr in the clear and returns the answer's status, header and body.
func raw(t *testing.T, addr net.Addr, text string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, text)
	method, _, _ := strings.Cut(text, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res, string(body)
}

func TestRedirect(t *testing.T) {
	r := start(t, func(c *listen.Config) { c.RedirectAddr, c.ExternalPort = "127.0.0.1:0", "8443" })
	for _, c := range []struct{ name, request, host, location string }{
		{"path and query", "GET /a/b?c=d&e=%2f", "ehr.test", "https://ehr.test:8443/a/b?c=d&e=%2f"},
		{"a port of its own", "GET /", "ehr.test:80", "https://ehr.test:8443/"},
		{"capitals and the root's dot", "GET /A", "EHR.Test.", "https://ehr.test:8443/A"},
		{"POST", "POST /orders", "ehr.test", "https://ehr.test:8443/orders"},
		{"an unknown host", "GET /", "no.such.test", "https://no.such.test:8443/"},
		{"IPv4", "GET /", "192.0.2.1:80", "https://192.0.2.1:8443/"},
		{"IPv6", "GET /", "[2001:db8::1]:80", "https://[2001:db8::1]:8443/"},
		{"two slashes stay behind the host", "GET //evil.test/", "ehr.test", "https://ehr.test:8443//evil.test/"},
		{"a backslash", "GET /\\evil.test/", "ehr.test", "https://ehr.test:8443/\\evil.test/"},
		{"a fragment", "GET /a#b", "ehr.test", "https://ehr.test:8443/a%23b"},
		{"not ASCII", "GET /\xc3\xa5", "ehr.test", "https://ehr.test:8443/%C3%A5"},
		{"empty host", "GET /", "", ""},
		{"user", "GET /", "a@evil.test", ""},
		{"path in the host", "GET /", "evil.test/x", ""},
		{"comma", "GET /", "ehr.test,evil.test", ""},
		{"percent", "GET /", "e%68r.test", ""},
		{"a port too long", "GET /", "ehr.test:999999", ""},
		{"a port of letters", "GET /", "ehr.test:x", ""},
		{"half an address", "GET /", "[::1", ""},
		{"zone", "GET /", "[fe80::1%25eth0]", ""},
		{"underscore", "GET /", "e_r.test", ""},
		{"empty label", "GET /", "ehr..test", ""},
		{"hyphen first", "GET /", "-ehr.test", ""},
		{"too long", "GET /", strings.Repeat("a.", 150) + "test", ""},
		{"quote", "GET /", `ehr.test"`, ""},
		{"absolute target", "GET http://evil.test/", "ehr.test", ""},
		{"asterisk", "OPTIONS *", "ehr.test", ""},
		{"CONNECT", "CONNECT evil.test:443", "evil.test:443", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, _ := raw(t, r.RedirectAddr(), c.request+" HTTP/1.1\r\nHost: "+c.host+"\r\nCookie: __Host-anteroom=x\r\n\r\n")
			want := http.StatusPermanentRedirect
			if c.location == "" {
				want = http.StatusBadRequest
			}
			if res.StatusCode != want || res.Header.Get("Location") != c.location {
				t.Errorf("%d to %q, want %d to %q", res.StatusCode, res.Header.Get("Location"), want, c.location)
			}
			if len(res.Header["Set-Cookie"]) > 0 {
				t.Error("a cookie is set in the clear")
			}
		})
	}
	r = start(t, func(c *listen.Config) { c.RedirectAddr, c.ExternalPort = "127.0.0.1:0", "443" })
	if res, _ := raw(t, r.RedirectAddr(), "GET /x HTTP/1.1\r\nHost: ehr.test\r\n\r\n"); res.Header.Get("Location") != "https://ehr.test/x" {
		t.Errorf("by the usual port: %q", res.Header.Get("Location"))
	}
}

func FuzzRedirect(f *testing.F) {
	f.Add("ehr.test", "/a?b")
	f.Add("ehr.test:80", "//evil.test/\\")
	f.Add("a@b", "/#%00")
	f.Add("[::1]:1", "/\xff\r\nX: y")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	s, err := listen.New(listen.Config{
		Addr: "127.0.0.1:0", RedirectListener: l, SelfSigned: true, DataDir: f.TempDir(), Hosts: []string{"gate.test"}, Grace: -1,
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = s.Run(ctx); close(ended) }()
	f.Cleanup(func() { cancel(); <-ended })
	f.Fuzz(func(t *testing.T, host, target string) {
		if strings.ContainsAny(host+target, "\r\n \t") || len(host)+len(target) > 1000 {
			return // another request than the one that is meant
		}
		res, _ := raw(t, l.Addr(), "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if res.StatusCode != http.StatusPermanentRedirect {
			if res.Header.Get("Location") != "" {
				t.Fatalf("%d, and yet to %q", res.StatusCode, res.Header.Get("Location"))
			}
			return
		}
		u, err := res.Location()
		if err != nil {
			t.Skip() // escapes that are wrong stay wrong: the https side refuses them
		}
		name, _, _ := strings.Cut(host, ":")
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		if u.Scheme != "https" || u.User != nil || u.Fragment != "" || !strings.HasPrefix(host, "[") && u.Host != name {
			t.Fatalf("host %q, target %q: to %q", host, target, u)
		}
	})
}

func TestAdmin(t *testing.T) {
	r := start(t, func(c *listen.Config) { c.AdminAddr, c.AdminHosts = "127.0.0.1:0", []string{"metrics.internal"} })
	addr := r.AdminAddr().String()
	for _, c := range []struct {
		name, method, host, header string
		status                     int
	}{
		{"by address", "GET", addr, "", 200},
		{"HEAD", "HEAD", addr, "", 200},
		{"localhost", "GET", "localhost:9180", "", 200},
		{"IPv6", "GET", "[::1]:9180", "", 200},
		{"another address", "GET", "10.0.0.1", "", 200},
		{"a name it was given", "GET", "Metrics.internal:9180", "", 200},
		{"a name that somebody rebound", "GET", "evil.test", "", 403},
		{"a name that looks like localhost", "GET", "localhost.evil.test", "", 403},
		{"no host", "GET", "", "", 403},
		{"POST", "POST", addr, "", 405},
		{"DELETE", "DELETE", addr, "", 405},
		{"OPTIONS", "OPTIONS", addr, "", 405},
		{"from another page", "GET", addr, "Origin: https://evil.test", 403},
		{"from a page of no origin", "GET", addr, "Origin: null", 403},
		{"from its own page", "GET", addr, "Origin: http://" + addr, 200},
		{"from another site", "GET", addr, "Sec-Fetch-Site: cross-site", 403},
		{"from another port", "GET", addr, "Sec-Fetch-Site: same-site", 403},
		{"typed in", "GET", addr, "Sec-Fetch-Site: none", 200},
	} {
		text := c.method + " /readyz HTTP/1.1\r\nHost: " + c.host + "\r\n"
		if c.header != "" {
			text += c.header + "\r\n"
		}
		if res, _ := raw(t, r.AdminAddr(), text+"\r\n"); res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.name, res.StatusCode, c.status)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	r := start(t, func(c *listen.Config) { c.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}) })
	own := start(t, func(c *listen.Config) {
		c.HeadersTooLarge = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	})
	if res := withLine(t, own, "X-Big: "+strings.Repeat("a", 40<<10)); res.StatusCode != http.StatusTeapot {
		t.Errorf("an answer of one's own: %d", res.StatusCode)
	}
	if res := withLine(t, own, "X-Big: "+strings.Repeat("a", 80<<10)); res.StatusCode != 431 {
		t.Errorf("far over the limit: %d", res.StatusCode)
	}
	for size, want := range map[int]int{24 << 10: 200, 31 << 10: 200, 33 << 10: 431, 48 << 10: 431} {
		var big []hpack.HeaderField
		for i := range size >> 10 {
			big = append(big, hpack.HeaderField{Name: fmt.Sprint("x-big-", i), Value: strings.Repeat("~", 1<<10-14)})
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://ehr.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range big {
			req.Header.Set(f.Name, f.Value)
		}
		res, err := r.client(false).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("HTTP/1.1, %d bytes: %d, want %d", size, res.StatusCode, want)
		}

		// By hand, as a client that knows the limit does not even ask.
		framer := dialHTTP2(t, r)
		get(t, framer, 1, big...)
		for answered := false; !answered; {
			frame, err := framer.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f := frame.(type) {
			case *http2.MetaHeadersFrame:
				answered = true
				if got := f.PseudoValue("status"); got != fmt.Sprint(want) {
					t.Errorf("HTTP/2, %d bytes: %s, want %d", size, got, want)
				}
			case *http2.GoAwayFrame:
				t.Fatalf("HTTP/2, %d bytes: the connection ends: %v", size, f.ErrCode)
			}
		}
	}
}

// withLine asks for / over TLS and HTTP/1.1, with one more header line.
func withLine(t *testing.T, r *running, line string) *http.Response {
	t.Helper()
	conn, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{ServerName: "ehr.test", RootCAs: r.ca})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: ehr.test\r\n%s\r\n\r\n", line)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

// dialHTTP2 opens a connection on which a test writes the frames itself.
func dialHTTP2(t *testing.T, r *running) *http2.Framer {
	t.Helper()
	conn, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{ServerName: "ehr.test", RootCAs: r.ca, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return framer
}

// get asks for / on a stream, with more header fields.
func get(t *testing.T, framer *http2.Framer, stream uint32, more ...hpack.HeaderField) {
	t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0) // nothing to remember from one request to the next
	for _, f := range append([]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "ehr.test"}, {Name: ":path", Value: "/"}}, more...) {
		if err := enc.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	const frame = 16 << 10 // the most that a frame may hold
	first := block.Next(frame)
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: true, EndHeaders: block.Len() == 0})
	for err == nil && block.Len() > 0 {
		part := block.Next(frame)
		err = framer.WriteContinuation(stream, block.Len() == 0, part)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoPlainHTTP2(t *testing.T) {
	r := start(t, func(c *listen.Config) { c.AdminAddr, c.RedirectAddr = "127.0.0.1:0", "127.0.0.1:0" })
	for _, addr := range []net.Addr{r.AdminAddr(), r.RedirectAddr()} {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		answer, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 4") && !strings.HasPrefix(string(answer), "HTTP/1.1 5") {
			t.Errorf("HTTP/2 in the clear: %q", answer)
		}
	}
}

func TestStreamLimit(t *testing.T) {
	release := make(chan struct{})
	r := start(t, func(c *listen.Config) {
		c.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
	})
	defer close(release)
	framer := dialHTTP2(t, r)
	for i := range uint32(101) {
		get(t, framer, 2*i+1)
	}
	told := uint32(0)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if v, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
				told = v
			}
		case *http2.RSTStreamFrame:
			if f.StreamID != 201 || told != 100 {
				t.Errorf("stream %d is refused, after %d were allowed", f.StreamID, told)
			}
			return
		case *http2.GoAwayFrame:
			t.Fatalf("the connection ends: %v", f.ErrCode)
		case *http2.MetaHeadersFrame:
			t.Fatalf("stream %d is answered", f.StreamID)
		}
	}
}

// closedBy reports whether the other side closes conn before it answers anything.
func closedBy(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := conn.Read(make([]byte, 1))
	return err != nil && !strings.Contains(err.Error(), "timeout")
}

func TestConnectionLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits listen.Limits
		why    string // that the third is refused; "" when it is not
	}{
		{"of one address", listen.Limits{PerAddress: 2}, "per_address"},
		{"in all", listen.Limits{Connections: 2}, "connections"},
		{"of an address without a limit", listen.Limits{PerAddress: 2, Unlimited: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, ""},
		{"in all, of an address without a limit", listen.Limits{Connections: 2, Unlimited: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "connections"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused, crowd := make(chan string, 10), make(chan netip.Addr, 10)
			r := start(t, func(conf *listen.Config) {
				conf.Limits = c.limits
				conf.Hooks.Refused = func(why string) { refused <- why }
				conf.Hooks.Crowded = func(from netip.Addr) {
					select {
					case crowd <- from:
					default:
					}
				}
			})
			dial := func() (*tls.Conn, error) {
				return tls.Dial("tcp", r.Addr().String(), &tls.Config{ServerName: "ehr.test", RootCAs: r.ca})
			}
			var open []*tls.Conn
			for range 2 {
				conn, err := dial()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				open = append(open, conn)
			}
			conn, err := dial()
			if (err == nil) != (c.why == "") {
				t.Fatalf("the third: %v", err)
			}
			if c.why == "" {
				conn.Close()
				return
			}
			if why := <-refused; why != c.why {
				t.Errorf("refused because of %q, want %q", why, c.why)
			}
			if c.why == "per_address" {
				if from := <-crowd; from != netip.MustParseAddr("127.0.0.1") {
					t.Errorf("the crowd is told of from %s", from)
				}
			} else if len(crowd) > 0 {
				t.Error("a crowd is told of that is of no one address")
			}
			open[0].Close()
			for { // until the server has seen it
				conn, err := dial()
				if err == nil {
					conn.Close()
					break
				}
				<-refused
			}
		})
	}
}

func TestSlowHandshakeAndHeader(t *testing.T) {
	refused := make(chan string, 10)
	r := start(t, func(c *listen.Config) {
		c.Limits.ReadHeader = 50 * time.Millisecond
		c.Hooks.Refused = func(why string) { refused <- why }
	})
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if !closedBy(conn) || <-refused != "handshake" {
		t.Error("a handshake that never begins is waited for")
	}
	slow, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{ServerName: "ehr.test", RootCAs: r.ca})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "GET / HTTP/1.1\r\nHost: ehr")
	if !closedBy(slow) {
		t.Error("a header that never ends is waited for")
	}
}

// A client that takes nothing is dropped, however long an answer may take.
func TestStalledReader(t *testing.T) {
	wrote, stalled := make(chan error, 1), make(chan struct{}, 10)
	r := start(t, func(c *listen.Config) {
		c.Limits.Stall = 50 * time.Millisecond
		c.Hooks.Stalled = func() { stalled <- struct{}{} }
		c.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					wrote <- err
					return
				}
			}
		})
	})
	conn, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{ServerName: "ehr.test", RootCAs: r.ca})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: ehr.test\r\n\r\n")
	select {
	case <-wrote:
	case <-time.After(20 * time.Second):
		t.Fatal("the answer is still being written")
	}
	select {
	case <-stalled:
	case <-time.After(20 * time.Second):
		t.Error("nobody is told that the client stalled")
	}
}

func TestDrain(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var unready, closing atomic.Bool
	r := start(t, func(c *listen.Config) {
		c.AdminAddr, c.Grace = "127.0.0.1:0", time.Second
		c.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				entered <- struct{}{}
				<-release
			}
			ok(w, r)
		})
		c.Hooks.Draining = func() { unready.Store(true); entered <- struct{}{} }
		c.Hooks.CloseStreams = func(context.Context) { closing.Store(true); entered <- struct{}{} }
	})
	for _, http2 := range []bool{false, true} {
		go func() {
			res, err := r.client(http2).Get("https://ehr.test/slow")
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if err == nil && res.StatusCode != 200 {
				err = fmt.Errorf("status %d", res.StatusCode)
			}
			if err != nil {
				t.Errorf("HTTP/2 %v: the running request: %v", http2, err)
			}
			entered <- struct{}{}
		}()
		<-entered
	}
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	<-entered // Draining
	if !unready.Load() || closing.Load() {
		t.Error("not unready first")
	}
	if res, err := r.client(false).Get("https://ehr.test/"); (err != nil || res.StatusCode != 200) && !closing.Load() {
		t.Errorf("in the grace, a new connection: %v", err)
	}
	<-entered // CloseStreams
	for {     // the listener closes about now
		conn, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
	}
	if res, _ := raw(t, r.AdminAddr(), "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"); res.StatusCode != 200 {
		t.Errorf("while draining, admin answers %d", res.StatusCode)
	}
	select {
	case err := <-ended:
		t.Errorf("ended before the running requests: %v", err)
	default:
	}
	close(release)
	<-entered
	<-entered
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", r.AdminAddr().String()); err == nil {
		t.Error("the admin listener is still open")
	}
}

func TestDrainCutsOff(t *testing.T) {
	entered := make(chan struct{})
	r := start(t, func(c *listen.Config) {
		c.Drain = 50 * time.Millisecond
		c.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		})
	})
	cut := make(chan error, 1)
	go func() {
		_, err := r.client(false).Get("https://ehr.test/")
		cut <- err
	}()
	<-entered
	if err := r.stop(); err == nil || !strings.Contains(err.Error(), "requests to end") {
		t.Errorf("Run returned %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the request was answered")
	}
}

func TestListenerBreaks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *listen.Config) { c.RedirectListener = l; c.Grace = time.Hour })
	l.Close()
	done := make(chan struct{})
	go func() { // Run ends by itself
		for {
			conn, err := net.Dial("tcp", r.Addr().String())
			if err != nil {
				close(done)
				return
			}
			conn.Close()
		}
	}()
	<-done
	if err := r.stop(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Run returned %v", err)
	}
}

func TestPanicIsLogged(t *testing.T) {
	r := start(t, func(c *listen.Config) {
		c.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
	})
	if _, err := r.client(false).Get("https://ehr.test/"); err == nil {
		t.Error("answered")
	}
	_ = r.stop()
	if text := r.log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "boom") {
		t.Errorf("log: %s", text)
	}
}
