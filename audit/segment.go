package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const segmentExt = ".ndjson"

// A file is what a segment is written through; tests put a failing disk here.
type file interface {
	Write([]byte) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// openFile opens a segment for appending.
func openFile(path string, flag int) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|flag, 0o600)
}

// A segment is the file that is being written.
type segment struct {
	name string
	ends time.Time // when the day that it is of is over, in UTC
	file file
	size int64 // bytes of whole lines

	mu      sync.Mutex
	flushed mark  // how far the disk has confirmed it
	err     error // of a flush; the file is not trusted again
}

// dayAfter returns when the day that a segment is named for is over. Of a name
// that is no day it has been over for long.
func dayAfter(day string) time.Time {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return time.Time{}
	}
	return t.AddDate(0, 0, 1)
}

// A mark is a place in a segment: the record that ends there, and the size.
type mark struct {
	seq  uint64
	size int64
}

func (s *segment) state() (mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushed, s.err
}

// flush brings the segment to the disk, at least up to m. After one failure it
// fails for good: the kernel may have dropped the pages that it could not
// write, and a second fsync would claim that all is well.
func (s *segment) flush(m mark) error {
	s.mu.Lock()
	err, done := s.err, s.flushed.seq >= m.seq
	s.mu.Unlock()
	if err != nil || done {
		return err
	}
	err = s.file.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = fmt.Errorf("flush %s: %w", s.name, err)
		return s.err
	}
	s.flushed = m
	return nil
}

// A segmentName is a segment's day and its number within the day, from 1.
type segmentName struct {
	day string
	n   int
}

func (s segmentName) String() string {
	if s.n == 1 {
		return s.day + segmentExt
	}
	return s.day + "-" + strconv.Itoa(s.n) + segmentExt
}

func parseSegmentName(name string) (segmentName, bool) {
	base, ok := strings.CutSuffix(name, segmentExt)
	if !ok || len(base) < len(time.DateOnly) {
		return segmentName{}, false
	}
	s := segmentName{day: base[:len(time.DateOnly)], n: 1}
	if _, err := time.Parse(time.DateOnly, s.day); err != nil {
		return segmentName{}, false
	}
	if rest := base[len(time.DateOnly):]; rest != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(rest, "-"))
		if err != nil || n < 2 {
			return segmentName{}, false
		}
		s.n = n
	}
	return s, s.String() == name // one spelling each
}

// SegmentBefore reports whether the segment called a was written before b.
func SegmentBefore(a, b string) bool {
	x, _ := parseSegmentName(a)
	y, _ := parseSegmentName(b)
	return before(x, y)
}

// segments returns the segments of dir, oldest first.
func segments(dir string) ([]segmentName, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var all []segmentName
	for _, e := range entries {
		if s, ok := parseSegmentName(e.Name()); ok && e.Type().IsRegular() {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b segmentName) int {
		return cmp.Or(strings.Compare(a.day, b.day), a.n-b.n)
	})
	return all, nil
}

// next returns the name of a new segment for day that sorts after all others.
// When the clock was set back, the journal stays in its newest day.
func next(all []segmentName, day string) segmentName {
	if len(all) == 0 || all[len(all)-1].day < day {
		return segmentName{day: day, n: 1}
	}
	last := all[len(all)-1]
	return segmentName{day: last.day, n: last.n + 1}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// setAside moves what stands in path from offset on into a file beside it,
// <path>.torn-<n>, and returns that file's name. It copies before it cuts, so
// a crash in between loses nothing.
func setAside(path string, offset, size int64) (string, error) {
	var aside string
	for n := 1; ; n++ {
		aside = path + ".torn-" + strconv.Itoa(n)
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", fmt.Errorf("set torn end aside: %w", err)
		}
	}
	if offset == 0 {
		if err := os.Rename(path, aside); err != nil {
			return "", fmt.Errorf("set torn segment aside: %w", err)
		}
		return filepath.Base(aside), nil
	}
	if err := copyRange(aside, path, offset, size-offset); err != nil {
		os.Remove(aside)
		return "", fmt.Errorf("set torn end aside: %w", err)
	}
	if err := os.Truncate(path, offset); err != nil {
		return "", fmt.Errorf("cut torn end off: %w", err)
	}
	return filepath.Base(aside), nil
}
