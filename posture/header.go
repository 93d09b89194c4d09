package posture

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrAmbiguous means that a trusted sender's headers can be read in more than
// one way: a header twice, a comma in a value, a second spelling of its name,
// bytes that are not visible ASCII, or a Connection header that names it. The
// request must be refused.
var ErrAmbiguous = errors.New("posture: ambiguous headers")

const (
	maxValue    = 256 // bytes of a header value
	maxDeviceID = 128 // bytes of a device id
	maxSkeleton = 128 // bytes of a header name worth comparing
)

// skeleton appends the letters and digits of a header name to b, lower-cased.
// Backends that fold header names into variables (CGI, WSGI, PHP) see names of
// one skeleton as one. Longer names than anything configured are cut short.
func skeleton(b []byte, name string) []byte {
	for i := 0; i < len(name) && len(b) < maxSkeleton; i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b = append(b, c)
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		}
	}
	return b
}

// spelling refuses every header that has the skeleton of one of ours, also
// with HTTP_ before it, but is spelled otherwise, and every Connection header
// that would have one of ours removed on the way (RFC 9110, section 7.6.1).
func (s *source) spelling(h http.Header) error {
	var room [maxSkeleton]byte
	cgi := []byte("http")
	for name := range h {
		bones := skeleton(room[:0], name)
		own, ok := s.bones[string(bones)]
		if !ok && bytes.HasPrefix(bones, cgi) {
			own, ok = s.bones[string(bones[len(cgi):])]
		}
		if ok && own != name {
			return fmt.Errorf("%w: another spelling of %s", ErrAmbiguous, own)
		}
	}
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if own, ok := s.bones[string(skeleton(room[:0], token))]; ok {
				return fmt.Errorf("%w: Connection names %s", ErrAmbiguous, own)
			}
		}
	}
	return nil
}

// value returns the one value of a header; "" when there is none.
func value(h http.Header, name string) (string, error) {
	lines := h[name]
	switch len(lines) {
	case 0:
		return "", nil
	case 1:
	default: // Header.Get would quietly take the first
		return "", fmt.Errorf("%w: %s twice", ErrAmbiguous, name)
	}
	v := lines[0]
	if len(v) > maxValue {
		return "", fmt.Errorf("%w: %s is longer than %d bytes", ErrAmbiguous, name, maxValue)
	}
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == ',':
			return "", fmt.Errorf("%w: %s holds a comma", ErrAmbiguous, name)
		case c < ' ' || c > '~':
			return "", fmt.Errorf("%w: %s is not visible ASCII", ErrAmbiguous, name)
		}
	}
	return v, nil
}
