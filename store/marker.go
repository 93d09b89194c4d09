package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A marker says how a store directory was written. The engine itself skips,
// with a warning, what it cannot decrypt, and removes files of another mode.
type marker struct {
	Mode string `json:"mode"` // standalone
	Key  string `json:"key"`  // what the key makes of a fixed text; gives nothing away
}

const standalone = "standalone"

// checkMarker compares the directory's marker with key, and writes one into a
// directory that has no values yet.
func checkMarker(dir string, key []byte) error {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("anteroom store marker"))
	want := marker{Mode: standalone, Key: hex.EncodeToString(mac.Sum(nil))}

	path := filepath.Join(dir, "marker.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "jetstream")); err == nil {
			return fmt.Errorf("%s is missing beside stored values: restore it, or remove the directory to end every session", path)
		}
		return writeMarker(dir, path, want)
	}
	if err != nil {
		return fmt.Errorf("read marker: %w", err)
	}
	var have marker
	if err := json.Unmarshal(text, &have); err != nil {
		return fmt.Errorf("read marker %s: %w", path, err)
	}
	if have.Mode != want.Mode {
		return fmt.Errorf("written in mode %q, not %q", have.Mode, want.Mode)
	}
	if !hmac.Equal([]byte(have.Key), []byte(want.Key)) {
		return fmt.Errorf("%w: restore the key from backup, or remove the directory to end every session", ErrWrongKey)
	}
	return nil
}

// writeMarker leaves a whole marker or none, and before any value.
func writeMarker(dir, path string, m marker) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write marker: %w", err)
	}
	f, err := os.CreateTemp(dir, "marker-*")
	if err != nil {
		return fmt.Errorf("write marker: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write marker: %w", err)
	}
	return nil
}
