package carry

import (
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Limits of the head of an answer.
const (
	maxHead   = 64 << 10 // bytes
	maxFields = 512
	maxHeads  = 32 // of the class 1xx before an answer
)

// headEnd returns how long the head at the beginning of b is, with the empty
// line that ends it; zero when it is not all there. Before from lies no end.
func headEnd(b []byte, from int) int {
	for i := from; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i + 1
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i + 2
		}
	}
}

// A head is the head of an answer as it was read.
type head struct {
	status  int
	header  http.Header
	framing framing
	length  int64 // of a body whose framing is by length
	last    bool  // nothing more comes over this connection
}

// A framing is how the end of a body is told (RFC 9112, section 6).
type framing int

const (
	byNothing framing = iota // there is no body
	byLength
	byChunks
	byClose
)

// parseHead reads the head of an answer to a request of that method.
//
// Lines may end in a bare LF, as old servers have it (section 2.2), but then
// all of them: one among others is somebody's value that was not cleaned.
func parseHead(text, method string) (h head, err error) {
	line, rest, _ := strings.Cut(text, "\n")
	end := "\n"
	if strings.HasSuffix(line, "\r") {
		line, end = line[:len(line)-1], "\r\n"
	}
	old, err := h.statusLine(line)
	if err != nil {
		return h, err
	}
	count := strings.Count(rest, "\n") - 1
	if count > maxFields {
		return h, bad("more than %d fields", maxFields)
	}
	h.header = make(http.Header, count)
	values := make([]string, 0, count)
	for {
		line, rest, _ = strings.Cut(rest, "\n")
		if end == "\r\n" {
			if !strings.HasSuffix(line, "\r") {
				return h, bad("a line that ends unlike others")
			}
			line = line[:len(line)-1]
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		// A folded line begins with a space, and so its name is none (section 5.2).
		if !ok || !isToken(name) || !isValue(value) {
			return h, bad("a line that is no field")
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if before := h.header[name]; before != nil {
			h.header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		h.header[name] = values[len(values)-1:][:1:1]
	}
	return h, h.frame(method, old)
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrAnswer}, args...)...)
}

// statusLine reads the first line (section 4), and reports whether it is of HTTP/1.0.
func (h *head) statusLine(line string) (old bool, err error) {
	const version = "HTTP/1.x "
	if len(line) < len(version)+3 || line[:7] != version[:7] || line[8] != ' ' || line[7] != '0' && line[7] != '1' {
		return false, bad("no status line")
	}
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return false, bad("no status")
		}
		h.status = h.status*10 + int(c-'0')
	}
	reason := line[12:]
	if h.status < 100 || h.status > 599 || reason != "" && reason[0] != ' ' || !isValue(reason) {
		return false, bad("no status")
	}
	return line[7] == '0', nil
}

// frame finds out how the body is framed (section 6.3). Where that is said in
// two ways, it cannot be known what the backend meant.
func (h *head) frame(method string, old bool) error {
	h.last = old || names(h.header["Connection"], "close")
	codings := h.header["Transfer-Encoding"]
	length := int64(-1)
	for i, line := range h.header["Content-Length"] {
		n, err := strconv.ParseUint(line, 10, 63)
		if err != nil || i > 0 && int64(n) != length {
			return bad("Content-Length")
		}
		length = int64(n)
	}
	if length >= 0 {
		h.header["Content-Length"] = h.header["Content-Length"][:1]
	}
	switch {
	case codings == nil:
	case old || length >= 0:
		return bad("Transfer-Encoding beside another framing")
	case len(codings) != 1 || !strings.EqualFold(codings[0], "chunked"):
		return bad("Transfer-Encoding")
	}
	delete(h.header, "Transfer-Encoding")
	delete(h.header, "Trailer")
	switch {
	case h.status < 200:
		if codings != nil || length > 0 {
			return bad("a body where there is none")
		}
	case method == "HEAD" || h.status == http.StatusNotModified:
	case h.status == http.StatusNoContent:
		h.last = h.last || codings != nil || length > 0 // and if something comes after all, it is nobody's
	case codings != nil:
		h.framing = byChunks
	case length >= 0:
		h.framing, h.length = byLength, length
	default:
		h.framing, h.last = byClose, true
	}
	return nil
}

// names reports whether a list of tokens holds one.
func names(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(t, " \t"), token) {
				return true
			}
		}
	}
	return false
}
