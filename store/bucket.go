package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxValue is the size of the largest value that a [Bucket] keeps, in bytes.
const MaxValue = maxPayload - 4<<10

const (
	maxPayload = 1 << 20 // the engine's limit, which counts headers too
	maxKey     = 1 << 10
	markerTTL  = time.Minute // how long the engine remembers that a key was removed
	maxTurns   = 16          // tries of a compare-and-set whose outcome others keep changing
)

// A Bucket keeps values by key. Any string is a key. Each write gives the value
// a new revision. It is safe for concurrent use.
type Bucket struct {
	name   string
	js     jetstream.JetStream
	stream jetstream.Stream
	kv     jetstream.KeyValue
	log    *slog.Logger
}

// encode turns any string into a key that the engine takes; never an empty one.
func encode(key string) string { return "k" + base64.RawURLEncoding.EncodeToString([]byte(key)) }

func decode(key string) (string, bool) {
	if key == "" || key[0] != 'k' {
		return "", false
	}
	text, err := base64.RawURLEncoding.DecodeString(key[1:])
	return string(text), err == nil
}

func check(key string, value []byte) error {
	if len(key) > maxKey || len(value) > MaxValue {
		return ErrTooLarge
	}
	return nil
}

// wholeSeconds rounds ttl up to what the engine takes. Zero stays zero: for good.
func wholeSeconds(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return 0
	}
	return max(time.Second, (ttl + time.Second - 1).Truncate(time.Second))
}

// publish writes value when rev is the revision of key's last record; 0: none.
func (b *Bucket) publish(ctx context.Context, key string, value []byte, header nats.Header, rev uint64, ttl time.Duration) (uint64, error) {
	m := &nats.Msg{Subject: "$KV." + b.name + "." + encode(key), Data: value, Header: header}
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(rev)}
	if ttl = wholeSeconds(ttl); ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(ttl)) // KeyValue.Update would drop it (nats.go #1994)
	}
	ack, err := b.js.PublishMsg(ctx, m, opts...)
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch apiErr.ErrorCode {
		case 10071, 10164: // wrong last sequence: of one replica, of several
			return 0, ErrConflict
		}
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Create keeps value under key for ttl, rounded up to whole seconds; zero: for
// good. It returns the revision, or [ErrExists] or [ErrTooLarge].
func (b *Bucket) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	if err := check(key, value); err != nil {
		return 0, fmt.Errorf("create in %s: %w", b.name, err)
	}
	last := uint64(0)
	for range maxTurns {
		rev, err := b.publish(ctx, key, value, nil, last, ttl)
		if err == nil {
			return rev, nil
		}
		if !errors.Is(err, ErrConflict) {
			return 0, fmt.Errorf("create in %s: %w", b.name, err)
		}
		var kept bool
		last, kept, err = b.last(ctx, key)
		if err == nil && kept {
			err = ErrExists
		}
		if err != nil {
			return 0, fmt.Errorf("create in %s: %w", b.name, err)
		}
	}
	return 0, fmt.Errorf("create in %s: %w", b.name, ErrConflict)
}

// last returns the revision of key's last record, 0 when there is none, and
// whether it is a value. The engine leaves markers where values were.
func (b *Bucket) last(ctx context.Context, key string) (rev uint64, kept bool, err error) {
	m, err := b.stream.GetLastMsgForSubject(ctx, "$KV."+b.name+"."+encode(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return m.Sequence, m.Header.Get("KV-Operation") == "" && m.Header.Get(jetstream.MarkerReasonHeader) == "", nil
}

// Update keeps value under key for ttl (as [Bucket.Create] does) when rev is
// the revision kept now. It returns the new revision, or [ErrConflict], also
// when the key is gone, or [ErrTooLarge].
func (b *Bucket) Update(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	err := check(key, value)
	if err == nil && rev == 0 {
		err = ErrConflict // to the engine, 0 would mean a key that does not exist
	}
	if err == nil {
		rev, err = b.publish(ctx, key, value, nil, rev, ttl)
	}
	if err != nil {
		return 0, fmt.Errorf("update in %s: %w", b.name, err)
	}
	return rev, nil
}

// Get returns the value under key and its revision, or [ErrNotFound]. It
// always sees what was written before, by whomever.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if len(key) > maxKey {
		return nil, 0, fmt.Errorf("get from %s: %w", b.name, ErrNotFound)
	}
	entry, err := b.kv.Get(ctx, encode(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("get from %s: %w", b.name, err)
	}
	return entry.Value(), entry.Revision(), nil
}

// Take removes key and returns what was kept there. Of many callers at once
// exactly one gets the value; the others get [ErrNotFound]. After any other
// error the value may be gone, but nobody has it.
func (b *Bucket) Take(ctx context.Context, key string) ([]byte, error) {
	for range maxTurns {
		value, rev, err := b.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if err = b.remove(ctx, key, rev); err == nil {
			return value, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, fmt.Errorf("take from %s: %w", b.name, err)
		}
	}
	return nil, fmt.Errorf("take from %s: %w", b.name, ErrConflict)
}

// remove leaves a marker in place of revision rev; the engine forgets it after a minute.
func (b *Bucket) remove(ctx context.Context, key string, rev uint64) error {
	_, err := b.publish(ctx, key, nil, nats.Header{"KV-Operation": {"DEL"}}, rev, markerTTL)
	return err
}

// Remove removes key when rev is the revision kept now, else it returns [ErrConflict].
func (b *Bucket) Remove(ctx context.Context, key string, rev uint64) error {
	err := ErrConflict // to the engine, 0 would mean a key that does not exist
	if rev != 0 {
		err = b.remove(ctx, key, rev)
	}
	if err != nil {
		return fmt.Errorf("remove from %s: %w", b.name, err)
	}
	return nil
}

// Delete removes key. That it is not there is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.Take(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Keys returns every key, in no order.
func (b *Bucket) Keys(ctx context.Context) ([]string, error) {
	list, err := b.kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", b.name, err)
	}
	defer list.Stop()
	var keys []string
	for key := range list.Keys() {
		if text, ok := decode(key); ok {
			keys = append(keys, text)
		}
	}
	if err := ctx.Err(); err != nil { // a list that was cut short looks like a short list
		return nil, fmt.Errorf("list %s: %w", b.name, err)
	}
	return keys, nil
}
