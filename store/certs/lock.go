package certs

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/anteroom/anteroom/store"
)

const (
	lease    = 2 * time.Minute        // of a lock whose holder died
	askEvery = 500 * time.Millisecond // whether a lock is free again
)

// leases are the locks that this process holds: by name, what it wrote there.
// Only who wrote a lock renews or releases it.
type leases struct {
	mu   sync.Mutex
	mine map[string][]byte
}

func (l *leases) put(name string, mark []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mine == nil {
		l.mine = make(map[string][]byte)
	}
	l.mine[name] = mark
}

func (l *leases) get(name string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mine[name]
}

func (l *leases) drop(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mine, name)
}

// Lock takes the lock name, once nobody else has it or ctx ends. It is free
// again two minutes after its holder was last heard of.
func (s *Storage) Lock(ctx context.Context, name string) error {
	for {
		if ok, err := s.TryLock(ctx, name); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for lock %s: %w", name, ctx.Err())
		case <-time.After(askEvery):
		}
	}
}

// TryLock takes the lock name when nobody has it, and reports whether it did.
func (s *Storage) TryLock(ctx context.Context, name string) (bool, error) {
	mark := []byte(rand.Text())
	_, err := s.in.Create(ctx, locks+name, mark, lease)
	switch {
	case errors.Is(err, store.ErrExists):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("take lock %s: %w", name, err)
	}
	s.leases.put(name, mark)
	return true, nil
}

// errLost means that the lock ran out, and maybe somebody else has it.
var errLost = errors.New("the lock is no longer held")

// held returns the revision of the lock name as this process wrote it.
func (s *Storage) held(ctx context.Context, name string) ([]byte, uint64, error) {
	mark := s.leases.get(name)
	have, rev, err := s.in.Get(ctx, locks+name)
	if errors.Is(err, store.ErrNotFound) || err == nil && (mark == nil || !bytes.Equal(have, mark)) {
		err = errLost
	}
	return mark, rev, err
}

// RenewLockLease keeps the lock name, which this process holds, for d more.
func (s *Storage) RenewLockLease(ctx context.Context, name string, d time.Duration) error {
	mark, rev, err := s.held(ctx, name)
	if err == nil {
		_, err = s.in.Update(ctx, locks+name, mark, rev, d)
	}
	if err != nil {
		return fmt.Errorf("renew lock %s: %w", name, err)
	}
	return nil
}

// Unlock lets the lock name go. That it ran out before is no error.
func (s *Storage) Unlock(ctx context.Context, name string) error {
	_, rev, err := s.held(ctx, name)
	if err == nil {
		err = s.in.Remove(ctx, locks+name, rev)
	}
	if err != nil && !errors.Is(err, errLost) && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("release lock %s: %w", name, err)
	}
	s.leases.drop(name)
	return nil
}
