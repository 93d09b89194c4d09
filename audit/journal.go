// Package audit writes, proves and searches the audit trail.
package audit

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
)

// ErrNotRecorded means that an event is not in the journal, or that the disk
// did not confirm it. What depends on the record must not happen.
var ErrNotRecorded = errors.New("audit: not recorded")

// ErrClosed means that the journal was closed. It comes with [ErrNotRecorded].
var ErrClosed = errors.New("the journal is closed")

// Options say where and how a journal is kept.
type Options struct {
	Dir string             // made (0700) when it does not exist; one Journal at a time
	Key ed25519.PrivateKey // signs checkpoints and the head; required
	Now func() time.Time   // nil: time.Now
	Log *slog.Logger       // nil: none

	CheckpointEvery int           // records from one checkpoint to the next; 0: 10,000
	CheckpointAfter time.Duration // age of a checkpoint at which the next record brings another; 0: an hour
	Retain          time.Duration // age at which a whole segment is deleted; 0: never
	Needed          func() string // name of the oldest segment that somebody has still to read, which is kept; nil, or "": none

	open func(path string, flag int) (file, error)
}

// A Journal is the audit trail that is being written. It is safe for
// concurrent use.
type Journal struct {
	options Options
	queue   chan *pending
	pool    sync.Pool
	closing chan struct{} // closed to stop
	stopped chan struct{} // closed when the writer has ended
	close   func() error
	indexer *indexer
	fault   atomic.Pointer[error]
}

// A pending is a record on its way to the disk.
type pending struct {
	fields  []byte // what stands between seq and prev
	durable bool
	done    chan error
}

// queued bounds the records that wait for the writer; more wait in their callers.
const queued = 1024

// Open opens the journal in o.Dir, or makes one, and goes on where it ended. An
// unfinished end that a crash left is set aside in a file of its own, and every
// gap that shows is told in a signed checkpoint. A disk that cannot be written
// is no error here: [Journal.Healthy] and [Journal.Record] say so until it can.
func Open(o Options) (*Journal, error) {
	if len(o.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("open journal: no signing key given")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CheckpointEvery <= 0 {
		o.CheckpointEvery = 10_000
	}
	if o.CheckpointAfter <= 0 {
		o.CheckpointAfter = time.Hour
	}
	if o.open == nil {
		o.open = openFile
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	public := base64.StdEncoding.EncodeToString(o.Key.Public().(ed25519.PublicKey))
	t, err := findTail(o.Dir, public)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	for _, g := range t.gaps {
		o.Log.Warn("the audit journal has a gap", "kind", g.Kind, "what", g.String())
	}
	j := &Journal{
		options: o,
		queue:   make(chan *pending, queued),
		pool:    sync.Pool{New: func() any { return &pending{done: make(chan error, 1)} }},
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	j.indexer = newIndexer(o.Dir, o.Log)
	w, err := newWriter(j, t)
	if err != nil {
		j.indexer.end()
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j.close = sync.OnceValue(func() error {
		close(j.closing)
		<-j.stopped
		j.indexer.end()
		return w.closed
	})
	j.indexer.closed() // an earlier run may have left some without
	go w.run()
	return j, nil
}

// Record writes e and returns once the operating system has it, so that it
// survives the end of this process; when durable, once the disk has confirmed
// it, so that it survives a power failure. Any error wraps [ErrNotRecorded].
// When ctx ends first the record may still be written. Checkpoints are the
// journal's own and cannot be recorded.
func (j *Journal) Record(ctx context.Context, e *access.Event, durable bool) error {
	if e.Kind == access.EventCheckpoint {
		return fmt.Errorf("%w: checkpoints are the journal's own", ErrNotRecorded)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	p := j.pool.Get().(*pending)
	p.fields = appendEvent(p.fields[:0], e, j.options.Now())
	p.durable = durable
	if len(p.fields) > maxLine-256 { // room for seq and prev
		j.pool.Put(p)
		return fmt.Errorf("%w: a record of %d bytes is too long", ErrNotRecorded, len(p.fields))
	}
	select {
	case j.queue <- p:
	case <-ctx.Done():
		j.pool.Put(p)
		return fmt.Errorf("%w: %w", ErrNotRecorded, ctx.Err())
	case <-j.stopped:
		return fmt.Errorf("%w: %w", ErrNotRecorded, ErrClosed)
	}
	var err error
	select {
	case err = <-p.done:
	case <-ctx.Done(): // p stays with the writer
		return fmt.Errorf("%w in time: %w", ErrNotRecorded, ctx.Err())
	case <-j.stopped:
		select { // the writer's last act may have been this record
		case err = <-p.done:
		default:
			return fmt.Errorf("%w: %w", ErrNotRecorded, ErrClosed)
		}
	}
	j.pool.Put(p)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	return nil
}

// Healthy returns nil while records can be written, and else why not. It
// recovers by itself when the disk does.
func (j *Journal) Healthy() error {
	select {
	case <-j.closing:
		return ErrClosed
	default:
	}
	if err := j.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// Close writes what is queued, flushes it to disk and signs the end as clean.
// It returns what kept it from doing so. Closing again returns the same.
func (j *Journal) Close() error { return j.close() }

// failed notes err as the journal's state, and logs when it is new.
func (j *Journal) failed(err error) {
	if j.fault.Swap(&err) == nil {
		j.options.Log.Error("audit records cannot be written", "err", err)
	}
}

func (j *Journal) recovered() {
	if j.fault.Swap(nil) != nil {
		j.options.Log.Info("audit records are written again")
	}
}
