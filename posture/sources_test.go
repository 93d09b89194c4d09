package posture_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/posture"
)

var (
	noon   = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	tunnel = posture.Peer{Addr: netip.MustParseAddr("10.20.0.3")}
	ward   = posture.Peer{Addr: netip.MustParseAddr("10.99.0.3")}
)

func headers() map[string]string {
	return map[string]string{
		"device_id": "X-Mdm-Device-Id", "platform": "X-Mdm-Platform", "os_version": "X-Mdm-Os-Version",
		"security_patch": "X-Mdm-Security-Patch", "managed": "X-Mdm-Managed", "compliant": "X-Mdm-Compliant",
		"compromised": "X-Mdm-Compromised", "encrypted": "X-Mdm-Encrypted", "passcode": "X-Mdm-Passcode",
		"lost": "X-Mdm-Lost", "ownership": "X-Mdm-Ownership", "owner": "x-mdm-owner",
		"checked_in_at": "X-Mdm-Checked-In-At", "asserted_at": "X-Mdm-Asserted-At",
	}
}

func sources() *posture.Sources {
	return posture.New([]posture.Source{{
		Name: "tunnel", Senders: []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/28"), netip.MustParsePrefix("fd00::/64")}}},
		AssertionMaxAge: 15 * time.Minute, Map: headers(),
	}})
}

// full is what a careful sender says of a good tablet.
func full() http.Header {
	return http.Header{
		"X-Mdm-Device-Id": {"7F-1"}, "X-Mdm-Platform": {"ipados"}, "X-Mdm-Os-Version": {"26.3.1 (a)"},
		"X-Mdm-Security-Patch": {"2026-10-05"}, "X-Mdm-Managed": {"true"}, "X-Mdm-Compliant": {"true"},
		"X-Mdm-Compromised": {"false"}, "X-Mdm-Encrypted": {"true"}, "X-Mdm-Passcode": {"true"}, "X-Mdm-Lost": {"false"},
		"X-Mdm-Ownership": {"shared"}, "X-Mdm-Owner": {"ward 4"},
		"X-Mdm-Checked-In-At": {"2026-11-20T11:00:00+01:00"}, "X-Mdm-Asserted-At": {"2026-11-20T11:59:00Z"},
		"Accept": {"text/html"}, "Connection": {"keep-alive, upgrade"}, "Cookie": {"a=b, c=d"},
	}
}

func good(t *testing.T) access.Posture {
	t.Helper()
	v, err := access.ParseOSVersion("26.3.1 (a)")
	if err != nil {
		t.Fatal(err)
	}
	return access.Posture{
		Source: "tunnel", Assurance: access.A1, DeviceID: "tunnel:7F-1", Platform: "ipados", OSVersion: v,
		SecurityPatch: time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC),
		Managed:       access.Yes, Compliant: access.Yes, Compromised: access.No,
		Encrypted: access.Yes, Passcode: access.Yes, Lost: access.No,
		Ownership: "shared", Owner: "ward 4",
		CheckedInAt: noon.Add(-2 * time.Hour), AssertedAt: noon.Add(-time.Minute), Expires: noon.Add(14 * time.Minute),
	}
}

var same = cmp.Comparer(func(a, b access.OSVersion) bool { return a == b })

func TestReadEveryField(t *testing.T) {
	got, err := sources().Read(tunnel, full(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good(t), got, same); diff != "" {
		t.Errorf("posture (-want +got):\n%s", diff)
	}
	if !got.Known(noon) {
		t.Error("the device is not known")
	}
}

func TestReadFromWhom(t *testing.T) {
	s := sources()
	for _, c := range []struct {
		peer string
		ok   bool
	}{
		{"10.20.0.0", true}, {"10.20.0.15", true}, {"10.20.0.16", false}, {"10.19.255.255", false},
		{"::ffff:10.20.0.3", true}, {"::ffff:10.20.0.16", false}, {"fd00::1", true}, {"fd00::1%eth0", true}, {"fd00:0:0:1::1", false},
		{"127.0.0.1", false}, {"::1", false},
	} {
		p, err := s.Read(posture.Peer{Addr: netip.MustParseAddr(c.peer)}, full(), noon)
		if err != nil || (p.DeviceID != "") != c.ok {
			t.Errorf("from %s: %+v, %v", c.peer, p, err)
		}
	}
	if p, err := s.Read(posture.Peer{}, full(), noon); err != nil || p.DeviceID != "" {
		t.Errorf("from no address: %+v, %v", p, err)
	}
	mapped := posture.New([]posture.Source{{Name: "m", Senders: []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("::ffff:10.20.0.0/124")}}}, Map: headers()}})
	if p, _ := mapped.Read(tunnel, full(), noon); p.DeviceID != "m:7F-1" {
		t.Errorf("senders given as IPv4-mapped: %+v", p)
	}
	if p, err := posture.New(nil).Read(tunnel, full(), noon); err != nil || p != (access.Posture{}) {
		t.Errorf("with no sources: %+v, %v", p, err)
	}
	nobody := posture.New([]posture.Source{{Name: "n", Map: headers()}})
	if p, err := nobody.Read(tunnel, full(), noon); err != nil || p != (access.Posture{}) {
		t.Errorf("a source of no senders: %+v, %v", p, err)
	}
}

