package audit

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/access"
)

// A spelling is a line taken apart and not decoded: each field as it is
// written. It exists only of lines that are written exactly as the journal
// writes: no space between tokens, every text spelled as [appendString] spells
// it, no key twice. Of such lines two texts without U+FFFD are the same when their
// spellings are; every other line, which only a hand in the file explains, has to be decoded.
type spelling[T string | []byte] struct {
	text     [fields]T
	roles    []T
	amr      []T
	failed   []T
	warned   []T
	observed []seen[T]
	has      uint64 // bit per field
	unknown  bool   // holds a key that has no field
}

// A seen is an observation as it is written.
type seen[T string | []byte] struct{ rule, verdict, reason T }

// read takes line apart. It returns false when line is not written as the
// journal writes; s is then of no use.
func (s *spelling[T]) read(line T) bool {
	s.text, s.has, s.unknown = [fields]T{}, 0, false
	s.roles, s.amr, s.failed, s.warned, s.observed = s.roles[:0], s.amr[:0], s.failed[:0], s.warned[:0], s.observed[:0]
	p := speller[T]{line: line, into: s}
	return p.object(noField) && p.at == len(line)
}

func (s *spelling[T]) holds(f field) bool { return s.has&(1<<f) != 0 }

// A speller reads a line from left to right.
type speller[T string | []byte] struct {
	line  T
	at    int
	depth int
	into  *spelling[T]
}

// maxDepth is more than the record has.
const maxDepth = 8

