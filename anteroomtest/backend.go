package anteroomtest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A Backend is an application that records what reaches it: every request as
// it was parsed, and every byte as it came.
type Backend struct {
	URL  string // http://127.0.0.1:port
	Host string

	mu       sync.Mutex
	raw      bytes.Buffer
	requests []Recorded
	handle   http.HandlerFunc
}

// A Recorded is one request that reached a [Backend].
type Recorded struct {
	Method, Target, Host string
	Header               http.Header
	Trailer              http.Header
	Body                 []byte
}

// NewBackend starts a backend on loopback that answers 200 until t ends.
func NewBackend(t testing.TB) *Backend {
	t.Helper()
	b := &Backend{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	s.Listener = recording{s.Listener, b}
	s.Start()
	t.Cleanup(s.Close)
	b.URL, b.Host = s.URL, s.Listener.Addr().String()
	return b
}

// Handle has h answer from now on; the request's body is there to be read again.
func (b *Backend) Handle(h http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handle = h
}

// Requests returns what has reached the backend so far.
func (b *Backend) Requests() []Recorded {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Recorded(nil), b.requests...)
}

// Last returns the newest request, and whether there is one.
func (b *Backend) Last() (Recorded, bool) {
	all := b.Requests()
	if len(all) == 0 {
		return Recorded{}, false
	}
	return all[len(all)-1], true
}

// Raw returns every byte that has reached the backend, over all connections.
func (b *Backend) Raw() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.raw.String()
}

// Forget empties the record.
func (b *Backend) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.raw.Reset()
	b.requests = nil
}

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut short by whoever sent it
	}
	b.mu.Lock()
	b.requests = append(b.requests, Recorded{r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.Trailer.Clone(), body})
	h := b.handle
	b.mu.Unlock()
	if h == nil {
		io.WriteString(w, "backend\n")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h(w, r)
}

// recording listens for connections whose bytes are kept.
type recording struct {
	net.Listener
	b *Backend
}

func (l recording) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return recorded{c, l.b}, nil
}

type recorded struct {
	net.Conn
	b *Backend
}

func (c recorded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.b.mu.Lock()
	c.b.raw.Write(p[:n])
	c.b.mu.Unlock()
	return n, err
}
