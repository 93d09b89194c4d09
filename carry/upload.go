package carry

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"time"
)

// appendBody appends all of r's body, whose length is known, to its head.
func (r *Request) appendBody(b []byte) ([]byte, error) {
	n := len(b)
	b = slices.Grow(b, int(r.Length))[:n+int(r.Length)]
	if _, err := io.ReadFull(r.Body, b[n:]); err != nil {
		return nil, bodyError(err)
	}
	return b, nil
}

func bodyError(err error) error {
	if err == io.EOF { //nolint:errorlint // as readers give it
		err = io.ErrUnexpectedEOF // before all of it came
	}
	return &BodyError{err}
}

// An upload sends the body of a request while its answer may already come: a
// backend that answers before it has read everything must not wait for ever
// for somebody to read that.
type upload struct {
	done chan struct{}
	err  error     // once done
	at   time.Time // when it was done
}

// startUpload begins to send the body of t's request over its connection.
func startUpload(t *trip) *upload {
	u, c := &upload{done: make(chan struct{})}, t.conn
	go func() {
		u.err = t.upload(c)
		u.at = time.Now()
		close(u.done)
		if _, ok := errors.AsType[*BodyError](u.err); ok || isTimeout(u.err) {
			t.Cut(u.err) // what was begun cannot be ended
		}
	}()
	return u
}

func (u *upload) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// upload sends the body piece by piece. Each must be taken in the time that an
// answer may take.
func (t *trip) upload(c *conn) error {
	const before, after = 10, 2 // for the size of a chunk, and its end
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	r, sent := t.request, int64(0)
	send := func(b []byte) error {
		if limit := t.pool.options.Timeout; limit > 0 {
			c.socket.SetWriteDeadline(time.Now().Add(limit))
		}
		_, err := c.Write(b)
		return err
	}
	defer c.socket.SetWriteDeadline(time.Time{})
	for r.Length < 0 || sent < r.Length {
		room := int64(bufferSize - before - after)
		if r.Length >= 0 {
			room = min(room, r.Length-sent) // what is more than was said is nobody's
		}
		n, err := r.Body.Read(buf[before : before+room])
		sent += int64(n)
		piece := buf[before : before+n]
		switch {
		case n == 0:
		case r.Length < 0:
			head := strconv.AppendInt(buf[:0:before], int64(n), 16)
			head = append(head, "\r\n"...)
			start := before - len(head)
			copy(buf[start:], head)
			copy(buf[before+n:], "\r\n")
			piece = buf[start : before+n+after]
		}
		if n > 0 {
			if err := send(piece); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && r.Length < 0: //nolint:errorlint // as readers give it
			return send([]byte("0\r\n\r\n"))
		case err != nil && (r.Length < 0 || sent < r.Length):
			return bodyError(err)
		}
	}
	return nil
}
