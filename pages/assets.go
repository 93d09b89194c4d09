package pages

import (
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Assets serves the site's CSS, images and scripts under [AssetsPath]. An
// address that carries the file's tag may be kept for a year; another is asked
// for again and answered by 304 when nothing changed.
func (s *Site) Assets() http.Handler { return http.HandlerFunc(s.serveAsset) }

func (s *Site) serveAsset(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	name, under := strings.CutPrefix(r.URL.Path, AssetsPath)
	a, ok := s.assets[name]
	switch {
	case !under || !ok:
		h.Set("Cache-Control", "no-store")
		http.Error(w, "not found", http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		h.Set("Cache-Control", "no-store")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	etag := `"` + a.tag + `"`
	h.Set("ETag", etag)
	h.Set("Cache-Control", "no-cache")
	if r.URL.RawQuery == "v="+a.tag {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Write(a.body)
}

// matches compares weakly (RFC 9110, section 13.1.2).
func matches(list, etag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == etag {
			return true
		}
	}
	return false
}

// contentType is fixed here rather than asked of the machine's tables.
func contentType(name string) (string, bool) {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8", true
	case ".js":
		return "text/javascript; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	}
	return "", false
}
