package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"
)

const (
	groupRecords = 256              // most records in one write
	groupBytes   = 1 << 20          // size at which a group is written
	settleEvery  = time.Second / 10 // the head lags behind the lines at most so long
	flushAfter   = time.Second      // a record reaches the disk about so soon without being asked to
)

// A writer is the one goroutine that appends to the journal. What it holds is
// its own; callers reach it through the journal's queue.
type writer struct {
	j       *Journal
	flusher *flusher
	head    *headFile
	timer   *time.Timer
	armed   bool
	closed  error // what Close returns; set before stopped is closed

	segment *segment // nil: none is open, the next group begins one
	last    point    // the last line that is in the file
	buf     []byte
	lines   []line

	gaps         []Gap // to be told in the next checkpoint
	lost         int   // records refused since the last checkpoint
	lostSince    time.Time
	detail       string // for the next checkpoint
	reopened     bool   // the first checkpoint after Open is still to come
	records      int    // since the last checkpoint
	checkpointAt time.Time
	writtenAt    time.Time // when the oldest line that is not flushed was written; zero: none
	headFault    bool
}

// A line is one line of the group that is being written.
type line struct {
	end   int // in buf
	point point
	p     *pending // nil: a checkpoint
}

func (w *writer) run() {
	var group []*pending
	for {
		select {
		case p := <-w.j.queue:
			// Whoever is about to record something too comes first: the write is
			// what costs, and a group shares it. When nobody is, this costs nothing.
			runtime.Gosched()
			group = w.collect(append(group[:0], p))
			w.commit(group)
			clear(group)
		case <-w.timer.C:
			w.armed = false
			w.settle()
		case <-w.flusher.poke:
			w.arm()
		case <-w.j.closing:
			w.finish()
			return
		}
	}
}

// collect adds to group what is queued already.
func (w *writer) collect(group []*pending) []*pending {
	size := len(group[0].fields)
	for len(group) < groupRecords && size < groupBytes {
		select {
		case p := <-w.j.queue:
			group = append(group, p)
			size += len(p.fields)
		default:
			return group
		}
	}
	return group
}

// commit writes group with one write, preceded by a checkpoint when one is
// due, and answers everyone in it who need not wait for the disk.
func (w *writer) commit(group []*pending) {
	defer w.arm()
	now := w.j.options.Now()
	if err := w.ready(now); err != nil {
		w.refuse(group, err, now)
		return
	}
	w.buf, w.lines = w.buf[:0], w.lines[:0]
	at := w.last
	if w.checkpointDue(now) {
		at = w.layCheckpoint(w.dueCheckpoint(now), at)
	}
	for _, p := range group {
		at = w.lay(p, at)
	}
	if len(w.lines) == 0 {
		return
	}
	whole, torn, err := w.write()
	w.take(w.lines[:whole], now)
	if err == nil {
		w.well()
		return
	}
	if torn {
		w.gaps = append(w.gaps, Gap{Kind: TornSegment, File: w.segment.name, Offset: w.segment.size})
		w.leave()
	}
	group = group[:0]
	for _, l := range w.lines[whole:] {
		if l.p != nil {
			group = append(group, l.p)
		}
	}
	w.refuse(group, err, now)
}

// lay adds p's record to the group that is being written, after the point at.
func (w *writer) lay(p *pending, at point) point {
	start := len(w.buf)
	w.buf = append(w.buf, seqKey...)
	w.buf = strconv.AppendUint(w.buf, at.seq+1, 10)
	w.buf = append(w.buf, p.fields...)
	w.buf = appendSeal(w.buf, at.hash)
	w.buf = append(w.buf, '}')
	return w.endLine(start, at.seq+1, p)
}

func (w *writer) layCheckpoint(c checkpoint, at point) point {
	start := len(w.buf)
	w.buf = appendCheckpoint(w.buf, c, at.seq+1, at.hash, w.j.options.Key)
	return w.endLine(start, at.seq+1, nil)
}

func (w *writer) endLine(start int, seq uint64, p *pending) point {
	at := point{seq, sha256.Sum256(w.buf[start:])}
	w.buf = append(w.buf, '\n')
	w.lines = append(w.lines, line{end: len(w.buf), point: at, p: p})
	return at
}

// write appends buf to the segment and returns how many of its lines are in the
// file. After an error the file ends at the last of these; torn says that it
// could not be made to.
func (w *writer) write() (whole int, torn bool, err error) {
	s := w.segment
	n, err := s.file.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = errors.New("short write")
	}
	for whole < len(w.lines) && w.lines[whole].end <= n {
		whole++
	}
	if whole > 0 {
		s.size += int64(w.lines[whole-1].end)
	}
	if err == nil {
		return whole, false, nil
	}
	return whole, s.file.Truncate(s.size) != nil, fmt.Errorf("write %s: %w", s.name, err)
}

// take takes lines, which are in the file, into the journal's state and answers
// their callers, or hands them to the flusher.
func (w *writer) take(lines []line, now time.Time) {
	if len(lines) == 0 {
		return
	}
	var durable []*pending
	for _, l := range lines {
		switch {
		case l.p == nil:
			w.told(now)
			continue
		case l.p.durable:
			durable = append(durable, l.p)
		default:
			l.p.done <- nil
		}
		w.records++
	}
	w.last = lines[len(lines)-1].point
	if w.writtenAt.IsZero() {
		w.writtenAt = time.Now()
	}
	if len(durable) > 0 {
		w.ask(durable, nil)
	}
}

// ask sends the segment's present end to the flusher.
func (w *writer) ask(waiting []*pending, barrier chan error) {
	w.writtenAt = time.Time{}
	w.flusher.jobs <- flush{w.segment, mark{w.last.seq, w.segment.size}, waiting, barrier}
}

// refuse answers group with err.
func (w *writer) refuse(group []*pending, err error, now time.Time) {
	w.j.failed(err)
	if w.lost == 0 && len(group) > 0 {
		w.lostSince = now
	}
	w.lost += len(group)
	for _, p := range group {
		p.done <- err
	}
}
