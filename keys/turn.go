package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Names of files beside the root key.
const (
	nextFile     = "root.next"     // takes over at the next start
	previousFile = "root.previous" // what it made is still about
	storeFile    = "store"         // the key of what is stored, sealed under the root key
)

var (
	// ErrWaiting means that a new root key waits already for the next start.
	ErrWaiting = errors.New("a new root key waits for the next start already")
	// ErrNeeded means that the root key before this one is still needed, so that
	// there would be three.
	ErrNeeded = errors.New("the previous root key is still needed")
)

// Ask makes a root key that takes over at the next start of the gateway. It
// returns [ErrWaiting] or [ErrNeeded] when it is too soon.
func Ask(dir string) error {
	for name, err := range map[string]error{nextFile: ErrWaiting, previousFile: ErrNeeded} {
		if _, serr := os.Lstat(filepath.Join(dir, name)); serr == nil {
			return err
		} else if !errors.Is(serr, fs.ErrNotExist) {
			return fmt.Errorf("change the root key: %w", serr)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, storeFile)); err != nil {
		return fmt.Errorf("change the root key: the gateway has to have run once in this version: %w", err)
	}
	key := make([]byte, size)
	rand.Read(key)
	if err := replace(dir, nextFile, key); err != nil {
		return fmt.Errorf("change the root key: %w", err)
	}
	return nil
}

// Turn returns the root keys that are in force from this start on, the current
// one first; it is for who holds the data directory. A key that [Ask] made takes
// over, and the one before is kept until [Forget]. A crash in between leaves what
// the next start finishes.
func Turn(dir string) ([]Root, error) {
	current, err := Open(dir)
	if err != nil {
		return nil, err
	}
	switch _, err := read(filepath.Join(dir, nextFile)); {
	case errors.Is(err, fs.ErrNotExist):
		return All(dir)
	case err != nil:
		return nil, err
	}
	if err := replace(dir, previousFile, current.key); err != nil {
		return nil, fmt.Errorf("change the root key: %w", err)
	}
	if err := os.Rename(filepath.Join(dir, nextFile), filepath.Join(dir, "root")); err != nil {
		return nil, fmt.Errorf("change the root key: %w", err)
	}
	if err := flush(dir); err != nil {
		return nil, fmt.Errorf("change the root key: %w", err)
	}
	return All(dir)
}

// All returns the root keys in force without changing any, the current one first.
func All(dir string) ([]Root, error) {
	current, err := Open(dir)
	if err != nil {
		return nil, err
	}
	previous, err := read(filepath.Join(dir, previousFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Root{current}, nil
	case err != nil:
		return nil, err
	}
	return []Root{current, previous}, nil
}

// Forget deletes the previous root key when it has been so for as long as keep,
// and reports whether it did. It looks first that the key of the store no longer
// rests on it: a change may have been cut short long ago.
func Forget(dir string, now time.Time, keep time.Duration) (bool, error) {
	since := PreviousSince(dir)
	if since.IsZero() || now.Sub(since) < keep {
		return false, nil
	}
	roots, err := All(dir)
	if err == nil {
		_, err = OpenStore(dir, roots)
	}
	if err == nil {
		err = os.Remove(filepath.Join(dir, previousFile))
	}
	if err != nil {
		return false, fmt.Errorf("forget the previous root key: %w", err)
	}
	return true, nil
}

// Waiting reports whether a new root key waits for the next start.
func Waiting(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, nextFile))
	return err == nil
}

// PreviousSince returns since when there is a previous root key; the zero time
// when there is none.
func PreviousSince(dir string) time.Time {
	info, err := os.Stat(filepath.Join(dir, previousFile))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// sealing is what the key of the store is sealed for.
const sealing = "anteroom key of the store"

// OpenStore returns the key of what is stored. It is a key of its own, sealed
// under the root key, so that a new root key has nothing written anew but this.
// Where there is none it is the one that earlier versions derived, from the
// first of roots. It is an error when no root opens it.
func OpenStore(dir string, roots []Root) ([]byte, error) {
	sealed, err := os.ReadFile(filepath.Join(dir, storeFile))
	if errors.Is(err, fs.ErrNotExist) {
		key := roots[0].Derive("store", size)
		return key, sealStore(dir, roots[0], key)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of the store: %w", err)
	}
	for i, r := range roots {
		key, err := sealer(r).Open(nil, nil, sealed, []byte(sealing))
		if err != nil || len(key) != size {
			continue
		}
		if i > 0 {
			return key, sealStore(dir, roots[0], key)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%s is sealed under another root key: restore that, or move it and the store away to begin with an empty one", filepath.Join(dir, storeFile))
}

func sealStore(dir string, root Root, key []byte) error {
	if err := replace(dir, storeFile, sealer(root).Seal(nil, nil, key, []byte(sealing))); err != nil {
		return fmt.Errorf("seal the key of the store: %w", err)
	}
	return nil
}

func sealer(r Root) cipher.AEAD {
	block, err := aes.NewCipher(r.Derive("key of the store", size))
	if err == nil {
		var a cipher.AEAD
		if a, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return a
		}
	}
	panic("keys: " + err.Error()) // only for keys of another length
}
