// Package carry sends one request over a pooled connection to a backend and
// reads its answer: HTTP/1.1 (RFC 9112), strictly. What two readers could take
// in two ways, in a request or in an answer, is an error here.
package carry

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// A Carrier sends requests to one backend.
type Carrier interface {
	// Send sends r and returns the answer once its head is there. It returns a
	// [*BodyError] when r's body could not be read, the cause of ctx when that
	// ended first, an error of dialling as package net has it, and an error whose
	// Timeout method reports true when the answer did not begin in time. Whoever
	// gets an answer closes it. The answer ends with ctx.
	Send(ctx context.Context, r *Request) (*Answer, error)
	// CloseIdle closes the connections that carry nothing, and those that do as
	// soon as they are through.
	CloseIdle()
}

// A Request is what is sent. It is written anew: nothing of how it came to us,
// its framing least of all, goes on.
type Request struct {
	Method  string
	Target  string      // path and query, as they stand on the request line
	Host    string      // as it stands in the Host header
	Header  http.Header // what is about one connection is left out
	Upgrade string      // the protocol to switch to; "": none
	Body    io.Reader   // nil: none
	Length  int64       // of Body, when it is not nil; below zero: not known

	upload *upload
}

// Wait returns once nothing reads r's body any more. Some of it may still be
// read when an answer is closed, or Send has failed; what bounds the wait is how
// long a Read takes.
func (r *Request) Wait() {
	if r.upload != nil {
		<-r.upload.done
	}
}

// Uploading reports whether r's body is still being read.
func (r *Request) Uploading() bool { return r.upload != nil && !r.upload.ended() }

// An Answer is what a backend answers. Answers of the class 1xx come before one,
// and are dropped, but for 101 where the request asked for it. Trailers are dropped.
type Answer struct {
	Status int
	Header http.Header // canonical names; no Transfer-Encoding, no Trailer
	Length int64       // of the body; below zero when only its end will tell
	Body
}

// A Body is the content of an answer, and the connection that it comes over.
type Body interface {
	// Next returns the next piece, which holds until the next call, and [io.EOF]
	// after the last. It calls idle, unless that is nil, before it waits for more.
	Next(idle func()) ([]byte, error)
	// Cut ends the answer from elsewhere: whoever waits for it gets why.
	Cut(why error)
	// Close gives the connection back, or closes it where request or answer did
	// not come to their end.
	Close()
	// Tunnel returns the connection after a 101, for the caller to close.
	Tunnel() io.ReadWriteCloser
}

// A BodyError is a request body that could not be read to its end. The backend
// has no part in it.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "read the body of the request: " + e.Err.Error() }
func (e *BodyError) Unwrap() error { return e.Err }

// ErrAnswer is the kind of all errors about an answer that is no HTTP/1.1, or
// that can be read in more than one way.
var ErrAnswer = errors.New("carry: bad answer")

// ErrRequest is the kind of all errors about a request that cannot be written
// so that it is read in one way only. Nothing of it was sent.
var ErrRequest = errors.New("carry: bad request")
