package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Index makes the index of every segment in dir that is no longer written and
// has none that fits. It returns how many it made. The last segment is left:
// [Search] reads the whole of it.
func Index(ctx context.Context, dir string) (made int, err error) {
	return indexAll(ctx, dir, func(time.Duration) {}, func(string, error) {})
}

// indexAll is [Index]. It calls pause with the time that each block took, and
// trouble for a segment that cannot be indexed, which keeps no other from it.
func indexAll(ctx context.Context, dir string, pause func(time.Duration), trouble func(name string, err error)) (made int, err error) {
	all, err := segments(dir)
	if err != nil {
		return 0, err
	}
	var first error
	for _, name := range all[:max(0, len(all)-1)] {
		path := filepath.Join(dir, name.String())
		done, err := indexOne(ctx, path, pause)
		switch {
		case ctx.Err() != nil:
			return made, ctx.Err()
		case errors.Is(err, os.ErrNotExist): // deleted by retention meanwhile
		case err != nil:
			err = fmt.Errorf("index %s: %w", name, err)
			trouble(name.String(), err)
			first = errors.Join(first, err)
		case done:
			made++
		}
	}
	return made, first
}

// indexOne makes the index of one segment, unless it has one that fits.
func indexOne(ctx context.Context, path string, pause func(time.Duration)) (made bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, old, err := openIndex(path, f); err == nil {
		return false, old.Close()
	}
	fresh := path + indexExt + ".new" // of one that was not finished nothing is kept
	out, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, err
	}
	err = errors.Join(writeIndex(ctx, out, f, pause), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(fresh, path+indexExt)
	}
	if err != nil {
		os.Remove(fresh)
		return false, err
	}
	// Retention removes the segment and then its index. If this one came later
	// than that, it goes here.
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, os.Remove(path + indexExt)
	}
	return true, nil
}

// writeIndex writes the index of segment f to out. Its header comes last.
func writeIndex(ctx context.Context, out *os.File, f *os.File, pause func(time.Duration)) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := endOf(f, info.Size())
	if err != nil {
		return err
	}
	if _, err := out.Write(make([]byte, indexHead)); err != nil {
		return err
	}
	var gathered part
	parts, failed := 0, error(nil)
	flush := func(end int64) {
		if failed == nil && len(gathered.offsets) > 0 {
			_, failed = out.Write(gathered.encode(end))
			parts++
		}
		gathered.offsets, gathered.entries = gathered.offsets[:0], gathered.entries[:0]
	}
	began := time.Now()
	end, err := inBlocks(newReading(), f, func(b block) []chunk { return chunksOf(b, p.hash) }, func(_ block, chunks []chunk) bool {
		for _, c := range chunks {
			if len(gathered.offsets) == partBlocks {
				flush(c.at)
			}
			gathered.add(c)
		}
		pause(time.Since(began))
		began = time.Now()
		return failed == nil && ctx.Err() == nil
	})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case failed != nil:
		return failed
	case end != p.end:
		return errors.New("a line is longer than any record")
	}
	if flush(end); failed != nil {
		return failed
	}
	_, err = out.WriteAt(p.encode(parts), 0)
	return err
}

// An indexer makes indexes beside the writer, whom it never keeps waiting.
type indexer struct {
	dir  string
	log  *slog.Logger
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
	told map[string]bool
}

func newIndexer(dir string, log *slog.Logger) *indexer {
	ctx, stop := context.WithCancel(context.Background())
	x := &indexer{dir: dir, log: log, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{}), told: map[string]bool{}}
	go x.run(ctx)
	return x
}

// closed says that a segment is no longer written.
func (x *indexer) closed() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *indexer) end() {
	x.stop()
	<-x.done
}

func (x *indexer) run(ctx context.Context) {
	defer close(x.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.wake:
		}
		x.sweep()
		// It rests for as long as it works: requests come first.
		rest := func(worked time.Duration) {
			select {
			case <-ctx.Done():
			case <-time.After(worked):
			}
		}
		_, err := indexAll(ctx, x.dir, rest, func(name string, err error) {
			if !x.told[name] {
				x.told[name] = true
				x.log.Warn("an audit segment has no index: searches read all of it", "err", err)
			}
		})
		if err == nil {
			clear(x.told)
		}
	}
}

// sweep removes indexes whose segment is gone, and unfinished ones.
func (x *indexer) sweep() {
	for _, ext := range []string{indexExt, indexExt + ".new"} {
		found, _ := filepath.Glob(filepath.Join(x.dir, "*"+segmentExt+ext))
		for _, path := range found {
			_, err := os.Lstat(strings.TrimSuffix(path, ext))
			if ext != indexExt || errors.Is(err, fs.ErrNotExist) {
				os.Remove(path)
			}
		}
	}
}
