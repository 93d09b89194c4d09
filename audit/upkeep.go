package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
)

// newWriter goes on from t, and starts the flusher.
func newWriter(j *Journal, t tail) (*writer, error) {
	o := j.options
	head, err := openHead(o.Dir, o.Key, t.head)
	if err != nil {
		return nil, err
	}
	w := &writer{j: j, flusher: newFlusher(), head: head, last: t.last, gaps: t.gaps, reopened: true, timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	w.resume(t)
	if !t.missing() {
		// The head says that the journal is open before a line follows, so that
		// no line can follow an end that was signed as clean without showing.
		// Otherwise it stays as found until its gaps are told.
		h := t.head
		if h.Head == 0 {
			h = w.statement(o.Now())
		}
		h.Time, h.Closed = o.Now().UTC(), false
		if err := errors.Join(w.head.settle(h), syncDir(o.Dir)); err != nil {
			return nil, errors.Join(err, w.head.file.Close())
		}
	}
	go w.flusher.run(j.failed)
	w.commit(nil)
	return w, nil
}

// resume opens the segment that t ends in. When that fails, a new one begins.
func (w *writer) resume(t tail) {
	if t.segment == (segmentName{}) {
		return
	}
	name := t.segment.String()
	f, err := w.j.options.open(filepath.Join(w.j.options.Dir, name), 0)
	if err != nil {
		w.j.failed(fmt.Errorf("open segment: %w", err))
		return
	}
	s := &segment{name: name, ends: dayAfter(t.segment.day), file: f, size: t.size}
	if err := s.flush(mark{t.there, t.size}); err != nil {
		w.j.failed(err)
		w.gaps = append(w.gaps, Gap{Kind: FlushFailed, File: name, From: t.head.Synced + 1, To: t.last.seq})
		f.Close()
		return
	}
	w.segment = s
}

// ready makes sure of a segment of today that can be written.
func (w *writer) ready(now time.Time) error {
	if s := w.segment; s != nil {
		if _, err := s.state(); err == nil && now.Before(s.ends) {
			return nil
		}
		w.leave()
	}
	return w.begin(now)
}

// leave flushes and closes the segment.
func (w *writer) leave() {
	s := w.segment
	flushed := make(chan error, 1)
	w.ask(nil, flushed)
	if err := <-flushed; err != nil {
		done, _ := s.state()
		w.gaps = append(w.gaps, Gap{Kind: FlushFailed, File: s.name, From: done.seq + 1, To: w.last.seq})
	}
	s.file.Close() // what was written is flushed, or told as a gap
	w.segment = nil
}

// begin makes a new segment, on disk with its checkpoint before anything follows.
func (w *writer) begin(now time.Time) error {
	o := w.j.options
	all, err := segments(o.Dir)
	if err != nil {
		return err
	}
	all = w.retain(all, now)
	name := next(all, now.UTC().Format(time.DateOnly))
	path := filepath.Join(o.Dir, name.String())
	f, err := o.open(path, os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("begin segment: %w", err)
	}
	w.buf, w.lines = w.buf[:0], w.lines[:0]
	c := w.dueCheckpoint(now)
	c.begins = name.String()
	at := w.layCheckpoint(c, w.last)
	s := &segment{name: name.String(), ends: dayAfter(name.day), file: f, size: int64(len(w.buf))}
	n, err := f.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = errors.New("short write")
	}
	if err == nil {
		err = s.flush(mark{at.seq, s.size})
	}
	if err == nil {
		err = syncDir(o.Dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin segment %s: %w", s.name, err), f.Close(), os.Remove(path))
	}
	w.segment, w.last = s, at
	w.told(now)
	w.well()
	w.j.indexer.closed() // the one before
	return nil
}

// retain deletes whole segments that are older than they must be kept, and
// returns those that are left.
func (w *writer) retain(all []segmentName, now time.Time) []segmentName {
	o := w.j.options
	if o.Retain <= 0 {
		return all
	}
	needed, waits := segmentName{}, false
	if o.Needed != nil {
		needed, waits = parseSegmentName(o.Needed())
	}
	deleted := 0
	for len(all) > 0 {
		day, err := time.Parse(time.DateOnly, all[0].day)
		if err != nil || now.Sub(day.AddDate(0, 0, 1)) <= o.Retain {
			break
		}
		name := all[0].String()
		if waits && !before(all[0], needed) {
			o.Log.Error("an audit segment is older than it must be kept, but a feed has not sent it: it stays", "segment", name)
			break
		}
		if Held(o.Dir) {
			o.Log.Warn("an audit segment is older than it must be kept, but the trail is on hold: it stays", "segment", name)
			break
		}
		aside, _ := filepath.Glob(filepath.Join(o.Dir, name+".torn-*"))
		// The index last: the indexer looks for the segment once it has made one.
		for _, path := range append(aside, filepath.Join(o.Dir, name), filepath.Join(o.Dir, name+indexExt)) {
			if err := os.Remove(path); err != nil && !(errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(path, indexExt)) {
				o.Log.Warn("an old audit segment was not deleted", "err", err)
				return all
			}
		}
		deleted++
		w.detail = fmt.Sprintf("retention: %d segments deleted, up to %s", deleted, name)
		all = all[1:]
	}
	return all
}

func (w *writer) checkpointDue(now time.Time) bool {
	return w.reopened || w.lost > 0 || len(w.gaps) > 0 ||
		w.records >= w.j.options.CheckpointEvery ||
		w.records > 0 && now.Sub(w.checkpointAt) >= w.j.options.CheckpointAfter
}

// dueCheckpoint says all that the journal has to tell of itself.
func (w *writer) dueCheckpoint(now time.Time) checkpoint {
	c := checkpoint{at: now, reason: reasonPeriodic, detail: w.detail, gaps: w.gaps}
	switch {
	case w.segment == nil:
		c.reason = reasonSegment
	case w.reopened:
		c.reason = reasonOpened
	}
	if w.lost > 0 {
		c.gaps = append(c.gaps[:len(c.gaps):len(c.gaps)], Gap{Kind: NotWritten, Records: w.lost, Since: w.lostSince.UTC()})
	}
	for i, g := range c.gaps { // the first, or the first that is grave, names the record
		if i == 0 || g.Kind.Grave() && !GapKind(c.reason).Grave() {
			c.reason = access.Reason(g.Kind)
		}
	}
	return c
}

// told notes that a checkpoint is in the file.
func (w *writer) told(now time.Time) {
	w.gaps, w.detail, w.lost, w.records, w.checkpointAt, w.reopened = nil, "", 0, 0, now, false
}

// well notes that the segment takes records.
func (w *writer) well() {
	if _, err := w.segment.state(); err == nil {
		w.j.recovered()
	}
}

// failing reports that there is something to make good.
func (w *writer) failing() bool {
	if w.segment == nil || w.reopened || w.lost > 0 || len(w.gaps) > 0 {
		return true
	}
	_, err := w.segment.state()
	return err != nil
}

// statement is what the head has to say at now.
func (w *writer) statement(now time.Time) head {
	h := head{Time: now.UTC(), Seq: w.last.seq, Hash: hex.EncodeToString(w.last.hash[:])}
	if w.segment != nil {
		flushed, _ := w.segment.state()
		h.File, h.Synced, h.Size = w.segment.name, flushed.seq, flushed.size
	} else { // what was flushed before stays so
		h.File, h.Synced, h.Size = w.head.last.File, w.head.last.Synced, w.head.last.Size
	}
	return h
}

// settle does what need not be done at once: it tries a failing disk again,
// brings records to the disk that nobody waits for, and signs the head.
func (w *writer) settle() {
	defer w.arm()
	if w.failing() {
		w.commit(nil)
	}
	if w.segment != nil && !w.writtenAt.IsZero() && time.Since(w.writtenAt) >= flushAfter {
		w.ask(nil, nil)
	}
	if w.stale() && len(w.gaps) == 0 { // what is not told yet stays provable
		w.sign()
	}
}

// sign writes the head.
func (w *writer) sign() {
	err := w.head.write(w.statement(w.j.options.Now()))
	if err != nil && !w.headFault {
		w.j.options.Log.Error("the head of the audit journal cannot be written", "err", err)
	}
	w.headFault = err != nil
}

// stale reports whether the head lags behind.
func (w *writer) stale() bool {
	return !w.head.says(w.statement(w.head.last.Time))
}

// arm sees to it that settle is called when there is work for it.
func (w *writer) arm() {
	if !w.armed && (w.failing() || !w.writtenAt.IsZero() || w.stale()) {
		w.armed = true
		w.timer.Reset(settleEvery)
	}
}

// finish writes what is queued and signs the end as clean.
func (w *writer) finish() {
	for len(w.j.queue) > 0 {
		w.commit(w.collect([]*pending{<-w.j.queue}))
	}
	w.closed = w.close()
	close(w.flusher.jobs)
	<-w.flusher.done
	w.timer.Stop()
	close(w.j.stopped)
}

func (w *writer) close() error {
	defer w.head.file.Close()
	now := w.j.options.Now()
	if err := w.ready(now); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	c := w.dueCheckpoint(now)
	if len(c.gaps) == 0 {
		c.reason = reasonClosed
	}
	w.buf, w.lines = w.buf[:0], w.lines[:0]
	w.layCheckpoint(c, w.last)
	whole, _, err := w.write()
	w.take(w.lines[:whole], now)
	s := w.segment
	w.leave()
	if _, ferr := s.state(); err == nil {
		err = ferr
	}
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	h := w.statement(now)
	h.File, h.Synced, h.Size, h.Closed = s.name, w.last.seq, s.size, true
	if err := w.head.settle(h); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
