package contract_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// limited starts a gateway with these limits in place of the fixture's. No
// posture source speaks from 127.0.0.1, or nothing would be counted by address.
func limited(t *testing.T, limits string) *anteroomtest.Gateway {
	t.Helper()
	return anteroomtest.Start(t, anteroomtest.Setup{Edit: withLimits(limits)})
}

func withLimits(limits string) func(string) string {
	return func(text string) string {
		text = strings.Replace(text, "cidr: [127.0.0.1/32]", "cidr: [127.0.0.2/32]", 1)
		text = strings.Replace(text, `redirect_listen: ""`, "redirect_listen: \"\"\n  trusted_proxies: [127.0.0.7/32]", 1)
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "limits:") {
				lines[i] = "limits: {" + limits + "}"
			}
		}
		return strings.Join(lines, "\n")
	}
}

// turnedAway checks the answer to one request too many.
func turnedAway(t *testing.T, p *anteroomtest.Page, status int) {
	t.Helper()
	if p.Status != status {
		t.Fatalf("%s is answered %d, want %d\n%s", p.URL, p.Status, status, p.Body)
	}
	if n, err := strconv.Atoi(p.Header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After %q", p.Header.Get("Retry-After"))
	}
	if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
		if p.Code() != "too_many" || p.Text("anteroom-request-id") != p.Header.Get("X-Request-Id") || p.Header.Get("X-Request-Id") == "" {
			t.Errorf("the page says %s, %s; the header %s", p.Code(), p.Text("anteroom-request-id"), p.Header.Get("X-Request-Id"))
		}
		return
	}
	if m := problem(t, p); m["code"] != "too_many" || m["status"] != float64(status) {
		t.Errorf("problem %v", m)
	}
}

// exhaust asks until the answer is status, which is then checked.
func exhaust(t *testing.T, ask func() *anteroomtest.Page, status int) *anteroomtest.Page {
	t.Helper()
	for range 200 {
		if p := ask(); p.Status == status {
			turnedAway(t, p, status)
			return p
		}
	}
	t.Fatalf("200 requests, and none is answered %d", status)
	return nil
}

func counted(t *testing.T, g *anteroomtest.Gateway, limit string) {
	t.Helper()
	if g.Metric(`anteroom_limited_total{limit="`+limit+`"}`) == 0 {
		t.Errorf("anteroom_limited_total does not count %s", limit)
	}
}

