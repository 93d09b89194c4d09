package access_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/anteroom/anteroom/access"
)

func TestParseOSVersion(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"26", "26.0"}, {"26.2", "26.2"}, {"18.7.3", "18.7.3"}, {"10.0.19045.3803", "10.0.19045.3803"},
		{"26.3.1 (a)", "26.3.1 (a)"}, {"26.3.1(a)", "26.3.1 (a)"}, {"26 (z)", "26.0 (z)"}, {"26.2.0.0", "26.2"}, {"007.1", "7.1"}, {"0", "0.0"},
		{"4294967295", "4294967295.0"},
	} {
		v, err := access.ParseOSVersion(c.in)
		if err != nil || v.String() != c.want || v.IsZero() {
			t.Errorf("%q: %v, %v, want %s", c.in, v, err, c.want)
		}
	}
	for _, in := range []string{
		"", ".", "26.", ".26", "26..2", "1.2.3.4.5", "26.x", "v26", "-1", "+1", " 26", "26 ", "26.2 a", "26.2  (a)", "26.2 (A)", "26.2 (ab)", "26.2 ()",
		"(a)", "26.2 (a", "4294967296", "99999999999999999999999", "26,2", "２６", "26.2\n", "1e3", "0x1a", "26.2 (a) (b)",
	} {
		if v, err := access.ParseOSVersion(in); err == nil || !v.IsZero() {
			t.Errorf("%q is read as %v", in, v)
		}
	}
}

func TestOSVersionOrder(t *testing.T) {
	ascending := []string{"0.9", "9.10", "18.7.3", "18.9", "18.10", "26", "26.0.1", "26.3.1", "26.3.1 (a)", "26.3.1 (b)", "26.3.1.1", "26.3.2", "100"}
	for i, a := range ascending {
		for j, b := range ascending {
			got, want := version(a).Compare(version(b)), 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got != want {
				t.Errorf("%s compared with %s: %d, want %d", a, b, got, want)
			}
		}
	}
	if version("26").Compare(version("26.0.0.0")) != 0 {
		t.Error("absent parts are not 0")
	}
	if zero := (access.OSVersion{}); zero.String() != "" || !zero.IsZero() {
		t.Errorf("the zero version is %q", zero)
	}
}

func TestMeetsBranch(t *testing.T) {
	mins := []access.OSVersion{version("18.7.3"), version("26.2")}
	for _, c := range []struct {
		have string
		ok   bool
		want string
	}{
		{"18.7.3", true, "18.7.3"}, {"18.7.2", false, "18.7.3"}, {"18.9", true, "18.7.3"}, {"17.0", false, "18.7.3"},
		{"19.9", false, "26.2"}, {"26.1", false, "26.2"}, {"26.2", true, "26.2"}, {"27.0", true, ""},
	} {
		for _, list := range [][]access.OSVersion{mins, {mins[1], mins[0]}} {
			want, ok := version(c.have).MeetsBranch(list)
			if ok != c.ok || want.String() != c.want {
				t.Errorf("%s against %v: %v, update to %s; want %v, %s", c.have, list, ok, want, c.ok, c.want)
			}
		}
	}
	if _, ok := (access.OSVersion{}).MeetsBranch(mins); ok {
		t.Error("an unknown version meets a minimum")
	}
	if _, ok := (access.OSVersion{}).MeetsBranch([]access.OSVersion{version("0")}); ok {
		t.Error("an unknown version meets the minimum 0")
	}
	if _, ok := version("26").MeetsBranch(nil); ok {
		t.Error("a version meets a list of no minimums")
	}
}

func anyVersion() *rapid.Generator[access.OSVersion] {
	return rapid.Custom(func(t *rapid.T) access.OSVersion {
		s := rapid.StringMatching(`(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,4})){0,3}( ?\([a-z]\))?`).Draw(t, "version")
		v, err := access.ParseOSVersion(s)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		return v
	})
}

func TestOSVersionTotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyVersion().Draw(t, "a"), anyVersion().Draw(t, "b"), anyVersion().Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("%v and %v are not ordered", a, b)
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("%v <= %v <= %v, yet not %v <= %v", a, b, c, a, c)
		}
		if (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%v and %v: as great, but not the same", a, b)
		}
		if same, err := access.ParseOSVersion(a.String()); err != nil || same != a {
			t.Fatalf("%v is read back as %v, %v", a, same, err)
		}
	})
}

func FuzzParseOSVersion(f *testing.F) {
	for _, s := range []string{"26.3.1 (a)", "18.7.3", "1.2.3.4", "1.2.3.4.5", "", "(a)", "1(a)", "00.1", "4294967296", "1. 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := access.ParseOSVersion(s)
		if err != nil {
			if !v.IsZero() {
				t.Fatalf("%q: %v, but a version of %v", s, err, v)
			}
			return
		}
		if strings.Trim(s, "0123456789. ()abcdefghijklmnopqrstuvwxyz") != "" {
			t.Fatalf("%q is read as %v", s, v)
		}
		if same, err := access.ParseOSVersion(v.String()); err != nil || same != v {
			t.Fatalf("%q is %v, read back as %v, %v", s, v, same, err)
		}
	})
}
