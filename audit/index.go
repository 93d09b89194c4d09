package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
)

// An index says in which blocks of a segment a patient, a person, a device, a
// session, a request or a trace occurs. It stands beside its segment, is made
// from it alone, and says where to look, never what is there: the lines that are
// found are read from the segment. One that is damaged, or whose segment has
// another size or another last line, is not used.
//
// The file is a header, then parts of up to [partBlocks] blocks each, so that
// memory stays the same however long a day was. A part is a head, the offsets of
// its blocks, a fence for each page of entries, and the pages. An entry is 52 bits
// of a hash and the number of a block; entries are sorted. Numbers are big-endian.
const (
	indexExt   = ".index"
	indexMagic = "anteroom index 1"

	chunkBytes  = 64 << 10 // a block of an index is so long, or a line longer
	partBlocks  = 1 << blockBits
	blockBits   = 12
	pageEntries = 512

	indexHead = len(indexMagic) + 8 + 8 + 8 + sha256.Size + 4 + 4
	partHead  = 4 + 4 + 8 + 4
	fenceSize = 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A kind is what an entry's value names. Sub and username are one kind, since
// whoever looks for a person may give either.
type kind byte

const (
	byPatient  kind = 'p'
	byPerson   kind = 'u'
	byDevice   kind = 'd'
	bySession  kind = 's'
	byRequest  kind = 'r'
	byTrace    kind = 't'
	unreadable kind = '!' // a block with a line of which nothing can be told: it is always looked at
)

// A place is the end of a segment, as its index knows it.
type place struct {
	size       int64 // of the file
	start, end int64 // of the last line, without and with its newline
	hash       [sha256.Size]byte
}

// endOf returns the end of a segment of so many bytes.
func endOf(f io.ReaderAt, size int64) (place, error) {
	for back := int64(8 << 10); ; back *= 8 {
		from := max(0, size-back)
		b := make([]byte, size-from)
		if _, err := f.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
			return place{}, err
		}
		end := strings.LastIndexByte(string(b), '\n')
		start := -1
		if end >= 0 {
			start = strings.LastIndexByte(string(b[:end]), '\n')
		}
		switch {
		case end >= 0 && (start >= 0 || from == 0):
			p := place{size: size, start: from + int64(start) + 1, end: from + int64(end) + 1}
			p.hash = sha256.Sum256(b[start+1 : end])
			return p, nil
		case from == 0 || back > 4*maxLine:
			return place{}, errors.New("has no line to end with")
		}
	}
}

// still reports whether the segment ends as p says.
func (p place) still(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() != p.size || p.start < 0 || p.end <= p.start || p.end > p.size || p.end-p.start > maxLine {
		return false
	}
	line := make([]byte, p.end-p.start)
	if _, err := f.ReadAt(line, p.start); err != nil {
		return false
	}
	return line[len(line)-1] == '\n' && sha256.Sum256(line[:len(line)-1]) == p.hash
}

// A chunk is a block of an index: where it begins, and the entries of its lines
// without a block's number, sorted, each once.
type chunk struct {
	at   int64
	keys []uint64
}

// A marker makes the chunks of a block of lines.
type marker struct {
	salt   [sha256.Size]byte
	buf    []byte
	keys   []uint64
	from   int64 // where the chunk begins that is being filled
	at     int64
	chunks []chunk
	recent [256]marked // most values come twice, in a request's record and in its outcome's
}

// A marked is a value and its entry.
type marked struct {
	kind    kind
	spelled []byte
	key     uint64
}

func newMarker(salt [sha256.Size]byte, at int64) *marker {
	return &marker{salt: salt, from: at, at: at}
}

// key returns the entry for a value as it is spelled. The hash is salted with
// that of the segment's last line, which no client can know beforehand.
func (m *marker) key(k kind, spelled []byte) uint64 {
	m.buf = append(append(append(m.buf[:0], m.salt[:]...), byte(k)), spelled...)
	sum := sha256.Sum256(m.buf)
	return binary.BigEndian.Uint64(sum[:]) >> blockBits << blockBits
}

