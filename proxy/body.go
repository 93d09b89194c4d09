package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/anteroom/anteroom/routes"
)

// setBody makes body what the rest of the request's life reads.
func (x *exchange) setBody(body []byte) {
	x.fullBody, x.whole = body, true
	x.r.Body = io.NopCloser(&reader{rest: body})
	x.r.ContentLength = int64(len(body))
	x.r.TransferEncoding = nil
}

// readFields reads as much of the body as a rule by fields needs. What was read
// is put back in front of the rest.
func (x *exchange) readFields() *refusal {
	if !x.route.WantsFields(&x.req) || x.r.Body == nil || x.r.ContentLength == 0 {
		return nil
	}
	if !x.whole {
		if no := x.readBody(routes.MaxFields); no != nil {
			return no
		}
	}
	x.req.Fields = routes.OpaqueFields
	if x.whole {
		encoding := strings.Join(x.r.Header["Content-Encoding"], ",")
		var media string
		if lines := x.r.Header["Content-Type"]; len(lines) == 1 {
			media = lines[0]
		}
		x.req.Fields = routes.ParseFields(media, encoding, x.fullBody)
	}
	return nil
}

// readBody reads up to limit bytes of the body. Afterwards either x.whole is
// set, or the body begins anew with what was read.
func (x *exchange) readBody(limit int64) *refusal {
	if x.whole || x.r.Body == nil {
		return nil
	}
	if x.r.ContentLength > limit {
		return nil
	}
	rest := x.r.Body
	read, err := io.ReadAll(io.LimitReader(rest, limit+1))
	if err != nil {
		return x.unread(err)
	}
	if int64(len(read)) <= limit {
		x.setBody(read)
		return nil
	}
	x.r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&reader{rest: read}, rest), rest}
	return nil
}

// unread returns what to say of a body that could not be read.
func (x *exchange) unread(err error) *refusal {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(tooLarge, "body")
	}
	if x.stalled() {
		return refuse(tooSlow, "body")
	}
	return refuse(badRequest, "body")
}

// A reader gives out bytes once. Unlike a bytes.Reader it has no type that
// net/http would take a copy of to send a request twice.
type reader struct{ rest []byte }

func (b *reader) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// bodyRest is how long the rest of a body that was not wanted may take to come.
const bodyRest = time.Second
