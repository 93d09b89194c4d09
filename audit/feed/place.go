package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/anteroom/anteroom/audit"
)

// load returns the place that path keeps; ok is false when there is none yet.
// A file that cannot be read as one is an error: to begin anew would send
// nothing of what is between.
func load(path string) (at audit.Place, ok bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Place{}, false, nil
	}
	if err != nil {
		return audit.Place{}, false, fmt.Errorf("read place of feed: %w", err)
	}
	if err := json.Unmarshal(text, &at); err != nil {
		return audit.Place{}, false, fmt.Errorf("read place of feed in %s: %w; remove the file to begin anew", path, err)
	}
	return at, true, nil
}

// store replaces what path keeps, so that a crash leaves the one or the other.
func store(path string, at audit.Place) error {
	text, err := json.Marshal(at)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = next.Write(append(text, '\n'))
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