func TestRequestsPerSession(t *testing.T) {
	g := limited(t, "requests_per_session: {per_second: 1, burst: 20}")
	b := signedIn(t, g)
	call := func() *anteroomtest.Page { return b.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil) }
	refused := exhaust(t, call, 429)
	served := len(g.Backend.Requests())
	turnedAway(t, b.Get(g.URL("ehr.test", "/chart")), 429)
	turnedAway(t, b.Call("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil), 429)
	if n := len(g.Backend.Requests()); n != served {
		t.Errorf("the backend got %d of the requests that were too many", n-served)
	}
	counted(t, g, "requests_per_session")

	// The next session of the same person, at the same address, is another.
	signedIn(t, g)
	for _, r := range g.Audit(audit.Query{}) {
		if r.RequestID == refused.Header.Get("X-Request-Id") || r.Event == "security" {
			t.Errorf("the trail has %+v", r)
		}
	}

	// A reload changes the number for sessions that have used theirs up.
	g.WriteConfig(withLimits("requests_per_session: {per_second: 1000, burst: 1000}")(anteroomtest.Fixture))
	for deadline := time.Now().Add(20 * time.Second); call().Status != 200; {
		if time.Now().After(deadline) {
			t.Fatal("the new limit is not in force")
		}
	}
}

// from is a client without cookies at an address of this machine's own.
func from(t *testing.T, g *anteroomtest.Gateway, address string) *http.Client {
	t.Helper()
	transport := g.Transport(true)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, g.Address)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func status(t *testing.T, c *http.Client, address string, header http.Header) int {
	t.Helper()
	r, err := http.NewRequest("GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestRequestsPerAddress(t *testing.T) {
	g := limited(t, "requests_per_address: {per_second: 1, burst: 40}")
	b, stranger := signedIn(t, g), g.Browser(t)
	exhaust(t, func() *anteroomtest.Page { return stranger.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil) }, 429)
	turnedAway(t, stranger.Get(g.URL("ehr.test", "/chart")), 429)
	turnedAway(t, stranger.Call("GET", g.URL("ehr.test", "/pub/x"), "", "", nil), 429)
	turnedAway(t, stranger.Call("GET", g.URL("ehr.test", "/pub/a%00b"), "", "", nil), 429)          // what is malformed counts too
	turnedAway(t, stranger.Call("GET", g.URL("ehr.test", "/.anteroom/callback"), "", "", nil), 429) // and what is the gateway's own
	turnedAway(t, stranger.Call("GET", g.URL("ehr.test", "/"), "", "", http.Header{"X-Long": {strings.Repeat("x", 40<<10)}}), 429)
	counted(t, g, "requests_per_address")

	// Whoever is signed in does not pay for their neighbours.
	for range 60 {
		if p := b.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil); p.Status != 200 {
			t.Fatalf("a session at the same address is answered %d", p.Status)
		}
	}
	if code := status(t, from(t, g, "127.0.0.9"), g.URL("ehr.test", "/pub/x"), nil); code != 200 {
		t.Errorf("another address is answered %d", code)
	}
	// A flood is told of once.
	records := g.Audit(audit.Query{})
	told, denied := 0, 0
	for _, r := range records {
		if r.Event == "security" {
			told++
			if r.Reason != "requests_per_address" || r.SourceIP != "127.0.0.1" || r.RequestID == "" {
				t.Errorf("security record %+v", r)
			}
		}
		if r.Event == "access" && r.Reason == "too_many" {
			denied++
		}
	}
	if told != 1 || denied != 0 {
		t.Errorf("%d security records, %d access records of what was turned away; want 1 and 0", told, denied)
	}
}

// Behind a trusted proxy each client is counted by its own address, and the
// proxy itself not at all; from anybody else the header says nothing.
func TestRequestsPerAddressBehindProxy(t *testing.T) {
	g := limited(t, "requests_per_address: {per_second: 1, burst: 5}")
	proxy, open := from(t, g, "127.0.0.7"), g.URL("ehr.test", "/pub/x")
	ask := func(c *http.Client, client string) int {
		return status(t, c, open, http.Header{"X-Forwarded-For": {client}})
	}
	until429 := func(ask func() int) bool {
		for range 30 {
			if ask() == 429 {
				return true
			}
		}
		return false
	}
	if !until429(func() int { return ask(proxy, "192.0.2.1") }) {
		t.Fatal("a client behind the proxy has no limit")
	}
	if code := ask(proxy, "192.0.2.2"); code != 200 {
		t.Errorf("another client behind it is answered %d", code)
	}
	if until429(func() int { return status(t, proxy, open, nil) }) {
		t.Error("the proxy itself is limited")
	}
	// Each client has a /64 of IPv6 to itself.
	if !until429(func() int { return ask(proxy, fmt.Sprintf("2001:db8::%x", time.Now().UnixNano()&0xffff)) }) {
		t.Error("another address of the same /64 is another client")
	}
	n := 0
	liar := from(t, g, "127.0.0.9")
	if !until429(func() int { n++; return ask(liar, fmt.Sprintf("192.0.2.%d", 10+n)) }) {
		t.Error("whoever forges X-Forwarded-For has no limit")
	}
}

// blocked is a backend's handler that keeps requests for path until released.
type blocked struct {
	entered chan struct{}
	release chan struct{}
	once    sync.Once
}

func block(t *testing.T, g *anteroomtest.Gateway, path string) *blocked {
	b := &blocked{entered: make(chan struct{}, 100), release: make(chan struct{})}
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, path) {
			b.entered <- struct{}{}
			<-b.release
		}
		io.WriteString(w, "backend\n")
	})
	t.Cleanup(b.end)
	return b
}

