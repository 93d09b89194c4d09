package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"sort"
)

// errUnfit means that an index is not of its segment, or damaged.
var errUnfit = errors.New("the index does not fit its segment")

// An index is one that is open for reading.
type index struct {
	file  io.ReaderAt
	place place
	parts int
}

// openIndex returns the index of the segment at path, which is open as f. It
// returns [os.ErrNotExist] when there is none and [errUnfit] when it is of no use.
func openIndex(path string, f *os.File) (*index, *os.File, error) {
	file, err := os.Open(path + indexExt)
	if err != nil {
		return nil, nil, err
	}
	x, err := readIndex(file)
	if err == nil && !x.place.still(f) {
		err = errUnfit
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return x, file, nil
}

func readIndex(file io.ReaderAt) (*index, error) {
	b := make([]byte, indexHead)
	if _, err := file.ReadAt(b, 0); err != nil {
		return nil, errUnfit
	}
	sum := b[indexHead-4:]
	if string(b[:len(indexMagic)]) != indexMagic || binary.BigEndian.Uint32(sum) != crc32.Checksum(b[:indexHead-4], castagnoli) {
		return nil, errUnfit
	}
	x := &index{file: file}
	n := b[len(indexMagic):]
	for _, to := range []*int64{&x.place.size, &x.place.start, &x.place.end} {
		*to, n = int64(binary.BigEndian.Uint64(n)), n[8:]
	}
	copy(x.place.hash[:], n)
	x.parts = int(binary.BigEndian.Uint32(n[sha256.Size:]))
	return x, nil
}

// An extent is some bytes of a segment.
type extent struct{ from, to int64 }

// find returns the extents of the segment in which a line may have all of
// wanted, in order and apart from each other.
func (x *index) find(wanted []wish) ([]extent, error) {
	var all []extent
	at := int64(indexHead)
	for range x.parts {
		t, err := x.table(at)
		if err != nil {
			return nil, err
		}
		blocks, err := t.blocks(wanted, x.place.hash)
		if err != nil {
			return nil, err
		}
		for n, in := range blocks {
			if !in {
				continue
			}
			e := extent{t.offset(n), t.offset(n + 1)}
			if last := len(all) - 1; last >= 0 && all[last].to == e.from {
				all[last].to = e.to
			} else {
				all = append(all, e)
			}
		}
		at = t.pages + int64(t.entries)*8
	}
	for i, e := range all {
		if e.from < 0 || e.from >= e.to || e.to > x.place.end || i > 0 && e.from < all[i-1].to {
			return nil, errUnfit
		}
	}
	return all, nil
}

// A table is the head of a part.
type table struct {
	x       *index
	text    []byte
	count   int // blocks
	entries int
	end     int64 // of the last block
	pages   int64 // where they begin in the file
}

func (x *index) table(at int64) (table, error) {
	b := make([]byte, partHead)
	if _, err := x.file.ReadAt(b, at); err != nil {
		return table{}, errUnfit
	}
	t := table{x: x, count: int(binary.BigEndian.Uint32(b)), entries: int(binary.BigEndian.Uint32(b[4:])), end: int64(binary.BigEndian.Uint64(b[8:]))}
	fences := (t.entries + pageEntries - 1) / pageEntries
	if t.count < 1 || t.count > partBlocks || fences > 1<<22 {
		return table{}, errUnfit
	}
	t.text = make([]byte, partHead+t.count*8+fences*fenceSize)
	if _, err := x.file.ReadAt(t.text, at); err != nil || sumOf(t.text) != binary.BigEndian.Uint32(b[partHead-4:]) {
		return table{}, errUnfit
	}
	t.pages = at + int64(len(t.text))
	return t, nil
}

// offset returns where block n begins, and so where the one before it ends.
func (t table) offset(n int) int64 {
	if n == t.count {
		return t.end
	}
	return int64(binary.BigEndian.Uint64(t.text[partHead+n*8:]))
}

// blocks says of each block whether it may hold a line with all of wanted.
func (t table) blocks(wanted []wish, salt [sha256.Size]byte) ([]bool, error) {
	m := newMarker(salt, 0)
	in := make([]bool, t.count)
	for i, w := range wanted {
		has := make([]bool, t.count)
		if err := t.lookUp(m.key(w.kind, w.spelled), has); err != nil {
			return nil, err
		}
		for n := range in {
			in[n] = has[n] && (i == 0 || in[n])
		}
	}
	return in, t.lookUp(m.key(unreadable, []byte{'!'}), in)
}

// lookUp notes in has the blocks that have an entry for key.
func (t table) lookUp(key uint64, has []bool) error {
	fences := t.text[partHead+t.count*8:]
	count := len(fences) / fenceSize
	first := func(page int) uint64 { return binary.BigEndian.Uint64(fences[page*fenceSize:]) }
	// The last page that begins before the key may end with it already.
	from := max(0, sort.Search(count, func(page int) bool { return first(page) >= key })-1)
	for page := from; page < count && first(page)>>blockBits<<blockBits <= key; page++ {
		if err := t.page(page, func(k uint64, block int) {
			if k == key {
				has[block] = true
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// page gives the entries of a page to take: each key, and the block it is in.
func (t table) page(page int, take func(key uint64, block int)) error {
	b := make([]byte, min(pageEntries, t.entries-page*pageEntries)*8)
	if _, err := t.x.file.ReadAt(b, t.pages+int64(page)*pageEntries*8); err != nil {
		return errUnfit
	}
	fence := t.text[partHead+t.count*8+page*fenceSize:]
	if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(fence[8:]) {
		return errUnfit
	}
	for ; len(b) > 0; b = b[8:] {
		e := binary.BigEndian.Uint64(b)
		block := int(e & (partBlocks - 1))
		if block >= t.count {
			return errUnfit
		}
		take(e>>blockBits<<blockBits, block)
	}
	return nil
}

// A wish is a value that is looked for.
type wish struct {
	kind    kind
	spelled []byte
}

// wishes returns what an index can tell of q: of values with U+FFFD it cannot.
func (q Query) wishes() []wish {
	var all []wish
	for _, v := range []struct {
		kind  kind
		value string
	}{
		{byPatient, q.Patient}, {byPerson, q.Person}, {byDevice, q.Device}, {bySession, q.Session}, {byRequest, q.RequestID}, {byTrace, q.TraceID},
	} {
		if v.value != "" && spelledOnce(v.value) {
			all = append(all, wish{v.kind, spell(v.value)})
		}
	}
	return all
}
