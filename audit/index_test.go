package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// some returns one of n values, a few of which need escapes.
func some(r *rand.Rand, name string, n int) string {
	switch i := r.IntN(n); i {
	case 0:
		return ""
	case 1:
		return name + "\"\u202e\\"
	case 2:
		return name + "\ufffd"
	case 3:
		return name + "\xff"
	default:
		return fmt.Sprint(name, "-", i)
	}
}

func random(r *rand.Rand, at time.Time) *access.Event {
	e := &access.Event{Kind: access.EventAccess, Time: at, Verdict: []string{"allow", "deny"}[r.IntN(2)], Route: some(r, "route", 6), Path: "/é\x1b",
		Patient: some(r, "P", 300), RequestID: some(r, "r", 3000), TraceID: some(r, "t", 3000), Posture: &access.Posture{DeviceID: some(r, "tab", 100), Assurance: access.A2}}
	if r.IntN(5) > 0 {
		s := &access.Session{ID: some(r, "s", 200), Roles: []string{"nurse"}}
		s.Username, s.Subject = some(r, "person", 50), access.Subject{Issuer: "https://login.example", Sub: some(r, "person", 50)}
		e.Session = s
	}
	if r.IntN(3) == 0 {
		e.Kind = access.EventOutcome
	}
	return e
}

// days makes a journal of so many segments with n random records each.
func days(t testing.TB, r *rand.Rand, count, n int) string {
	t.Helper()
	dir := t.TempDir()
	for day := range count {
		o := options(dir)
		o.Now = at(noon.AddDate(0, 0, day))
		j := open(t, o)
		for range n {
			record(t, j, random(r, o.Now()), false)
		}
		closed(t, j)
	}
	return dir
}

func index(t testing.TB, dir string) int {
	t.Helper()
	made, err := audit.Index(context.Background(), dir)
	must(t, err)
	return made
}

func results(dir string, q audit.Query) (all []string) {
	for line, err := range audit.Search(dir, q) {
		if err != nil {
			all = append(all, "error")
			continue
		}
		all = append(all, string(line.Raw))
	}
	return all
}

// A decoded is a line of a journal, as encoding/json alone reads it.
type decoded struct {
	line   string
	record audit.Record
	err    error
}

func allDecoded(t testing.TB, dir string) (all []decoded) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	for _, path := range paths {
		for _, line := range lines(t, path) {
			d := decoded{line: line}
			d.err = json.Unmarshal([]byte(line), &d.record)
			all = append(all, d)
		}
	}
	return all
}

// brute answers q from all.
func brute(all []decoded, q audit.Query) (found []string) {
	is := func(want, have string) bool { return want == "" || want == have }
	for _, d := range all {
		r := d.record
		switch {
		case d.err != nil:
			found = append(found, "error")
		case (is(q.Person, r.Subject.Sub) || is(q.Person, r.Subject.Username)) && is(q.Patient, r.Patient) && is(q.Device, r.Device.ID) &&
			is(q.Session, r.Session) && is(q.Route, r.Route) && is(q.RequestID, r.RequestID) && is(q.TraceID, r.TraceID) &&
			is(string(q.Event), string(r.Event)) && is(q.Verdict, r.Verdict):
			found = append(found, d.line)
		}
	}
	return found
}

func randomQuery(r *rand.Rand) (q audit.Query) {
	e := random(r, noon)
	for q == (audit.Query{}) {
		for _, set := range []func(){
			func() { q.Patient = e.Patient }, func() { q.Device = e.Posture.DeviceID }, func() { q.RequestID = e.RequestID },
			func() { q.TraceID = e.TraceID }, func() { q.Route = e.Route }, func() { q.Verdict = e.Verdict }, func() { q.Event = e.Kind },
			func() {
				if e.Session != nil {
					q.Person, q.Session = e.Session.Username, e.Session.ID
				}
			},
			func() {
				if e.Session != nil {
					q.Person = e.Session.Subject.Sub
				}
			},
		} {
			if r.IntN(6) == 0 {
				set()
			}
		}
	}
	return q
}

// byHand spells some lines as no journal does, and spoils one. What verify
// would refuse is still found.
func byHand(t testing.TB, r *rand.Rand, path string) {
	edit(t, path, func(all []string) []string {
		for range len(all) / 10 {
			i := r.IntN(len(all))
			all[i] = strings.Replace(all[i], []string{`"patient":"P`, `"patient":"P`, `"sub":`, `"device":{"id"`, `"request_id"`}[r.IntN(5)],
				[]string{`"patient": "P`, `"PATIENT":"\u0050`, `"sub"  :`, `"device":{"ID"`, `"request_i\u0064"`}[r.IntN(5)], 1)
		}
		all[r.IntN(len(all)-2)+1] = `{"seq":`
		return all
	})
}

// An index changes how long a search takes, and nothing else.
func TestSearchFindsTheSameByIndex(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, spoilt := range []bool{false, true} {
		dir := days(t, r, 3, 250)
		if spoilt {
			for day := range 3 {
				byHand(t, r, filepath.Join(dir, noon.AddDate(0, 0, day).Format(time.DateOnly)+".ndjson"))
			}
		}
		if index(t, dir); index(t, dir) != 0 {
			t.Fatal("indexes that were just made do not fit")
		}
		if found, _ := filepath.Glob(filepath.Join(dir, "*.index")); len(found) != 2 {
			t.Fatalf("indexes %v, want two, and none of the segment that is written", found)
		}
		all := allDecoded(t, dir)
		for range 100 {
			q := randomQuery(r)
			want := brute(all, q)
			if got := results(dir, q); !slices.Equal(got, want) {
				t.Fatalf("%+v: by index %d results, want %d\n%q\n%q", q, len(got), len(want), got, want)
			}
			q.EveryLine = true
			if got := results(dir, q); !slices.Equal(got, want) {
				t.Fatalf("%+v: line by line %d results, want %d\n%q\n%q", q, len(got), len(want), got, want)
			}
		}
	}
}

// Whatever byte of an index is wrong, it misleads no search: it is not used.
func TestDamagedIndexIsNotUsed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dir := days(t, r, 2, 12)
	index(t, dir)
	path := filepath.Join(dir, today+".index")
	whole, err := os.ReadFile(path)
	must(t, err)
	wanted, all := map[audit.Query][]string{}, allDecoded(t, dir)
	for range 3 {
		q := audit.Query{Patient: fmt.Sprint("P-", 4+r.IntN(290))}
		wanted[q] = brute(all, q)
	}
	e := audit.Query{Person: "person-7"}
	wanted[e] = brute(all, e)
	check := func(what string, spoilt []byte) {
		t.Helper()
		must(t, os.WriteFile(path, spoilt, 0o600))
		for q, want := range wanted {
			if got := results(dir, q); !slices.Equal(got, want) {
				t.Fatalf("%s: %+v found %d, want %d", what, q, len(got), len(want))
			}
		}
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		check(fmt.Sprint("byte ", i, " flipped"), flipped)
	}
	for n := 0; n < len(whole); n += 37 {
		check(fmt.Sprint("cut to ", n), whole[:n])
	}
	check("of nothing", nil)
	if index(t, dir) != 1 {
		t.Error("a damaged index was not made anew")
	}
	if b, _ := os.ReadFile(path); !bytes.Equal(b, whole) {
		t.Error("made anew an index is another")
	}
	edit(t, filepath.Join(dir, today), func(all []string) []string { return all[:len(all)-1] })
	check("of a segment that was cut", whole)
	edit(t, filepath.Join(dir, today), func(all []string) []string {
		return append(all, `{"seq":99,"subject":{"username":"person-7"}}`)
	})
	wanted[e] = brute(allDecoded(t, dir), e)
	check("of a segment that went on", whole)
}

