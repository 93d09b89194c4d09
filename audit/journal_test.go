package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

var (
	key   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	other = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	noon  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func options(dir string) audit.Options {
	return audit.Options{Dir: dir, Key: key, Now: at(noon)}
}

func open(t testing.TB, o audit.Options) *audit.Journal {
	t.Helper()
	j, err := audit.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func closed(t testing.TB, j *audit.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func record(t testing.TB, j *audit.Journal, e *access.Event, durable bool) {
	t.Helper()
	if err := j.Record(context.Background(), e, durable); err != nil {
		t.Fatal(err)
	}
}

// numbered is an event that a test finds again by n.
func numbered(n int) *access.Event {
	return &access.Event{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "pharmacy",
		Method: "GET", Path: "/orders/7", RequestID: fmt.Sprintf("r%d", n)}
}

// journal makes a journal of n records and closes it.
func journal(t testing.TB, dir string, n int) {
	t.Helper()
	j := open(t, options(dir))
	for i := range n {
		record(t, j, numbered(i), false)
	}
	closed(t, j)
}

// verify also holds that the quick look says what the one line by line does.
func verify(t testing.TB, dir string) audit.Report {
	t.Helper()
	public := key.Public().(ed25519.PublicKey)
	r, err := audit.Verify(dir, public)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := audit.VerifyByLine(dir, public)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(slow, r); d != "" {
		t.Fatalf("verify says otherwise than line by line (-line by line +quickly):\n%s", d)
	}
	return r
}

func sound(t testing.TB, dir string) audit.Report {
	t.Helper()
	r := verify(t, dir)
	if r.Problem != nil {
		t.Fatalf("verify: %s", r.Problem)
	}
	return r
}

// requests returns the request ids that the journal holds, in order.
func requests(t testing.TB, dir string) []string {
	t.Helper()
	var ids []string
	for line, err := range audit.Search(dir, audit.Query{Event: access.EventAccess}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, line.Record.RequestID)
	}
	return ids
}

func lines(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}

func nora() *access.Session {
	return &access.Session{
		ID: "s-41f0",
		Authentication: access.Authentication{
			Subject:  access.Subject{Issuer: "https://login.hospital.example", Sub: "248289761001"},
			Username: "nora", Name: "Nora Dahl", ACR: "phr", AMR: []string{"hwk", "pin"},
			AuthTime: noon.Add(-5 * time.Minute),
		},
		Roles: []string{"nurse", "charge"},
	}
}

// everyKind returns one event of each kind, as the gateway records them.
func everyKind() []*access.Event {
	tablet := &access.Posture{DeviceID: "tab-0042", Assurance: access.A2, Sender: "tunnel.mdm.hospital.example"}
	var all []*access.Event
	for _, e := range []access.Event{
		{Kind: access.EventStart, Reason: "started", Detail: "anteroom 1.0.0"},
		{Kind: access.EventConfig, Reason: "reloaded", Detail: "sha256:9f86d081"},
		{Kind: access.EventSignIn, Verdict: "allow", Reason: access.AllMet, Host: "gate.hospital.example", Session: nora(), Posture: tablet},
		{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "pharmacy", Rule: "amend an order", Host: "rx.hospital.example",
			Method: "POST", Path: "/patients/P-17/orders", Session: nora(), Posture: tablet, Patient: "P-17",
			Observed: []access.Observation{{Rule: "old dispatcher amends", Verdict: "step_up", Reason: access.OldLogin}},
			SpanID:   "00f067aa0ba902b7", Sampled: true, PurposeOfUse: "TREAT",
			Disclosure: &access.Disclosure{Recipient: "Apotek Ullevål, Oslo", Purpose: "dispensing"}},
		{Kind: access.EventOutcome, Route: "pharmacy", Host: "rx.hospital.example", Method: "POST", Path: "/patients/P-17/orders", Status: 201,
			Session: nora(), Posture: tablet, Patient: "P-17"},
		{Kind: access.EventAccess, Verdict: "deny", Reason: access.DeviceFailed("managed"), Route: "pharmacy", Host: "rx.hospital.example",
			Method: "GET", Path: "/", Session: nora(), Posture: tablet, Judged: noon.Add(-time.Minute), Failed: []access.Failure{{Check: "managed", Hard: true}, {Check: "fresh_os"}}},
		{Kind: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "results", Host: "lab.hospital.example", Method: "GET", Path: "/feed", Client: "lab-robot"},
		{Kind: access.EventStepUp, Verdict: "allow", Reason: access.WeakLogin, Route: "pharmacy", Rule: "amend an order", Session: nora(), Posture: tablet},
		{Kind: access.EventLock, Reason: access.SessionLocked, Session: nora(), Detail: "idle"},
		{Kind: access.EventUnlock, Session: nora(), Posture: tablet,
			Warned:    []access.Failure{{Check: "fresh_os", Deadline: noon.Add(72 * time.Hour)}, {Check: "fresh_checkin", Deadline: noon.Add(24 * time.Hour)}},
			LastKnown: noon.Add(-20 * time.Minute)},
		{Kind: access.EventSecurity, Reason: access.DeviceChanged, Session: nora(), Posture: &access.Posture{DeviceID: "tab-0099", Assurance: access.A2}},
		{Kind: access.EventSessionEnded, Reason: access.DeviceChanged, Session: nora()},
		{Kind: access.EventSignOut, Session: nora()},
		{Kind: access.EventStop, Reason: "stopped", Detail: "SIGTERM"},
	} {
		if e.Kind != access.EventStart && e.Kind != access.EventStop && e.Kind != access.EventConfig && e.Kind != access.EventLock {
			e.SourceIP, e.RequestID, e.TraceID = "10.20.0.7", "01JD7Q", "4bf92f3577b34da6a3ce929d0e0e4736"
		}
		e.Time = noon.Add(time.Duration(len(all)) * time.Second)
		all = append(all, &e)
	}
	return all
}

func TestGolden(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	for _, e := range everyKind() {
		record(t, j, e, false)
	}
	closed(t, j)
	got, err := os.ReadFile(filepath.Join(dir, "2026-11-21.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "every_kind.ndjson")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	var shown strings.Builder
	for line, err := range audit.Search(dir, audit.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.WriteLine(&shown, line.Record, time.FixedZone("CET", 3600)); err != nil {
			t.Fatal(err)
		}
	}
	golden = filepath.Join("testdata", "every_kind.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(shown.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err = os.ReadFile(golden); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), shown.String()); diff != "" {
		t.Errorf("lines for people (-want +got):\n%s", diff)
	}
}

func TestOpenGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	for range 3 {
		journal(t, dir, 5)
	}
	r := sound(t, dir)
	// Each run has a checkpoint at either end.
	if r.Records != 3*7 || r.Segments != 1 || r.Last.Seq != 21 || len(r.Gaps) != 0 || r.Unsigned != 0 {
		t.Errorf("report = %+v, want 21 records in one segment, no gaps, all signed", r)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "head"): 0o600, filepath.Join(dir, "2026-11-21.ndjson"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("mode of %s = %v, want %v", filepath.Base(path), info.Mode().Perm(), want)
		}
	}
}

func TestConcurrentWriters(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	const writers, each = 32, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := j.Record(context.Background(), numbered(w*each+i), i%10 == 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closed(t, j)
	sound(t, dir)
	seen := map[string]bool{}
	for _, id := range requests(t, dir) {
		seen[id] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d distinct records, want %d", len(seen), writers*each)
	}
}

func TestSegmentsRollAtMidnightUTC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		o := options(dir)
		o.Now = nil // the bubble's clock, which begins at midnight UTC of 2000-01-01
		j := open(t, o)
		record(t, j, numbered(0), false)
		time.Sleep(24*time.Hour - time.Nanosecond)
		record(t, j, numbered(1), false)
		time.Sleep(time.Nanosecond)
		record(t, j, numbered(2), false)
		closed(t, j)
		r := sound(t, dir)
		if r.Segments != 2 {
			t.Fatalf("%d segments, want 2", r.Segments)
		}
		first := lines(t, filepath.Join(dir, "2000-01-01.ndjson"))
		second := lines(t, filepath.Join(dir, "2000-01-02.ndjson"))
		if !strings.Contains(first[len(first)-1], `"r1"`) || !strings.Contains(second[1], `"r2"`) {
			t.Errorf("the last of day one is %s,\nthe first of day two %s", first[len(first)-1], second[1])
		}
		if err := os.Remove(filepath.Join(dir, "2000-01-01.ndjson")); err != nil {
			t.Fatal(err)
		}
		sound(t, dir) // an old segment can be deleted whole
	})
}

