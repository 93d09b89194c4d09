package carry

import (
	"io"
)

// Tunnel implements [Body].
func (t *trip) Tunnel() io.ReadWriteCloser {
	t.unwatch()
	t.mu.Lock()
	c := t.conn
	if t.cut == nil {
		t.conn = nil // it is the caller's now
	}
	t.mu.Unlock()
	var rest []byte
	if t.r < t.w {
		rest = append(rest, t.buf[t.r:t.w]...)
	}
	t.free()
	return &tunnel{conn: c, rest: rest}
}

// A tunnel is a connection on which another protocol is spoken.
type tunnel struct {
	*conn
	rest []byte // what came with the answer
}

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		return t.conn.Read(p)
	}
	n := copy(p, t.rest)
	if t.rest = t.rest[n:]; len(t.rest) == 0 {
		t.rest = nil
	}
	return n, nil
}

// CloseWrite tells the backend that nothing more comes.
func (t *tunnel) CloseWrite() error {
	return t.conn.Conn.(interface{ CloseWrite() error }).CloseWrite()
}
