package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"hash/crc32"
	"os"
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

// BlockBytes is how much is looked at at once.
const BlockBytes = blockBytes

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

// Summed returns b with the sums of an index of one part, so that a fuzzer gets past them.
func Summed(b []byte) []byte {
	if len(b) < indexHead+partHead {
		return b
	}
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[indexHead-4:], crc32.Checksum(b[:indexHead-4], castagnoli))
	part := b[indexHead:]
	count, entries := int(binary.BigEndian.Uint32(part)), int(binary.BigEndian.Uint32(part[4:]))
	if n := partHead + count*8 + (entries+pageEntries-1)/pageEntries*fenceSize; count <= partBlocks && n < len(part) {
		binary.BigEndian.PutUint32(part[partHead-4:], sumOf(part[:n]))
	}
	return b
}

// ForgetPatient rewrites the index of a segment, sums and all, without a patient.
func ForgetPatient(segment, patient string) error {
	f, err := os.Open(segment)
	if err != nil {
		return err
	}
	defer f.Close()
	x, file, err := openIndex(segment, f)
	if err != nil {
		return err
	}
	defer file.Close()
	gone := newMarker(x.place.hash, 0).key(byPatient, spell(patient))
	t, err := x.table(int64(indexHead))
	if err != nil {
		return err
	}
	var p part
	for n := range t.count {
		p.offsets = append(p.offsets, t.offset(n))
	}
	for page := range (t.entries + pageEntries - 1) / pageEntries {
		if err := t.page(page, func(key uint64, block int) {
			if key != gone {
				p.entries = append(p.entries, key|uint64(block))
			}
		}); err != nil {
			return err
		}
	}
	return os.WriteFile(segment+indexExt, append(x.place.encode(1), p.encode(t.end)...), 0o600)
}
