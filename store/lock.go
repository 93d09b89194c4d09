package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// LockDir holds dir, made when absent, until release is called or the process
// ends, however it ends. It returns [ErrLocked] when dir is held already, also
// by this process.
func LockDir(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf("directory %s is %w", dir, ErrLocked)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock directory %s: %w", dir, err)
	}
	// The file stays: were it removed, two gateways could hold two files of one name.
	return func() { f.Close() }, nil
}
