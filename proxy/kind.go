package proxy

import (
	"net/http"
	"strconv"
	"strings"
)

// isNavigation reports whether r is what a browser sends for a page (CONTRACT,
// "Answers"). Everything else is a call, and is never redirected to sign in.
func isNavigation(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	switch r.Method {
	case "GET", "HEAD", "POST":
	default:
		return false
	}
	return r.Header.Get("X-Requested-With") == "" && prefersHTML(r.Header["Accept"])
}

// prefersHTML reports whether accept names text/html, with a weight that no
// other named type exceeds (RFC 9110, section 12.5.1).
func prefersHTML(accept []string) bool {
	html, other := 0.0, 0.0
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(item, ";")
			weight := 1.0
			for p := range strings.SplitSeq(params, ";") {
				if q, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
					if f, err := strconv.ParseFloat(q, 64); err == nil {
						weight = f
					}
				}
			}
			switch media := strings.ToLower(strings.TrimSpace(media)); {
			case media == "text/html":
				html = max(html, weight)
			case media == "application/xhtml+xml" || strings.Contains(media, "*"):
			default:
				other = max(other, weight)
			}
		}
	}
	return html > 0 && html >= other
}

// isFramed reports whether r loads a page into something other than a window.
func isFramed(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest != "" && dest != "document"
}

// isActivity reports whether r shows that a person is there: a navigation that
// they began, or an unsafe method. Polling, refreshes, prefetches and
// WebSockets do not.
func isActivity(r *http.Request, navigation bool) bool {
	if r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Upgrade") != "" {
		return false
	}
	if !isSafe(r.Method) {
		return true
	}
	if r.Header.Get("Sec-Fetch-Mode") == "" {
		return navigation
	}
	return navigation && r.Header.Get("Sec-Fetch-User") == "?1"
}

// isSafe reports whether a method only reads (RFC 9110, section 9.2.1).
func isSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH":
		return true
	}
	return false
}

// isServiceWorker reports whether r fetches a service worker's script.
func isServiceWorker(r *http.Request) bool {
	return r.Header.Get("Service-Worker") != "" || r.Header.Get("Sec-Fetch-Dest") == "serviceworker"
}

// isPreflight reports whether r asks, for a browser, what another origin's
// script may do (Fetch standard, section 3.2.2).
func isPreflight(r *http.Request) bool {
	return r.Method == "OPTIONS" && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// fromOrigin reports whether r was sent by a page of own, or of one of origins.
// A request that names no origin, and says nothing of its site, was not. A page
// that asks for no referrer has its browser say "null"; so has one without an
// origin, but its requests are no site's own.
func fromOrigin(r *http.Request, own string, origins []string) bool {
	lines := r.Header["Origin"]
	switch {
	case len(lines) == 0, len(lines) == 1 && lines[0] == "null":
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	case len(lines) == 1:
		return lines[0] == own || listed(lines[0], origins)
	}
	return false
}

func listed(origin string, origins []string) bool {
	for _, o := range origins {
		if o == origin {
			return true
		}
	}
	return false
}
