package faults_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patient returns an edit of the configuration that replaces old by new.
func patient(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

// withRoute adds a route of ehr.test to the configuration.
func withRoute(name, path, backend string) func(string) string {
	return func(s string) string {
		return strings.Replace(s, "  - name: imaging\n", fmt.Sprintf(`  - name: %s
    host: ehr.test
    path: %s
    backend: {url: "http://%s", timeout: 2s}
    allow: {roles: [nurse]}
    device: none
  - name: imaging
`, name, path, backend), 1)
	}
}

func edits(all ...func(string) string) func(string) string {
	return func(s string) string {
		for _, edit := range all {
			s = edit(s)
		}
		return s
	}
}

// listenRaw accepts connections on loopback and hands each to serve.
func listenRaw(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// blackhole returns an address whose packets are swallowed: its queue of
// connections is full, and nobody takes any.
func blackhole(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 8 { // until one gets no answer
		c, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not fill")
	return ""
}

// readRequest reads one request, body and all, from a raw connection.
func readRequest(r *bufio.Reader) (*http.Request, error) {
	q, err := http.ReadRequest(r)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, q.Body)
	return q, err
}

// TestR12Backend has backends refuse, swallow, hang, answer by half and reset.
func TestR12Backend(t *testing.T) {
	e := begin(t, "R12")
	var posts, gets atomic.Int32
	hung := listenRaw(t, func(c net.Conn) { io.Copy(io.Discard, c); c.Close() })
	half := listenRaw(t, func(c net.Conn) {
		readRequest(bufio.NewReader(c))
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Le")
		c.Close()
	})
	reset := listenRaw(t, func(c net.Conn) {
		readRequest(bufio.NewReader(c))
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
		time.Sleep(50 * time.Millisecond) // so that this much has been passed on
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	})
	// Keeps the connection for what asks nothing of it, and drops it at the next.
	fickle := listenRaw(t, func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for {
			q, err := readRequest(in)
			if err != nil {
				return
			}
			switch {
			case q.URL.Path == "/fickle/warm":
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				continue
			case q.Method == http.MethodGet:
				gets.Add(1)
			default:
				posts.Add(1)
			}
			return
		}
	})
	g := start(t, setup{edit: edits(
		withRoute("dead", "/dead", "127.0.0.1:1"), withRoute("swallowed", "/swallowed", blackhole(t)), withRoute("hung", "/hung", hung),
		withRoute("half", "/half", half), withRoute("reset", "/reset", reset), withRoute("fickle", "/fickle", fickle),
	)})
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	client := g.client(t, false, 64)
	if status := g.status(t, client, "/fickle/warm", cookie); status != http.StatusOK {
		t.Errorf("a backend that answers: %d", status)
	}
	var probes sync.WaitGroup
	var mu sync.Mutex
	for _, c := range []struct {
		method, path, code string
		status             int
		limit              time.Duration
	}{
		{"GET", "/dead", "backend_unreachable", 502, time.Second},
		{"GET", "/half", "backend_unreachable", 502, time.Second},
		{"POST", "/fickle/post", "backend_unreachable", 502, time.Second},
		{"GET", "/hung", "backend_timeout", 504, 3 * time.Second},          // its own limit is 2 s
		{"GET", "/swallowed", "backend_unreachable", 502, 6 * time.Second}, // connecting has 5 s
	} {
		probes.Go(func() {
			began := time.Now()
			a, err := call(t.Context(), client, c.method, g.URL("ehr.test", c.path), cookie, strings.NewReader(""))
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			e.figure("%s %d after %v", c.path[1:], a.status, round(took))
			e.must(err == nil && a.status == c.status && strings.Contains(a.body, c.code), "%s: %d %s %v", c.path, a.status, a.body, err)
			e.within(took, c.limit, c.path+" was answered after")
		})
	}
	probes.Wait()
	for range 20 { // each on a connection that was kept, where a retry would be tempting
		if status := g.status(t, client, "/fickle/warm", cookie); status != http.StatusOK {
			t.Errorf("a backend that answers: %d", status)
		}
		for _, empty := range []bool{true, false} {
			var body io.Reader
			if !empty {
				body = strings.NewReader("order=2")
			}
			a, err := call(t.Context(), client, http.MethodPost, g.URL("ehr.test", "/fickle/post"), cookie, body)
			if err != nil || a.status != http.StatusBadGateway {
				t.Errorf("a POST that was dropped: %d %v", a.status, err)
			}
			if status := g.status(t, client, "/fickle/warm", cookie); status != http.StatusOK {
				t.Errorf("a backend that answers: %d", status)
			}
		}
	}
	e.figure("%d POSTs dropped without an answer came %d times", 41, posts.Load())
	e.must(posts.Load() == 41, "the backend got %d POSTs for 41", posts.Load())
	// Half an answer must not look whole.
	a, err := call(t.Context(), client, http.MethodGet, g.URL("ehr.test", "/reset"), cookie, nil)
	e.must(err != nil, "half an answer was given for a whole one: %d %q", a.status, a.body)
	e.figure("a reset within the body: %v", err)

	for _, path := range []string{"/hung", "/dead"} {
		var people sync.WaitGroup
		slow := g.client(t, false, 200)
		more, p99, failed, first := disturbance(t, 5*time.Millisecond, 200, g.get(t, client, "ehr.test", "/chart", cookie), func() func() {
			stop := make(chan struct{})
			for range 50 {
				people.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(200 * time.Millisecond):
							call(t.Context(), slow, http.MethodGet, g.URL("ehr.test", path), cookie, nil)
						}
					}
				})
			}
			return func() { close(stop); people.Wait() }
		})
		e.figure("with 50 people at %s, others' p99 +%v to %v", path, round(more), round(p99))
		e.must(failed == 0, "%d requests of another route failed: %s", failed, first)
		e.within(more, 5*time.Millisecond, "with "+path+" other routes' p99 rose by")
	}
}
