package routes

import (
	"fmt"
	"strings"
)

// A Pattern matches the segments of a path: * is one segment, ** at the end is
// the rest and also none, {name} is one segment that is captured.
type Pattern struct {
	text     string
	segments []string // lower case but for the captures
	rest     bool     // ends in **
}

// ParsePattern reads a pattern such as /orders/** or /patients/{patient}/*.
func ParsePattern(s string) (Pattern, error) {
	if !strings.HasPrefix(s, "/") {
		return Pattern{}, fmt.Errorf("path %q does not begin with /", s)
	}
	p := Pattern{text: s}
	if s == "/" {
		return p, nil
	}
	parts := strings.Split(s[1:], "/")
	for i, part := range parts {
		switch {
		case part == "**":
			if i != len(parts)-1 {
				return Pattern{}, fmt.Errorf("path %q: ** stands only at the end", s)
			}
			p.rest = true
		case part == "" && i == len(parts)-1:
			p.segments = append(p.segments, "")
		case part == "":
			return Pattern{}, fmt.Errorf("path %q has an empty segment", s)
		case part == "." || part == "..":
			return Pattern{}, fmt.Errorf("path %q has a dot segment", s)
		case part == "*":
			p.segments = append(p.segments, part)
		case strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") && len(part) > 2:
			p.segments = append(p.segments, part)
		case strings.ContainsAny(part, "*{}"):
			return Pattern{}, fmt.Errorf("path %q: %q is neither * nor ** nor a plain segment", s, part)
		case strings.ContainsAny(part, "%;\\?#"):
			return Pattern{}, fmt.Errorf("path %q: write %q as the decoded text, without %% ; \\ ? or #", s, part)
		default:
			p.segments = append(p.segments, strings.ToLower(part))
		}
	}
	return p, nil
}

func (p Pattern) String() string { return p.text }

// Captures returns the names that the pattern captures.
func (p Pattern) Captures() []string {
	var names []string
	for _, s := range p.segments {
		if isCapture(s) {
			names = append(names, s[1:len(s)-1])
		}
	}
	return names
}

// Match reports whether the decoded segments of a path fit the pattern,
// without regard to case. /orders/** also matches /orders and /orders/.
func (p Pattern) Match(segments []string) bool {
	_, ok := p.match(segments, "")
	return ok
}

// Capture returns the segment that name stands for, and whether the path fits.
func (p Pattern) Capture(segments []string, name string) (string, bool) {
	return p.match(segments, name)
}

func (p Pattern) match(segments []string, name string) (captured string, ok bool) {
	if len(segments) == 1 && segments[0] == "" { // the path "/"
		segments = nil
	}
	if len(segments) < len(p.segments) || len(segments) > len(p.segments) && !p.rest {
		return "", false
	}
	for i, want := range p.segments {
		have := segments[i]
		switch {
		case want == "*":
			if have == "" {
				return "", false
			}
		case isCapture(want):
			if have == "" {
				return "", false
			}
			if want[1:len(want)-1] == name {
				captured = have
			}
		case !equalFold(want, have):
			return "", false
		}
	}
	return captured, true
}

func isCapture(s string) bool { return len(s) > 2 && s[0] == '{' }

// equalFold compares as a backend that ignores case might: by Unicode folding.
func equalFold(a, b string) bool { return a == b || strings.EqualFold(a, b) }
