package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"
)

// A Report is what [Verify] found.
type Report struct {
	Segments int
	Records  int  // read and found in place, checkpoints included
	First    Mark // the oldest record that is kept
	Last     Mark // the last record that was found in place
	Unsigned int  // records at the end that the signed head does not cover yet; a crash leaves up to 0.1 s of them
	Keys     []ed25519.PublicKey
	Gaps     []Gap    // what the journal itself tells is missing
	Problem  *Problem // the first thing wrong; nil: the journal is as it was written
}

// A Mark is a record's number and time.
type Mark struct {
	Seq  uint64
	Time time.Time
}

// A Problem is what [Verify] found wrong first, and where.
type Problem struct {
	File string // the segment, or head
	Line int    // from 1; 0 when it is not about a line
	Seq  uint64 // of the first record that is bad or missing; 0 when not known
	What string // in plain words
}

// String says where and what, as FILE:LINE: record SEQ: what.
func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, p.Line)
	}
	if p.Seq > 0 {
		s = fmt.Sprintf("%s: record %d", s, p.Seq)
	}
	return s + ": " + p.What
}

// ErrNoJournal means that a directory holds neither segments nor a head.
var ErrNoJournal = errors.New("audit: no journal here")