func TestClockSetBackStaysInItsSegment(t *testing.T) {
	dir := t.TempDir()
	journal(t, dir, 1)
	o := options(dir)
	o.Now = at(noon.AddDate(0, 0, -1))
	j := open(t, o)
	record(t, j, numbered(9), false)
	closed(t, j)
	if r := sound(t, dir); r.Segments != 1 {
		t.Errorf("%d segments, want 1", r.Segments)
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	for day := range 5 {
		o := options(dir)
		o.Now, o.Retain = at(noon.AddDate(0, 0, day)), 48*time.Hour
		j := open(t, o)
		record(t, j, numbered(day), false)
		closed(t, j)
	}
	sound(t, dir)
	got := requests(t, dir)
	if want := []string{"r2", "r3", "r4"}; !cmp.Equal(got, want) {
		t.Errorf("kept %v, want %v: each record for 48 hours at least", got, want)
	}
}

func TestCheckpoints(t *testing.T) {
	dir := t.TempDir()
	now := noon
	var mu sync.Mutex
	o := options(dir)
	o.CheckpointEvery = 3
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	j := open(t, o)
	for i := range 7 {
		record(t, j, numbered(i), false)
	}
	mu.Lock()
	now = now.Add(time.Hour)
	mu.Unlock()
	record(t, j, numbered(7), false)
	closed(t, j)
	var got []string
	for line, err := range audit.Search(dir, audit.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if line.Record.Event == access.EventCheckpoint {
			got = append(got, string(line.Record.Reason))
		} else {
			got = append(got, line.Record.RequestID)
		}
	}
	want := strings.Fields("segment r0 r1 r2 periodic r3 r4 r5 periodic r6 periodic r7 closed")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	sound(t, dir)
}

func TestHeadFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		o := options(dir)
		o.Now = nil
		j := open(t, o)
		for i := range 5 {
			record(t, j, numbered(i), false)
		}
		time.Sleep(200 * time.Millisecond)
		if r := sound(t, dir); r.Unsigned != 0 {
			t.Errorf("after 0.2 s %d records are not signed", r.Unsigned)
		}
		closed(t, j)
	})
}

func TestOpenJournalIsSoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where no time passes, the head does not follow
		dir := t.TempDir()
		o := options(dir)
		o.Now = nil
		for range 2 {
			j := open(t, o)
			record(t, j, numbered(0), false)
			if r := sound(t, dir); r.Unsigned != 2 {
				t.Errorf("%d records are not signed yet, want the checkpoint and the record", r.Unsigned)
			}
			closed(t, j)
		}
	})
}

func TestRecordRefuses(t *testing.T) {
	dir := t.TempDir()
	j := open(t, options(dir))
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		e    *access.Event
		want error
	}{
		{"a checkpoint", context.Background(), &access.Event{Kind: access.EventCheckpoint}, audit.ErrNotRecorded},
		{"a caller who is gone", gone, numbered(1), context.Canceled},
		{"a record longer than a line", context.Background(), &access.Event{Kind: access.EventAccess, Path: strings.Repeat("x", 2<<20)}, audit.ErrNotRecorded},
	} {
		err := j.Record(c.ctx, c.e, false)
		if !errors.Is(err, c.want) || !errors.Is(err, audit.ErrNotRecorded) {
			t.Errorf("%s: err = %v, want %v", c.name, err, c.want)
		}
	}
	closed(t, j)
	if err := j.Record(context.Background(), numbered(2), true); !errors.Is(err, audit.ErrClosed) || !errors.Is(err, audit.ErrNotRecorded) {
		t.Errorf("after Close: err = %v, want ErrNotRecorded and ErrClosed", err)
	}
	if err := j.Healthy(); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Healthy after Close = %v, want ErrClosed", err)
	}
	if r := sound(t, dir); r.Records != 2 {
		t.Errorf("%d records, want the two checkpoints", r.Records)
	}
	if _, err := audit.Open(audit.Options{Dir: dir}); err == nil {
		t.Error("opened without a key")
	}
}
