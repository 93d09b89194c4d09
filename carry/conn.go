package carry

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A conn is one connection to a backend, and belongs to one trip at a time.
type conn struct {
	net.Conn        // what is spoken over: the socket, or TLS over it
	socket   socket // the TCP connection itself
	secure   bool
	used     bool      // has carried an answer
	idle     time.Time // since when it has been in the pool
	armed    time.Time // the read deadline in force; zero: none

	// What follows is of the one call of ask that is going on.
	out     []byte // still to be sent
	in      []byte // for what comes
	n       int    // of it, that came
	err     error
	wait    bool // for an answer
	stepped func(fd uintptr) bool
}

func newConn(tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{socket: socket{TCPConn: tcp, raw: raw}}
	c.Conn, c.stepped = &c.socket, c.step
	return c, nil
}

// errStale means that a connection was found closed, or with something on it
// that nobody asked for, before anything was sent.
var errStale = errors.New("carry: the connection is stale")

// ask sends out and, where it is to wait, returns how much of an answer came
// into in. It returns [errStale] when nothing was sent.
//
// A pooled connection is looked at first. An answer that lies there belongs to
// no request; taken for this one's, it would show one person another's chart.
func (c *conn) ask(out, in []byte, wait bool) (int, error) {
	if c.secure {
		if c.used {
			if err := c.fresh(); err != nil {
				return 0, err
			}
		}
		if _, err := c.Write(out); err != nil || !wait {
			return 0, err
		}
		return c.Read(in)
	}
	c.out, c.in, c.n, c.err, c.wait = out, in, 0, nil, wait
	err := c.socket.raw.Read(c.stepped)
	c.out, c.in = nil, nil
	if c.err != nil {
		err = c.err
	}
	return c.n, err
}

// step is called with the socket at the start of [conn.ask] and whenever
// something has come. Its first look also readies the poller, so that looking
// costs no system call more than reading in vain would.
func (c *conn) step(fd uintptr) (done bool) {
	if c.out == nil {
		if c.n, c.err = look(fd, c.in); c.err == errNothing { //nolint:errorlint // it is never wrapped
			c.err = nil
			return false
		}
		return true
	}
	if c.used {
		var one [1]byte
		if _, err := look(fd, one[:]); err != errNothing { //nolint:errorlint // it is never wrapped
			c.err = errStale
			return true
		}
	}
	_, c.err = c.Write(c.out)
	c.out = nil
	return c.err != nil || !c.wait
}

// fresh looks whether a pooled connection is still open, and nothing lies on it.
func (c *conn) fresh() error {
	c.socket.glance = true
	defer func() { c.socket.glance = false }()
	var one [1]byte
	if _, err := c.Read(one[:]); !errors.Is(err, errNothing) { // TLS may take in a session ticket, which is fine
		return errStale
	}
	return nil
}

// arm sets the read deadline, unless one in force lies between soonest and latest.
func (c *conn) arm(soonest, latest time.Time) {
	if c.armed.Before(soonest) || c.armed.After(latest) {
		c.armed = latest
		c.socket.SetReadDeadline(latest)
	}
}

// disarm takes the read deadline away.
func (c *conn) disarm() {
	if !c.armed.IsZero() {
		c.armed = time.Time{}
		c.socket.SetReadDeadline(time.Time{})
	}
}

// Close closes the socket. TLS says no goodbye: nobody waits for it, and saying
// it could wait for a backend that does not listen.
func (c *conn) Close() error { return c.socket.Close() }

// A socket is a TCP connection that can be looked at without waiting.
type socket struct {
	*net.TCPConn
	raw    syscall.RawConn
	glance bool // Read returns errNothing rather than wait
}

func (s *socket) Read(p []byte) (int, error) {
	if s.glance {
		return s.peek(p)
	}
	return s.TCPConn.Read(p)
}

// peek is apart from Read, where what it has to share with the poller would be
// two heap objects for every read.
func (s *socket) peek(p []byte) (n int, err error) {
	failed := s.raw.Read(func(fd uintptr) bool {
		n, err = look(fd, p)
		return true
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}

// look reads what is there, and [errNothing] when that is nothing.
func look(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR: //nolint:errorlint // system calls return it as it is
		case err == syscall.EAGAIN: //nolint:errorlint // the same
			return 0, errNothing
		case err != nil:
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// errNothing is temporary, so that TLS goes on after it.
var errNothing error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "carry: nothing is there" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }
