package attack_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// A row is one case of the catalogue. What one exchange shows has send and
// want; any other case has run.
type row struct {
	id     string // the catalogue's number
	name   string // what this spelling of it does
	as     string // who asks: nora piet adam eve lene, tablet for nora on a device; "": nobody
	from   string // source address; "": one that is believed in nothing
	client string // whom the source speaks for, when it is believed; "": the source
	send   []request
	want   judgement
	run    func(t *testing.T, w *world)

	t testing.TB
}

func (r row) source() string {
	if r.from == "" {
		return stranger
	}
	return r.from
}

// of returns one row for each target, asked for by GET.
func of(id, as string, want judgement, targets ...string) []row {
	var rows []row
	for _, target := range targets {
		rows = append(rows, row{id: id, name: target, as: as, send: both("GET " + target), want: want})
	}
	return rows
}

// notSent says which numbers have no row, and why.
var notSent = map[string]string{
	"L1": "there is no break-glass",
	"L2": "there is no break-glass",
	"L3": "there is no break-glass",
	"L4": "there is no break-glass",
	"M1": "bearer tokens admit nobody (A12)",
	"N3": "no posture source signs its statements",
}

// elsewhere are the numbers that [TestSendersOfTheProgram] sends.
var elsewhere = []string{"D7", "D8"}

// numbers is how many numbers each letter of the catalogue has.
var numbers = map[byte]int{
	'A': 12, 'B': 8, 'C': 18, 'D': 10, 'E': 13, 'F': 6, 'G': 7, 'H': 15, 'I': 9,
	'J': 8, 'K': 8, 'L': 4, 'M': 7, 'N': 4, 'O': 6, 'P': 4, 'Q': 4,
}

// groups are the rows of the catalogue but for [notSent].
func groups() [][]row {
	return [][]row{groupA(), groupB(), groupC(), groupD(), groupE(), groupF(), groupG(), groupH(), groupI(), groupJ(), groupK(), groupM(), groupN(), groupO(), groupP(), groupQ()}
}

// told are the verdicts of this run, printed at its end when they are asked
// for by -v or by ANTEROOM_CATALOGUE=1.
var told = verdicts{}

func TestMain(m *testing.M) {
	code := m.Run()
	if len(told) > 0 && (testing.Verbose() || os.Getenv("ANTEROOM_CATALOGUE") != "") {
		told.print()
	}
	os.Exit(code)
}

// verdicts are what became of the cases, by number: how many held, of how many.
type verdicts map[string][2]int

func (v verdicts) note(id string, held bool) {
	n := v[id]
	n[1]++
	if held {
		n[0]++
	}
	v[id] = n
}

// print writes a line for each number of the catalogue, in its order.
func (v verdicts) print() {
	all := slices.Concat(slices.Collect(maps.Keys(v)), slices.Collect(maps.Keys(notSent)))
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	sent, failed := 0, 0
	for _, id := range slices.Compact(all) {
		if _, ok := numbers[id[0]]; !ok {
			continue // a framework's
		}
		if why, ok := notSent[id]; ok && v[id][1] == 0 {
			fmt.Printf("%-4s not sent: %s\n", id, why)
			continue
		}
		word := "held"
		if v[id][0] != v[id][1] {
			word = "FAILED"
		}
		fmt.Printf("%-4s %-6s %d of %d\n", id, word, v[id][0], v[id][1])
		sent, failed = sent+v[id][1], failed+v[id][1]-v[id][0]
	}
	for _, f := range frameworks {
		if n, ok := v[f.host]; ok {
			fmt.Printf("%s: %d of %d cases about names, paths and bodies held\n", f.host, n[0], n[1])
		}
	}
	fmt.Printf("%d cases sent, %d failed; numbers not sent: %d\n", sent, failed, len(notSent))
}

// TestCatalogue sends every case.
func TestCatalogue(t *testing.T) {
	w := newWorld(t, anteroomtest.Setup{})
	for _, group := range groups() {
		for _, r := range group {
			sent := false // unless -run asks for others
			held := t.Run(r.id+"/"+r.name, func(t *testing.T) { sent = true; w.try(t, r) })
			if sent {
				told.note(r.id, held)
			}
		}
	}
}

// Every number of the catalogue has a case, or a reason why it has none.
func TestCatalogueIsWhole(t *testing.T) {
	has := map[string]bool{}
	for _, group := range groups() {
		for _, r := range group {
			has[r.id] = true
		}
	}
	for _, id := range elsewhere {
		has[id] = true
	}
	for letter, n := range numbers {
		for i := 1; i <= n; i++ {
			id := fmt.Sprintf("%c%d", letter, i)
			if _, excused := notSent[id]; has[id] == excused {
				t.Errorf("%s: a case %v, a reason to have none %v", id, has[id], excused)
			}
		}
	}
}