func (b *blocked) end() { b.once.Do(func() { close(b.release) }) }

func TestInFlight(t *testing.T) {
	g := limited(t, "in_flight: 4")
	people := []*anteroomtest.Browser{signedIn(t, g), signedIn(t, g), signedIn(t, g), signedIn(t, g), signedIn(t, g)}
	b := people[4]
	slow := block(t, g, "/slow")
	var all sync.WaitGroup
	for _, p := range people[:4] {
		all.Go(func() {
			if p := p.Call("GET", g.URL("ehr.test", "/slow"), "", "", nil); p.Status != 200 {
				t.Errorf("a request within the limit is answered %d", p.Status)
			}
		})
		<-slow.entered
	}
	began := time.Now()
	turnedAway(t, b.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil), 503)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v to say that there is no room", took)
	}
	turnedAway(t, b.Get(g.URL("ehr.test", "/chart")), 503)
	counted(t, g, "in_flight")
	for _, path := range []string{"/healthz", "/readyz"} {
		began := time.Now()
		resp, err := http.Get("http://" + g.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(began); resp.StatusCode != 200 || took > time.Second {
			t.Errorf("%s is answered %d after %v", path, resp.StatusCode, took)
		}
	}
	slow.end()
	all.Wait()
	if p := b.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil); p.Status != 200 {
		t.Errorf("once there is room: %d", p.Status)
	}
}

// Nobody in particular cannot take every place.
func TestInFlightOfStrangers(t *testing.T) {
	g := limited(t, "in_flight: 4")
	b, stranger := signedIn(t, g), g.Browser(t)
	slow := block(t, g, "/pub/slow")
	var all sync.WaitGroup
	for range 3 {
		s := g.Browser(t)
		all.Go(func() { s.Call("GET", g.URL("ehr.test", "/pub/slow"), "", "", nil) })
		<-slow.entered
	}
	turnedAway(t, stranger.Call("GET", g.URL("ehr.test", "/pub/x"), "", "", nil), 503)
	if p := b.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil); p.Status != 200 {
		t.Errorf("whoever is signed in is answered %d", p.Status)
	}
	slow.end()
	all.Wait()
	if p := stranger.Call("GET", g.URL("ehr.test", "/pub/x"), "", "", nil); p.Status != 200 {
		t.Errorf("once there is room: %d", p.Status)
	}
}

// An event stream that is open is in nobody's way, but for those that are too many.
func TestInFlightOfStreams(t *testing.T) {
	g := limited(t, "in_flight: 2, open_streams: 3")
	b := signedIn(t, g)
	end := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(end) }))
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			io.WriteString(w, "data: x\n\n")
			w.(http.Flusher).Flush()
			<-end
		}
	})
	cookie := "__Host-anteroom=" + b.Cookie("ehr.test", "__Host-anteroom")
	client := &http.Client{Transport: g.Transport(true)}
	t.Cleanup(client.CloseIdleConnections)
	subscribe := func() (int, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		r, err := http.NewRequestWithContext(ctx, "GET", g.URL("ehr.test", "/events"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Cookie": {cookie}, "Accept": {"text/event-stream"}, "Sec-Fetch-Mode": {"cors"}}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode == 200 {
			if _, err := resp.Body.Read(make([]byte, 9)); err != nil {
				t.Fatal(err)
			}
		}
		return resp.StatusCode, cancel
	}
	var closers []func()
	for i := range 5 { // three streams, and two that stay in flight
		code, done := subscribe()
		if code != 200 {
			t.Fatalf("stream %d is answered %d", i+1, code)
		}
		closers = append(closers, done)
	}
	if code, _ := subscribe(); code != 503 {
		t.Errorf("the sixth stream is answered %d, want 503", code)
	}
	for _, done := range closers {
		done()
	}
	for deadline := time.Now().Add(20 * time.Second); b.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil).Status != 200; {
		if time.Now().After(deadline) {
			t.Fatal("streams that have ended still take their places")
		}
	}
}

