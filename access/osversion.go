package access

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An OSVersion is one to four numbers and, for Apple's supplemental updates,
// a letter: 26.3.1 < 26.3.1 (a) < 26.3.2, and 18.9 < 18.10. The zero
// OSVersion is a version that is not known.
type OSVersion struct {
	parts      [4]uint32
	supplement byte // 0, or 'a' to 'z'
	known      bool
}

// ParseOSVersion reads N(.N){0,3}( ?\([a-z]\))?.
func ParseOSVersion(s string) (OSVersion, error) {
	v := OSVersion{known: true}
	text := s
	if n := len(text); n > 3 && text[n-1] == ')' && text[n-3] == '(' {
		letter := text[n-2]
		if letter < 'a' || letter > 'z' {
			return OSVersion{}, fmt.Errorf("version %q: the supplement is one letter, as in 26.3.1 (a)", s)
		}
		v.supplement = letter
		text = strings.TrimSuffix(text[:n-3], " ")
	}
	if strings.Count(text, ".") >= len(v.parts) {
		return OSVersion{}, fmt.Errorf("version %q has more than four parts", s)
	}
	i := 0
	for p := range strings.SplitSeq(text, ".") {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return OSVersion{}, fmt.Errorf("version %q: want numbers joined by dots, as in 18.7.3", s)
		}
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return OSVersion{}, fmt.Errorf("version %q: a part is too large", s)
		}
		v.parts[i] = uint32(n)
		i++
	}
	return v, nil
}

// IsZero reports whether the version is not known.
func (v OSVersion) IsZero() bool { return !v.known }

// Major returns the first number.
func (v OSVersion) Major() int { return int(v.parts[0]) }

// Compare orders versions number by number, absent ones as 0, the letter last.
func (v OSVersion) Compare(w OSVersion) int {
	if c := slices.Compare(v.parts[:], w.parts[:]); c != 0 {
		return c
	}
	return cmp.Compare(v.supplement, w.supplement)
}

// String returns the shortest spelling with at least two numbers.
func (v OSVersion) String() string {
	if !v.known {
		return ""
	}
	last := 1
	for i, p := range v.parts {
		if p != 0 {
			last = max(last, i)
		}
	}
	var b strings.Builder
	for i := 0; i <= last; i++ {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.FormatUint(uint64(v.parts[i]), 10))
	}
	if v.supplement != 0 {
		fmt.Fprintf(&b, " (%c)", v.supplement)
	}
	return b.String()
}

// MeetsBranch reports whether v is at or above the minimum of its own branch
// (major version). A major above the highest listed passes; one between or
// below fails. It also returns the version to update to: the minimum of v's
// branch, else the lowest one above it.
func (v OSVersion) MeetsBranch(minimums []OSVersion) (want OSVersion, ok bool) {
	highest := OSVersion{}
	for _, m := range minimums {
		if m.Major() == v.Major() {
			return m, v.known && v.Compare(m) >= 0
		}
		if m.Major() > v.Major() && (want.IsZero() || m.Compare(want) < 0) {
			want = m
		}
		if highest.IsZero() || m.Compare(highest) > 0 {
			highest = m
		}
	}
	return want, v.known && len(minimums) > 0 && v.Major() > highest.Major()
}
