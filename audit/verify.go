package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Verify reads the journal in dir from its oldest segment to its end and
// reports whether every record stands where it was written, as it was written.
// With keys given only these may have signed it; without, the journal names
// its own key, which proves nothing against somebody who rewrote all of it. An
// error means that the question could not be answered; dir without a journal
// is [ErrNoJournal]. The gateway may be writing meanwhile.
func Verify(dir string, keys ...ed25519.PublicKey) (Report, error) {
	return verify(dir, keys, false)
}

// verify does what [Verify] says; line by line, without the quick look at many
// lines at once, when it is told to.
func verify(dir string, keys []ed25519.PublicKey, lineByLine bool) (Report, error) {
	// The head is read first: what is written after it only goes further.
	h, herr := readHead(dir)
	if herr != nil && !errors.Is(herr, errNoHead) {
		return Report{}, herr
	}
	all, err := segments(dir)
	if err != nil {
		return Report{}, err
	}
	if len(all) == 0 && herr != nil {
		return Report{}, fmt.Errorf("verify %s: %w", dir, ErrNoJournal)
	}
	v := verifier{dir: dir, pinned: keys, head: h, headed: herr == nil, signedHash: h.point().hash, lineByLine: lineByLine, reading: newReading(), tally: tally{maphash.MakeSeed()},
		reader: bufio.NewReaderSize(nil, maxLine)}
	for i := range all {
		v.name, v.isLast, v.next = all[i].String(), i == len(all)-1, ""
		if !v.isLast {
			v.next = all[i+1].String()
		}
		ok, err := v.segment()
		if err != nil {
			return Report{}, fmt.Errorf("verify %s: %w", v.name, err)
		}
		if !ok {
			v.report.Last = markOf(v.lastText)
			return v.report, nil
		}
	}
	v.finish()
	if v.report.Problem == nil {
		v.report.Problem = v.misled
	}
	return v.report, nil
}

// A verifier walks the chain of lines from the oldest on.
type verifier struct {
	dir    string
	pinned []ed25519.PublicKey
	head   head
	headed bool
	report Report

	signedHash [sha256.Size]byte // what the head says of its line
	lineByLine bool
	reading    *reading

	tally  tally
	index  *index   // of the segment, when it has one that fits
	marks  uint64   // what that has to say of the plain lines so far
	misled *Problem // the first index that says otherwise

	name     string // of the segment that is read
	next     string // of the one after it; "" when it is the last
	isLast   bool
	lines    int
	last     point
	lastText []byte
	lastFile string // where it stands
	lastLine int
	reader   *bufio.Reader
	spelled  spelling[[]byte]
	begun    bool     // a record was read
	opened   Mark     // the last checkpoint that was written at a start
	torn     *Problem // the segment before ended in the middle of a line
}

// problem notes the first thing that is wrong.
func (v *verifier) problem(line int, seq uint64, format string, args ...any) {
	if v.report.Problem == nil {
		v.report.Problem = &Problem{v.name, line, seq, fmt.Sprintf(format, args...)}
	}
}

// segment checks one segment. It returns false when the chain cannot be
// followed further.
func (v *verifier) segment() (bool, error) {
	f, err := os.Open(filepath.Join(v.dir, v.name))
	if err != nil {
		return false, err
	}
	defer f.Close()
	limit, limited := v.goodUpTo()
	if !limited {
		limit = math.MaxInt64
	}
	src := io.NewSectionReader(f, 0, limit)
	v.report.Segments++
	v.lines = 0
	defer v.openIndex(f.Name(), f)()
	end, err := v.stretches(src)
	if err == nil && v.index != nil {
		err = v.indexed(f, v.index, end)
	}
	if err != nil {
		return false, err
	}
	if _, err := src.Seek(end, io.SeekStart); err != nil {
		return false, err
	}
	r := v.reader
	r.Reset(src)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			v.problem(v.lines+1, v.last.seq+1, "is longer than any record")
			return false, nil
		case err == io.EOF && len(line) > 0:
			return v.unfinished(line), nil
		case err == io.EOF:
			return true, nil
		case err != nil:
			return false, err
		}
		v.lines++
		if !v.line(line[:len(line)-1], r) {
			return false, nil
		}
	}
}

// goodUpTo returns how many bytes of this segment count, when the next one
// tells that its end could not be removed.
func (v *verifier) goodUpTo() (int64, bool) {
	if v.isLast {
		return 0, false
	}
	c, ok := v.firstOf(v.next)
	if !ok {
		return 0, false
	}
	for _, g := range c.Gaps {
		if g.Kind == TornSegment && g.File == v.name {
			return g.Offset, true
		}
	}
	return 0, false
}

