package listen

import (
	"net/http"
	"net/netip"
	"strings"
)

// redirect sends every request to the same place by https. It looks at nothing
// but Host and target: a cookie that came in the clear is not believed, and
// nothing is set.
func redirect(port string) http.Handler {
	if port == "443" {
		port = ""
	}
	if port != "" {
		port = ":" + port
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, ok := hostname(r.Host)
		if !ok || !strings.HasPrefix(r.RequestURI, "/") {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		w.Header().Set("Location", "https://"+host+port+target(r.RequestURI))
		w.Header().Set("Cache-Control", "no-store") // ports and names change; browsers keep a 308 for ever
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}

// hostname returns the name in a Host header, lower-cased and without its port
// and the root's dot, and whether it is spelled as one: a DNS name of letters,
// digits and hyphens, or an IP address (RFC 9110, section 7.2).
func hostname(host string) (string, bool) {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
		if len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return "", false
		}
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		addr, err := netip.ParseAddr(name[1 : len(name)-1])
		return name, err == nil && addr.Is6() && addr.Zone() == ""
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", false
		}
	}
	return name, true
}

// target percent-encodes what must not stand in a Location: everything but
// visible ASCII, and the # that would begin a fragment.
func target(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '#' {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