func TestIndexesAreMadeAndDeletedWithTheirSegments(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "2026-01-01.ndjson.index"), nil, 0o600)) // its segment is gone
	must(t, os.WriteFile(filepath.Join(dir, today+".index.new"), nil, 0o600))        // not finished
	day := 0
	o := options(dir)
	o.Retain = 36 * time.Hour
	names := func() string {
		found, _ := filepath.Glob(filepath.Join(dir, "*.index*"))
		for i := range found {
			found[i] = filepath.Base(found[i])
		}
		return strings.Join(found, " ")
	}
	for _, want := range []string{
		"", // today's is being written
		"2026-11-21.ndjson.index",
		"2026-11-21.ndjson.index 2026-11-22.ndjson.index",
		"2026-11-22.ndjson.index 2026-11-23.ndjson.index",
	} {
		o.Now = at(noon.AddDate(0, 0, day))
		j := open(t, o)
		record(t, j, numbered(day), false)
		deadline := time.Now().Add(time.Minute)
		for names() != want && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if got := names(); got != want {
			t.Fatalf("day %d: indexes %q, want %q", day, got, want)
		}
		closed(t, j)
		day++
	}
	info, err := os.Stat(filepath.Join(dir, "2026-11-23.ndjson.index"))
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	sound(t, dir)
}

// Whoever can write the directory can hide somebody from searches, but not from verify.
func TestVerifyProvesIndexes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	dir := days(t, r, 2, 300)
	index(t, dir)
	sound(t, dir)
	segment := filepath.Join(dir, today)
	q := audit.Query{}
	for _, line := range allDecoded(t, dir) {
		if strings.HasPrefix(line.record.Patient, "P-") {
			q.Patient = line.record.Patient
			break
		}
	}
	before := len(results(dir, q))
	must(t, audit.ForgetPatient(segment, q.Patient))
	if after := len(results(dir, q)); after >= before {
		t.Fatalf("the forged index hides nothing: %d, before %d", after, before)
	}
	if got := verify(t, dir).Problem; got == nil || got.File != today+".index" {
		t.Errorf("verify says %v, want that the index is wrong", got)
	}
	q.EveryLine = true
	if after := len(results(dir, q)); after != before {
		t.Errorf("line by line %d found, want %d", after, before)
	}
	must(t, os.Remove(segment+".index"))
	index(t, dir)
	sound(t, dir)
}

// Also where its segment is read line by line, for a gap that it tells.
func TestVerifyProvesIndexesOfSegmentsWithGaps(t *testing.T) {
	dir := t.TempDir()
	journal(t, dir, 2)
	f, err := os.OpenFile(filepath.Join(dir, today), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"seq":5,"ti`)
	must(t, err)
	must(t, f.Close())
	j := open(t, options(dir)) // sets it aside, and tells
	record(t, j, &access.Event{Kind: access.EventAccess, Patient: "P-17"}, false)
	closed(t, j)
	o := options(dir)
	o.Now = at(noon.AddDate(0, 0, 1))
	closed(t, open(t, o))
	index(t, dir)
	if gaps := sound(t, dir).Gaps; len(gaps) == 0 {
		t.Fatal("no gap is told")
	}
	must(t, audit.ForgetPatient(filepath.Join(dir, today), "P-17"))
	if got := verify(t, dir).Problem; got == nil || got.File != today+".index" {
		t.Errorf("verify says %v, want that the index is wrong", got)
	}
}

func TestIndexStopsWhenToldTo(t *testing.T) {
	dir := twoDays(t, 3)
	os.Remove(filepath.Join(dir, today+".index"))
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if made, err := audit.Index(ctx, dir); made != 0 || err == nil {
		t.Errorf("made %d, %v", made, err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*.index*")); len(found) != 0 {
		t.Errorf("left %v", found)
	}
	if _, err := audit.Index(context.Background(), filepath.Join(dir, "none")); err == nil {
		t.Error("a missing directory was indexed")
	}
}

// Arbitrary bytes as an index neither end the process nor leave the search
// without its results, unless they bear the sums of one that was made.
func FuzzIndex(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	dir := days(f, r, 2, 3)
	index(f, dir)
	path := filepath.Join(dir, today+".index")
	whole, err := os.ReadFile(path)
	must(f, err)
	f.Add(whole)
	f.Add(whole[:90])
	q := audit.Query{Event: access.EventAccess, Person: "person-7", Patient: "P-8"}
	want := results(dir, q)
	f.Fuzz(func(t *testing.T, b []byte) {
		must(t, os.WriteFile(path, audit.Summed(b), 0o600))
		if got := results(dir, q); len(got) > len(want) {
			t.Fatalf("found %d, want %d", len(got), len(want))
		}
	})
}