// try sends one case and judges it, and then looks whether the gateway is well.
func (w *world) try(t *testing.T, r row) {
	before := len(w.Log())
	defer func() {
		if t.Failed() {
			t.Logf("log of the gateway meanwhile:\n%s", w.Log()[before:])
		}
	}()
	w.restore()
	if r.run != nil {
		r.run(t, w)
		w.restore()
		w.well(t, before)
		return
	}
	r.t = t
	for _, req := range r.send {
		w.Backend.Forget()
		c := &attempt{row: r, req: req, answer: w.send(t, req, r.as, r.source())}
		if err := r.want(w, c); err != nil {
			t.Errorf("%v\nfor %q %v\n", err, req.raw, req.fields)
		}
		if err := w.recorded(c); err != nil {
			t.Errorf("%v\nfor %q %v\n", err, req.raw, req.fields)
		}
	}
	w.well(t, before)
}

// well checks that nothing panicked, and that a normal request is answered
// promptly. Other tests share the machine, so a slow answer may be followed by
// a prompt one.
func (w *world) well(t *testing.T, before int) {
	t.Helper()
	if log := w.Log()[before:]; anteroomtest.Panicked(log) {
		t.Errorf("a panic:\n%s", log)
	}
	began := time.Now()
	for {
		w.Backend.Forget()
		r := row{as: "nora", t: t}
		at := time.Now()
		c := &attempt{row: r, req: h1("GET /chart/well"), answer: w.send(t, h1("GET /chart/well"), "nora", stranger)}
		took := time.Since(at)
		// What an unanswered case left on its way may still arrive, under its own id.
		c.got = slices.DeleteFunc(c.got, func(a arrived) bool {
			id := a.get("X-Request-Id")
			return len(id) == 24 && id != c.header.Get("X-Request-Id")
		})
		if err := all(STRIP, arrivesAs("/chart/well"))(w, c); err != nil {
			t.Errorf("a normal request afterwards: %v", err)
			return
		}
		if took <= 100*time.Millisecond {
			return
		}
		if time.Since(began) > limit {
			t.Errorf("a normal request afterwards takes %v", took)
			return
		}
	}
}

// recorded checks that the trail names the true path, host and source of what
// was decided. What never became a request, as HTTP has them, was not.
func (w *world) recorded(c *attempt) error {
	id := c.header.Get("X-Request-Id")
	if id == "" {
		return nil
	}
	target := c.req.target()
	path, _, _ := strings.Cut(target, "?")
	if strings.HasPrefix(path, "/.anteroom") {
		return nil // what those record is not a decision on a route
	}
	var found []audit.Record
	for line, err := range audit.Search(filepath.Join(w.Dir, "data", "audit"), audit.Query{RequestID: id, Event: access.EventAccess}) {
		if err != nil {
			return err
		}
		found = append(found, line.Record)
	}
	if len(found) != 1 {
		return fmt.Errorf("%d records of the decision", len(found))
	}
	from := c.source()
	if c.client != "" {
		from = c.client
	}
	got := found[0]
	if got.SourceIP != from {
		return fmt.Errorf("recorded source %q, want %q", got.SourceIP, from)
	}
	if strings.HasPrefix(path, "/") && !samePath(got.Path, path) {
		return fmt.Errorf("recorded path %q, want %q", got.Path, path)
	}
	if host := c.req.authority(w); host != "" && !strings.EqualFold(got.Host, host) && got.Host != c.req.host() {
		return fmt.Errorf("recorded host %q, want %q", got.Host, host)
	}
	return nil
}

// parameters are what a path says behind ; in a segment: a record may not have it.
var parameters = regexp.MustCompile(`(;|%3[bB])[^/]*`)

// samePath reports whether a recorded path is the one sent without its
// parameters, as it was or with escapes where a record needs them.
func samePath(got, sent string) bool {
	sent = parameters.ReplaceAllString(sent, "$1")
	if got == sent {
		return true
	}
	plain, err := url.PathUnescape(got)
	return err == nil && plain == sent
}

// target returns what r asks for.
func (r request) target() string {
	for _, f := range r.fields {
		if f.Name == ":path" {
			return f.Value
		}
	}
	parts := strings.SplitN(r.raw, " ", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// authority returns the host that r names; "" where it does not name one.
func (r request) authority(w *world) string {
	swap := strings.NewReplacer("{host}", r.host())
	for _, f := range r.fields {
		if f.Name == ":authority" {
			return swap.Replace(f.Value)
		}
	}
	if u, err := url.Parse(swap.Replace(r.target())); err == nil && u.Host != "" && u.Scheme != "" {
		return u.Host // absolute form, which goes before Host
	}
	_, rest, ok := strings.Cut(r.raw, "\r\nHost: ")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "\r\n")
	return swap.Replace(host)
}
