package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A Place is where a [Follower] stands in the journal: after a record. The
// zero Place is before the oldest that is kept.
type Place struct {
	File   string `json:"file"`   // segment
	Offset int64  `json:"offset"` // of the byte after the record's line
	Seq    uint64 `json:"seq"`    // of the record
	Hash   string `json:"hash"`   // hex SHA-256 of its line
}

// A Followed is a record that a [Follower] came to.
type Followed struct {
	Raw    []byte // its line, without the newline
	Record Record
	Place  Place // after it
}

// A Follower reads a journal as it grows, and goes no further than the disk
// has confirmed: what it has returned is never taken back by a power failure,
// and no number comes to mean another record. It is for one goroutine.
type Follower struct {
	dir  string
	at   Place
	sure bool // at was found in the file
	buf  []byte
	text []byte // of the head when it was last read
	said head

	// Missed is called, when set, with how many records were gone before they
	// could be read, and why.
	Missed func(n uint64, why string)
}

// Follow returns a follower of the journal in dir that goes on after from.
func Follow(dir string, from Place) *Follower { return &Follower{dir: dir, at: from} }

// End returns the place after the last record that the disk has confirmed. It
// is the zero Place when there is no journal, or its head cannot be read.
func End(dir string) (Place, error) {
	h, err := readHead(dir)
	if errors.Is(err, errNoHead) {
		return Place{}, nil
	}
	if err != nil {
		return Place{}, err
	}
	p, ok := placeAt(filepath.Join(dir, h.File), h.File, h.Size)
	if !ok {
		return Place{}, nil
	}
	return p, nil
}

// placeAt returns the place after the line that ends at offset.
func placeAt(path, file string, offset int64) (Place, bool) {
	if offset <= 0 {
		return Place{}, false
	}
	f, err := os.Open(path)
	if err != nil {
		return Place{}, false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() < offset {
		return Place{}, false
	}
	p, at, err := lineBefore(f, offset)
	if err != nil || at != offset || p.seq == 0 {
		return Place{}, false
	}
	return Place{File: file, Offset: offset, Seq: p.seq, Hash: hex.EncodeToString(p.hash[:])}, true
}

// At returns where f stands: after the last record that it has returned.
func (f *Follower) At() Place { return f.at }

// Waiting returns how many records that the disk has confirmed are still to come.
func (f *Follower) Waiting() uint64 {
	if h, ok, err := f.head(); err == nil && ok && h.Synced > f.at.Seq {
		return h.Synced - f.at.Seq
	}
	return 0
}

// head reads what the head says. One that has not changed costs no more than
// reading it. ok is false while there is none: nothing is confirmed then.
func (f *Follower) head() (h head, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(f.dir, headName))
	if err == nil && len(text) > 0 && bytes.Equal(text, f.text) {
		return f.said, true, nil
	}
	h, err = readHead(f.dir)
	if errors.Is(err, errNoHead) {
		return head{}, false, nil
	}
	if err != nil {
		return head{}, false, err
	}
	f.text, f.said = text, h
	return h, true, nil
}

// Rewind goes back to an earlier place, from which all is returned again.
func (f *Follower) Rewind(to Place) { f.at, f.sure = to, false }

// Next returns up to n records that follow, none when there is nothing new.
// A line that is no record comes with a zero Record: [Verify] says what it is.
func (f *Follower) Next(n int) ([]Followed, error) {
	h, ok, err := f.head()
	if err != nil || !ok {
		return nil, err
	}
	for h.Synced > f.at.Seq || !f.sure {
		all, err := segments(f.dir) // before reading, so that a segment with one after it is read whole
		if err != nil || len(all) == 0 {
			return nil, err
		}
		if !f.sure {
			f.locate(all)
		}
		got, err := f.read(n, h.Synced)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("follow %s: %w", f.at.File, err)
		}
		if len(got) > 0 {
			return got, nil
		}
		i := slices.IndexFunc(all, func(s segmentName) bool { return s.String() == f.at.File })
		if i < 0 {
			f.sure = false // deleted meanwhile
			continue
		}
		if i+1 == len(all) {
			return nil, nil
		}
		f.at.File, f.at.Offset = all[i+1].String(), 0
	}
	return nil, nil
}

// locate finds the place in the files as they are now.
func (f *Follower) locate(all []segmentName) {
	f.sure = true
	if f.at.File == "" {
		f.at = Place{File: all[0].String()}
		return
	}
	was, known := parseSegmentName(f.at.File)
	i := slices.IndexFunc(all, func(s segmentName) bool { return known && !before(s, was) })
	if i < 0 { // after everything there is: another journal
		f.missed(0, "the place is in no segment that is kept; all is read again")
		f.at = Place{File: all[0].String()}
		return
	}
	name := all[i].String()
	if name != f.at.File {
		f.at.File, f.at.Offset = name, 0
		if first, ok := firstSeq(filepath.Join(f.dir, name)); ok && first > f.at.Seq+1 {
			f.missed(first-f.at.Seq-1, "segments were deleted before they were read")
		}
		return
	}
	if f.at.Offset == 0 {
		return // a segment is begun, and the record before is in another
	}
	if p, ok := placeAt(filepath.Join(f.dir, name), name, f.at.Offset); !ok || p.Hash != f.at.Hash {
		f.missed(0, "the record that was read last is not where it was; its segment is read again")
		f.at = Place{File: name}
	}
}

func (f *Follower) missed(n uint64, why string) {
	if f.Missed != nil {
		f.Missed(n, why)
	}
}

// before reports whether a sorts before b.
func before(a, b segmentName) bool { return a.day < b.day || a.day == b.day && a.n < b.n }

func firstSeq(path string) (uint64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	b := make([]byte, 64)
	n, _ := io.ReadFull(f, b)
	digits, ok := bytes.CutPrefix(b[:n], []byte(seqKey))
	if !ok {
		return 0, false
	}
	var seq uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			break
		}
		seq = seq*10 + uint64(c-'0')
	}
	return seq, seq > 0
}

// read returns whole lines from the place on, up to n of them and to the
// record confirmed.
func (f *Follower) read(n int, confirmed uint64) ([]Followed, error) {
	file, err := os.Open(filepath.Join(f.dir, f.at.File))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if f.buf == nil {
		f.buf = make([]byte, 2*maxLine)
	}
	size, err := file.ReadAt(f.buf, f.at.Offset)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var all []Followed
	for text := f.buf[:size]; len(all) < n; {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			if len(text) == len(f.buf) { // no record is so long
				f.at.Offset += int64(len(text))
			}
			break
		}
		line := text[:end]
		text = text[end+1:]
		to := Place{File: f.at.File, Offset: f.at.Offset + int64(end) + 1, Seq: f.at.Seq, Hash: f.at.Hash}
		var r Record
		if l, ok := parseLink(line); ok {
			if l.seq > confirmed {
				break
			}
			hash := sha256.Sum256(line)
			to.Seq, to.Hash = l.seq, hex.EncodeToString(hash[:])
			if r, err = decode(line); err != nil {
				r = Record{}
			}
		} else {
			hash := sha256.Sum256(line)
			to.Hash = hex.EncodeToString(hash[:])
		}
		f.at = to
		all = append(all, Followed{Raw: bytes.Clone(line), Record: r, Place: to})
	}
	return all, nil
}
