// Package certs is certmagic's storage on a bucket of the store.
package certs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/anteroom/anteroom/store"
)

// Storage keeps certificates, their private keys and the account at their
// authority; certmagic asks for it. It is safe for concurrent use, also by
// several gateways on one store.
type Storage struct {
	in     *store.Bucket
	leases leases
}

var (
	_ certmagic.Storage          = (*Storage)(nil)
	_ certmagic.TryLocker        = (*Storage)(nil)
	_ certmagic.LockLeaseRenewer = (*Storage)(nil)
)

// New returns the storage on b, which holds nothing else.
func New(b *store.Bucket) *Storage { return &Storage{in: b} }

// Values and locks have a name space each, so that no key is a lock.
const (
	values = "value/"
	locks  = "lock/"
)

const maxTurns = 16 // tries of a write whose outcome others keep changing

// stamped puts the time of writing before value, as the engine would need one
// more question to tell it.
func stamped(value []byte, now time.Time) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())), value...)
}

func unstamped(kept []byte) (value []byte, at time.Time, err error) {
	if len(kept) < 8 {
		return nil, time.Time{}, errors.New("the value has no time of writing")
	}
	return kept[8:], time.Unix(0, int64(binary.BigEndian.Uint64(kept))), nil
}

// clean returns key without slashes at its ends, as certmagic joins keys.
func clean(key string) string { return strings.Trim(path.Clean("/"+key), "/") }

// Store keeps value under key, in the place of what was there.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	at, kept := values+clean(key), stamped(value, time.Now())
	for range maxTurns {
		_, rev, err := s.in.Get(ctx, at)
		switch {
		case errors.Is(err, store.ErrNotFound):
			_, err = s.in.Create(ctx, at, kept, 0)
		case err == nil:
			_, err = s.in.Update(ctx, at, kept, rev, 0)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("keep %s: %w", key, err)
		}
	}
	return fmt.Errorf("keep %s: %w", key, store.ErrConflict)
}

// Load returns the value under key, or [fs.ErrNotExist].
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	value, _, err := s.load(ctx, key)
	return value, err
}

func (s *Storage) load(ctx context.Context, key string) ([]byte, time.Time, error) {
	kept, _, err := s.in.Get(ctx, values+clean(key))
	if errors.Is(err, store.ErrNotFound) {
		err = fs.ErrNotExist // else certmagic never issues anything
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("load %s: %w", key, err)
	}
	value, at, err := unstamped(kept)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("load %s: %w", key, err)
	}
	return value, at, nil
}

// Delete removes key, and all below it. That there is none is no error.
func (s *Storage) Delete(ctx context.Context, key string) error {
	all, err := s.below(ctx, key)
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	for _, k := range append(all, clean(key)) {
		if err := s.in.Delete(ctx, values+k); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}

// Exists reports whether there is a value under key, or one below it. It
// reports no when the store cannot tell.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// below returns the keys of all values below the directory key, sorted.
func (s *Storage) below(ctx context.Context, key string) ([]string, error) {
	all, err := s.in.Keys(ctx)
	if err != nil {
		return nil, err
	}
	under := ""
	if dir := clean(key); dir != "" {
		under = dir + "/"
	}
	var found []string
	for _, k := range all {
		if k, ok := strings.CutPrefix(k, values); ok && strings.HasPrefix(k, under) {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	return found, nil
}

// List returns what is directly below the directory dir; recursive, everything
// below it, directories among it. It returns [fs.ErrNotExist] when there is nothing.
func (s *Storage) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	all, err := s.below(ctx, dir)
	if err == nil && len(all) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	root, seen := clean(dir), make(map[string]bool)
	for _, k := range all {
		for ; k != root && k != "." && !seen[k]; k = path.Dir(k) {
			if recursive || strings.TrimPrefix(path.Dir("/"+k), "/") == root {
				seen[k] = true
			}
		}
	}
	var out []string
	for k := range seen {
		out = append(out, k)
	}
	slices.Sort(out)
	return out, nil
}

// Stat says what is under key, or [fs.ErrNotExist].
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, at, err := s.load(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: at, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	all, err := s.below(ctx, key)
	if err == nil && len(all) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return certmagic.KeyInfo{}, fmt.Errorf("look at %s: %w", key, err)
	}
	return certmagic.KeyInfo{Key: key}, nil
}
