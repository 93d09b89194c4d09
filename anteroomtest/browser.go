package anteroomtest

import (
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A Browser keeps cookies, follows redirects and sends what browsers send. Set
// Device to the headers that a tunnel before the gateway would add.
type Browser struct {
	Jar    http.CookieJar
	Device http.Header
	Watch  func(*Page) // told of every answer, those on the way too, when set

	g      *Gateway
	t      testing.TB
	client *http.Client
}

// A Page is where a browser ended up.
type Page struct {
	Status int
	URL    *url.URL
	Header http.Header
	Body   string
	Chain  []string // every address on the way, the last one included
}

// Browser returns a browser without cookies that speaks HTTP/2 to the gateway.
func (g *Gateway) Browser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{Jar: jar, Device: http.Header{}, g: g, t: t}
	transport := g.Transport(true)
	transport.Protocols.SetHTTP1(true) // the provider speaks plain HTTP/1.1
	t.Cleanup(transport.CloseIdleConnections)
	b.client = &http.Client{
		Transport: transport, Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return b
}

// Through has b come in by a tunnel from now on, which reaches the gateway at a
// listener of senders and shows cert there.
func (b *Browser) Through(listener string, cert tls.Certificate) {
	transport := b.g.transport(true, listener)
	transport.Protocols.SetHTTP1(true)
	transport.TLSClientConfig.Certificates = []tls.Certificate{cert}
	b.t.Cleanup(transport.CloseIdleConnections)
	b.client.Transport = transport
}

// Compliant is what a tunnel says of a managed, current tablet.
func Compliant(id string) http.Header {
	return http.Header{
		"X-Mdm-Device-Id": {id}, "X-Mdm-Platform": {"ipados"}, "X-Mdm-Os-Version": {"26.3"},
		"X-Mdm-Managed": {"true"}, "X-Mdm-Compromised": {"false"}, "X-Mdm-Lost": {"false"},
		"X-Mdm-Checked-In-At": {time.Now().UTC().Format(time.RFC3339)},
	}
}

// Get opens address as a person does who taps a link, and follows redirects.
func (b *Browser) Get(address string) *Page {
	b.t.Helper()
	return b.navigate(http.MethodGet, address, "", "", nil)
}

// Post sends a form of the page at address.
func (b *Browser) Post(address, contentType, body string) *Page {
	b.t.Helper()
	return b.navigate(http.MethodPost, address, contentType, body, nil)
}

// PostForm sends fields as a form of the page at address.
func (b *Browser) PostForm(address string, fields url.Values) *Page {
	b.t.Helper()
	return b.Post(address, "application/x-www-form-urlencoded", fields.Encode())
}

// Navigate is Get or Post with further header fields.
func (b *Browser) Navigate(method, address, contentType, body string, more http.Header) *Page {
	b.t.Helper()
	return b.navigate(method, address, contentType, body, more)
}

// Hop opens address and follows no redirect.
func (b *Browser) Hop(method, address, contentType, body string, more http.Header) *Page {
	b.t.Helper()
	return b.send(method, address, contentType, body, b.navigation(address, method, more))
}

// Call sends what a script of the page's own origin sends. No redirect is followed.
func (b *Browser) Call(method, address, contentType, body string, more http.Header) *Page {
	b.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	h := http.Header{
		"Accept": {"application/json"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"},
		"Origin": {u.Scheme + "://" + u.Host},
	}
	for name, values := range more {
		h[name] = values
	}
	return b.send(method, address, contentType, body, h)
}

func (b *Browser) navigation(address, method string, more http.Header) http.Header {
	h := http.Header{
		"Accept":         {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-User": {"?1"}, "Sec-Fetch-Site": {"same-origin"},
	}
	if method == http.MethodPost {
		u, err := url.Parse(address)
		if err != nil {
			b.t.Fatal(err)
		}
		h.Set("Origin", u.Scheme+"://"+u.Host)
	}
	for name, values := range more {
		h[name] = values
	}
	return h
}

func (b *Browser) navigate(method, address, contentType, body string, more http.Header) *Page {
	b.t.Helper()
	var chain []string
	for range 25 {
		chain = append(chain, address)
		p := b.send(method, address, contentType, body, b.navigation(address, method, more))
		p.Chain = chain
		to := p.Header.Get("Location")
		if p.Status < 300 || p.Status > 399 || to == "" {
			return p
		}
		next, err := p.URL.Parse(to)
		if err != nil {
			b.t.Fatalf("redirected to %q: %v", to, err)
		}
		address = next.String()
		if p.Status != http.StatusTemporaryRedirect && p.Status != http.StatusPermanentRedirect {
			method, contentType, body = http.MethodGet, "", ""
		}
		more = nil
	}
	b.t.Fatalf("a loop of redirects: %s", strings.Join(chain, "\n"))
	return nil
}

func (b *Browser) send(method, address, contentType, body string, h http.Header) *Page {
	b.t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, values := range h {
		r.Header[name] = values
	}
	for name, values := range b.Device {
		r.Header[name] = values
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, address, err)
	}
	p := &Page{Status: resp.StatusCode, URL: resp.Request.URL, Header: resp.Header, Body: string(text)}
	if b.Watch != nil {
		b.Watch(p)
	}
	return p
}

// Continue follows the page's one link onwards.
func (b *Browser) Continue(p *Page) *Page {
	b.t.Helper()
	link := p.Link("anteroom-continue")
	if link == "" {
		b.t.Fatalf("%s has no link onwards:\n%s", p.URL, p.Body)
	}
	u, err := p.URL.Parse(link)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Get(u.String())
}

// Release sends the form of a release page, as its script would.
func (b *Browser) Release(p *Page) *Page {
	b.t.Helper()
	action, token := p.ReleaseForm()
	if action == "" {
		b.t.Fatalf("%s has no release form (%d):\n%s", p.URL, p.Status, p.Body)
	}
	u, err := p.URL.Parse(action)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.PostForm(u.String(), url.Values{"anteroom_release": {token}})
}

var (
	formAction = regexp.MustCompile(`(?s)<form[^>]*id="anteroom-release"[^>]*>`)
	attribute  = regexp.MustCompile(`(action|href|value)="([^"]*)"`)
	tokenInput = regexp.MustCompile(`<input[^>]*name="anteroom_release"[^>]*>`)
)

// ReleaseForm returns where a release page sends its token, and the token; ""
// when p is no release page.
func (p *Page) ReleaseForm() (action, token string) {
	return attr(formAction.FindString(p.Body), "action"), attr(tokenInput.FindString(p.Body), "value")
}

// Link returns where the link with this id leads.
func (p *Page) Link(id string) string {
	tag := regexp.MustCompile(`<a[^>]*id="` + id + `"[^>]*>`).FindString(p.Body)
	if strings.Contains(tag, ` href=""`) {
		return p.URL.String()
	}
	return attr(tag, "href")
}

// Text returns what the element with this id says.
func (p *Page) Text(id string) string {
	m := regexp.MustCompile(`id="` + id + `"[^>]*>([^<]*)<`).FindStringSubmatch(p.Body)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(html.UnescapeString(m[1]))
}

// Code returns the reason word that a page of the gateway gives.
func (p *Page) Code() string { return p.Text("anteroom-code") }

func attr(tag, name string) string {
	for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
		if m[1] == name {
			return html.UnescapeString(m[2])
		}
	}
	return ""
}

// Cookie returns the value of a cookie for host; "" when there is none.
func (b *Browser) Cookie(host, name string) string {
	for _, c := range b.Jar.Cookies(&url.URL{Scheme: "https", Host: host, Path: "/"}) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}
