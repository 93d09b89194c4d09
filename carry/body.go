package carry

import (
	"bytes"
	"io"
)

// maxChunkLine bounds the line before a chunk, whose extensions nobody reads;
// maxTrailers what may come after the last one.
const (
	maxChunkLine = 1 << 10
	maxTrailers  = 16 << 10
)

// Next implements [Body].
func (t *trip) Next(idle func()) ([]byte, error) {
	piece, err := t.next(idle)
	if err != nil && (err != io.EOF || !t.done) { //nolint:errorlint // only its own end is an end
		t.release(false)
		err = t.why(err)
	}
	return piece, err
}

func (t *trip) next(idle func()) ([]byte, error) {
	if t.done {
		return nil, io.EOF
	}
	if t.conn == nil { // closed, or broken before
		return nil, io.ErrUnexpectedEOF
	}
	switch t.framing {
	case byLength:
		piece, err := t.piece(idle)
		if err == nil && t.left == 0 {
			t.finish()
		}
		return piece, err
	case byChunks:
		if t.left == 0 {
			if err := t.chunk(idle); err != nil {
				return nil, err
			}
		}
		return t.piece(idle)
	case byClose:
		t.left = int64(len(t.buf))
		piece, err := t.piece(idle)
		if err == io.EOF { //nolint:errorlint // as the connection has it
			t.finish()
		}
		return piece, err
	}
	return nil, io.ErrUnexpectedEOF
}

// piece returns what is there of the next t.left bytes, and waits for some.
func (t *trip) piece(idle func()) ([]byte, error) {
	if t.r == t.w {
		if err := t.fill(idle); err != nil {
			return nil, err
		}
	}
	n := int(min(int64(t.w-t.r), t.left))
	piece := t.buf[t.r : t.r+n]
	t.r, t.left = t.r+n, t.left-int64(n)
	return piece, nil
}

// chunk reads on to the content of the next chunk. After the last one it
// returns [io.EOF], and the answer is done (RFC 9112, section 7.1).
func (t *trip) chunk(idle func()) error {
	if t.inside {
		if line, err := t.line(idle, 0); err != nil {
			return err
		} else if len(line) > 0 {
			return bad("no end of a chunk")
		}
	}
	line, err := t.line(idle, maxChunkLine)
	if err != nil {
		return err
	}
	size, err := chunkSize(line)
	if err != nil {
		return err
	}
	if size > 0 {
		t.left, t.inside = size, true
		return nil
	}
	for room := maxTrailers; ; {
		line, err := t.line(idle, room)
		switch {
		case err != nil:
			return err
		case len(line) == 0:
			t.finish()
			return io.EOF
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(string(name)) || !isValue(string(value)) {
			return bad("a trailer that is no field")
		}
		room -= len(line)
	}
}

// line reads a line of up to limit bytes, which ends in CRLF and in nothing
// else, and returns it without. It holds until the next read.
func (t *trip) line(idle func(), limit int) ([]byte, error) {
	for {
		if n := bytes.IndexByte(t.buf[t.r:t.w], '\n'); n >= 0 {
			line := t.buf[t.r : t.r+n]
			t.r += n + 1
			if n == 0 || line[n-1] != '\r' || bytes.IndexByte(line, '\r') != n-1 || n-1 > limit {
				return nil, bad("a line of a chunk")
			}
			return line[:n-1], nil
		}
		if t.w-t.r > limit+1 {
			return nil, bad("a line of a chunk")
		}
		if err := t.fill(idle); err != nil {
			return nil, err
		}
	}
}

// chunkSize reads the line before a chunk. Extensions mean nothing to a proxy,
// and spaces behind the size are what old servers pad it with.
func chunkSize(line []byte) (size int64, err error) {
	digits, extension, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	if len(digits) == 0 || len(digits) > 15 || !isValue(string(extension)) {
		return 0, bad("size of a chunk")
	}
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, bad("size of a chunk")
		}
		size = size<<4 | int64(c)
	}
	return size, nil
}

// fill reads more into the buffer. It may wait for as long as the client does.
func (t *trip) fill(idle func()) error {
	t.watch()
	t.conn.disarm()
	if idle != nil {
		idle()
	}
	t.room()
	n, err := t.conn.Read(t.buf[t.w:])
	t.w += n
	if n > 0 {
		return nil // an error will come again
	}
	return err
}
