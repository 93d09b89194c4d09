package proxy

import (
	"net/http"
	"strings"
)

// skeleton appends to dst what is left of a header name when only its letters
// and digits are kept, in lower case. Two names that any backend might fold
// into one variable (X-Remote-User, x_remote.user) have the same skeleton.
func skeleton(dst []byte, name string) []byte {
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			dst = append(dst, c)
		case 'A' <= c && c <= 'Z':
			dst = append(dst, c+'a'-'A')
		}
	}
	return dst
}

// The names that a client may not send, by skeleton. Each is meant with "http"
// before it too, as CGI names variables.
var (
	protectedNames = []string{
		"forwarded", "xrealip", "xrequestid", "proxy", "trueclientip", "xclientip", "xclusterclientip",
		"cfconnectingip", "fastlyclientip",
		"xhttpmethodoverride", "xmethodoverride", "xhttpmethod", "xmethod",
		"earlydata", "remoteuser", "remoteaddr", "authuser",
	}
	protectedPrefixes = []string{
		"xanteroom", "xforwarded", "xoriginal", "xrewrite",
		"clientcert", "xclientcert", "sslclient", "xssl", "xamznmtls", "xamznoidc",
	}
	// Read by the gateway alone and then set anew, or never sent on.
	consumed = []string{
		"Traceparent", "Tracestate", "Baggage", "Expect", "Te", "Trailer", "Host", "Http2-Settings",
		"X-B3-Traceid", "X-B3-Spanid", "X-B3-Sampled", "B3",
	}
)

// commonNames are what browsers send. What becomes of them is found out once.
var commonNames = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Length",
	"Content-Type", "Cookie", "Dnt", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Origin", "Pragma",
	"Priority", "Range", "Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest",
	"Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Gpc", "Upgrade-Insecure-Requests", "User-Agent",
	"X-Requested-With",
}

// protection knows the header names that no client may send past the gateway.
type protection struct {
	names  map[string]bool
	common map[string]bool // whether one of commonNames, or of the names added, is dropped
}

// newProtection protects names (those of posture sources and identity headers)
// beside the fixed ones.
func newProtection(names []string) protection {
	p := protection{names: make(map[string]bool)}
	add := func(s string) { p.names[s], p.names["http"+s] = true, true }
	for _, n := range protectedNames {
		add(n)
	}
	for _, n := range names {
		add(string(skeleton(nil, n)))
	}
	p.common = make(map[string]bool)
	for _, list := range [][]string{commonNames, names} {
		for _, n := range list {
			n = http.CanonicalHeaderKey(n)
			p.common[n] = p.drops(n)
		}
	}
	return p
}

// covers reports whether name is protected.
func (p protection) covers(name string) bool {
	var buf [64]byte
	s := skeleton(buf[:0], name)
	if p.names[string(s)] {
		return true
	}
	for _, prefix := range protectedPrefixes {
		if hasPrefix(s, prefix) || hasPrefix(s, "http") && hasPrefix(s[4:], prefix) {
			return true
		}
	}
	return false
}

func hasPrefix(s []byte, prefix string) bool {
	return len(s) >= len(prefix) && string(s[:len(prefix)]) == prefix
}

func (p protection) drops(name string) bool { return !plainName(name) || p.covers(name) }

// strip deletes from h every protected name, and every name with anything but
// letters, digits and hyphens. It returns how many it deleted.
func (p protection) strip(h http.Header) (dropped int) {
	for name := range h {
		drop, ok := p.common[name]
		if !ok {
			drop = p.drops(name)
		}
		if drop {
			delete(h, name)
			dropped++
		}
	}
	for _, name := range consumed {
		delete(h, name)
	}
	return dropped
}

func plainName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return name != ""
}

// connectionNames reports whether the Connection header of h names a protected
// header, which would have it removed as hop-by-hop further on.
func (p protection) connectionNames(h http.Header) bool {
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.TrimSpace(token)
			if token != "" && p.covers(token) {
				return true
			}
		}
	}
	return false
}
