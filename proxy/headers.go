package proxy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/headers"
)

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

// protection knows the header names that no client may send past the gateway.
type protection struct {
	names map[string]bool
	fates headers.Verdict[fate]
}

// A fate is what becomes of a header of a client's. The zero fate is not to be
// sent on.
type fate uint8

const (
	dropped  fate = iota
	withheld      // the gateway's own to read
	passed
)

// newProtection protects names (those of posture sources and identity headers)
// beside the fixed ones.
func newProtection(names []string) protection {
	p := protection{names: make(map[string]bool)}
	add := func(s string) { p.names[s], p.names["http"+s] = true, true }
	for _, n := range protectedNames {
		add(n)
	}
	for _, n := range names {
		add(string(headers.Skeleton(nil, n)))
	}
	p.fates = headers.NewVerdict(p.fate, slices.Concat(names, consumed)...)
	return p
}

// covers reports whether name is protected.
func (p protection) covers(name string) bool {
	var buf [64]byte
	s := headers.Skeleton(buf[:0], name)
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

func (p protection) fate(name string) fate {
	switch {
	case !plainName(name) || p.covers(name):
		return dropped
	case slices.Contains(consumed, name):
		return withheld
	}
	return passed
}

// strip deletes from h every protected name, and every name with anything but
// letters, digits and hyphens, and returns how many these were; and what the
// gateway alone reads.
func (p protection) strip(h http.Header) (n int) {
	for name := range h {
		switch p.fates.On(name) {
		case passed:
			continue
		case dropped:
			n++
		}
		delete(h, name)
	}
	return n
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
