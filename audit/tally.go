package audit

import (
	"hash/maphash"
	"io"
	"os"
)

// A tally adds up what an index says, in whatever order it is come by: two sums
// are the same when the entries are. Its seed is of this process alone, so that
// nobody can write an index that says something else and adds up to the same.
type tally struct{ seed maphash.Seed }

func (t tally) extent(from, to int64) uint64 { return maphash.Comparable(t.seed, extent{from, to}) }

func (t tally) entry(key uint64, from int64) uint64 {
	return maphash.Comparable(t.seed, chunkKey{key, from})
}

// A chunkKey is an entry, by where its block begins.
type chunkKey struct {
	key  uint64
	from int64
}

// block is the sum of the entries of one block, and of where it begins and ends.
func (t tally) block(keys []uint64, from, to int64) uint64 {
	sum := t.extent(from, to)
	for _, k := range keys {
		sum += t.entry(k, from)
	}
	return sum
}

// chunks is the sum of chunks that follow each other; end is where the last ends.
func (t tally) chunks(all []chunk, end int64) (sum uint64) {
	for i, c := range all {
		to := end
		if i+1 < len(all) {
			to = all[i+1].at
		}
		sum += t.block(c.keys, c.at, to)
	}
	return sum
}

// index is the sum of all that x says.
func (t tally) index(x *index) (sum uint64, err error) {
	at := int64(indexHead)
	for range x.parts {
		p, err := x.table(at)
		if err != nil {
			return 0, err
		}
		for n := range p.count {
			sum += t.block(nil, p.offset(n), p.offset(n+1))
		}
		for page := range (p.entries + pageEntries - 1) / pageEntries {
			if err := p.page(page, func(key uint64, block int) { sum += t.entry(key, p.offset(block)) }); err != nil {
				return 0, err
			}
		}
		at = p.pages + int64(p.entries)*8
	}
	return sum, nil
}

// indexed compares the segment's index with what the lines said; end is how far
// they were all plain. An index that does not fit misleads nobody, as no search
// uses it.
func (v *verifier) indexed(f io.ReaderAt, x *index, end int64) error {
	want, err := v.tally.index(x)
	if err != nil {
		return nil
	}
	have := v.marks
	if end != x.place.end { // something was not plain, and is judged elsewhere
		have = 0
		if _, err := inBlocks(v.reading, io.NewSectionReader(f, 0, x.place.end), func(b block) uint64 {
			return v.tally.chunks(chunksOf(b, x.place.hash), b.at+int64(len(b.text)))
		}, func(_ block, sum uint64) bool { have += sum; return true }); err != nil {
			return err
		}
	}
	if have != want && v.misled == nil {
		v.misled = &Problem{File: v.name + indexExt, What: "says of its segment what is not so: searches may miss records. Delete it, and have it made anew"}
	}
	return nil
}

// openIndex opens the index of the segment at path for v, and returns what
// closes it.
func (v *verifier) openIndex(path string, f *os.File) func() {
	v.index, v.marks = nil, 0
	x, file, err := openIndex(path, f)
	if err != nil {
		return func() {}
	}
	v.index = x
	return func() { file.Close() }
}
