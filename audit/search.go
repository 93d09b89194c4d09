package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
)

// A Query says which records are wanted: those that have every value that is
// set. The zero Query wants all.
type Query struct {
	Person    string // the subject's sub or username
	Patient   string
	Device    string // its id
	Session   string
	Route     string
	RequestID string
	TraceID   string
	Event     access.EventKind
	Verdict   string

	From, To time.Time // From on, and before To; zero sets no bound
	Limit    int       // most records; 0: all
}

// A Line is a record that was found: its bytes as they stand in the journal,
// without the newline, and decoded.
type Line struct {
	Raw    []byte // valid until the next Line
	Record Record
}

// Search returns the records in dir that q wants, oldest first. It does not
// prove them; [Verify] does. A line that looks wanted and cannot be decoded
// comes as an error, after which the search goes on; an error of reading ends it.
// A line that is still being written is not looked at.
func Search(dir string, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		all, err := segments(dir)
		if err != nil {
			yield(Line{}, err)
			return
		}
		s := search{query: q, needles: q.needles(), yield: yield}
		for i, name := range all {
			last := name.day // day of the segment's last record
			if i+1 < len(all) {
				last = all[i+1].day
			}
			if !q.within(name.day, last) {
				continue
			}
			more, err := s.segment(filepath.Join(dir, name.String()))
			if err != nil {
				yield(Line{}, fmt.Errorf("search %s: %w", name, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// within reports whether a segment whose records were written from day first to
// day last may hold wanted ones. A record's own time may be a little before it
// was written, and clocks are set, so a day is allowed on either side.
func (q Query) within(first, last string) bool {
	if !q.From.IsZero() && last < q.From.UTC().AddDate(0, 0, -1).Format(time.DateOnly) {
		return false
	}
	return q.To.IsZero() || first <= q.To.UTC().AddDate(0, 0, 1).Format(time.DateOnly)
}

// needles returns texts that every wanted line holds: of each group at least one.
func (q Query) needles() [][][]byte {
	var all [][][]byte
	add := func(value string, keys ...string) {
		if value == "" {
			return
		}
		var group [][]byte
		for _, key := range keys {
			group = append(group, appendString([]byte(`"`+key+`":`), value))
		}
		all = append(all, group)
	}
	// The rarest first.
	add(q.RequestID, "request_id")
	add(q.TraceID, "trace_id")
	add(q.Session, "session")
	add(q.Patient, "patient")
	add(q.Person, "sub", "username")
	add(q.Device, "id")
	add(q.Verdict, "verdict")
	add(string(q.Event), "event")
	add(q.Route, "route")
	return all
}

// wants reports whether q wants r.
func (q Query) wants(r *Record) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return (q.Person == "" || q.Person == r.Subject.Sub || q.Person == r.Subject.Username) &&
		is(q.Patient, r.Patient) &&
		is(q.Device, r.Device.ID) &&
		is(q.Session, r.Session) &&
		is(q.Route, r.Route) &&
		is(q.RequestID, r.RequestID) &&
		is(q.TraceID, r.TraceID) &&
		is(string(q.Event), string(r.Event)) &&
		is(q.Verdict, r.Verdict) &&
		(q.From.IsZero() || !r.Time.Before(q.From)) &&
		(q.To.IsZero() || r.Time.Before(q.To))
}

type search struct {
	query   Query
	needles [][][]byte
	yield   func(Line, error) bool
	found   int
}

// segment searches one file. It returns false when no more is wanted.
func (s *search) segment(path string) (more bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil // deleted by retention since it was listed
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 2*maxLine)
	for {
		b, err := r.Peek(r.Size())
		if err != nil && err != io.EOF {
			return false, err
		}
		end := bytes.LastIndexByte(b, '\n') + 1
		if end == 0 && err == io.EOF {
			return true, nil
		}
		if end == 0 { // no record is so long
			end = len(b)
		}
		if !s.lines(b[:end]) {
			return false, nil
		}
		if _, err := r.Discard(end); err != nil {
			return false, err
		}
	}
}

// lines searches whole lines. The rarest text is looked for in all of them at
// once, which is far quicker than line by line.
func (s *search) lines(b []byte) bool {
	if len(s.needles) == 0 {
		for line := range bytes.Lines(b) {
			if !s.line(bytes.TrimSuffix(line, []byte{'\n'})) {
				return false
			}
		}
		return true
	}
	ahead := make([]int, len(s.needles[0])) // where each stands next; -1 before it is looked for
	for i := range ahead {
		ahead[i] = -1
	}
	for from := 0; from < len(b); {
		at := len(b)
		for i, n := range s.needles[0] {
			if ahead[i] < from {
				if ahead[i] = bytes.Index(b[from:], n); ahead[i] < 0 {
					ahead[i] = len(b)
				} else {
					ahead[i] += from
				}
			}
			at = min(at, ahead[i])
		}
		if at == len(b) {
			return true
		}
		start := from + bytes.LastIndexByte(b[from:at], '\n') + 1
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			end = len(b)
		} else {
			end += at
		}
		if !s.line(b[start:end]) {
			return false
		}
		from = end + 1
	}
	return true
}

func (s *search) line(b []byte) bool {
	for _, group := range s.needles {
		if !slices.ContainsFunc(group, func(n []byte) bool { return bytes.Contains(b, n) }) {
			return true
		}
	}
	r, err := decode(b)
	if err != nil {
		return s.yield(Line{Raw: b}, err)
	}
	if !s.query.wants(&r) {
		return true
	}
	s.found++
	return s.yield(Line{Raw: b, Record: r}, nil) && (s.query.Limit <= 0 || s.found < s.query.Limit)
}
