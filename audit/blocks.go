package audit

import (
	"bytes"
	"errors"
	"io"
	"runtime"
)

// A block is some whole lines of a segment that stand one after another.
type block struct {
	text []byte // its last byte is a newline
	at   int64  // where it begins
}

// blockBytes is how much is read at a time, but for longer lines.
const blockBytes = 256 << 10

// A reading lends buffers to those who read blocks, so
// that memory stays the same however long a journal is.
type reading struct{ free chan []byte }

func newReading() *reading {
	r := &reading{free: make(chan []byte, 2*runtime.GOMAXPROCS(0)+1)}
	for range cap(r.free) {
		r.free <- nil // made when it is needed
	}
	return r
}

// inBlocks reads src in blocks. It has work look at several of them at a time,
// and gives them to take in their order, each with what work made of it. It
// returns where it stopped: at a block that take does not want, or at the first
// byte that belongs to no whole line, or to one that is longer than any record.
func inBlocks[T any](r *reading, src io.Reader, work func(block) T, take func(block, T) bool) (end int64, err error) {
	type job struct {
		block
		buf  []byte
		done chan T
	}
	jobs := make(chan job, cap(r.free))
	stop := make(chan struct{})
	failed := error(nil) // read once jobs is closed
	go func() {
		defer close(jobs)
		var rest []byte // begins the next line; in the buffer before, which only this function gives away
		for at := int64(0); ; {
			var buf []byte
			select {
			case <-stop:
				return
			case buf = <-r.free:
			}
			if len(buf) <= len(rest) {
				buf = make([]byte, max(blockBytes, 2*len(rest)))
			}
			n := copy(buf, rest)
			m, err := io.ReadFull(src, buf[n:])
			n += m
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				failed = err
			}
			cut := bytes.LastIndexByte(buf[:n], '\n') + 1
			if cut == 0 && err == nil && n < maxLine { // a long line: once more with more room
				rest = buf[:n]
				r.free <- buf
				continue
			}
			if cut == 0 {
				r.free <- buf
				return
			}
			j := job{block{buf[:cut], at}, buf, make(chan T, 1)}
			go func() { j.done <- work(j.block) }()
			jobs <- j
			if err != nil {
				return
			}
			rest, at = buf[cut:n], at+int64(cut)
		}
	}()
	wanted := true
	for j := range jobs {
		made := <-j.done
		if wanted {
			if wanted = take(j.block, made); wanted {
				end = j.at + int64(len(j.text))
			} else {
				close(stop)
			}
		}
		r.free <- j.buf
	}
	return end, failed
}

// cutLine splits the first line off text, without its newline.
func cutLine(text []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(text, newline)
	return line, rest
}

var newline = []byte{'\n'}
