package proxy

import (
	"io"
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/carry"
	"github.com/anteroom/anteroom/headers"
)

// passOn gives the client the answer.
func (c *carriage) passOn(answer *carry.Answer) {
	x := c.x
	stream := goesOn(answer)
	if stream {
		x.settle()
	}
	if c.grant.Session() != nil && isLong(answer) {
		c.watch(answer.Cut, false)
	}
	if c.out.Uploading() {
		http.NewResponseController(x.w).EnableFullDuplex() // else net/http reads on where the upload does; it always is in HTTP/2
	}
	handOver(x.w.Header(), answer.Header)
	x.w.WriteHeader(answer.Status)
	var idle func()
	if stream || answer.Length < 0 {
		conn := http.NewResponseController(x.w)
		idle = func() { conn.Flush() } // what is there is not to wait for what is not
	}
	for {
		piece, err := answer.Next(idle)
		if err == io.EOF { //nolint:errorlint // as readers give it
			return
		}
		if err == nil {
			_, err = x.w.Write(piece)
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
		}
	}
}

// handOver moves the fields of an answer, without those about its connection.
func handOver(to, from http.Header) {
	removeHopByHop(from)
	for name, lines := range from {
		if have := to[name]; len(have) > 0 {
			lines = append(have, lines...)
		}
		to[name] = lines
	}
}

// hopByHop are the fields that are about one connection (RFC 9110, section
// 7.6.1), as ReverseProxy knows them, beside those that Connection names.
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.Trim(name, " \t"); name != "" {
				delete(h, http.CanonicalHeaderKey(name))
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// longBody is the size from which a transfer is watched like a stream.
const longBody = 1 << 20

func isLong(answer *carry.Answer) bool { return answer.Length < 0 || answer.Length > longBody }

// goesOn reports whether an answer is meant to go on: an event stream (HTML
// standard, section 9.2).
func goesOn(answer *carry.Answer) bool {
	media, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/event-stream")
}

// checkAnswer makes a backend's answer fit for the browser, or refuses it.
func (x *exchange) checkAnswer(answer *carry.Answer) error {
	h := answer.Header
	if answer.Status == http.StatusSwitchingProtocols {
		if !strings.EqualFold(h.Get("Upgrade"), "websocket") || h.Get("Sec-Websocket-Accept") != acceptKey(x.r.Header.Get("Sec-Websocket-Key")) {
			return errBadUpgrade
		}
	}
	if answer.Status == http.StatusUnauthorized {
		for _, challenge := range h["Www-Authenticate"] {
			scheme, _, _ := strings.Cut(challenge, " ")
			if strings.EqualFold(scheme, "ntlm") || strings.EqualFold(scheme, "negotiate") {
				return errBackendAuth
			}
		}
	}
	for name := range h {
		if isOwnHeader(name) {
			delete(h, name)
		}
	}
	if a := x.route.Backend.Assertion.Header; a != "" {
		delete(h, a)
	}
	for _, name := range oursToSay {
		delete(h, name)
	}
	if !x.route.ServiceWorkers {
		delete(h, "Service-Worker-Allowed")
	}
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		out, set := setCookies(lines)
		h["Set-Cookie"] = out
		if p := x.present(); p != nil {
			x.g.Sessions.Remember(p, x.realm(), set)
		}
	}
	x.rewriteLocation(h)
	privateCache(h)
	if listed(x.r.Header.Get("Origin"), x.route.Origins) {
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(h, name)
			}
		}
		x.allowOrigin()
	}
	return nil
}

// oursToSay are fields of an answer in which only the gateway speaks, by their
// canonical names.
var oursToSay = [...]string{"X-Request-Id", "Strict-Transport-Security", "Alt-Svc"}

func isOwnHeader(name string) bool {
	if name != "" {
		if c := name[0] | 0x20; 'a' <= c && c <= 'z' && c != 'x' {
			return false // as most
		}
	}
	var buf [64]byte
	return hasPrefix(headers.Skeleton(buf[:0], name), "xanteroom")
}

// rewriteLocation turns the backend's own origin, where a redirect names it,
// into the one that browsers know. Every other address stays.
func (x *exchange) rewriteLocation(h http.Header) {
	if len(h["Location"]) == 0 && len(h["Refresh"]) == 0 {
		return
	}
	b := x.route.Backend
	origins := []string{b.URL.Scheme + "://" + b.URL.Host}
	if b.HostHeader != "" {
		origins = append(origins, "http://"+b.HostHeader, "https://"+b.HostHeader)
	}
	own := x.state.origin(x.req.Host)
	// A backend that is told the browser's host but speaks no TLS says http.
	origins = append(origins, "http://"+x.state.authority(x.req.Host))
	replace := func(address string) string {
		for _, o := range origins {
			if len(address) < len(o) || !strings.EqualFold(address[:len(o)], o) {
				continue
			}
			if rest := address[len(o):]; rest == "" || strings.ContainsRune("/?#", rune(rest[0])) {
				return own + rest
			}
		}
		return address
	}
	if l := h.Get("Location"); l != "" {
		h.Set("Location", replace(l))
	}
	if refresh := h.Get("Refresh"); refresh != "" {
		if i := strings.Index(strings.ToLower(refresh), "url="); i >= 0 {
			h.Set("Refresh", refresh[:i+4]+replace(refresh[i+4:]))
		}
	}
}

// privateCache keeps answers out of shared caches, and out of the browser's
// too where the backend says nothing.
func privateCache(h http.Header) {
	control := h["Cache-Control"]
	if len(control) == 0 {
		switch {
		case hasToken(h["Pragma"], "no-cache"): // older than Cache-Control, and of requests, but many servers say it
			h.Set("Cache-Control", "private, no-cache")
		case len(h["Expires"]) == 0 && len(h["Pragma"]) == 0:
			h.Set("Cache-Control", "private, no-store")
		}
		return
	}
	for i, line := range control {
		if !strings.Contains(strings.ToLower(line), "public") {
			continue
		}
		parts := strings.Split(line, ",")
		changed := false
		for j, p := range parts {
			if strings.EqualFold(strings.TrimSpace(p), "public") {
				parts[j] = strings.Replace(p, strings.TrimSpace(p), "private", 1)
				changed = true
			}
		}
		if changed {
			control[i] = strings.Join(parts, ",")
		}
	}
}
