// Package keys holds the gateway's root key, from which every other key is
// derived, one for each purpose, and the turns that keys take.
package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const size = 32 // bytes of root key

// A Root is the one secret of a gateway. It prints as [secret].
type Root struct{ key []byte }

// String keeps the key out of logs.
func (Root) String() string { return "[secret]" }

// GoString keeps the key out of logs.
func (Root) GoString() string { return "[secret]" }

// Open reads the root key at <dir>/root, or makes it (0600) when there is
// none. A file of the wrong size, or that others may read, is an error: it is
// never replaced, since every session and record depends on it.
func Open(dir string) (Root, error) {
	path := filepath.Join(dir, "root")
	root, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return create(dir, path)
	}
	return root, err
}

// read returns the root key in a file, or an error, which is [fs.ErrNotExist]
// when there is no such file.
func read(path string) (Root, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return Root{}, fmt.Errorf("read root key: %w", err)
	}
	if len(key) != size {
		return Root{}, fmt.Errorf("root key %s has %d bytes, not %d: restore it from backup, or remove it to end every session", path, len(key), size)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Root{}, fmt.Errorf("read root key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Root{}, fmt.Errorf("root key %s may be read by others (mode %04o): run chmod 600 on it", path, mode)
	}
	return Root{key}, nil
}

// create writes a new key beside its place and links it there, so that a crash
// leaves a whole key or none.
func create(dir, path string) (Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Root{}, fmt.Errorf("make root key: %w", err)
	}
	key := make([]byte, size)
	rand.Read(key)
	f, err := os.CreateTemp(dir, "root-*")
	if err != nil {
		return Root{}, fmt.Errorf("make root key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(key)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Link(f.Name(), path) // unlike a rename, it replaces nothing
	}
	if err != nil {
		return Root{}, fmt.Errorf("make root key: %w", err)
	}
	return Root{key}, nil
}

// ID names the key and gives nothing of it away.
func (r Root) ID() string { return hex.EncodeToString(r.Derive("root id", 8)) }

// Derive returns n bytes of key for purpose (HKDF-SHA-256, RFC 5869). The same
// purpose always gives the same key; different purposes give unrelated ones.
// The zero Root panics: what it derived, everybody could.
func (r Root) Derive(purpose string, n int) []byte {
	if len(r.key) != size {
		panic("keys: derive " + purpose + " from no root key")
	}
	key, err := hkdf.Key(sha256.New, r.key, nil, "anteroom "+purpose, n)
	if err != nil {
		panic("keys: derive " + purpose + ": " + err.Error()) // only for more than 8160 bytes
	}
	return key
}

// DeriveECDSA returns the P-256 signing key for purpose.
func (r Root) DeriveECDSA(purpose string) *ecdsa.PrivateKey {
	for i := 0; ; i++ { // a candidate is out of range once in 2^32
		seed := r.Derive(fmt.Sprintf("%s p-256 %d", purpose, i), size)
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed); err == nil {
			return key
		}
	}
}
