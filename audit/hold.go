package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// holdName is a file beside the segments. While it is there none is deleted.
const holdName = "hold"

// Held reports whether the journal in dir is on hold: no segment is deleted,
// however old, as when a court or an inquiry may want them. What cannot be
// looked at counts as held.
func Held(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, holdName))
	return !errors.Is(err, fs.ErrNotExist)
}

// Hold puts the journal in dir on hold. why is kept for people; the first one
// stays. It returns what is kept.
func Hold(dir, why string) (string, error) {
	path := filepath.Join(dir, holdName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		text, err := os.ReadFile(path)
		return string(text), err
	}
	if err != nil {
		return "", fmt.Errorf("hold the trail: %w", err)
	}
	_, err = f.WriteString(why + "\n")
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(dir)); err != nil {
		return "", fmt.Errorf("hold the trail: %w", err)
	}
	return why + "\n", nil
}

// Release ends the hold of the journal in dir, if there is one.
func Release(dir string) error {
	err := os.Remove(filepath.Join(dir, holdName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release the trail: %w", err)
	}
	return nil
}
