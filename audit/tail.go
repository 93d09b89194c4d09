package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A tail is where a journal that is opened goes on.
type tail struct {
	last    point
	segment segmentName // where it stands; zero when a new segment must begin
	size    int64       // of that segment
	there   uint64      // its last record; last.seq is past it when some were lost
	head    head        // as it was found; zero when there was none
	gaps    []Gap       // what was found missing, to be told in the next checkpoint
}

// findTail finds the end of the journal in dir, sets aside what a crash left
// unfinished there, and compares the end with the head.
func findTail(dir, publicKey string) (tail, error) {
	t := tail{}
	h, err := readHead(dir)
	signedBefore := err == nil
	if err != nil && !errors.Is(err, errNoHead) {
		return tail{}, err
	}
	t.head = h
	all, err := segments(dir)
	if err != nil {
		return tail{}, err
	}
	var s scan
	for i := len(all) - 1; i >= 0 && s.last == (point{}); i-- {
		name := all[i].String()
		path := filepath.Join(dir, name)
		if s, err = scanEnd(path, name, h, signedBefore); err != nil {
			return tail{}, err
		}
		sound := true
		if s.good < s.size {
			gap := aside(path, name, s)
			sound = gap.Kind == TornTail
			t.gaps = append(t.gaps, gap)
		}
		switch {
		case s.last != (point{}):
			t.last = s.last
			if sound && i == len(all)-1 {
				t.segment, t.size, t.there = all[i], s.good, s.last.seq
			}
		case sound:
			// Made just before a crash: no record in it was ever acknowledged.
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return tail{}, fmt.Errorf("remove empty segment: %w", err)
			}
			all = all[:i]
		}
	}
	switch {
	case !signedBefore && len(all) > 0:
		t.gaps = append(t.gaps, Gap{Kind: HeadMissing})
	case signedBefore:
		t.compare(s, publicKey)
	}
	return t, nil
}

// missing reports that there is a journal but no head to prove its end.
func (t *tail) missing() bool {
	return slices.ContainsFunc(t.gaps, func(g Gap) bool { return g.Kind == HeadMissing })
}

// aside sets the torn end of a segment aside. Where that cannot be done, as on
// a full disk, the segment stays as it is and counts only up to its good part.
func aside(path, name string, s scan) Gap {
	kept, err := setAside(path, s.good, s.size)
	if err != nil {
		return Gap{Kind: TornSegment, File: name, Offset: s.good, Bytes: s.size - s.good}
	}
	return Gap{Kind: TornTail, File: name, Aside: kept, Bytes: s.size - s.good}
}

// compare notes what the head says otherwise than the journal's end, and moves
// t.last past every number that was ever given out.
func (t *tail) compare(s scan, publicKey string) {
	h := t.head
	if h.Key != publicKey {
		t.gaps = append(t.gaps, Gap{Kind: KeyChanged})
	}
	switch {
	case h.Seq > t.last.seq:
		kind := LostTail
		if t.last.seq < h.Synced {
			kind = CutTail
		}
		t.gaps = append(t.gaps, Gap{Kind: kind, From: t.last.seq + 1, To: h.Seq})
		t.last.seq = h.Seq
	case s.changed:
		t.gaps = append(t.gaps, Gap{Kind: ChangedTail, From: h.Seq, To: h.Seq})
	case h.Closed && t.last.seq > h.Seq:
		t.gaps = append(t.gaps, Gap{Kind: AddedTail, From: h.Seq + 1, To: t.last.seq})
	}
}

// A scan is what was found at the end of a segment.
type scan struct {
	last    point // the last good line; zero when there is none
	good    int64 // bytes up to its end
	size    int64 // of the file
	changed bool  // the line that the head names has another hash
}

// window is how much of a segment is read back when no head says from where on
// the disk had not confirmed it.
const window = 16 << 20

// scanEnd finds the last good line of a segment. Only what the disk had not
// confirmed can be torn by a crash, so everything before is left as it is, for
// [Verify] to judge.
func scanEnd(path, name string, h head, known bool) (scan, error) {
	f, err := os.Open(path)
	if err != nil {
		return scan{}, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return scan{}, fmt.Errorf("open segment: %w", err)
	}
	s := scan{size: info.Size()}
	from, strict := int64(0), known
	if known && h.File == name && h.Size <= s.size {
		from = h.Size
	} else if !known || h.File == name {
		from, strict = max(0, s.size-window), false
	}
	if s.last, s.good, err = lineBefore(f, from); err != nil {
		return scan{}, fmt.Errorf("read %s: %w", name, err)
	}
	if s.good < from { // not where a line begins
		from, strict = s.good, false
	}
	s.check(h, known)
	if s.last.seq == 0 && from > 0 && known {
		s.last.seq = h.Synced // unreadable, but confirmed: goes on from its number
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, s.size-from), maxLine)
	for at := from; ; {
		line, err := r.ReadSlice('\n')
		at += int64(len(line))
		if errors.Is(err, bufio.ErrBufferFull) && !strict {
			continue // one of the lines that are skipped
		}
		if err == io.EOF || errors.Is(err, bufio.ErrBufferFull) {
			return s, nil
		}
		if err != nil {
			return scan{}, fmt.Errorf("read %s: %w", name, err)
		}
		line = line[:len(line)-1]
		l, ok := parseLink(line)
		ok = ok && json.Valid(line)
		if strict && s.last != (point{}) {
			ok = ok && l.prev == s.last.hash && (l.seq == s.last.seq+1 || l.seq > s.last.seq && isCheckpoint(line))
		}
		if !ok && strict {
			return s, nil
		}
		if ok {
			s.last, s.good = point{l.seq, sha256.Sum256(line)}, at
			s.check(h, known)
		}
	}
}

// check compares the last good line with the head, where the head speaks of it.
func (s *scan) check(h head, known bool) {
	if known && s.last.seq == h.Seq && s.last.hash != h.point().hash {
		s.changed = true
	}
}

// lineBefore returns the point of the line that ends just before offset, and
// offset; or, when offset is not the start of a line, where the last line
// before it ends. Its seq is zero when that line is no record.
func lineBefore(f io.ReaderAt, offset int64) (point, int64, error) {
	if offset == 0 {
		return point{}, 0, nil
	}
	start := max(0, offset-maxLine-1)
	b := make([]byte, offset-start)
	if _, err := f.ReadAt(b, start); err != nil && err != io.EOF {
		return point{}, 0, err
	}
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		return point{}, start, nil
	}
	line := b[bytes.LastIndexByte(b[:end], '\n')+1 : end]
	p := point{hash: sha256.Sum256(line)}
	if l, ok := parseLink(line); ok {
		p.seq = l.seq
	}
	return p, start + int64(end) + 1, nil
}

func copyRange(to, from string, offset, n int64) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.Copy(dst, io.NewSectionReader(src, offset, n)); err != nil {
		return err
	}
	return dst.Sync()
}
