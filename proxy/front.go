package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/anteroom/anteroom/routes"
)

// parse is the one reading of a request. What it returns is all that is
// judged, and what the outgoing request is written from. A refusal names the
// answer; its detail is for the record and holds nothing that the client wrote.
func parse(r *http.Request) (routes.Request, *refusal) {
	var req routes.Request
	switch {
	case !knownMethod(r.Method):
		return req, refuse(methodNotAllowed, "method")
	case r.TLS == nil:
		return req, refuse(wrongHost, "no TLS")
	case r.URL.Opaque != "" || r.URL.Scheme != "" && r.ProtoMajor == 1 || r.URL.User != nil:
		return req, refuse(badRequest, "target is not a path")
	case !strings.HasPrefix(r.RequestURI, "/"):
		return req, refuse(badRequest, "target is not a path")
	case r.ProtoMajor == 1 && r.ProtoMinor > 1:
		return req, refuse(badRequest, "version") // net/http takes HTTP/1.2 for an HTTP/1.1 that nobody has defined
	case r.ProtoMajor == 1 && r.ProtoMinor == 0 && r.Host == "":
		return req, refuse(badRequest, "no host")
	}
	host, err := canonicalHost(r.Host)
	if err != nil {
		return req, refuse(badRequest, "host")
	}
	// A browser may reuse a connection for another host of the same certificate;
	// what was agreed in the handshake (and any later client certificate) is the
	// other host's, so it is told to open its own (RFC 9110, section 15.5.20).
	if name, err := canonicalHost(r.TLS.ServerName); err != nil || name != host {
		req.Host = host
		return req, refuse(wrongHost, "host is not the handshake's")
	}
	req.Host, req.Method = host, r.Method
	escaped, query, hasQuery := strings.Cut(r.RequestURI, "?")
	req.RawQuery, req.HasQuery = query, hasQuery
	if req.Path, err = routes.ParsePath(escaped); err != nil {
		req.Path = routes.Path{}
		return req, refuse(badRequest, "path")
	}
	if !cleanQuery(query) {
		return req, refuse(badRequest, "query")
	}
	return req, nil
}

func knownMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	case "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH":
		return true // WebDAV and its kin, where a route lists them
	}
	return false
}

// canonicalHost returns the one spelling of a host: lower case, without port
// and trailing dot.
func canonicalHost(s string) (string, error) {
	name, port, hasPort := strings.Cut(s, ":")
	if hasPort {
		if len(port) == 0 || len(port) > 5 || strings.Trim(port, "0123456789") != "" || len(port) == 5 && port > "65535" {
			return "", fmt.Errorf("port of host %q", s)
		}
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 || strings.HasSuffix(name, ".") {
		return "", fmt.Errorf("host %q", s)
	}
	lower := true
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_':
		case 'A' <= c && c <= 'Z':
			lower = false
		default:
			return "", fmt.Errorf("host %q", s)
		}
	}
	if !lower {
		name = strings.ToLower(name)
	}
	return name, nil
}

// cleanQuery reports whether a query is visible ASCII with whole escapes.
func cleanQuery(q string) bool {
	for i := 0; i < len(q); i++ {
		switch c := q[i]; {
		case c <= ' ' || c >= 0x7f || c == '#':
			return false
		case c == '%':
			if i+2 >= len(q) || !isHex(q[i+1]) || !isHex(q[i+2]) {
				return false
			}
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// peerOf returns the address of the TCP peer; the zero Addr when it has none.
func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// source returns the client's address: the peer, or, when the peer is a trusted
// proxy, the right-most address in X-Forwarded-For that is not one itself.
func source(peer netip.Addr, h http.Header, trusted []netip.Prefix) netip.Addr {
	if !contains(trusted, peer) {
		return peer
	}
	hops := strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	at := peer
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return at // whoever wrote this, the hop before it is the last one known
		}
		at = hop.Unmap().WithZone("")
		if !contains(trusted, at) {
			return at
		}
	}
	return at
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
