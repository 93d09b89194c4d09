package faults_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/audit"
)

// TestR11TornTail kills a gateway while it writes its trail, and tears a random
// number of bytes off the end, as a failing disk does. The trail must go on, and
// name each gap. What the disk had confirmed is another matter: that it is gone
// no machine explains, and it must not pass.
func TestR11TornTail(t *testing.T) {
	e := begin(t, "R11")
	rounds := choose(10, 200)
	g := start(t, setup{})
	b := g.signedIn(t)
	client, cookie := g.client(t, false, 16), cookieOf(b, "ehr.test")
	torn := 0
	var bytes int64
	for range rounds {
		write(t, g, client, cookie)
		g.kill()
		segment, whole, confirmed := journalEnd(t, g.auditDir())
		if whole > confirmed {
			cut := 1 + rand.Int64N(whole-confirmed)
			if err := os.Truncate(segment, whole-cut); err != nil {
				t.Fatal(err)
			}
			torn++
			bytes += cut
		}
		g.launch()
	}
	if status := g.status(t, client, "/chart", cookie); status != http.StatusOK {
		t.Errorf("after the last kill: %d", status)
	}
	write(t, g, client, cookie) // and a tail that was never told of
	g.kill()
	last, _, _ := journalEnd(t, g.auditDir())
	tear(t, last, `{"seq":`)
	report, err := audit.Verify(g.auditDir())
	if err != nil {
		t.Fatal(err)
	}
	e.must(report.Problem == nil && gaps(report, audit.TornTail) > 0, "an unfinished end before the restart is told as %v %v", report.Problem, report.Gaps)
	g.launch()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if report, err = audit.Verify(g.auditDir()); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, gap := range report.Gaps {
		if gap.At != "" {
			told++
		}
	}
	e.figure("%d kills, %d ends torn by %d bytes in all", rounds+1, torn+1, bytes+7)
	e.figure("%d gap records for them in a trail of %d", told, report.Records)
	e.must(report.Problem == nil, "the chain does not go on: %v", report.Problem)
	e.must(told >= torn, "%d of %d gaps are not told", torn-told, torn)

	// Now a hand takes confirmed records away.
	segment, whole, _ := journalEnd(t, g.auditDir())
	if err := os.Truncate(segment, whole-100); err != nil {
		t.Fatal(err)
	}
	report, err = audit.Verify(g.auditDir())
	if err != nil {
		t.Fatal(err)
	}
	e.must(report.Problem != nil, "confirmed records were cut off, and the trail still verifies")
	if report.Problem != nil {
		e.figure("a cut below what the disk confirmed: %q", report.Problem.What)
	}
}

func gaps(r audit.Report, kind audit.GapKind) int {
	n := 0
	for _, g := range r.Gaps {
		if g.Kind == kind {
			n++
		}
	}
	return n
}

// write sends requests in parallel for a moment, so that records are being written.
func write(t *testing.T, g *process, client *http.Client, cookie string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond+rand.N(40*time.Millisecond))
	defer cancel()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				call(ctx, client, http.MethodGet, g.URL("ehr.test", "/chart"), cookie, nil)
			}
		})
	}
	all.Wait()
}

// journalEnd returns the last segment, its size, and how much of it the signed
// head says that the disk has confirmed.
func journalEnd(t *testing.T, dir string) (segment string, size, confirmed int64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "head"))
	if err != nil {
		t.Fatal(err)
	}
	var head struct {
		Head uint64
		File string
		Size int64
	}
	for line := range strings.Lines(string(text)) {
		slot := head
		if json.Unmarshal([]byte(line), &slot) == nil && slot.Head > head.Head {
			head = slot
		}
	}
	segment = filepath.Join(dir, head.File)
	info, err := os.Stat(segment)
	if err != nil {
		t.Fatalf("the segment that the head names: %v", err)
	}
	return segment, info.Size(), head.Size
}

// tear leaves an unfinished line at the end of a segment, as a write that was
// under way does.
func tear(t *testing.T, segment, unfinished string) {
	t.Helper()
	f, err := os.OpenFile(segment, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(unfinished); err != nil {
		t.Fatal(err)
	}
}