// A client that stops in the middle of a body is told so and cut off; one that
// is slow is not.
func TestStalledBody(t *testing.T) {
	g := limited(t, "stall: 1s")
	b := signedIn(t, g)
	cookie := "__Host-anteroom=" + b.Cookie("ehr.test", "__Host-anteroom")
	head := "POST %s HTTP/1.1\r\nHost: %s:" + g.Port + "\r\nCookie: " + cookie + "\r\nOrigin: " + g.Origin("ehr.test") +
		"\r\nContent-Type: %s\r\nContent-Length: 20\r\n\r\n"
	for _, c := range []struct {
		name, host, target, media string
		status                    int
	}{
		{"on its way to the backend", "ehr.test", "/notes", "application/json", 408},
		{"read for a rule's fields", "ehr.test", "/appointments/7", "application/json", 408},
		{"of an endpoint of the gateway's own", "gate.test", "/.anteroom/backchannel-logout", form, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := g.Dial(t, c.host, "http/1.1")
			fmt.Fprintf(conn, head+`{"a":`, c.target, c.host, c.media)
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			read := bufio.NewReader(conn)
			resp, err := http.ReadResponse(read, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || resp.Header.Get("X-Request-Id") == "" {
				t.Errorf("answered %d, want %d\n%s", resp.StatusCode, c.status, body)
			}
			if c.status == 408 && !strings.Contains(string(body), `"code":"request_timeout"`) {
				t.Errorf("the problem is %s", body)
			}
			if _, err := read.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection goes on: %v", err)
			}
		})
	}
	counted(t, g, "stall")

	t.Run("over HTTP/2", func(t *testing.T) {
		client := &http.Client{Transport: g.Transport(true), Timeout: 20 * time.Second}
		t.Cleanup(client.CloseIdleConnections)
		body, write := io.Pipe()
		defer write.Close()
		go io.WriteString(write, `{"a":`)
		r, err := http.NewRequest("POST", g.URL("ehr.test", "/notes"), body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Cookie": {cookie}, "Origin": {g.Origin("ehr.test")}, "Content-Type": {"application/json"}}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 408 {
			t.Errorf("answered %d, want 408", resp.StatusCode)
		}
	})

	t.Run("slow but steady", func(t *testing.T) {
		conn := g.Dial(t, "ehr.test", "http/1.1")
		fmt.Fprintf(conn, head, "/notes", "ehr.test", "application/json")
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 20 { // two seconds in all
			<-tick.C
			io.WriteString(conn, "x")
		}
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			t.Errorf("answered %d, want 200", resp.StatusCode)
		}
	})
}

