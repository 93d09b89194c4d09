package carry

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"
)

// Options say how a backend is reached.
type Options struct {
	Address string        // host and port
	TLS     *tls.Config   // nil: none; its ServerName is the certificate's
	Timeout time.Duration // of an answer's head, once the request is sent; zero: none
	// Control is called with each connection before it connects, as by [net.Dialer].
	Control func(network, address string, _ syscall.RawConn) error
}

const (
	// dialTimeout bounds connecting, and the handshake: a backend that is down is
	// told of within a second or, when it swallows packets, this.
	dialTimeout = 5 * time.Second
	// idleTimeout is how long a connection may lie unused: longer than most
	// servers keep one, which is no matter, since it is looked at before use.
	idleTimeout = 90 * time.Second
	// maxIdle bounds the connections of a backend that lie unused.
	maxIdle = 256
	// sweepEvery is how often those that the backend has closed are let go.
	sweepEvery = 10 * time.Second
)

// A Pool is the connections to one backend.
type Pool struct {
	options Options
	dialer  net.Dialer

	mu      sync.Mutex // held for a few instructions, but by the sweep
	idle    []*conn    // the one that was used last is at the end
	sweeper *time.Timer
	closed  bool
}

// New returns a pool without connections.
func New(o Options) *Pool {
	return &Pool{options: o, dialer: net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: o.Control}}
}

// CloseIdle closes the connections that carry nothing, and has those that do
// closed when they are through.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

// take returns the connection that was used last, or a new one where none is
// left or it is to be new.
func (p *Pool) take(ctx context.Context, anew bool) (*conn, error) {
	if !anew {
		p.mu.Lock()
		if n := len(p.idle) - 1; n >= 0 {
			c := p.idle[n]
			p.idle[n] = nil
			p.idle = p.idle[:n]
			p.mu.Unlock()
			return c, nil
		}
		p.mu.Unlock()
	}
	return p.dial(ctx)
}

// put takes c back after an answer.
func (p *Pool) put(c *conn) {
	c.used, c.idle = true, time.Now()
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < maxIdle
	if keep {
		p.idle = append(p.idle, c)
		if p.sweeper == nil {
			p.sweeper = time.AfterFunc(sweepEvery, p.sweep)
		}
	}
	p.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// sweep lets go of connections that have lain for too long, or that the backend
// has closed.
func (p *Pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		lain := now.Sub(c.idle)
		if lain >= sweepEvery {
			c.disarm()
			if lain >= idleTimeout || c.fresh() != nil {
				c.Close()
				continue
			}
		}
		kept = append(kept, c)
	}
	clear(p.idle[len(kept):])
	p.idle, p.sweeper = kept, nil
	if len(kept) > 0 {
		p.sweeper = time.AfterFunc(sweepEvery, p.sweep)
	}
}

func (p *Pool) dial(ctx context.Context) (*conn, error) {
	plain, err := p.dialer.DialContext(ctx, "tcp", p.options.Address)
	if err != nil {
		return nil, err
	}
	c, err := newConn(plain.(*net.TCPConn))
	if err != nil {
		plain.Close()
		return nil, err
	}
	if p.options.TLS == nil {
		return c, nil
	}
	secured := tls.Client(&c.socket, p.options.TLS)
	ctx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	c.Conn, c.secure = secured, true
	return c, nil
}
