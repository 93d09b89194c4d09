package carry

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A trip is one request on its way to the backend, and its answer back.
type trip struct {
	answer  Answer
	pool    *Pool
	request *Request
	ctx     context.Context
	began   time.Time
	watched func() bool // ends the watch over ctx; nil: none yet

	// Of the answer, what was read and not yet handed out is buf[r:w].
	buf     []byte
	r, w    int
	framing framing
	left    int64 // of the body, or of the chunk
	inside  bool  // a chunk's end is still to come
	last    bool  // the connection ends with this answer
	done    bool  // all of the answer was read

	mu   sync.Mutex
	conn *conn // nil: not yet, or no longer
	cut  error // why it was cut
}

// buffers hold a request's head and what is read of its answer. Nobody has one
// while nothing goes on but waiting: not a connection, nor a tunnel.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

const bufferSize = 32 << 10

func (t *trip) free() {
	if len(t.buf) == bufferSize {
		buffers.Put((*[bufferSize]byte)(t.buf))
	}
	t.buf, t.r, t.w = nil, 0, 0
}

// patience is how long a trip waits for its backend before it has somebody tell
// it that the client is gone. Nearly every answer comes sooner.
const patience = 200 * time.Millisecond

// smallBody is what is sent with the head at once.
const smallBody = 8 << 10

// Send implements [Carrier].
func (p *Pool) Send(ctx context.Context, r *Request) (*Answer, error) {
	t := &trip{pool: p, request: r, ctx: ctx, buf: buffers.Get().(*[bufferSize]byte)[:]}
	if err := t.send(); err != nil {
		t.unwatch()
		t.release(false)
		t.free()
		return nil, t.why(err)
	}
	t.answer.Body = t
	return &t.answer, nil
}

func (t *trip) send() error {
	r := t.request
	out, err := r.appendHead(t.buf[:0])
	if err != nil {
		return err
	}
	apart := r.Body != nil && (r.Length < 0 || r.Length > smallBody)
	if r.Body != nil && !apart {
		if out, err = r.appendBody(out); err != nil {
			return err
		}
	}
	for anew := false; ; {
		if err := t.board(anew); err != nil {
			return err
		}
		if apart || len(out) > bufferSize { // it may have to wait for the backend to read
			t.watch()
		}
		t.conn.arm(t.soon())
		n, err := t.conn.ask(out, t.buf, !apart)
		switch again := n == 0 && t.conn.used && r.retriable(); {
		case errors.Is(err, errStale):
			t.release(false)
			continue
		case err != nil && again && !isTimeout(err) && !t.isCut():
			t.release(false)
			anew = true // those that lie in the pool are likely to be gone as well
			continue
		}
		if apart && err == nil {
			r.upload = startUpload(t)
		}
		return t.readHeads(n, err)
	}
}

// board takes a connection, unless the trip was cut meanwhile.
func (t *trip) board(anew bool) error {
	c, err := t.pool.take(t.ctx, anew)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut != nil {
		c.Close()
		return t.cut
	}
	t.conn, t.began = c, time.Now()
	return nil
}

// soon returns between which times the first wait for an answer is to end.
func (t *trip) soon() (soonest, latest time.Time) {
	if limit := t.pool.options.Timeout; limit > 0 && limit <= 2*patience {
		return t.began.Add(limit), t.began.Add(limit)
	}
	return t.began.Add(patience), t.began.Add(2 * patience)
}

// readHeads reads heads until that of the answer. So far n bytes came, and err.
func (t *trip) readHeads(n int, err error) error {
	t.w = n
	heads, scanned := 0, 0
	for {
		if end := headEnd(t.buf[t.r:t.w], scanned); end > 0 {
			h, err := parseHead(string(t.buf[t.r:t.r+end]), t.request.Method)
			if err != nil {
				return err
			}
			t.r += end
			if h.status >= 200 || h.status == 101 {
				return t.begin(h)
			}
			if heads++; heads > maxHeads {
				return bad("more than %d answers before the answer", maxHeads)
			}
			scanned = 0
			continue
		}
		if t.w-t.r >= maxHead {
			return bad("a head of more than %d bytes", maxHead)
		}
		scanned = max(0, t.w-t.r-2)
		if err != nil && !t.patient(err) {
			return err
		}
		t.room()
		n, err = t.conn.Read(t.buf[t.w:])
		t.w += n
		if n > 0 {
			err = nil // it will come again
		}
	}
}

