package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"io"
	"slices"
)

// A stretch is a block whose lines plainly follow one another: all is written
// as the journal writes, and nothing in it needs judgement. What is not plain
// is left to the verifier that reads line by line and says what is wrong, so
// this one only ever says yes.
type stretch struct {
	plain  bool
	first  link
	begin  []byte // its first line
	finish []byte // its last line
	last   point
	lines  int
	key    ed25519.PublicKey // signed its checkpoints; nil when there is none
	opened Mark              // its last checkpoint that was written at a start
	marks  uint64            // what an index has to say of it
}

// stretches takes in as much of a segment as is plain, and returns where the
// rest begins.
func (v *verifier) stretches(src io.Reader) (int64, error) {
	if v.lineByLine || v.torn != nil {
		return 0, nil
	}
	return inBlocks(v.reading, src, v.look, func(_ block, s stretch) bool { return v.join(s) })
}

// look judges a block by itself. Several run at once: v is only read.
func (v *verifier) look(b block) stretch {
	var s stretch
	var spelled spelling[[]byte]
	var marks *marker
	if v.index != nil {
		marks = newMarker(v.index.place.hash, b.at)
	}
	for text := b.text; len(text) > 0; {
		var line []byte
		line, text = cutLine(text)
		l, ok := parseLink(line)
		if !ok || !spelled.read(line) || spelled.unknown || spelled.holds(fGaps) {
			return stretch{}
		}
		if s.lines > 0 && (l.prev != s.last.hash || l.seq != s.last.seq+1) {
			return stretch{}
		}
		begins := s.lines == 0 && b.at == 0
		if signed := string(spelled.text[fEvent]) == "checkpoint"; signed || l.sig != nil || begins {
			c, key, ok := parseCheckpoint(line, l)
			if !ok || s.key != nil && !s.key.Equal(key) || begins && c.Begins != v.name {
				return stretch{}
			}
			s.key = key
			if c.Reason == reasonOpened {
				s.opened = Mark{c.Seq, c.Time}
			}
		}
		if s.lines == 0 {
			s.first, s.begin = l, line
		}
		if marks != nil {
			marks.line(line, &spelled)
		}
		s.lines++
		s.finish, s.last = line, point{l.seq, sha256.Sum256(line)}
		if v.headed && s.last.seq == v.head.Seq && s.last.hash != v.signedHash {
			return stretch{}
		}
	}
	if marks != nil {
		marks.cut()
		s.marks = v.tally.chunks(marks.chunks, marks.at)
	}
	s.plain = true
	return s
}

// join takes s in when it plainly goes on from the last line.
func (v *verifier) join(s stretch) bool {
	if !s.plain || v.begun && (s.first.prev != v.last.hash || s.first.seq != v.last.seq+1) {
		return false
	}
	if s.key != nil {
		if len(v.pinned) > 0 && !slices.ContainsFunc(v.pinned, func(k ed25519.PublicKey) bool { return k.Equal(s.key) }) {
			return false
		}
		known := v.report.Keys
		if len(known) > 0 && !known[len(known)-1].Equal(s.key) {
			return false
		}
		if len(known) == 0 {
			v.report.Keys = append(known, s.key)
		}
	}
	if !v.begun {
		v.report.First, v.begun = markOf(s.begin), true
	}
	v.marks += s.marks
	v.report.Records += s.lines
	v.lines += s.lines
	v.last, v.lastText, v.lastFile, v.lastLine = s.last, append(v.lastText[:0], s.finish...), v.name, v.lines
	if s.opened.Seq > 0 {
		v.opened = s.opened
	}
	return true
}
