package audit

import (
	"crypto/ed25519"
	"time"

	"github.com/anteroom/anteroom/access"
)

// A File is what a segment is written through.
type File = file

// OpenFile opens a real one.
var OpenFile = openFile

// Through returns o with its segments opened by open.
func (o Options) Through(open func(path string, flag int) (File, error)) Options {
	o.open = open
	return o
}

// Encode returns e as a whole line, as if it were the first.
func Encode(b []byte, e *access.Event, now time.Time) []byte {
	b = append(b, `{"seq":1`...)
	b = appendEvent(b, e, now)
	b = appendSeal(b, point{}.hash)
	return append(b, '}')
}

// Decode reads a line.
var Decode = decode

// DecodeAny reads a line by encoding/json alone.
var DecodeAny = decodeAny

// AsWritten reports whether a line is written as the journal writes.
func AsWritten(line []byte) bool {
	var s spelling[[]byte]
	return s.read(line)
}

// AllKnown reports whether every key of a line that is written so has a field.
func AllKnown(line []byte) bool {
	var s spelling[[]byte]
	return s.read(line) && !s.unknown
}

// VerifyByLine is [Verify] without its quick look at many lines at once.
func VerifyByLine(dir string, keys ...ed25519.PublicKey) (Report, error) {
	return verify(dir, keys, true)
}
