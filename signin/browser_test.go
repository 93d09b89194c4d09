package signin_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A browser keeps cookies and follows redirects, over the gateway's hosts in
// memory and over the provider's for real.
type browser struct {
	t      testing.TB
	w      *world
	jar    http.CookieJar
	header http.Header
	stopAt string   // follows no redirect to an address with this in it
	went   []string // host and path of each request of the last visit
}

type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
	at     *url.URL
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{t: w.t, w: w, jar: jar, header: http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}}}
}

// get opens an address, a post with a form is sent to it, and either is
// followed to where it ends.
func (b *browser) get(to string) answer { return b.visit("GET", to, "") }

func (b *browser) post(to, body string) answer { return b.visit("POST", to, body) }

func (b *browser) visit(method, to, body string) answer {
	b.t.Helper()
	b.went = nil
	u, err := url.Parse(to)
	if err != nil {
		b.t.Fatal(err)
	}
	for range 20 {
		a := b.once(method, u, body)
		next := a.header.Get("Location")
		if next == "" || b.stopAt != "" && strings.Contains(next, b.stopAt) {
			return a
		}
		if u, err = u.Parse(next); err != nil {
			b.t.Fatal(err)
		}
		method, body = "GET", ""
	}
	b.t.Fatalf("redirected without end: %v", b.went)
	return answer{}
}

func (b *browser) once(method string, u *url.URL, body string) answer {
	b.t.Helper()
	b.went = append(b.went, strings.TrimSuffix(u.Host, port)+u.Path)
	r := httptest.NewRequest(method, u.String(), strings.NewReader(body))
	for name, values := range b.header {
		r.Header[name] = values
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, c := range b.jar.Cookies(u) {
		r.AddCookie(c)
	}
	var resp *http.Response
	if strings.HasSuffix(u.Host, port) {
		rec := httptest.NewRecorder()
		b.w.ServeHTTP(rec, r)
		resp = rec.Result()
	} else {
		r.RequestURI = ""
		var err error
		if resp, err = http.DefaultTransport.RoundTrip(r); err != nil {
			b.t.Fatal(err)
		}
	}
	defer resp.Body.Close()
	b.jar.SetCookies(u, resp.Cookies())
	text, _ := io.ReadAll(resp.Body)
	return answer{b.t, resp.StatusCode, resp.Header, string(text), u}
}

// cookies returns the cookies of ours that the browser has for host.
func (b *browser) cookies(host string) map[string]string {
	all := make(map[string]string)
	for _, c := range b.jar.Cookies(&url.URL{Scheme: "https", Host: host + port, Path: "/"}) {
		all[c.Name] = c.Value
	}
	return all
}

// asked reports whether the last visit went by the provider.
func (b *browser) asked() bool {
	return slices.ContainsFunc(b.went, func(s string) bool { return strings.HasSuffix(s, anteroomtest.AuthorizePath) })
}

func (a answer) says(want string) answer {
	a.t.Helper()
	if a.status != http.StatusOK || !strings.Contains(a.body, want) {
		a.t.Fatalf("at %s%s: %d %s\nwant %q", a.at.Host, a.at.Path, a.status, a.text(), want)
	}
	return a
}

// page checks that a is a page of the gateway with that status and code.
func (a answer) page(status int, code string) answer {
	a.t.Helper()
	got := find(a.body, `id="anteroom-code"[^>]*>([^<]*)<`)
	if a.status != status || got != code {
		a.t.Fatalf("at %s%s: %d %q, want %d %q\n%s", a.at.Host, a.at.Path, a.status, got, status, code, a.text())
	}
	if a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("at %s: Cache-Control is %q", a.at, a.header.Get("Cache-Control"))
	}
	return a
}

// text returns what a person reads.
func (a answer) text() string {
	_, text, ok := strings.Cut(a.body, "<body")
	if !ok {
		text = a.body
	}
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, " ")), " ")
}

// next returns where the link onwards leads.
func (a answer) next() string {
	a.t.Helper()
	to := html.UnescapeString(find(a.body, `id="anteroom-continue"[^>]*href="([^"]*)"`))
	u, err := a.at.Parse(to)
	if to == "" || err != nil {
		a.t.Fatalf("at %s: no link onwards in %s", a.at, a.body)
	}
	return u.String()
}

// release returns where the form of a held request goes, and with what.
func (a answer) release() (to, body string) {
	a.t.Helper()
	to = html.UnescapeString(find(a.body, `<form id="anteroom-release"[^>]*action="([^"]*)"`))
	body = "anteroom_release=" + find(a.body, `name="anteroom_release" value="([^"]*)"`)
	if to == "" {
		a.t.Fatalf("at %s: no release in %s", a.at, a.body)
	}
	return to, body
}

func find(text, pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

func at(host, target string) string { return "https://" + host + port + target }
