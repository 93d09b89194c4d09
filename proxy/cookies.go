package proxy

import (
	"net/http"
	"strings"
)

// ours reports whether a cookie name belongs to the gateway. Names compare
// without regard to case, so that no backend that ignores case is confused.
func ours(name string) bool {
	const prefix = "__host-anteroom"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// forgetSession has the browser drop a session cookie that counts for nothing.
func forgetSession(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: "__Host-anteroom", Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// cookiesFor returns the Cookie header for a backend: of what the browser sent,
// the cookies that this backend set in this person's session, byte for byte. A
// cookie that the previous person left behind is not among them.
func cookiesFor(lines []string, p Person, realm string) string {
	if p == nil || len(lines) == 0 {
		return ""
	}
	var b strings.Builder
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			name, value, _ := strings.Cut(pair, "=")
			if pair == "" || ours(name) || !p.Owns(realm, name, value) {
				continue
			}
			if b.Len() > 0 {
				b.WriteString("; ")
			}
			b.WriteString(pair)
		}
	}
	return b.String()
}

// setCookies returns a backend's Set-Cookie lines as they go to the browser,
// without Domain and with Secure, and the cookies that they set. A line that
// sets a cookie of the gateway's is left out.
func setCookies(lines []string) (out []string, set []*http.Cookie) {
	for _, line := range lines {
		pair, attributes, _ := strings.Cut(line, ";")
		name, value, ok := strings.Cut(pair, "=")
		name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
		if !ok || name == "" || ours(name) {
			continue
		}
		var b strings.Builder
		b.WriteString(strings.Trim(pair, " \t"))
		secure := false
		if attributes != "" {
			for a := range strings.SplitSeq(attributes, ";") {
				key, _, _ := strings.Cut(a, "=")
				switch key = strings.Trim(key, " \t"); {
				case strings.EqualFold(key, "domain"), key == "":
					continue
				case strings.EqualFold(key, "secure"):
					secure = true
				}
				b.WriteString("; ")
				b.WriteString(strings.Trim(a, " \t"))
			}
		}
		if !secure {
			b.WriteString("; Secure")
		}
		out = append(out, b.String())
		set = append(set, &http.Cookie{Name: name, Value: value})
	}
	return out, set
}
