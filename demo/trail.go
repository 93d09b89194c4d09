package demo

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A trail reads what is appended to the files of an audit trail, as anybody
// can: docs/audit.md says how they look.
type trail struct {
	dir string
	at  map[string]int64 // how far each file was read
}

// openTrail returns the trail in dir from here on. There need be none yet.
func openTrail(dir string) *trail {
	t := &trail{dir: dir, at: map[string]int64{}}
	for _, file := range t.files() {
		if info, err := os.Stat(file); err == nil {
			t.at[file] = info.Size()
		}
	}
	return t
}

func (t *trail) files() []string {
	all, _ := filepath.Glob(filepath.Join(t.dir, "*.ndjson")) // the pattern is right
	return all
}

// follow hands each new line to record, until ctx ends.
func (t *trail) follow(ctx context.Context, record func(text []byte)) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, file := range t.files() {
				t.read(file, record)
			}
		}
	}
}

// read hands on the whole lines that file has more than at the last time. What
// cannot be read now is read later.
func (t *trail) read(file string, record func(text []byte)) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, t.at[file], 1<<20))
	if err != nil {
		return
	}
	for {
		text, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return
		}
		t.at[file] += int64(len(text)) + 1
		record(text)
		b = rest
	}
}