func (m *marker) add(k kind, spelled []byte) {
	n := len(spelled)
	if n == 0 {
		return
	}
	slot := uint32(k)
	for _, c := range spelled[max(0, n-6):] { // where ids differ
		slot = slot*31 + uint32(c)
	}
	r := &m.recent[(slot^slot>>8)%uint32(len(m.recent))]
	if r.kind != k || !bytes.Equal(r.spelled, spelled) {
		*r = marked{k, spelled, m.key(k, spelled)}
	}
	m.keys = append(m.keys, r.key)
}

// line marks the next line; s is nil when it is not written as the journal writes.
func (m *marker) line(line []byte, s *spelling[[]byte]) {
	if s != nil {
		m.add(byPatient, s.text[fPatient])
		m.add(byPerson, s.text[fSub])
		m.add(byPerson, s.text[fUsername])
		m.add(byDevice, s.text[fID])
		m.add(bySession, s.text[fSession])
		m.add(byRequest, s.text[fRequestID])
		m.add(byTrace, s.text[fTraceID])
	} else if r, err := decode(line); err != nil {
		m.add(unreadable, []byte{'!'})
	} else {
		for _, v := range []struct {
			kind  kind
			value string
		}{
			{byPatient, r.Patient}, {byPerson, r.Subject.Sub}, {byPerson, r.Subject.Username}, {byDevice, r.Device.ID},
			{bySession, r.Session}, {byRequest, r.RequestID}, {byTrace, r.TraceID},
		} {
			if v.value != "" {
				m.add(v.kind, spell(v.value))
			}
		}
	}
	m.at += int64(len(line)) + 1
	if m.at-m.from >= chunkBytes {
		m.cut()
	}
}

// spell returns how the journal writes s, without quotes.
func spell(s string) []byte {
	quoted := appendString(nil, s)
	return quoted[1 : len(quoted)-1]
}

// cut ends the chunk that is being filled.
func (m *marker) cut() {
	if m.at == m.from {
		return
	}
	slices.Sort(m.keys)
	m.chunks = append(m.chunks, chunk{m.from, slices.Clone(slices.Compact(m.keys))})
	m.keys, m.from = m.keys[:0], m.at
}

// chunksOf returns the chunks of b.
func chunksOf(b block, salt [sha256.Size]byte) []chunk {
	m := newMarker(salt, b.at)
	var s spelling[[]byte]
	for text := b.text; len(text) > 0; {
		var line []byte
		line, text = cutLine(text)
		if s.read(line) {
			m.line(line, &s)
		} else {
			m.line(line, nil)
		}
	}
	m.cut()
	return m.chunks
}

// A part is the entries of some blocks, while they are gathered.
type part struct {
	offsets []int64
	entries []uint64
}

func (p *part) add(c chunk) {
	for _, k := range c.keys {
		p.entries = append(p.entries, k|uint64(len(p.offsets)))
	}
	p.offsets = append(p.offsets, c.at)
}

// encode returns p as it stands in the file; end is where its last block ends.
func (p *part) encode(end int64) []byte {
	slices.Sort(p.entries)
	var b []byte
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.offsets)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.entries)))
	b = binary.BigEndian.AppendUint64(b, uint64(end))
	b = append(b, 0, 0, 0, 0) // the sum of what follows up to the pages, and of the head before
	for _, at := range p.offsets {
		b = binary.BigEndian.AppendUint64(b, uint64(at))
	}
	var pages, page []byte
	for some := range slices.Chunk(p.entries, pageEntries) {
		page = page[:0]
		for _, e := range some {
			page = binary.BigEndian.AppendUint64(page, e)
		}
		b = binary.BigEndian.AppendUint64(b, some[0])
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(page, castagnoli))
		pages = append(pages, page...)
	}
	binary.BigEndian.PutUint32(b[partHead-4:], sumOf(b))
	return append(b, pages...)
}

// sumOf returns the sum of a part's table, whose own place in it is left out.
func sumOf(table []byte) uint32 {
	return crc32.Update(crc32.Checksum(table[:partHead-4], castagnoli), castagnoli, table[partHead:])
}

func (p place) encode(parts int) []byte {
	b := []byte(indexMagic)
	for _, n := range []int64{p.size, p.start, p.end} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, p.hash[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(parts))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}
