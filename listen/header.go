package listen

import "net/http"

// bounded answers requests whose header is over max bytes with tooLarge (nil:
// a plain 431, RFC 6585, section 5). It stands behind a limit of net/http twice
// as high, which over HTTP/2 would end the connection and tell nobody why.
func bounded(next http.Handler, max int, tooLarge http.Handler) http.Handler {
	if tooLarge == nil {
		tooLarge = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Request Header Fields Too Large", http.StatusRequestHeaderFieldsTooLarge)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if headerBytes(r) > max {
			tooLarge.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// headerBytes returns what the header of r takes as HTTP/1.1 writes it.
func headerBytes(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(": \r\n") + len(v)
		}
	}
	return n
}
