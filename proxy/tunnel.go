package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/anteroom/anteroom/carry"
)

// Codes of the close frames that the gateway sends (RFC 6455, section 7.4.1).
const (
	goingAway       = 1001 // the gateway stops
	policyViolation = 1008 // the session ended, locked or lost its device
)

// A tunnel is the backend's half of a WebSocket. Bytes go through it as they
// are; it counts frames, so that one that the gateway ends can end with a close
// frame between two of them, and the browser's script knows what happened.
type tunnel struct {
	io.ReadWriteCloser
	code atomic.Uint32 // of the close frame to end with; 0: it goes on

	// What follows belongs to whoever reads.
	header [14]byte // of the frame that is going by, as far as it is known
	known  int
	left   uint64 // bytes of its payload still to come
	closed bool   // a close frame has gone by, after which nothing may
}

// end has the tunnel close with a close frame that says code.
func (t *tunnel) end(code uint32) { t.code.CompareAndSwap(0, code) }

// Read reads from the backend. Once the tunnel was ended and its backend's half
// closed, it gives out the close frame, where one may stand.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(p)
	t.follow(p[:n])
	code := t.code.Load()
	if n > 0 || err == nil || code == 0 || t.closed || t.known > 0 || t.left > 0 || len(p) < 4 {
		return n, err
	}
	t.closed = true
	p[0], p[1] = 0x88, 2 // final, close; a payload of two bytes, unmasked as servers send them
	binary.BigEndian.PutUint16(p[2:], uint16(code))
	return 4, nil
}

// follow counts the frames of b (section 5.2).
func (t *tunnel) follow(b []byte) {
	for len(b) > 0 {
		if t.left > 0 {
			n := min(t.left, uint64(len(b)))
			t.left, b = t.left-n, b[n:]
			continue
		}
		t.header[t.known] = b[0]
		t.known, b = t.known+1, b[1:]
		if length, whole := payload(t.header[:t.known]); whole {
			t.closed = t.closed || t.header[0]&0x0f == 8
			t.known, t.left = 0, length
		}
	}
}

// payload returns how long the payload of a frame is, once its header is whole.
func payload(header []byte) (length uint64, whole bool) {
	if len(header) < 2 {
		return 0, false
	}
	rest := header[2:]
	need := 0
	if header[1]&0x80 != 0 {
		need = 4 // the mask
	}
	switch length = uint64(header[1] & 0x7f); length {
	case 126:
		if len(rest) < 2+need {
			return 0, false
		}
		return uint64(binary.BigEndian.Uint16(rest)), true
	case 127:
		if len(rest) < 8+need {
			return 0, false
		}
		return binary.BigEndian.Uint64(rest), true
	}
	return length, len(rest) >= need
}

// CloseWrite tells the backend that nothing more comes, where it can be told.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// switchProtocols gives the client the answer to its handshake. From then on
// bytes go both ways, for which the exchange goes on after its handler.
func (c *carriage) switchProtocols(answer *carry.Answer) {
	x := c.x
	backend := &tunnel{ReadWriteCloser: answer.Tunnel()}
	x.settle()
	x.w.status = answer.Status // it is written past WriteHeader
	client, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		backend.Close()
		panic(err) // checkUpgrade lets none through that cannot be
	}
	if c.grant.Session() != nil {
		c.watch(func(why error) {
			backend.end(closeCode(why))
			backend.Close()
		}, true)
	}
	h := x.w.Header()
	handOver(h, answer.Header)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	io.WriteString(buffered, "HTTP/1.1 101 Switching Protocols\r\n")
	h.Write(buffered)
	io.WriteString(buffered, "\r\n")
	if buffered.Flush() != nil {
		backend.Close()
		client.Close()
		return
	}
	var early []byte // that the client sent behind its handshake
	if n := buffered.Reader.Buffered(); n > 0 {
		peeked, _ := buffered.Peek(n)
		early = bytes.Clone(peeked)
	}
	x.after = func() { between(client, backend, early) }
}

// outlive starts what is left of an exchange whose handler is about to return,
// and reports whether anything is. An open WebSocket then keeps neither the
// server's buffers nor the request, nor a stack as deep as a request needs.
func (x *exchange) outlive() bool {
	after := x.after
	if after == nil {
		return false
	}
	x.after = nil
	x.r = &http.Request{Method: x.r.Method} // net/http's own must not be looked at any more
	x.lasting.r, x.w.ResponseWriter, x.state = x.r, nil, nil
	x.carriage.out = carry.Request{}
	go func() {
		defer x.finish()
		defer x.leave()
		defer x.carriage.unwatch()
		after()
	}()
	return true
}

// between carries bytes both ways, until both sides have ended or one has failed.
func between(client net.Conn, backend *tunnel, early []byte) {
	defer client.Close()
	defer backend.Close()
	var up sync.WaitGroup
	defer up.Wait()
	up.Go(func() {
		_, err := backend.Write(early)
		if err == nil {
			err = relay(backend, client)
		}
		if err == nil {
			err = backend.CloseWrite()
		}
		if err != nil && backend.code.Load() == 0 { // else the close frame is still to go
			backend.Close()
			client.Close()
		}
	})
	if relay(client, backend) == nil {
		if half, ok := client.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			return // the client may still have something to say
		}
	}
	backend.Close()
	client.Close()
}

// relay copies from one side to the other. While nothing comes it holds only a
// small buffer: most WebSockets are silent most of the time.
func relay(to io.Writer, from io.Reader) error {
	few := make([]byte, 512)
	for {
		n, err := from.Read(few)
		if n > 0 {
			if _, err := to.Write(few[:n]); err != nil {
				return err
			}
		}
		if err == nil && n == len(few) { // there is likely to be more
			err = burst(to, from, len(few))
		}
		switch {
		case err == io.EOF: //nolint:errorlint // as readers give it
			return nil
		case err != nil:
			return err
		}
	}
}

// burst copies for as long as more than few bytes come at once.
func burst(to io.Writer, from io.Reader, few int) error {
	many := bursts.Get().(*[16 << 10]byte)
	defer bursts.Put(many)
	for {
		n, err := from.Read(many[:])
		if n > 0 {
			if _, err := to.Write(many[:n]); err != nil {
				return err
			}
		}
		if err != nil || n <= few {
			return err
		}
	}
}

var bursts = sync.Pool{New: func() any { return new([16 << 10]byte) }}
