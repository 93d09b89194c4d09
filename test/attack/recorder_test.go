package attack_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A recorder is the catalogue's backend: it keeps the bytes of each connection
// apart and reads them strictly, as clean HTTP/1.1 requests and nothing else.
type recorder struct {
	URL string

	mu     sync.Mutex
	wires  []*wire
	got    []arrived
	errs   []error
	known  map[string]bool // request ids of answered cases, whose bytes may come late
	handle http.HandlerFunc
}

// A wire is one connection to a recorder.
type wire struct {
	net.Conn
	rec   *recorder
	rest  []byte // read, but not yet a whole request
	stale bool   // rest began in an earlier case
}

// An arrived request is one that the backend got.
type arrived struct {
	method, target string
	header         [][2]string // in order, names as sent
	trailers       int
	body           string
	whole          bool
	raw            string
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	rec := &recorder{known: make(map[string]bool)}
	s := httptest.NewUnstartedServer(http.HandlerFunc(rec.serve))
	s.Listener = wiring{s.Listener, rec}
	s.Start()
	t.Cleanup(s.Close)
	rec.URL = s.URL
	return rec
}

// Handle has h answer; nil answers 200.
func (rec *recorder) Handle(h http.HandlerFunc) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.handle = h
}

func (rec *recorder) serve(w http.ResponseWriter, r *http.Request) {
	rec.mu.Lock()
	h := rec.handle
	rec.mu.Unlock()
	if h != nil {
		h(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	fmt.Fprintf(w, "backend, %d bytes\n", len(body))
}

// Known has the recorder forget what comes late of the request with this id.
func (rec *recorder) Known(id string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.known[id] = true
}

// Forget begins a new case.
func (rec *recorder) Forget() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.read()
	rec.got, rec.errs = nil, nil
	for _, c := range rec.wires {
		c.stale = len(c.rest) > 0
	}
}

// Take returns what has arrived in this case, the unfinished last, and what of
// it is no request.
func (rec *recorder) Take() ([]arrived, error) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.read()
	got := append([]arrived(nil), rec.got...)
	for _, c := range rec.wires {
		if len(c.rest) > 0 && !c.stale {
			a, _, err := readArrived(string(c.rest))
			if err != nil {
				return got, err
			}
			if !rec.known[a.get("X-Request-Id")] {
				got = append(got, a)
			}
		}
	}
	return got, errors.Join(rec.errs...)
}

// Text returns the bytes of what has arrived in this case.
func (rec *recorder) Text() string {
	got, err := rec.Take()
	var b strings.Builder
	for _, a := range got {
		b.WriteString(a.raw)
	}
	if err != nil {
		b.WriteString(err.Error())
	}
	return b.String()
}

// read turns the bytes of each connection into requests.
func (rec *recorder) read() {
	for _, c := range rec.wires {
		for len(c.rest) > 0 {
			a, n, err := readArrived(string(c.rest))
			if err != nil {
				rec.errs = append(rec.errs, err)
				c.rest = nil
				break
			}
			if n == 0 {
				break
			}
			c.rest = c.rest[n:]
			if !c.stale && !rec.known[a.get("X-Request-Id")] {
				rec.got = append(rec.got, a)
			}
			c.stale = false
		}
	}
}

func (a arrived) get(name string) string {
	for _, h := range a.header {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

type wiring struct {
	net.Listener
	rec *recorder
}

func (l wiring) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, rec: l.rec}
	l.rec.mu.Lock()
	l.rec.wires = append(l.rec.wires, w)
	l.rec.mu.Unlock()
	return w, nil
}

func (c *wire) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.rec.mu.Lock()
	c.rest = append(c.rest, p[:n]...)
	c.rec.mu.Unlock()
	return n, err
}

// Close keeps the bytes that make no whole request until the next case.
func (c *wire) Close() error {
	c.rec.mu.Lock()
	c.rest = bytes.Clone(c.rest)
	c.rec.mu.Unlock()
	return c.Conn.Close()
}

// readArrived reads one request of raw strictly. It returns its length, or 0
// for one that is not whole, and an error for anything else than a clean request.
func readArrived(raw string) (arrived, int, error) {
	a := arrived{raw: raw}
	head, rest, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		return a, 0, nil
	}
	first, fields, _ := strings.Cut(head, "\r\n")
	parts := strings.Split(first, " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" || !isToken(parts[0]) || !strings.HasPrefix(parts[1], "/") {
		return a, 0, fmt.Errorf("the backend got the request line %q", first)
	}
	a.method, a.target = parts[0], parts[1]
	length, chunked := 0, false
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok || !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			return a, 0, fmt.Errorf("the backend got the header line %q", line)
		}
		a.header = append(a.header, [2]string{name, value})
		switch strings.ToLower(name) {
		case "content-length":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil || length > 0 {
				return a, 0, fmt.Errorf("the backend got the length %q", value)
			}
			length = int(n)
		case "transfer-encoding":
			if value != "chunked" || chunked {
				return a, 0, fmt.Errorf("the backend got the coding %q", value)
			}
			chunked = true
		}
	}
	switch {
	case chunked && length > 0:
		return a, 0, errors.New("the backend got both lengths")
	case chunked:
		n, err := a.dechunk(rest)
		if err != nil || n == 0 {
			return a, 0, err
		}
		length = n
	case len(rest) < length:
		a.body = rest
		return a, 0, nil
	default:
		a.body = rest[:length]
	}
	a.whole = true
	n := len(head) + 4 + length
	a.raw = raw[:n]
	return a, n, nil
}

// dechunk reads a chunked body and returns its length on the wire; 0 when it is not whole.
func (a *arrived) dechunk(s string) (int, error) {
	all := len(s)
	for {
		line, after, ok := strings.Cut(s, "\r\n")
		if !ok {
			return 0, nil
		}
		n, err := strconv.ParseUint(line, 16, 31)
		if err != nil {
			return 0, fmt.Errorf("the backend got the chunk line %q", line)
		}
		if n == 0 {
			for {
				line, next, ok := strings.Cut(after, "\r\n")
				if !ok {
					return 0, nil
				}
				after = next
				if line == "" {
					return all - len(after), nil
				}
				a.trailers++
			}
		}
		if len(after) < int(n)+2 {
			a.body += after
			return 0, nil
		}
		if after[n:n+2] != "\r\n" {
			return 0, errors.New("the backend got a chunk that does not end where it says")
		}
		a.body, s = a.body+after[:n], after[n+2:]
	}
}

var token = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func isToken(s string) bool { return token.MatchString(s) }