// maxFirst is more than a checkpoint that begins a segment can have.
const maxFirst = 64 << 10

// firstOf returns the checkpoint that begins a segment, when it is one.
func (v *verifier) firstOf(name string) (Record, bool) {
	f, err := os.Open(filepath.Join(v.dir, name))
	if err != nil {
		return Record{}, false
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, maxFirst).ReadSlice('\n')
	if err != nil {
		return Record{}, false
	}
	l, ok := parseLink(line[:len(line)-1])
	if !ok {
		return Record{}, false
	}
	c, _, ok := parseCheckpoint(line[:len(line)-1], l)
	return c, ok
}

// unfinished judges what stands after the last newline of a segment.
func (v *verifier) unfinished(rest []byte) bool {
	p := &Problem{v.name, v.lines + 1, v.last.seq + 1, "is cut off in the middle of its line"}
	if v.isLast {
		if !v.headed || v.head.Seq <= v.last.seq && !v.head.Closed { // as a crash leaves it, or a write that is going on
			v.report.Gaps = append(v.report.Gaps, Gap{Kind: TornTail, File: v.name, Bytes: int64(len(rest))})
			return true
		}
		v.problem(p.Line, p.Seq, "%s", p.What)
		return false
	}
	v.torn = p // the next segment may tell of it
	return true
}

// line checks the next line. r stands behind it.
func (v *verifier) line(text []byte, r *bufio.Reader) bool {
	l, ok := parseLink(text)
	if !ok {
		v.problem(v.lines, v.last.seq+1, "is not a line that the gateway wrote")
		return false
	}
	here := point{l.seq, sha256.Sum256(text)}
	var c Record
	signed := isCheckpoint(text)
	if signed {
		var key ed25519.PublicKey
		if c, key, ok = parseCheckpoint(text, l); !ok {
			v.problem(v.lines, v.last.seq+1, "is a checkpoint whose signature is wrong: it was changed")
			return false
		}
		if !v.keyed(key, c) {
			return false
		}
	}
	if v.lines == 1 && (!signed || c.Begins != v.name) {
		v.problem(1, l.seq, "is not the checkpoint that begins this segment: lines before it are missing, or the file was renamed")
		return false
	}
	if v.torn != nil && !slices.ContainsFunc(c.Gaps, func(g Gap) bool { return g.Kind == FlushFailed && g.File == v.torn.File }) {
		v.cut()
		return false
	}
	v.torn = nil
	if v.begun && !v.follows(l, c) {
		v.blame(l, here, text, r)
		return false
	}
	return v.take(text, here, c)
}

// cut notes that the segment before ended in the middle of a line, and nothing
// tells why.
func (v *verifier) cut() {
	v.name = v.torn.File
	v.problem(v.torn.Line, v.torn.Seq, "%s", v.torn.What)
}

// keyed judges the key that signed a checkpoint.
func (v *verifier) keyed(key ed25519.PublicKey, c Record) bool {
	if len(v.pinned) > 0 && !slices.ContainsFunc(v.pinned, func(k ed25519.PublicKey) bool { return k.Equal(key) }) {
		v.problem(v.lines, c.Seq, "is a checkpoint signed by another key than the gateway's")
		return false
	}
	known := v.report.Keys
	if len(known) > 0 && known[len(known)-1].Equal(key) {
		return true
	}
	told := slices.ContainsFunc(c.Gaps, func(g Gap) bool { return g.Kind == KeyChanged || g.Kind == HeadMissing })
	if len(known) > 0 && !told {
		v.problem(v.lines, c.Seq, "is a checkpoint signed by another key than the ones before it")
		return false
	}
	v.report.Keys = append(known, bytes.Clone(key))
	return true
}

// follows reports whether a line belongs behind the last one: by its number and
// hash, or by a gap that it tells, signed.
func (v *verifier) follows(l link, c Record) bool {
	for _, g := range c.Gaps {
		switch g.Kind {
		case LostTail, CutTail:
			if l.prev == v.last.hash && g.From == v.last.seq+1 && l.seq == g.To+1 {
				return true
			}
		case FlushFailed: // some of what was not confirmed may be gone
			if c.Begins != "" && g.From <= v.last.seq+1 && v.last.seq <= g.To && l.seq == g.To+1 {
				return true
			}
		}
	}
	return l.prev == v.last.hash && l.seq == v.last.seq+1
}

