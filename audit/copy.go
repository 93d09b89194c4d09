package audit

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/anteroom/anteroom/access"
)

// copiesName is the file that holds copies of checkpoints.
const copiesName = "checkpoints.ndjson"

// A Copy keeps the journal's checkpoints and its head in a second place, where
// whoever cuts the journal or puts back an old one cannot reach them. It is a
// sink of feeds.
type Copy struct {
	Journal string // directory of the journal
	Dir     string // the second place; it is never made, so that what is not mounted is noticed

	last uint64 // number of the last checkpoint that is there
	read bool
}

// Send copies the checkpoints among records, on disk when it returns.
func (c *Copy) Send(_ context.Context, records []Followed) error {
	if err := c.append(records); err != nil {
		return fmt.Errorf("copy checkpoints: %w", err)
	}
	if err := c.head(records[len(records)-1].Place); err != nil {
		return fmt.Errorf("copy head: %w", err)
	}
	return nil
}

func (c *Copy) append(records []Followed) error {
	path := filepath.Join(c.Dir, copiesName)
	if !c.read {
		if err := c.resume(path); err != nil {
			return err
		}
	}
	var text []byte
	last := c.last
	for _, r := range records {
		if r.Record.Event == access.EventCheckpoint && r.Record.Seq > last {
			text = append(append(text, r.Raw...), '\n')
			last = r.Record.Seq
		}
	}
	if len(text) == 0 {
		return nil
	}
	c.read = false // until it is known to have gone well
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(c.Dir)); err != nil {
		return err
	}
	c.last, c.read = last, true
	return nil
}

// resume finds the last checkpoint that is there, and ends a line that a crash
// left unfinished.
func (c *Copy) resume(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(c.Dir); err != nil {
			return err
		}
		c.last, c.read = 0, true
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	p, at, err := lineBefore(f, size)
	if err != nil {
		return err
	}
	if at < size {
		if err := errors.Join(f.Truncate(at), f.Sync()); err != nil {
			return err
		}
		if p, _, err = lineBefore(f, at); err != nil {
			return err
		}
	}
	c.last, c.read = p.seq, true
	return nil
}

// head copies the head where all that it speaks of was confirmed and seen:
// what a power failure may still take proves nothing.
func (c *Copy) head(seen Place) error {
	h, err := readHead(c.Journal)
	if err != nil || h.Seq != h.Synced || h.Seq != seen.Seq {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(c.Journal, headName))
	if err != nil {
		return err
	}
	next := filepath.Join(c.Dir, headName+".new")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(next, filepath.Join(c.Dir, headName)), syncDir(c.Dir))
}

// Settle has nothing to do: what Send took is on the disk.
func (*Copy) Settle(context.Context) error { return nil }

// Close has nothing to do.
func (*Copy) Close() error { return nil }

// Compare compares the journal in dir with copies of its checkpoints and head in
// copies. It returns the first thing that the journal does not have, or has
// otherwise; nil when it has everything that the copies speak of and that is
// still kept. What a power failure took is told by the journal itself. compared is how many it
// looked at. It does not prove the journal: [Verify] does.
func Compare(dir, copies string) (problem *Problem, compared int, err error) {
	want, err := copied(copies)
	if err != nil {
		return nil, 0, err
	}
	all, err := segments(dir)
	if err != nil {
		return nil, 0, err
	}
	first, last := uint64(0), uint64(0)
	for i, name := range all {
		f, err := os.Open(filepath.Join(dir, name.String()))
		if err != nil {
			return nil, compared, err
		}
		r := bufio.NewReaderSize(f, maxLine)
		line := 0
		for {
			text, err := r.ReadSlice('\n')
			if err != nil {
				break // what is longer, or unfinished, is Verify's to judge
			}
			line++
			text = text[:len(text)-1]
			l, ok := parseLink(text)
			if !ok {
				continue
			}
			if i == 0 && first == 0 {
				first = l.seq
			}
			last = max(last, l.seq)
			hash, known := want[l.seq]
			if !known {
				continue
			}
			delete(want, l.seq)
			compared++
			if sha256.Sum256(text) != hash && problem == nil {
				problem = &Problem{File: name.String(), Line: line, Seq: l.seq, What: "is not the record that was copied to " + copies}
			}
		}
		f.Close()
	}
	if problem != nil {
		return problem, compared, nil
	}
	missing := uint64(0)
	for seq := range want {
		if seq >= first && (missing == 0 || seq < missing) {
			missing = seq
		}
	}
	switch {
	case missing > last:
		return &Problem{File: dir, Seq: missing, What: fmt.Sprintf("is missing, although it was copied to %s: the end was cut off, or an older copy was put back", copies)}, compared, nil
	case missing > 0:
		return &Problem{File: dir, Seq: missing, What: "is missing, although it was copied to " + copies}, compared, nil
	}
	return nil, compared, nil
}

// ErrNoCopies means that a directory holds no copies of checkpoints.
var ErrNoCopies = errors.New("audit: no copies of checkpoints here")

// copied returns the hash of every record that the copies speak of.
func copied(dir string) (map[uint64][sha256.Size]byte, error) {
	f, err := os.Open(filepath.Join(dir, copiesName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoCopies)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[uint64][sha256.Size]byte{}
	r := bufio.NewReaderSize(f, maxLine)
	for line := 1; ; line++ {
		text, err := r.ReadSlice('\n')
		if err == io.EOF {
			break // an unfinished line was never confirmed
		}
		if err != nil {
			return nil, fmt.Errorf("read copies: %w", err)
		}
		text = text[:len(text)-1]
		l, ok := parseLink(text)
		if ok {
			_, _, ok = parseCheckpoint(text, l)
		}
		if !ok {
			return nil, fmt.Errorf("%s:%d: no checkpoint, or one that was changed", f.Name(), line)
		}
		all[l.seq] = sha256.Sum256(text)
	}
	if h, err := readHead(dir); err == nil {
		all[h.Seq] = h.point().hash
	}
	return all, nil
}
