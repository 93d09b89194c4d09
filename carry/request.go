package carry

import (
	"fmt"
	"strconv"
	"strings"
)

// appendHead appends the head of r to b: its line, the fields of its header that
// are not about the connection, and how its body is framed (RFC 9112, section 3
// and 6).
func (r *Request) appendHead(b []byte) ([]byte, error) {
	switch {
	case !isToken(r.Method):
		return nil, fmt.Errorf("%w: method", ErrRequest)
	case !isVisible(r.Target) || r.Target[0] != '/':
		return nil, fmt.Errorf("%w: target", ErrRequest)
	case !isVisible(r.Host):
		return nil, fmt.Errorf("%w: host", ErrRequest)
	case r.Upgrade != "" && (!isToken(r.Upgrade) || r.Body != nil):
		return nil, fmt.Errorf("%w: upgrade", ErrRequest)
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	for name, lines := range r.Header {
		if isFraming(name) {
			continue
		}
		if !isToken(name) {
			return nil, fmt.Errorf("%w: name of a field", ErrRequest)
		}
		for _, value := range lines {
			if !isValue(value) {
				return nil, fmt.Errorf("%w: value of a field", ErrRequest)
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, value...)
			b = append(b, "\r\n"...)
		}
	}
	switch {
	case r.Upgrade != "":
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, r.Upgrade...)
		b = append(b, "\r\n"...)
	case r.Body == nil:
		if r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" { // RFC 9110, section 8.6
			b = append(b, "Content-Length: 0\r\n"...)
		}
	case r.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.Length, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// retriable reports whether r may be sent a second time when its connection
// broke before any answer: it changes nothing, and all of it is still there.
func (r *Request) retriable() bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS":
		return r.Body == nil && r.Upgrade == ""
	}
	return false
}

// isFraming reports whether a field is about the connection or the framing, and
// so written by whoever owns the connection (RFC 9110, section 7.6.1).
func isFraming(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "te")
	case 4:
		return strings.EqualFold(name, "host")
	case 6:
		return strings.EqualFold(name, "expect")
	case 7:
		return strings.EqualFold(name, "upgrade") || strings.EqualFold(name, "trailer")
	case 10:
		return strings.EqualFold(name, "connection") || strings.EqualFold(name, "keep-alive")
	case 14:
		return strings.EqualFold(name, "content-length")
	case 16:
		return strings.EqualFold(name, "proxy-connection")
	case 17:
		return strings.EqualFold(name, "transfer-encoding")
	}
	return false
}

// What a byte may stand in.
const (
	inToken = 1 << iota // RFC 9110, section 5.6.2
	inValue             // section 5.5: all but controls, and the tab
)

var classes = func() (table [256]uint8) {
	for c := range table {
		if c >= ' ' && c != 0x7f || c == '\t' {
			table[c] |= inValue
		}
		if c < 0x7f && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0) {
			table[c] |= inToken
		}
	}
	return table
}()

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&inToken == 0 {
			return false
		}
	}
	return s != ""
}

// isValue reports whether s may be the value of a field. Cookies and assertions
// are long, and so eight bytes are looked at in one.
func isValue(s string) bool {
	for len(s) >= 8 {
		eight := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if anyControl(eight) && !areValue(s[:8]) {
			return false
		}
		s = s[8:]
	}
	return areValue(s)
}

func areValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&inValue == 0 {
			return false
		}
	}
	return true
}

// anyControl reports whether any byte of eight is below the space, or DEL. A
// byte's top bit is set where taking the space from it borrows, or where taking
// one from what it differs from DEL does, and it is ASCII.
func anyControl(eight uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	low := (eight - ' '*ones) &^ eight
	del := eight ^ 0x7f*ones
	return (low|(del-ones)&^del)&tops != 0
}

// isVisible reports whether s is visible ASCII, and some.
func isVisible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
