package proxy

import (
	"cmp"
	"io"
	"net/http"
	"sync"
	"time"
)

// A paced body must keep coming: while it is read, something of it comes within
// the stall, or the client is cut off. What its reader takes between two reads
// is not the client's fault.
type paced struct {
	io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration
	told  func()
	timer *time.Timer // runs while a read waits

	mu      sync.Mutex
	reading bool
	cut     bool
}

// pace puts a paced body in the place of the request's own.
func (x *exchange) pace() {
	if x.r.ContentLength == 0 {
		return
	}
	x.body = &paced{
		ReadCloser: x.r.Body, conn: http.NewResponseController(x.w),
		stall: cmp.Or(x.state.Limits.Stall, time.Minute), told: func() { x.g.Meter.Limited("stall") },
	}
	x.r.Body = x.body
}

func (p *paced) Read(b []byte) (int, error) {
	p.begin()
	n, err := p.ReadCloser.Read(b)
	if p.end() && err == io.EOF {
		p.conn.SetReadDeadline(time.Time{}) // the last of it came at the last moment: the answer is not to be cut
	}
	return n, err
}

func (p *paced) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = true
	if p.timer == nil {
		p.timer = time.AfterFunc(p.stall, p.expire)
		return
	}
	p.timer.Reset(p.stall)
}

// end reports whether the body was cut off.
func (p *paced) end() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.reading = false
	return p.cut
}

func (p *paced) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reading || p.cut {
		return
	}
	p.cut = true
	p.conn.SetReadDeadline(time.Unix(1, 0)) // unsupported only in tests without a connection
	p.told()
}

// stalled reports whether the request's client was cut off.
func (x *exchange) stalled() bool {
	if x.body == nil {
		return false
	}
	x.body.mu.Lock()
	defer x.body.mu.Unlock()
	return x.body.cut
}
