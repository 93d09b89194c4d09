package posture

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/headers"
)

// ErrAmbiguous means that a trusted sender's headers can be read in more than
// one way: a header twice, a comma in a value, a second spelling of its name,
// bytes that are not visible ASCII, or a Connection header that names it. The
// request must be refused.
var ErrAmbiguous = errors.New("posture: ambiguous headers")

const (
	maxValue    = 256 // bytes of a header value
	maxDeviceID = 128 // bytes of a device id
)

// spelling refuses every header that has the skeleton of one of ours, also
// with HTTP_ before it, but is spelled otherwise, and every Connection header
// that would have one of ours removed on the way (RFC 9110, section 7.6.1).
func (s *source) spelling(h http.Header) error {
	for name := range h {
		if own := s.spelled.On(name); own != "" && own != name {
			return fmt.Errorf("%w: another spelling of %s", ErrAmbiguous, own)
		}
	}
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			var room [64]byte
			if own, ok := s.bones[string(headers.Skeleton(room[:0], token))]; ok {
				return fmt.Errorf("%w: Connection names %s", ErrAmbiguous, own)
			}
		}
	}
	return nil
}

// own returns which of our headers a name is a spelling of; "" when of none.
func (s *source) own(name string) string {
	var room [64]byte
	bones := headers.Skeleton(room[:0], name)
	own, ok := s.bones[string(bones)]
	if cgi := []byte("http"); !ok && bytes.HasPrefix(bones, cgi) {
		own = s.bones[string(bones[len(cgi):])]
	}
	return own
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