// What a trusted sender may not send. Anyone else may: it is not looked at.
func TestAmbiguous(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(http.Header)
		names  string // the header that the error names
	}{
		{"true, then false", func(h http.Header) { h["X-Mdm-Managed"] = []string{"true", "false"} }, "X-Mdm-Managed"},
		{"the same twice", func(h http.Header) { h.Add("X-Mdm-Managed", "true") }, "X-Mdm-Managed"},
		{"two devices", func(h http.Header) { h.Add("X-Mdm-Device-Id", "8") }, "X-Mdm-Device-Id"},
		{"a comma", func(h http.Header) { h.Set("X-Mdm-Lost", "false, true") }, "X-Mdm-Lost"},
		{"a comma in the device", func(h http.Header) { h.Set("X-Mdm-Device-Id", "7,8") }, "X-Mdm-Device-Id"},
		{"underscores beside", func(h http.Header) { h["X_mdm_managed"] = []string{"true"} }, "X-Mdm-Managed"},
		{"mixed", func(h http.Header) { h["X-Mdm_managed"] = []string{"true"} }, "X-Mdm-Managed"},
		{"dots", func(h http.Header) { h["X.Mdm.Managed"] = []string{"true"} }, "X-Mdm-Managed"},
		{"without its hyphens", func(h http.Header) { h["Xmdmmanaged"] = []string{"true"} }, "X-Mdm-Managed"},
		{"as a CGI variable", func(h http.Header) { h["Http_x_mdm_managed"] = []string{"true"} }, "X-Mdm-Managed"},
		{"another spelling alone", func(h http.Header) { h.Del("X-Mdm-Lost"); h["X_mdm_lost"] = []string{"true"} }, "X-Mdm-Lost"},
		{"another spelling of nothing", func(h http.Header) { h["X_mdm_lost"] = nil }, "X-Mdm-Lost"},
		{"not ASCII", func(h http.Header) { h.Set("X-Mdm-Owner", "Åse") }, "X-Mdm-Owner"},
		{"control bytes", func(h http.Header) { h.Set("X-Mdm-Owner", "a\tb") }, "X-Mdm-Owner"},
		{"too long", func(h http.Header) { h.Set("X-Mdm-Owner", strings.Repeat("a", 257)) }, "X-Mdm-Owner"},
		{"device too long", func(h http.Header) { h.Set("X-Mdm-Device-Id", strings.Repeat("a", 129)) }, "X-Mdm-Device-Id"},
		{"Connection names it", func(h http.Header) { h.Set("Connection", "close, x-mdm-lost") }, "X-Mdm-Lost"},
		{"Connection, second line", func(h http.Header) { h.Add("Connection", " X_MDM_Lost ") }, "X-Mdm-Lost"},
		{"Connection names an absent one", func(h http.Header) { h.Del("X-Mdm-Lost"); h.Set("Connection", "X-Mdm-Lost") }, "X-Mdm-Lost"},
		{"and no device", func(h http.Header) { h.Del("X-Mdm-Device-Id"); h.Add("X-Mdm-Lost", "true") }, "X-Mdm-Lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, h := sources(), full()
			c.change(h)
			p, err := s.Read(tunnel, h, noon)
			if !errors.Is(err, posture.ErrAmbiguous) || !strings.Contains(err.Error(), c.names) {
				t.Errorf("err = %v, want ErrAmbiguous that names %s", err, c.names)
			}
			if p != (access.Posture{}) {
				t.Errorf("posture %+v beside the error", p)
			}
			if _, ok := s.Latest("tunnel:7F-1"); ok {
				t.Error("an ambiguous statement is remembered")
			}
			if p, err := s.Read(ward, h, noon); err != nil || p != (access.Posture{}) {
				t.Errorf("from anyone else: %+v, %v", p, err)
			}
		})
	}
}

