package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// An Entry is what a bucket keeps, or kept, under a key.
type Entry struct {
	Key   string
	Value []byte // nil when Gone
	Rev   uint64 // of the value, or of its removal
	Gone  bool   // removed, or its time ran out
}

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// Watch calls fn with every entry of the bucket and returns; from then on it
// calls fn with every change, in order and never twice at once, until ctx ends
// or the store closes. After a broken connection it begins again with every
// entry, so fn must take an entry it has seen.
func (b *Bucket) Watch(ctx context.Context, fn func(Entry)) error {
	w, err := b.snapshot(ctx, fn)
	if err != nil {
		return fmt.Errorf("watch %s: %w", b.name, err)
	}
	go b.follow(ctx, w, fn)
	return nil
}

// snapshot opens a watch and hands on what it tells up to the mark that ends the present.
func (b *Bucket) snapshot(ctx context.Context, fn func(Entry)) (jetstream.KeyWatcher, error) {
	w, err := b.kv.WatchAll(ctx)
	if err != nil {
		return nil, err
	}
	for {
		select {
		case <-ctx.Done():
			w.Stop()
			return nil, ctx.Err()
		case e, open := <-w.Updates():
			if !open {
				return nil, errors.New("connection lost")
			}
			if e == nil {
				return w, nil
			}
			tell(fn, e)
		}
	}
}

func (b *Bucket) follow(ctx context.Context, w jetstream.KeyWatcher, fn func(Entry)) {
	for {
		b.changes(ctx, w, fn)
		w.Stop()
		for pause := firstPause; ; pause = min(2*pause, maxPause) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			if b.js.Conn().IsClosed() {
				return
			}
			var err error
			if w, err = b.snapshot(ctx, fn); err == nil {
				break
			}
			b.log.Warn("watch again", "bucket", b.name, "err", err)
		}
	}
}

func (b *Bucket) changes(ctx context.Context, w jetstream.KeyWatcher, fn func(Entry)) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-w.Updates():
			if !open {
				return
			}
			if e != nil {
				tell(fn, e)
			}
		}
	}
}

func tell(fn func(Entry), e jetstream.KeyValueEntry) {
	key, ok := decode(e.Key())
	if !ok {
		return
	}
	if e.Operation() != jetstream.KeyValuePut {
		fn(Entry{Key: key, Rev: e.Revision(), Gone: true})
		return
	}
	fn(Entry{Key: key, Value: e.Value(), Rev: e.Revision()})
}
