package signin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

// Whatever somebody writes into a link, a callback or a return, nobody is
// signed in by it and nobody is sent anywhere.
func FuzzQueries(f *testing.F) {
	for _, seed := range []string{"", "j=", "j=MTIz", "state=x&code=y", "state=&error=access_denied", "code=MTIz%7C", "j=%00", "state=a&state=b",
		"return=//evil.test", "code=" + strings.Repeat("A", 20000)} {
		f.Add(seed)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, query string) {
		for host, path := range map[string]string{gate + "/start": "start", gate + "/callback": "callback", ehr + "/return": "return"} {
			host, _, _ = strings.Cut(host, "/")
			r := httptest.NewRequest("GET", at(host, "/.anteroom/"+path), nil)
			r.URL.RawQuery = query
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			if rec.Code != http.StatusBadRequest || rec.Header().Get("Location") != "" || len(rec.Result().Cookies()) != 0 {
				t.Errorf("%s?%q: %d %v", path, query, rec.Code, rec.Header())
			}
		}
	})
}

// Wherever a journey is to return to, it ends on its own host.
func FuzzReturn(f *testing.F) {
	for _, seed := range []string{"/", "//evil.test", `/\evil.test`, "https:evil.test", "/a?b=//c", "/\t//evil.test", "/%2f%2fevil.test", "/a\r\nb", "@evil.test", ":80/", ".evil.test/"} {
		f.Add(seed)
	}
	w := newWorld(f)
	signed := w.browser()
	signed.get(at(ehr, "/")).says("hello nora")
	f.Fuzz(func(t *testing.T, target string) {
		b := w.browser()
		b.t = t
		b.jar.SetCookies(&url.URL{Scheme: "https", Host: gate + port, Path: "/"}, []*http.Cookie{
			{Name: session.CookieName, Value: signed.cookies(gate)[session.CookieName], Path: "/", Secure: true}})
		r := httptest.NewRequest("GET", at(ehr, "/"), nil)
		rec := httptest.NewRecorder()
		link := w.desk.Link(rec, r, access.Journey{Host: ehr, Return: target, Front: "/front", Reason: access.NoSession})
		b.jar.SetCookies(r.URL, rec.Result().Cookies())
		b.stopAt = "/"
		back := b.get(link).header.Get("Location")
		end := b.get(back).header.Get("Location")
		u, err := url.Parse(end)
		if err != nil || u.Scheme != "https" || u.Host != ehr+port || strings.ContainsAny(end, "\r\n\t ") {
			t.Errorf("%q ends at %q", target, end)
		}
		if got := strings.TrimPrefix(end, at(ehr, "")); got != target && got != "/front" {
			t.Errorf("%q ends at %q", target, end)
		}
	})
}