func TestUnambiguous(t *testing.T) {
	h := full()
	h.Set("X-Mdm-Owner", strings.Repeat("a", 256))
	h.Set("X-Mdm-Device-Id", strings.Repeat("a", 128))
	h.Add("Accept", "a, b")
	h.Set("X-Mdm-Managed-By", "x, y") // nobody's header
	if _, err := sources().Read(tunnel, h, noon); err != nil {
		t.Error(err)
	}
}

// A value that means nothing is a fact that is not known, never an error.
func TestUnknownValues(t *testing.T) {
	for _, c := range []struct {
		header string
		values []string
		fact   func(access.Posture) bool // reports that it is unknown
	}{
		{"X-Mdm-Managed", []string{"", "TRUE", "True", "1", "yes", "true ", "compliant"}, func(p access.Posture) bool { return p.Managed == access.Unknown }},
		{"X-Mdm-Compromised", []string{"", "FALSE", "0", "no"}, func(p access.Posture) bool { return p.Compromised == access.Unknown }},
		{"X-Mdm-Platform", []string{"", "iPadOS", "beos", "unknown"}, func(p access.Posture) bool { return p.Platform == "" }},
		{"X-Mdm-Os-Version", []string{"", "latest", "26.x", "1.2.3.4.5"}, func(p access.Posture) bool { return p.OSVersion.IsZero() }},
		{"X-Mdm-Security-Patch", []string{"", "2026-13-01", "2026-02-30", "05.10.2026", "2026-1-05", "202613", "20261"}, func(p access.Posture) bool { return p.SecurityPatch.IsZero() }},
		{"X-Mdm-Ownership", []string{"", "mine", "Shared"}, func(p access.Posture) bool { return p.Ownership == "" }},
		{"X-Mdm-Checked-In-At", []string{"", "yesterday", "1700000000", "2026-11-20 11:00:00"}, func(p access.Posture) bool { return p.CheckedInAt.IsZero() }},
	} {
		for _, v := range c.values {
			h := full()
			h.Set(c.header, v)
			p, err := sources().Read(tunnel, h, noon)
			if err != nil || !c.fact(p) || !p.Known(noon) {
				t.Errorf("%s: %q: %+v, %v", c.header, v, p, err)
			}
		}
	}
	for _, id := range []string{""} {
		h := full()
		h.Set("X-Mdm-Device-Id", id)
		if p, err := sources().Read(tunnel, h, noon); err != nil || p != (access.Posture{}) {
			t.Errorf("device %q: %+v, %v", id, p, err)
		}
	}
}

func TestPatchLevels(t *testing.T) {
	for v, want := range map[string]string{"2026-10-05": "2026-10-05", "20261005": "2026-10-05", "202610": "2026-10-01"} {
		h := full()
		h.Set("X-Mdm-Security-Patch", v)
		if p, err := sources().Read(tunnel, h, noon); err != nil || p.SecurityPatch.Format(time.DateOnly) != want {
			t.Errorf("%s: %v, %v, want %s", v, p.SecurityPatch, err, want)
		}
	}
}

