package pages_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/pages"
)

func TestAssets(t *testing.T) {
	h := site(t).Assets()
	get := func(method, target, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "https://rx.test"+target, nil)
		if etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	linked := regexp.MustCompile(`"(/\.anteroom/assets/[^"]+)"`)
	found := map[string]bool{}
	for _, p := range samples() {
		for _, m := range linked.FindAllStringSubmatch(write(t, p).Body.String(), -1) {
			found[m[1]] = true
		}
	}
	if len(found) != 4 {
		t.Errorf("pages link to %d assets, want the CSS, the mark and two scripts: %v", len(found), found)
	}
	for target := range found {
		w := get("GET", target, "")
		if w.Code != 200 || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("GET %s: %d, %d bytes, %q", target, w.Code, w.Body.Len(), w.Header().Get("Cache-Control"))
		}
		plain := strings.Split(target, "?")[0]
		if c := get("GET", plain+"?v=old", "").Header().Get("Cache-Control"); c != "no-cache" {
			t.Errorf("GET %s with an old tag: Cache-Control %q", plain, c)
		}
		if w := get("HEAD", target, ""); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d with %d bytes", target, w.Code, w.Body.Len())
		}
		if w := get("GET", plain, `"other", W/`+w.Header().Get("ETag")); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("GET %s unchanged: %d", plain, w.Code)
		}
		if w := get("POST", target, ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", target, w.Code)
		}
	}
	for name, want := range map[string]string{"anteroom.css": "text/css; charset=utf-8", "release.js": "text/javascript; charset=utf-8", "mark.svg": "image/svg+xml"} {
		if got := get("GET", pages.AssetsPath+name, "").Header().Get("Content-Type"); got != want {
			t.Errorf("%s: Content-Type %q, want %q", name, got, want)
		}
	}
	for _, target := range []string{"/.anteroom/assets/", "/.anteroom/assets/none.css", "/.anteroom/assets/../page.html", "/anteroom.css", "/.anteroom/assets/assets/mark.svg"} {
		if w := get("GET", target, ""); w.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", target, w.Code)
		}
	}
}

// palettes reads the CSS's colours, light and dark.
func palettes(t *testing.T) (light, dark map[string]string) {
	t.Helper()
	css, err := os.ReadFile("assets/anteroom.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d :root blocks, want one for each scheme", len(blocks))
	}
	read := func(block string) map[string]string {
		all := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
			all[m[1]] = m[2]
		}
		return all
	}
	return read(blocks[0][1]), read(blocks[1][1])
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(hex string) float64 {
	channel := func(i int) float64 {
		n, _ := strconv.ParseUint(hex[i:i+2], 16, 8)
		c := float64(n) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(1) + 0.7152*channel(3) + 0.0722*channel(5)
}

func TestContrast(t *testing.T) {
	light, dark := palettes(t)
	text := [][2]string{
		{"ink", "card"}, {"soft", "card"}, {"accent", "card"}, {"on-accent", "accent"}, {"on-accent", "accent-hover"}, {"ink", "ask-tint"},
		{"ink", "wall"}, {"ink", "arch"}, {"ink", "glow"}, {"soft", "wall"}, {"soft", "arch"}, {"soft", "glow"},
	}
	shapes := [][2]string{ // WCAG 2.2, 1.4.11: 3 to 1
		{"focus", "card"}, {"focus", "wall"}, // the ring stands off the button
		{"accent", "card"},
		{"ask", "ask-tint"}, {"stop", "stop-tint"}, {"wait", "wait-tint"}, {"good", "good-tint"},
	}
	for name, scheme := range map[string]map[string]string{"light": light, "dark": dark} {
		check := func(pairs [][2]string, least float64) {
			for _, pair := range pairs {
				a, b := scheme[pair[0]], scheme[pair[1]]
				if a == "" || b == "" {
					t.Fatalf("%s: no colour %v", name, pair)
				}
				hi, lo := luminance(a), luminance(b)
				if got := (max(hi, lo) + 0.05) / (min(hi, lo) + 0.05); got < least {
					t.Errorf("%s: %s on %s is %.2f to 1, want %.1f", name, pair[0], pair[1], got, least)
				}
			}
		}
		check(text, 4.5)
		check(shapes, 3)
	}
}

func TestCSSStaysAtHome(t *testing.T) {
	css, err := os.ReadFile("assets/anteroom.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"url(", "@import", "http:", "https:", "@font-face"} {
		if strings.Contains(string(css), bad) {
			t.Errorf("the CSS holds %s", bad)
		}
	}
	for _, want := range []string{":focus-visible", "prefers-color-scheme: dark", "prefers-reduced-motion", "overflow-wrap: anywhere"} {
		if !strings.Contains(string(css), want) {
			t.Errorf("the CSS lacks %s", want)
		}
	}
}
