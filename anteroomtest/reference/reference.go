// Package reference carries requests by net/http's own client: what package
// carry is held against. Built with the tag reference, the gateway uses it, so
// that every test can be run on both.
package reference

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/carry"
)

// A Carrier is a [carry.Carrier] over an [http.Transport].
type Carrier struct {
	transport http.Transport
	origin    string
}

// New returns a carrier that reaches its backend as o says.
func New(o carry.Options) *Carrier {
	scheme := "http"
	if o.TLS != nil {
		scheme = "https"
	}
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second, Control: o.Control}
	return &Carrier{origin: scheme + "://" + o.Address, transport: http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: o.TLS, TLSHandshakeTimeout: 5 * time.Second,
		ResponseHeaderTimeout: o.Timeout, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, WriteBufferSize: 16 << 10, ReadBufferSize: 16 << 10,
	}}
}

// CloseIdle implements [carry.Carrier].
func (c *Carrier) CloseIdle() { c.transport.CloseIdleConnections() }

// Send implements [carry.Carrier].
func (c *Carrier) Send(ctx context.Context, r *carry.Request) (*carry.Answer, error) {
	u, err := url.ParseRequestURI(c.origin + r.Target)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	out := (&http.Request{Method: r.Method, URL: u, Host: r.Host, Header: r.Header.Clone(), ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if out.Header == nil {
		out.Header = http.Header{}
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "") // which keeps net/http from naming itself
	}
	sent := &source{rest: r.Body}
	if r.Body != nil {
		out.Body, out.ContentLength = sent, r.Length
	}
	if r.Upgrade != "" {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", r.Upgrade)
	}
	answer, err := c.transport.RoundTrip(out)
	if err != nil {
		stop(nil)
		if broken := sent.err.Load(); broken != nil {
			return nil, &carry.BodyError{Err: *broken}
		}
		return nil, err
	}
	b := &body{from: answer.Body, stop: stop, source: sent}
	return &carry.Answer{Status: answer.StatusCode, Header: answer.Header, Length: answer.ContentLength, Body: b}, nil
}

// A source is a request's body that is read no more once it was closed.
type source struct {
	rest   io.Reader
	closed atomic.Bool
	err    atomic.Pointer[error]
}

func (s *source) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	n, err := s.rest.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // as readers give it
		s.err.Store(&err)
	}
	return n, err
}

// Close is called by the transport, which need not have been through with it.
func (*source) Close() error { return nil }

type body struct {
	from   io.ReadCloser
	stop   context.CancelCauseFunc
	source *source
	once   sync.Once
	buf    [32 << 10]byte
}

func (b *body) Next(idle func()) ([]byte, error) {
	if idle != nil {
		idle()
	}
	for {
		n, err := b.from.Read(b.buf[:])
		if n > 0 {
			return b.buf[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (b *body) Cut(why error) { b.stop(why) }

func (b *body) Close() {
	b.once.Do(func() {
		b.source.closed.Store(true)
		if b.from != nil {
			b.from.Close()
		}
		b.stop(nil)
	})
}

// Tunnel implements [carry.Body].
func (b *body) Tunnel() io.ReadWriteCloser {
	both := b.from.(io.ReadWriteCloser)
	b.from = nil
	b.once.Do(func() {}) // closing it is the caller's now
	return both
}