func TestStatementAge(t *testing.T) {
	for _, c := range []struct {
		name, asserted string
		known          bool
	}{
		{"absent: now", "", true},
		{"on the limit", "2026-11-20T11:45:00Z", true},
		{"past the limit", "2026-11-20T11:44:59Z", false},
		{"ahead, as clocks differ", "2026-11-20T12:02:00Z", true},
		{"of the future", "2026-11-20T12:02:01Z", false},
		{"unreadable", "a minute ago", false},
	} {
		s, h := sources(), full()
		h.Set("X-Mdm-Asserted-At", c.asserted)
		if c.asserted == "" {
			h.Del("X-Mdm-Asserted-At")
		}
		p, err := s.Read(tunnel, h, noon)
		if err != nil || p.Known(noon) != c.known {
			t.Errorf("%s: known %v, %v", c.name, p.Known(noon), err)
		}
		if c.asserted == "" && (!p.AssertedAt.Equal(noon) || p.Known(noon.Add(15*time.Minute+1))) {
			t.Errorf("%s: asserted at %v, good until %v", c.name, p.AssertedAt, p.Expires)
		}
		if _, ok := s.Latest(p.DeviceID); ok != c.known {
			t.Errorf("%s: remembered %v", c.name, ok)
		}
	}
	unsaid := posture.New([]posture.Source{{Name: "u", Senders: []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/28")}}}, Map: headers()}})
	h := full()
	h.Set("X-Mdm-Asserted-At", "never")
	if p, _ := unsaid.Read(tunnel, h, noon); p.Known(noon) {
		t.Error("of no date, from a source of no age: known")
	}
	if p, _ := unsaid.Read(tunnel, full(), noon); p.Expires.Sub(p.AssertedAt) != 15*time.Minute {
		t.Errorf("from a source of no age, good for %v", p.Expires.Sub(p.AssertedAt))
	}
}

func TestLatest(t *testing.T) {
	s := sources()
	say := func(at time.Time, compromised string) {
		t.Helper()
		h := full()
		h.Set("X-Mdm-Asserted-At", at.Format(time.RFC3339))
		h.Set("X-Mdm-Compromised", compromised)
		if _, err := s.Read(tunnel, h, noon); err != nil {
			t.Fatal(err)
		}
	}
	newest := func() access.Tri {
		p, ok := s.Latest("tunnel:7F-1")
		if !ok {
			t.Fatal("nothing is known")
		}
		return p.Compromised
	}
	if _, ok := s.Latest("tunnel:7F-1"); ok {
		t.Error("something is known before anything was said")
	}
	say(noon.Add(-5*time.Minute), "false")
	say(noon.Add(-4*time.Minute), "true")
	if newest() != access.Yes {
		t.Error("the newer, bad news does not count")
	}
	say(noon.Add(-5*time.Minute), "false")
	if newest() != access.Yes {
		t.Error("older, good news undoes newer, bad news")
	}
	say(noon.Add(time.Hour), "false")
	if newest() != access.Yes {
		t.Error("news of the future counts")
	}
	say(noon.Add(-4*time.Minute), "false")
	if newest() != access.No {
		t.Error("of two as old, the later read does not hold")
	}
	if _, err := s.Read(ward, full(), noon); err != nil {
		t.Fatal(err)
	}
	if p, _ := s.Latest("tunnel:7F-1"); !p.AssertedAt.Equal(noon.Add(-4 * time.Minute)) {
		t.Error("somebody else's statement is remembered")
	}
}

func TestLatestIsBounded(t *testing.T) {
	s := posture.New([]posture.Source{{Name: "s", Senders: []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, Map: map[string]string{"device_id": "D"}}})
	const many = 120_000
	h := http.Header{"D": {""}}
	for i := range many {
		h["D"][0] = fmt.Sprint(i)
		if _, err := s.Read(tunnel, h, noon); err != nil {
			t.Fatal(err)
		}
	}
	known := 0
	for i := range many {
		if _, ok := s.Latest(fmt.Sprint("s:", i)); ok {
			known++
		}
	}
	if known > 100_000 || known < 90_000 {
		t.Errorf("%d of %d devices are remembered", known, many)
	}
	if _, ok := s.Latest("s:0"); ok {
		t.Error("the oldest is remembered")
	}
	if _, ok := s.Latest(fmt.Sprint("s:", many-1)); !ok {
		t.Error("the newest is not remembered")
	}
}

func TestTwoSources(t *testing.T) {
	from := []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/28")}}}
	s := posture.New([]posture.Source{
		{Name: "a", Senders: from, Map: map[string]string{"device_id": "X-A-Id", "lost": "X-A-Lost"}},
		{Name: "b", Senders: from, Map: map[string]string{"device_id": "X-B-Id", "managed": "X-B-Managed"}},
	})
	if p, err := s.Read(tunnel, http.Header{"X-B-Id": {"1"}, "X-B-Managed": {"true"}}, noon); err != nil || p.DeviceID != "b:1" || p.Managed != access.Yes {
		t.Errorf("one of the two: %+v, %v", p, err)
	}
	if _, err := s.Read(tunnel, http.Header{"X-B-Id": {"1"}, "X-A-Id": {"1"}}, noon); !errors.Is(err, posture.ErrAmbiguous) {
		t.Errorf("both at once: %v", err)
	}
	want := []string{"X-A-Id", "X-A-Lost", "X-B-Id", "X-B-Managed"}
	if got := s.HeaderNames(); !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	if !s.Supplies("lost") || !s.Supplies("managed") || s.Supplies("compliant") {
		t.Error("what the sources supply is not what they map")
	}
}

func TestHeaderNames(t *testing.T) {
	want := slices.Collect(maps.Values(headers()))
	for i := range want {
		want[i] = http.CanonicalHeaderKey(want[i])
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, sources().HeaderNames()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestStrangersCostNothing(t *testing.T) {
	s, h := sources(), full()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Read(ward, h, noon); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a peer that is no sender", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("X-Mdm-Managed", "true", "X_mdm_managed", "false", "close")
	f.Add("X-Mdm-Device-Id", "7,8", "HTTP_X_MDM_LOST", "true", "x-mdm-lost")
	f.Add("X-Mdm-Asserted-At", "2026-11-20T12:00:00Z", "X-Mdm-Os-Version", "26.3.1 (a)", "")
	f.Add("X-Mdm-Security-Patch", "202602", "X-Mdm-Owner", "\x80", "X.MDM.Owner")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, connection string) {
		h := full()
		h[name1] = append(h[name1], value1)
		h[http.CanonicalHeaderKey(name2)] = append(h[http.CanonicalHeaderKey(name2)], value2)
		h["Connection"] = []string{connection}
		s := sources()
		if p, err := s.Read(ward, h, noon); err != nil || p != (access.Posture{}) {
			t.Fatalf("from a stranger: %+v, %v", p, err)
		}
		p, err := s.Read(tunnel, h, noon)
		if err != nil {
			if !errors.Is(err, posture.ErrAmbiguous) || p != (access.Posture{}) {
				t.Fatalf("%+v, %v", p, err)
			}
			return
		}
		// Whatever was added said nothing about the device: otherwise it would
		// stand beside what full says, and be ambiguous.
		if diff := cmp.Diff(good(t), p, same); diff != "" {
			t.Fatalf("%q: %q and %q: %q changed the posture (-want +got):\n%s", name1, value1, name2, value2, diff)
		}
	})
}

func BenchmarkReadStranger(b *testing.B) {
	s, h := sources(), full()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Read(ward, h, noon)
	}
}

func BenchmarkReadSender(b *testing.B) {
	s, h := sources(), full()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(tunnel, h, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// A sender that names a device and says nothing of it is silent: what it said
// before still counts as its last word.
func TestSilence(t *testing.T) {
	s, h := sources(), full()
	if p, err := s.Read(tunnel, h, noon); err != nil || p.Silent {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, c := range []struct {
		name   string
		header http.Header
		silent bool
	}{
		{"the device alone", http.Header{"X-Mdm-Device-Id": {"7F-1"}}, true},
		{"what it is, and whose", http.Header{"X-Mdm-Device-Id": {"7F-1"}, "X-Mdm-Platform": {"ipados"}, "X-Mdm-Ownership": {"shared"}, "X-Mdm-Owner": {"ward 4"}}, true},
		{"empty values", http.Header{"X-Mdm-Device-Id": {"7F-1"}, "X-Mdm-Managed": {""}, "X-Mdm-Compromised": {""}}, true},
		{"one fact", http.Header{"X-Mdm-Device-Id": {"7F-1"}, "X-Mdm-Lost": {"false"}}, false},
		{"a fact that means nothing", http.Header{"X-Mdm-Device-Id": {"7F-1"}, "X-Mdm-Managed": {"perhaps"}}, false},
	} {
		p, err := s.Read(tunnel, c.header, noon)
		if err != nil || p.Silent != c.silent {
			t.Errorf("%s: silent %v, %v", c.name, p.Silent, err)
		}
		if last, _ := s.Latest("tunnel:7F-1"); c.silent && last.Managed != access.Yes {
			t.Errorf("%s: it takes the place of what was said: %+v", c.name, last)
		}
	}
	only := posture.New([]posture.Source{{Name: "o", Senders: []posture.Sender{{Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/28")}}}, Map: map[string]string{"device_id": "D"}}})
	if p, _ := only.Read(tunnel, http.Header{"D": {"1"}}, noon); p.Silent {
		t.Error("a source that never says more is silent")
	}
	next := sources()
	next.Continue(s)
	if _, ok := next.Latest("tunnel:7F-1"); !ok {
		t.Error("what was known before a reload is not known after it")
	}
}
