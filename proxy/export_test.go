package proxy

import (
	"io"
	"net/http"
)

// Steps of a request that are measured one by one.
var (
	RemoveHopByHop = removeHopByHop
	HandOver       = handOver
	CookiesFor     = cookiesFor
)

// Parse reads r, and reports whether it was refused.
func Parse(r *http.Request) (refused bool) {
	_, no := parse(r)
	return no != nil
}

// Strip deletes from h what clients may not send, beside names.
func Strip(names ...string) func(h http.Header) int {
	p := newProtection(names)
	return p.strip
}

// Tunnel returns a WebSocket's half to read from, and what ends it.
func Tunnel(backend io.ReadWriteCloser) (io.ReadWriteCloser, func(code uint32)) {
	t := &tunnel{ReadWriteCloser: backend}
	return t, t.end
}