// patient reports whether to go on waiting after err. From then on somebody
// watches whether the client is still there.
func (t *trip) patient(err error) bool {
	if !isTimeout(err) {
		return false
	}
	t.watch()
	limit := t.pool.options.Timeout
	if limit <= 0 {
		t.conn.disarm()
		return true
	}
	now, due := time.Now(), t.began.Add(limit)
	if u := t.request.upload; u != nil {
		if due = now.Add(limit); u.ended() {
			due = u.at.Add(limit)
		}
	}
	t.conn.arm(due, due)
	return now.Before(due)
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// room makes room in the buffer for more.
func (t *trip) room() {
	switch {
	case t.r == t.w:
		t.r, t.w = 0, 0
	case t.w < len(t.buf):
	case t.r > 0:
		t.w = copy(t.buf, t.buf[t.r:t.w])
		t.r = 0
	default: // a very long head
		grown := make([]byte, maxHead)
		n := copy(grown, t.buf)
		t.free()
		t.buf, t.w = grown, n
	}
}

// begin begins the answer whose head was read.
func (t *trip) begin(h head) error {
	if h.status == 101 {
		if t.request.Upgrade == "" {
			return bad("another protocol, which nobody asked for")
		}
		t.conn.disarm()
	}
	t.answer.Status, t.answer.Header = h.status, h.header
	t.framing, t.left, t.last = h.framing, h.length, h.last
	switch h.framing {
	case byNothing:
	case byLength:
		t.answer.Length = h.length
	default:
		t.answer.Length = -1
	}
	if h.status != 101 && (h.framing == byNothing || h.framing == byLength && h.length == 0) {
		t.finish()
	}
	return nil
}

// finish lets go of the connection after the last byte of the answer.
func (t *trip) finish() {
	t.done = true
	if u := t.request.upload; u == nil || u.ended() {
		t.release(t.isThrough())
	}
}

// isThrough reports whether the connection may carry another request: this one
// was sent to its end, and answered to its end with nothing behind.
func (t *trip) isThrough() bool {
	u := t.request.upload
	return t.done && !t.last && t.r == t.w && (u == nil || u.ended() && u.err == nil)
}

// release gives the connection back, or closes it.
func (t *trip) release(reuse bool) {
	t.mu.Lock()
	c, cut := t.conn, t.cut
	t.conn = nil
	t.mu.Unlock()
	switch {
	case c == nil:
	case reuse && cut == nil:
		t.pool.put(c)
	default:
		c.Close()
	}
}

// watch has the trip cut when its context ends.
func (t *trip) watch() {
	if t.watched == nil && t.ctx.Done() != nil {
		t.watched = context.AfterFunc(t.ctx, func() { t.Cut(context.Cause(t.ctx)) })
	}
}

func (t *trip) unwatch() {
	if t.watched != nil {
		t.watched()
	}
}

// Cut implements [Body].
func (t *trip) Cut(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut == nil {
		t.cut = why
	}
	if t.conn != nil {
		t.conn.Close()
	}
}

func (t *trip) isCut() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cut != nil
}

// why returns what err really is.
func (t *trip) why(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.cut != nil:
		return t.cut
	case t.ctx.Err() != nil:
		return context.Cause(t.ctx)
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF // the backend broke off
	}
	return err
}

// aftermath is how long an answer that is through waits for the last of its
// request to be sent. A backend that answers sooner is not waited for.
const aftermath = 50 * time.Millisecond

// Close implements [Body].
func (t *trip) Close() {
	t.unwatch()
	if u := t.request.upload; t.conn != nil && t.done && u != nil {
		late := time.NewTimer(aftermath)
		select {
		case <-u.done:
		case <-late.C:
		}
		late.Stop()
	}
	t.release(t.isThrough())
	t.free()
}
