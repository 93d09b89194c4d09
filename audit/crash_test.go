package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/audit"
)

// TestMain turns a copy of the test binary into a process that writes until it
// is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AUDIT_TEST_WRITE"); dir != "" {
		first, _ := strconv.Atoi(os.Getenv("AUDIT_TEST_FROM"))
		writeForever(dir, first)
	}
	os.Exit(m.Run())
}

// writeForever records numbered events from several goroutines and prints the
// number of each once it is acknowledged.
func writeForever(dir string, first int) {
	o := options(dir)
	o.CheckpointEvery = 50
	j, err := audit.Open(o)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	const writers = 4
	acked := make(chan int)
	for w := range writers {
		go func() {
			for n := first + w; ; n += writers {
				if err := j.Record(context.Background(), numbered(n), n%20 == 0); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				acked <- n
			}
		}()
	}
	for n := range acked {
		os.Stdout.Write(strconv.AppendInt(nil, int64(n), 10)) // one write each: a kill tears none
		os.Stdout.Write([]byte("\n"))
	}
}

func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	from := 0
	for kill := range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "AUDIT_TEST_WRITE="+dir, fmt.Sprintf("AUDIT_TEST_FROM=%d", from))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		for i := 0; ; i++ {
			if i == 40+kill*17 { // somewhere in the middle of its work
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			line, err := r.ReadString('\n')
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatalf("the writer says %s", line)
			}
			acked[fmt.Sprintf("r%d", n)] = true
			from = max(from, n+4)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the writer ended by itself")
		}
		sound(t, dir) // also before anybody opens it again
	}
	journal(t, dir, 0)
	r := sound(t, dir)
	held := map[string]bool{}
	for _, id := range requests(t, dir) {
		held[id] = true
	}
	for id := range acked {
		if !held[id] {
			t.Errorf("record %s was acknowledged and is gone", id)
		}
	}
	if len(acked) < 20*40 {
		t.Errorf("only %d records were acknowledged", len(acked))
	}
	for _, g := range r.Gaps {
		if g.Kind != audit.TornTail {
			t.Errorf("a killed process leaves no %s", g)
		}
	}
	t.Logf("%d records, %d acknowledged, %d torn ends", r.Records, len(acked), len(r.Gaps))
}

// TestTornAtEveryByte cuts the journal at every byte of its last record, as a
// crash might, and opens it again.
func TestTornAtEveryByte(t *testing.T) {
	var whole, lagging, ahead []byte
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j := open(t, options(dir))
		read := func(name string) []byte {
			time.Sleep(200 * time.Millisecond) // the head is signed meanwhile
			b, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			return b
		}
		record(t, j, numbered(0), true)
		record(t, j, numbered(1), true)
		lagging = read("head") // from before the last record: what a crash leaves
		record(t, j, numbered(2), true)
		ahead, whole = read("head"), read(today)
		closed(t, j)
	})
	start := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for _, c := range []struct {
		name    string
		head    []byte
		explain bool // a crash explains what is missing
		step    int
	}{
		{"the head not yet written", lagging, true, 1},
		{"the head ahead: no crash does that", ahead, false, 13},
	} {
		t.Run(c.name, func(t *testing.T) {
			for cut := start; cut <= len(whole); cut += min(c.step, max(1, len(whole)-cut)) {
				dir := t.TempDir()
				must(t, os.WriteFile(filepath.Join(dir, today), whole[:cut], 0o600))
				must(t, os.WriteFile(filepath.Join(dir, "head"), c.head, 0o600))
				good := c.explain || cut == len(whole)
				if before := verify(t, dir); good != (before.Problem == nil) {
					t.Fatalf("cut at %d: before opening, verify says %v", cut-start, before.Problem)
				}
				j := open(t, options(dir))
				record(t, j, numbered(7), false)
				closed(t, j)
				r := verify(t, dir)
				if good != (r.Problem == nil) {
					t.Fatalf("cut at %d: verify says %v, gaps %v", cut-start, r.Problem, r.Gaps)
				}
				want := []string{"r0", "r1", "r7"}
				if cut == len(whole) {
					want = []string{"r0", "r1", "r2", "r7"}
				}
				if got := requests(t, dir); strings.Join(got, " ") != strings.Join(want, " ") {
					t.Fatalf("cut at %d: records %v, want %v", cut-start, got, want)
				}
				torn := filepath.Join(dir, today+".torn-1")
				kept, err := os.ReadFile(torn)
				if cut == start || cut == len(whole) {
					if err == nil {
						t.Fatalf("cut at %d: nothing was torn, but %q was set aside", cut-start, kept)
					}
					continue
				}
				if err != nil || !bytes.Equal(kept, whole[start:cut]) {
					t.Fatalf("cut at %d: set aside %q (%v), want %q", cut-start, kept, err, whole[start:cut])
				}
				if r.Gaps[0].Kind != audit.TornTail || r.Gaps[0].Bytes != int64(cut-start) || r.Gaps[0].Line == 0 {
					t.Fatalf("cut at %d: gaps %+v", cut-start, r.Gaps)
				}
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
