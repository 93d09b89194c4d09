package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

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

	EveryLine bool // asks no index
}

// A Line is a record that was found: its bytes as they stand in the journal,
// without the newline, and decoded.
type Line struct {
	Raw    []byte // valid until the next Line
	Record Record
}

// Search returns the records in dir that q wants, oldest first. It does not
// prove them; [Verify] does. A line that cannot be decoded, and so may be wanted,
// comes as an error, after which the search goes on; an error of reading ends it.
// A line that is still being written is not looked at. Where a segment has an
// index that fits it, only the blocks that it names are read.
func Search(dir string, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		all, err := segments(dir)
		if err != nil {
			yield(Line{}, err)
			return
		}
		s := search{query: q, sieve: q.sieve(), wishes: q.wishes(), reading: newReading(), yield: yield}
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

// A sieve keeps the lines that q may want by how they are spelled, so that the
// others need not be decoded.
type sieve struct {
	person []byte
	wanted []wanted
}

type wanted struct {
	field   field
	spelled []byte
}

func (q Query) sieve() sieve {
	var v sieve
	for _, w := range []struct {
		field field
		value string
	}{
		{fRequestID, q.RequestID}, {fTraceID, q.TraceID}, {fPatient, q.Patient}, {fSession, q.Session}, {fID, q.Device},
		{fVerdict, q.Verdict}, {fEvent, string(q.Event)}, {fRoute, q.Route},
	} {
		if w.value != "" && spelledOnce(w.value) {
			v.wanted = append(v.wanted, wanted{w.field, spell(w.value)})
		}
	}
	if q.Person != "" && spelledOnce(q.Person) {
		v.person = spell(q.Person)
	}
	return v
}

// spelledOnce reports whether the journal has one spelling of s: of U+FFFD it has two.
func spelledOnce(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError)
}

func (v *sieve) keeps(s *spelling[[]byte]) bool {
	for _, w := range v.wanted {
		if !bytes.Equal(s.text[w.field], w.spelled) {
			return false
		}
	}
	return v.person == nil || bytes.Equal(s.text[fSub], v.person) || bytes.Equal(s.text[fUsername], v.person)
}

// A search is one that is going on.
type search struct {
	query   Query
	sieve   sieve
	wishes  []wish
	reading *reading
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
	if len(s.wishes) > 0 && !s.query.EveryLine {
		if all, ok := s.where(path, f); ok {
			for _, e := range all {
				if more, err := s.extent(f, e); !more || err != nil {
					return more, err
				}
			}
			return true, nil
		}
	}
	return s.extent(f, extent{0, math.MaxInt64})
}

// where asks the segment's index. It returns false when there is none that is
// of use.
func (s *search) where(path string, f *os.File) ([]extent, bool) {
	x, file, err := openIndex(path, f)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	all, err := x.find(s.wishes)
	return all, err == nil
}

// extent searches a part of a file that begins and ends with whole lines. A
// line that is being written at the end of the file is not looked at.
func (s *search) extent(f *os.File, e extent) (more bool, err error) {
	for from := e.from; ; {
		more = true
		end, err := inBlocks(s.reading, io.NewSectionReader(f, from, e.to-from), s.look, func(_ block, found []result) bool {
			for _, r := range found {
				if more = s.give(r); !more {
					return false
				}
			}
			return true
		})
		if err != nil || !more {
			return false, err
		}
		next, err := pastLongLine(f, from+end)
		if err != nil || next == 0 {
			return err == nil, err
		}
		if !s.yield(Line{}, fmt.Errorf("the line at byte %d is longer than any record", from+end)) {
			return false, nil
		}
		from = next
	}
}

// pastLongLine returns where the line ends that begins at offset at, when it is
// longer than any record, and else 0.
func pastLongLine(f io.ReaderAt, at int64) (int64, error) {
	b := make([]byte, 64<<10)
	for from := at; ; {
		n, err := f.ReadAt(b, from)
		if i := bytes.IndexByte(b[:n], '\n'); i >= 0 && from+int64(i)-at >= maxLine {
			return from + int64(i) + 1, nil
		} else if i >= 0 || err == io.EOF {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		from += int64(n)
	}
}

// A result is a line that is wanted, or one that cannot be decoded and so may be.
type result struct {
	line Line
	err  error
}

// look searches a block. Several run at once: s is only read.
func (s *search) look(b block) []result {
	var all []result
	var spelled spelling[[]byte]
	for text := b.text; len(text) > 0; {
		var line []byte
		line, text = cutLine(text)
		if spelled.read(line) && !s.sieve.keeps(&spelled) {
			continue
		}
		r, err := decode(line)
		if err != nil || s.query.wants(&r) {
			all = append(all, result{Line{Raw: line, Record: r}, err})
		}
	}
	return all
}

func (s *search) give(r result) bool {
	if r.err == nil {
		s.found++
	}
	return s.yield(r.line, r.err) && (s.query.Limit <= 0 || s.found < s.query.Limit)
}
