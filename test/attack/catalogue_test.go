package attack_test

import (
	"cmp"
	"fmt"
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
const notSent = `D7   sent to the program, as are D8, and D9 for senders (TestSendersOfTheProgram)
L1   not sent, nor L2 to L4: there is no break-glass
M1   not sent: bearer tokens admit nobody (A12)
N3   not sent: no posture source signs its statements`

// groups are the rows of the catalogue but for [notSent].
func groups() [][]row {
	return [][]row{groupA(), groupB(), groupC(), groupD(), groupE(), groupF(), groupG(), groupH(), groupI(), groupJ(), groupK(), groupM(), groupN(), groupO(), groupP(), groupQ()}
}

// TestCatalogue sends every case. With ANTEROOM_CATALOGUE=1 or -v it ends by
// printing the verdict on each number.
func TestCatalogue(t *testing.T) {
	w := newWorld(t, anteroomtest.Setup{})
	var numbers []string
	verdicts := map[string][2]int{} // held, sent
	for _, group := range groups() {
		for _, r := range group {
			sent := false // unless -run asks for others
			held := t.Run(r.id+"/"+r.name, func(t *testing.T) { sent = true; w.try(t, r) })
			if !sent {
				continue
			}
			v, ok := verdicts[r.id]
			if !ok {
				numbers = append(numbers, r.id)
			}
			v[1]++
			if held {
				v[0]++
			}
			verdicts[r.id] = v
		}
	}
	if !testing.Verbose() && os.Getenv("ANTEROOM_CATALOGUE") == "" {
		return
	}
	slices.SortFunc(numbers, func(a, b string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	for _, id := range numbers {
		v, word := verdicts[id], "held"
		if v[0] != v[1] {
			word = "FAILED"
		}
		fmt.Printf("%-4s %-6s %d of %d\n", id, word, v[0], v[1])
	}
	fmt.Println(notSent)
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
	if log := w.Log()[before:]; strings.Contains(log, "panic") {
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
