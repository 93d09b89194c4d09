package proxy

import "net/http"

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
