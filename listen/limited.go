package listen

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A limited listener closes connections beyond its limits as they come, rather
// than leave them in the queue, where everybody behind them would wait too.
type limited struct {
	net.Listener
	limits Limits
	hooks  Hooks

	stopped atomic.Bool

	mu    sync.Mutex
	all   int
	open  map[*conn]struct{}
	peers map[netip.Prefix]int // IPv4 addresses and IPv6 /64, which one client has
}

func newLimited(l net.Listener, limits Limits, hooks Hooks) *limited {
	return &limited{Listener: l, limits: limits, hooks: hooks, open: make(map[*conn]struct{}), peers: make(map[netip.Prefix]int)}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		if l.stopped.Load() {
			return nil, errStopped
		}
		c, err := l.Listener.Accept()
		if l.stopped.Load() && err != nil {
			return nil, errStopped
		}
		if err != nil {
			return nil, err
		}
		peer := peerOf(c)
		if why := l.enter(peer); why != "" {
			c.Close()
			l.refused(why, peer.Addr())
			continue
		}
		counted := &conn{Conn: c, stall: l.limits.Stall, stalled: l.hooks.Stalled}
		counted.left = sync.OnceFunc(func() { l.leave(counted, peer) })
		l.note(counted)
		return counted, nil
	}
}

// errStopped ends a server's taking of connections.
var errStopped = errors.New("takes no more connections")

// stop ends Accept, also one that waits. A socket that somebody else holds too
// stays open, and those in its queue wait for the next who accepts.
func (l *limited) stop() {
	l.stopped.Store(true)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok && d.SetDeadline(time.Unix(1, 0)) == nil {
		return
	}
	l.Close()
}

func (l *limited) refused(why string, from netip.Addr) {
	if l.hooks.Refused != nil {
		l.hooks.Refused(why)
	}
	if why == perAddress && l.hooks.Crowded != nil {
		l.hooks.Crowded(from)
	}
}

const perAddress = "per_address"

// peerOf returns whom a connection counts for; of no kind of address, the zero prefix.
func peerOf(c net.Conn) netip.Prefix {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // both lengths are in range
	return p
}

func (l *limited) enter(peer netip.Prefix) (why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.limits.Connections {
		return "connections"
	}
	if l.peers[peer] >= l.limits.PerAddress && !l.unlimited(peer.Addr()) {
		return perAddress
	}
	l.all++
	l.peers[peer]++
	return ""
}

func (l *limited) unlimited(addr netip.Addr) bool {
	for _, p := range l.limits.Unlimited {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func (l *limited) note(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
}

// busy reports whether a connection is open that is neither idle nor upgraded.
func (l *limited) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if s := http.ConnState(c.state.Load()); s == http.StateNew || s == http.StateActive {
			return true
		}
	}
	return false
}

// noteState is what servers tell the state of connections to.
func noteState(c net.Conn, s http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*conn); ok {
		c.state.Store(int32(s))
	}
}

func (l *limited) leave(c *conn, peer netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	l.all--
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
}

// A conn ends when its client takes nothing of what is written for too long.
// The server's own WriteTimeout would end every long download and stream.
type conn struct {
	net.Conn
	stall   time.Duration
	stalled func() // may be nil
	left    func()
	state   atomic.Int32 // an http.ConnState

	ended    sync.Once // told of
	mu       sync.Mutex
	deadline time.Time // as set from outside; zero: none
}

func (c *conn) Close() error {
	defer c.left()
	return c.Conn.Close()
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	until := time.Now().Add(c.stall)
	if !c.deadline.IsZero() && c.deadline.Before(until) {
		until = c.deadline
	}
	err := c.Conn.SetWriteDeadline(until)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	n, err := c.Conn.Write(b)
	// A deadline from outside may be shorter: HTTP/2 has the same stall, and a
	// connection that is being closed only a few seconds.
	if c.stalled != nil && errors.Is(err, os.ErrDeadlineExceeded) && time.Since(began) > c.stall/2 {
		c.ended.Do(c.stalled)
	}
	return n, err
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.Conn.SetReadDeadline(t), c.SetWriteDeadline(t))
}
