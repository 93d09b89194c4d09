package contract_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// toReturn takes b through a sign-in up to the address that would bring it back
// to the application's host.
func toReturn(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser) string {
	t.Helper()
	address := g.URL("ehr.test", "/chart/1")
	for range 12 {
		if strings.Contains(address, "/.anteroom/return?") {
			return address
		}
		p := b.Hop("GET", address, "", "", nil)
		if address = p.Header.Get("Location"); address == "" {
			t.Fatalf("the way ends at %s: %d\n%s", p.URL, p.Status, p.Body)
		}
	}
	t.Fatal("no return within 12 hops")
	return ""
}

// copied returns a browser with the cookies of b on one host, on another.
func copied(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser, from, to string) *anteroomtest.Browser {
	t.Helper()
	c := g.Browser(t)
	place := func(host string) *url.URL { return &url.URL{Scheme: "https", Host: host, Path: "/"} }
	var all []*http.Cookie
	for _, have := range b.Jar.Cookies(place(from)) {
		all = append(all, &http.Cookie{Name: have.Name, Value: have.Value, Path: "/", Secure: true})
	}
	c.Jar.SetCookies(place(to), all)
	return c
}

// A return code brings back the browser that began, on the host where it did,
// once, even to somebody who has copied that browser's cookies.
func TestReturnCode(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	code := toReturn(t, g, b)
	signedInBy := func(p *anteroomtest.Page) bool {
		for _, line := range p.Header["Set-Cookie"] {
			if strings.HasPrefix(line, cookieName+"=") && !strings.HasPrefix(line, cookieName+"=;") {
				return true
			}
		}
		return false
	}
	if p := g.Browser(t).Hop("GET", code, "", "", nil); signedInBy(p) || p.Status != 400 {
		t.Errorf("in another browser: %d", p.Status)
	}
	other := strings.Replace(code, "//ehr.test:", "//img.test:", 1)
	if p := copied(t, g, b, "ehr.test", "img.test").Hop("GET", other, "", "", nil); signedInBy(p) {
		t.Errorf("on another host: %d", p.Status)
	}
	thief := copied(t, g, b, "ehr.test", "ehr.test")
	if p := b.Hop("GET", code, "", "", http.Header{"Sec-Purpose": {"prefetch"}}); signedInBy(p) || p.Status != 503 {
		t.Errorf("by a prefetch: %d", p.Status)
	}
	if p := b.Hop("GET", code, "", "", nil); !signedInBy(p) || p.Header.Get("Location") != g.URL("ehr.test", "/chart/1") {
		t.Errorf("in its own browser: %d to %q", p.Status, p.Header.Get("Location"))
	}
	if p := thief.Hop("GET", code, "", "", nil); signedInBy(p) {
		t.Errorf("for a second time: %d", p.Status)
	}
	// The same person who taps twice is where they were to be.
	if p := b.Get(code); p.Status != 200 || p.URL.Path != "/chart/1" {
		t.Errorf("tapped twice: %d at %s", p.Status, p.URL)
	}
}