// A backend that takes its time with a body is not the client's fault.
func TestSlowBackendIsNoStall(t *testing.T) {
	late := time.NewTimer(2 * time.Second)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-late.C
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, n, err)
	}))
	defer slow.Close()
	edit := withLimits("stall: 1s")
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(strings.Replace(edit(s), "backend: {url: {backend}}", "backend: {url: "+slow.URL+", max_body: 64MiB}", 1), "timeout: 5s", "timeout: 20s", 1)
	}})
	client := &http.Client{Transport: g.Transport(true), Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	const size = 32 << 20 // more than all the buffers on the way
	resp, err := client.Post(g.URL("ehr.test", "/pub/upload"), "application/octet-stream", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || string(body) != fmt.Sprintln(size, error(nil)) {
		t.Errorf("answered %d: %s", resp.StatusCode, body)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSessionsPerPerson(t *testing.T) {
	g := limited(t, "sessions_per_person: 2")
	first, second := signedIn(t, g), signedIn(t, g)
	signedIn(t, g)
	if p := first.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil); p.Status != 401 {
		t.Errorf("the session that was idle the longest is answered %d", p.Status)
	}
	if p := second.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil); p.Status != 200 {
		t.Errorf("the other is answered %d", p.Status)
	}
	g.Provider.Person(anteroomtest.Piet)
	signedIn(t, g)
	if p := second.Call("GET", g.URL("ehr.test", "/chart"), "", "", nil); p.Status != 200 {
		t.Errorf("another person's session ended this one: %d", p.Status)
	}
	counted(t, g, "sessions_per_person")
	var ended []audit.Record
	for _, r := range g.Audit(audit.Query{}) {
		if r.Event == "session_ended" {
			ended = append(ended, r)
		}
	}
	if len(ended) != 1 || ended[0].Detail != "sessions_per_person" || ended[0].Subject.Username != "nora" {
		t.Errorf("records of the end: %+v", ended)
	}
}

func TestSignInsPerAddress(t *testing.T) {
	g := limited(t, "sign_ins_per_address: {per_minute: 1, burst: 2}")
	b := signedIn(t, g)
	signedIn(t, g)
	began := g.Provider.Calls(anteroomtest.AuthorizePath)
	third := g.Browser(t)
	p := third.Get(g.URL("ehr.test", "/chart"))
	turnedAway(t, p, 429)
	turnedAway(t, third.Get(g.URL("ehr.test", "/chart")), 429)
	if p.URL.Hostname() != "gate.test" || g.Provider.Calls(anteroomtest.AuthorizePath) != began {
		t.Errorf("turned away at %s; the provider was asked %d times more", p.URL, g.Provider.Calls(anteroomtest.AuthorizePath)-began)
	}
	counted(t, g, "sign_ins_per_address")
	if p := b.Get(g.URL("ehr.test", "/chart")); p.Status != 200 {
		t.Errorf("whoever is signed in is answered %d", p.Status)
	}
	told := 0
	for _, r := range g.Audit(audit.Query{}) {
		if r.Event == "security" && r.Reason == "sign_ins_per_address" && r.SourceIP == "127.0.0.1" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d security records, want 1", told)
	}
}

func TestHeldRequestsPerSession(t *testing.T) {
	g := limited(t, "held_requests_per_session: 1")
	b := g.Browser(t)
	aged(t, g, b)
	if p := b.Post(g.URL("ehr.test", "/orders/7"), form, "a=1"); p.Status != 200 || p.Code() != "old_login" {
		t.Fatalf("the first is answered %d %s", p.Status, p.Code())
	}
	turnedAway(t, b.Post(g.URL("ehr.test", "/orders/7"), form, "a=2"), 429)
	counted(t, g, "held_requests")
	untouched(t, g, "held, or one too many")
}

func TestHeaderBytes(t *testing.T) {
	g := limited(t, "header_bytes: 8KiB")
	b := signedIn(t, g)
	p := b.Call("GET", g.URL("ehr.test", "/chart"), "", "", http.Header{"X-Long": {strings.Repeat("x", 10<<10)}})
	if m := problem(t, p); p.Status != 431 || m["code"] != "headers_too_large" {
		t.Errorf("answered %d %v", p.Status, m)
	}
	if p := b.Call("GET", g.URL("ehr.test", "/chart"), "", "", http.Header{"X-Long": {strings.Repeat("x", 6<<10)}}); p.Status != 200 {
		t.Errorf("within the limit: %d", p.Status)
	}
	counted(t, g, "header_bytes")
}

func TestConnections(t *testing.T) {
	g := limited(t, "connections: 3")
	dial := func() (*tls.Conn, error) {
		return tls.Dial("tcp", g.Address, &tls.Config{ServerName: "ehr.test", RootCAs: g.CA})
	}
	var open []*tls.Conn
	for i := range 3 {
		c, err := dial()
		if err != nil {
			t.Fatalf("connection %d of 3: %v", i+1, err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if c, err := dial(); err == nil {
		c.Close()
		t.Fatal("a fourth connection is let in")
	}
	counted(t, g, "connections")
	open[0].Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if c, err := dial(); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that is closed still counts")
		}
	}
}