// take counts a line that is in place.
func (v *verifier) take(text []byte, here point, c Record) bool {
	if !v.spelled.read(text) && !json.Valid(text) {
		v.problem(v.lines, here.seq, "is not JSON: it was changed")
		return false
	}
	if v.headed && here.seq == v.head.Seq && here.hash != v.head.point().hash {
		v.problem(v.lines, here.seq, "is not the record that the head signed: it was changed after it was written")
		return false
	}
	if !v.begun {
		v.report.First, v.begun = markOf(text), true
	}
	v.report.Records++
	v.last, v.lastText, v.lastFile, v.lastLine = here, append(v.lastText[:0], text...), v.name, v.lines
	if c.Reason == reasonOpened {
		v.opened = Mark{here.seq, c.Time}
	}
	for _, g := range c.Gaps {
		g.Line, g.At = v.lines, v.name
		v.report.Gaps = append(v.report.Gaps, g)
		if g.Kind.Grave() {
			v.problem(v.lines, max(g.From, 1), "%s", g.String())
		}
	}
	return true
}

func markOf(line []byte) Mark {
	var m struct {
		Seq  uint64
		Time time.Time
	}
	if json.Unmarshal(line, &m) != nil {
		return Mark{}
	}
	return Mark{m.Seq, m.Time}
}

// blame says why a line does not follow the last one. The line after it tells
// which of the two was changed: an unchanged line is named there by its hash.
func (v *verifier) blame(l link, here point, text []byte, r *bufio.Reader) {
	want, at := v.last.seq+1, v.lines
	after, known := v.peek(r)
	switch {
	case l.seq == want && l.prev != v.last.hash:
		confirmed := known && after.prev == here.hash || v.headed && v.head.Seq == here.seq && v.head.point().hash == here.hash
		if confirmed {
			v.name, at, want = v.lastFile, v.lastLine, v.last.seq
		}
		v.problem(at, want, "was changed after it was written")
	case l.prev == v.last.hash:
		v.problem(at, want, "says that it is record %d: its number was changed", l.seq)
	case l.seq > want && known && after.seq < l.seq:
		v.problem(at, want, "is not in its place: record %d stands there", l.seq)
	case l.seq > want:
		what := "is missing"
		if l.seq > want+1 {
			what = fmt.Sprintf("is missing, with all up to record %d", l.seq-1)
		}
		v.problem(at, want, "%s", what)
	default:
		v.problem(at, want, "is not in its place: record %d stands there, out of order or twice", l.seq)
	}
}

// peek reads how the next line is linked.
func (v *verifier) peek(r *bufio.Reader) (link, bool) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if v.isLast {
			return link{}, false
		}
		f, ferr := os.Open(filepath.Join(v.dir, v.next))
		if ferr != nil {
			return link{}, false
		}
		defer f.Close()
		if line, err = bufio.NewReaderSize(f, maxFirst).ReadSlice('\n'); err != nil {
			return link{}, false
		}
	}
	return parseLink(line[:len(line)-1])
}

// finish compares the journal's end with the head.
func (v *verifier) finish() {
	if v.torn != nil {
		v.cut()
	}
	v.report.Last = markOf(v.lastText)
	end := v.lines + 1
	switch {
	case !v.headed:
		v.name = headName
		v.problem(0, 0, "is missing or unreadable: the end of the journal cannot be proven")
	case v.head.Seq > v.last.seq:
		what := "is missing"
		if v.head.Seq > v.last.seq+1 {
			what = fmt.Sprintf("is missing, with all up to record %d", v.head.Seq)
		}
		if v.name == "" {
			v.name, end = headName, 0
		}
		v.problem(end, v.last.seq+1, "%s: the end of the journal was cut off, or lost in a power failure", what)
	case v.head.Closed && v.head.Seq < v.last.seq:
		v.problem(0, v.head.Seq+1, "stands after the end that was signed at a clean stop: it was added")
	case v.head.Seq+1 < v.opened.Seq && v.head.Time.Add(time.Minute).Before(v.opened.Time):
		v.name = headName
		v.problem(0, 0, "is older than the last start: it was put back")
	case len(v.report.Keys) > 0 && v.head.Key != base64.StdEncoding.EncodeToString(v.report.Keys[len(v.report.Keys)-1]):
		v.name = headName
		v.problem(0, 0, "is signed by another key than the journal")
	}
	if v.headed && v.last.seq > v.head.Seq {
		v.report.Unsigned = int(v.last.seq - v.head.Seq)
	}
}
