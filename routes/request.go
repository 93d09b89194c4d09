package routes

import (
	"errors"
	"fmt"
	"strings"
)

// A Request is the one reading of an incoming request. The decision reads it,
// and the outgoing request is written from it.
type Request struct {
	Host     string // canonical: lower case, no port
	Method   string // as sent, one of the listed methods
	Path     Path
	RawQuery string // bytes after the ?, as sent
	HasQuery bool   // a ? was there, perhaps with nothing behind it
	Fields   Fields // of the body; read only when [Route.WantsFields] says so
}

// Target returns the request target in origin form.
func (r *Request) Target() string {
	if r.HasQuery {
		return r.Path.Escaped + "?" + r.RawQuery
	}
	return r.Path.Escaped
}

// Judged returns the method that rules look at: HEAD is judged as GET.
func (r *Request) Judged() string {
	if r.Method == "HEAD" {
		return "GET"
	}
	return r.Method
}

// A Path is a request path in the two forms that a backend might see: decoded
// segment by segment, and with what a tolerant backend makes of the ambiguous
// spellings. Where the forms differ both are judged.
type Path struct {
	Escaped  string    // as sent, and as it goes out
	Segments []string  // decoded
	Resolved []string  // parameters cut, empty segments closed up, encoded slashes split; same as Segments when none are there
	Uses     Tolerance // the ambiguous spellings that are there
}

// ErrPath means a path that two servers could read differently, however
// tolerant the route is.
var ErrPath = errors.New("ambiguous path")

// ParsePath reads an escaped path. It returns [ErrPath], wrapped with what is
// wrong, for anything but visible ASCII, for a bad escape, a control byte, NUL
// or backslash in any encoding, text that is not UTF-8 once decoded, and a dot
// segment in any spelling.
func ParsePath(escaped string) (Path, error) {
	if escaped == "" || escaped[0] != '/' {
		return Path{}, fmt.Errorf("%w: it does not begin with /", ErrPath)
	}
	plain := true // nothing but separators and text that decodes to itself
	for i := 0; i < len(escaped); i++ {
		switch c := escaped[i]; {
		case c <= ' ' || c >= 0x7f:
			return Path{}, fmt.Errorf("%w: byte %#02x", ErrPath, c)
		case c == '\\' || c == '#' || c == '?':
			return Path{}, fmt.Errorf("%w: %q", ErrPath, c)
		case c == '%' || c == ';':
			plain = false
		}
	}
	p := Path{Escaped: escaped}
	p.Segments = strings.Split(escaped[1:], "/")
	for i, s := range p.Segments {
		if s == "" && i != len(p.Segments)-1 {
			p.Uses.DoubleSlash = true
		}
	}
	if !plain {
		for i, s := range p.Segments {
			decoded, err := decodeSegment(s)
			if err != nil {
				return Path{}, err
			}
			p.Uses.PathParams = p.Uses.PathParams || strings.Contains(decoded, ";")
			p.Uses.EncodedSlash = p.Uses.EncodedSlash || strings.Contains(decoded, "/")
			p.Segments[i] = decoded
		}
	}
	p.Resolved = p.Segments
	if p.Uses != (Tolerance{}) {
		p.Resolved = resolve(p.Segments)
	}
	for _, form := range [2][]string{p.Segments, p.Resolved} {
		for _, s := range form {
			if s == "." || s == ".." {
				return Path{}, fmt.Errorf("%w: dot segment", ErrPath)
			}
		}
	}
	return p, nil
}

// resolve returns what a backend makes of segments that has all three habits.
// The order matters: parameters end at the next slash, encoded or not.
func resolve(segments []string) []string {
	var out []string
	for _, s := range segments {
		for part := range strings.SplitSeq(s, "/") {
			part, _, _ = strings.Cut(part, ";")
			out = append(out, part)
		}
	}
	last := len(out) - 1
	kept := out[:0]
	for i, s := range out {
		if s != "" || i == last {
			kept = append(kept, s)
		}
	}
	return kept
}

func decodeSegment(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", fmt.Errorf("%w: unfinished escape", ErrPath)
			}
			hi, ok1 := unhex(s[i+1])
			lo, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return "", fmt.Errorf("%w: bad escape", ErrPath)
			}
			c = hi<<4 | lo
			i += 2
			if c < ' ' || c == 0x7f || c == '\\' {
				return "", fmt.Errorf("%w: escape of byte %#02x", ErrPath, c)
			}
		}
		b = append(b, c)
	}
	decoded := string(b)
	for _, r := range decoded {
		// An overlong or broken sequence decodes to U+FFFD; a path that truly
		// holds one is refused with it. C1 controls are controls too.
		if r == '\uFFFD' || r >= 0x80 && r < 0xa0 {
			return "", fmt.Errorf("%w: escapes that are not text", ErrPath)
		}
	}
	return decoded, nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// bare returns p's segments without their parameters.
func (p Path) bare() []string {
	if !p.Uses.PathParams {
		return p.Segments
	}
	all := make([]string, len(p.Segments))
	for i, s := range p.Segments {
		all[i], _, _ = strings.Cut(s, ";")
	}
	return all
}

// CutParams returns an escaped path without the values of its path parameters,
// for whoever writes it down: servlet containers carry the session's id there.
// A lone ; or %3B stays where they were. They end at the next plain slash, since
// an encoded one may be part of a value. Escaped need not be a path that
// [ParsePath] takes.
func CutParams(escaped string) string {
	if !strings.ContainsAny(escaped, ";%") {
		return escaped
	}
	segments := strings.Split(escaped, "/")
	for i, s := range segments {
		if at := paramsAt(s); at >= 0 {
			segments[i] = s[:at]
		}
	}
	return strings.Join(segments, "/")
}

// paramsAt returns where behind its first ; or %3B the parameters of an escaped
// segment begin; -1 when it has none.
func paramsAt(s string) int {
	for i := range len(s) {
		switch {
		case s[i] == ';':
			return i + 1
		case s[i] == '%' && i+2 < len(s) && s[i+1] == '3' && (s[i+2] == 'b' || s[i+2] == 'B'):
			return i + 3
		}
	}
	return -1
}

// allows reports whether every spelling in used is tolerated.
func (t Tolerance) allows(used Tolerance) bool {
	return (t.PathParams || !used.PathParams) &&
		(t.DoubleSlash || !used.DoubleSlash) &&
		(t.EncodedSlash || !used.EncodedSlash)
}