func (p *speller[T]) next(c byte) bool {
	if p.at < len(p.line) && p.line[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *speller[T]) object(in field) bool {
	if p.depth++; p.depth > maxDepth || !p.next('{') {
		return false
	}
	defer func() { p.depth-- }()
	if p.next('}') {
		return true
	}
	for {
		if !p.next('"') {
			return false
		}
		start := p.at
		for p.at < len(p.line) && (p.line[p.at]-'a' < 26 || p.line[p.at] == '_') {
			p.at++
		}
		key := p.line[start:p.at]
		if !p.next('"') || !p.next(':') || !p.value(in, key) {
			return false
		}
		if p.next('}') {
			return true
		}
		if !p.next(',') {
			return false
		}
	}
}

// value reads the value of key in the object that is the value of in.
func (p *speller[T]) value(in field, key T) bool {
	s, f := p.into, fieldOf(in, string(key))
	if f == noField {
		if in != fGaps {
			s.unknown = true
		}
		return p.any()
	}
	if s.holds(f) {
		return false
	}
	s.has |= 1 << f
	switch f {
	case fSeq, fStatus:
		return p.number(&s.text[f])
	case fSubject, fDevice, fLogin, fDisclosure:
		return p.object(f)
	case fRoles:
		return p.list(&s.roles)
	case fAMR:
		return p.list(&s.amr)
	case fFailed:
		return p.list(&s.failed)
	case fWarned:
		return p.list(&s.warned)
	case fObserved:
		return p.observations()
	case fGaps:
		return p.any()
	}
	return p.string(&s.text[f])
}

// any reads a value of which nothing is kept.
func (p *speller[T]) any() bool {
	var skipped T
	if p.at == len(p.line) {
		return false
	}
	switch p.line[p.at] {
	case '"':
		return p.string(&skipped)
	case '{':
		return p.object(fGaps)
	case '[':
		if p.depth++; p.depth > maxDepth {
			return false
		}
		defer func() { p.depth-- }()
		p.at++
		for {
			if !p.any() {
				return false
			}
			if p.next(']') {
				return true
			}
			if !p.next(',') {
				return false
			}
		}
	}
	return p.number(&skipped)
}

// number reads digits: the journal has no other numbers.
func (p *speller[T]) number(into *T) bool {
	start := p.at
	for p.at < len(p.line) && p.line[p.at]-'0' < 10 {
		p.at++
	}
	*into = p.line[start:p.at]
	return p.at-start == 1 || p.at > start && p.line[start] != '0'
}

// string reads a text and keeps what stands between its quotes.
func (p *speller[T]) string(into *T) bool {
	if !p.next('"') {
		return false
	}
	line, at, odd := p.line, p.at, false
	for {
		for at < len(line) && line[at] < utf8.RuneSelf && plain[line[at]] {
			at++
		}
		if at >= len(line) || line[at] < ' ' {
			return false
		}
		if line[at] == '"' {
			break
		}
		odd = true
		if line[at] == '\\' {
			at++
		}
		at++
	}
	*into = line[p.at:at]
	if odd && !asSpelled(string(line[p.at-1:at+1])) {
		return false
	}
	p.at = at + 1
	return true
}

// asSpelled reports whether quoted is the journal's spelling of what it says.
// U+FFFD has two: itself, and the escape of a byte that was not UTF-8.
func asSpelled(quoted string) bool {
	var s string
	if json.Unmarshal([]byte(quoted), &s) != nil {
		return false
	}
	one := func(spelled string) string { return strings.ReplaceAll(spelled, "\uFFFD", `\ufffd`) }
	return one(string(appendString(nil, s))) == one(quoted)
}

func (p *speller[T]) list(into *[]T) bool {
	if !p.next('[') {
		return false
	}
	for {
		var one T
		if !p.string(&one) {
			return false
		}
		*into = append(*into, one)
		if p.next(']') {
			return true
		}
		if !p.next(',') {
			return false
		}
	}
}

func (p *speller[T]) observations() bool {
	if !p.next('[') {
		return false
	}
	s := p.into
	for {
		s.has &^= 1<<fSeenRule | 1<<fSeenVerdict | 1<<fSeenReason
		s.text[fSeenRule], s.text[fSeenVerdict], s.text[fSeenReason] = s.text[noField], s.text[noField], s.text[noField]
		if !p.object(fObserved) {
			return false
		}
		s.observed = append(s.observed, seen[T]{s.text[fSeenRule], s.text[fSeenVerdict], s.text[fSeenReason]})
		if p.next(']') {
			return true
		}
		if !p.next(',') {
			return false
		}
	}
}

// record returns the Record that s spells. ok is false when only the decoder can
// tell: of checkpoints that tell gaps, and of numbers and times that are none.
func (s *spelling[T]) record() (r Record, ok bool) {
	if s.holds(fGaps) {
		return Record{}, false
	}
	ok = true
	moment := func(f field) (t time.Time) {
		if s.holds(f) && t.UnmarshalText([]byte(s.text[f])) != nil {
			ok = false
		}
		return t
	}
	text := func(f field) string { return said(string(s.text[f])) }
	r = Record{
		Time: moment(fTime), Event: access.EventKind(text(fEvent)), Verdict: text(fVerdict), Reason: access.Reason(text(fReason)),
		Route: text(fRoute), Rule: text(fRule), Host: text(fHost), Method: text(fMethod), Path: text(fPath),
		Subject: Subject{text(fIssuer), text(fSub), text(fUsername), allSaid(s.roles)},
		Client:  text(fClient), Session: text(fSession),
		Device:  Device{text(fID), text(fAssurance), text(fSender), allSaid(s.failed), allSaid(s.warned), moment(fDeadline), moment(fLastKnown)},
		Login:   Login{text(fACR), allSaid(s.amr), moment(fAuthTime)},
		Patient: text(fPatient), SourceIP: text(fSourceIP), RequestID: text(fRequestID), TraceID: text(fTraceID),
		SpanID: text(fSpanID), TraceFlags: text(fTraceFlags), PurposeOfUse: text(fPurposeOfUse),
		Disclosure: access.Disclosure{Recipient: text(fRecipient), Purpose: text(fPurpose)},
		Detail:     text(fDetail), Begins: text(fBegins), Key: text(fKey), Prev: text(fPrev), Sig: text(fSig),
	}
	r.Judged = moment(fJudged)
	for _, o := range s.observed {
		r.Observed = append(r.Observed, access.Observation{Rule: said(string(o.rule)), Verdict: said(string(o.verdict)), Reason: access.Reason(said(string(o.reason)))})
	}
	var err error
	if s.holds(fSeq) {
		if r.Seq, err = strconv.ParseUint(string(s.text[fSeq]), 10, 64); err != nil {
			ok = false
		}
	}
	if s.holds(fStatus) {
		if r.Status, err = strconv.Atoi(string(s.text[fStatus])); err != nil {
			ok = false
		}
	}
	return r, ok
}

// said returns the text that spelled stands for.
func said(spelled string) string {
	for i := range len(spelled) {
		if spelled[i] == '\\' {
			var s string
			if json.Unmarshal([]byte(`"`+spelled+`"`), &s) != nil { // read has seen that it is one
				return spelled
			}
			return s
		}
	}
	return spelled
}

func allSaid[T string | []byte](spelled []T) []string {
	if len(spelled) == 0 {
		return nil
	}
	all := make([]string, len(spelled))
	for i := range spelled {
		all[i] = said(string(spelled[i]))
	}
	return all
}
