package listen

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard keeps web pages away from next. A page can make its own name point at
// a loopback address (DNS rebinding), but it cannot choose what the browser
// then writes as Host: so only addresses, localhost and names given by the
// operator are answered. Nothing on this listener is changed by a request, so
// only GET and HEAD pass.
func guard(next http.Handler, addr string, names []string) http.Handler {
	if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
		names = append(slices.Clone(names), host)
	}
	known := func(host string) bool {
		name, ok := hostname(host)
		if !ok {
			return false
		}
		if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || name == "localhost" {
			return true
		}
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case !known(r.Host), !sameOrigin(r):
			http.Error(w, "Forbidden: ask by address, by localhost, or by a name that the gateway was given", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// sameOrigin reports whether r comes from no page, or from one of this listener.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "http" && strings.EqualFold(u.Host, r.Host)
}
