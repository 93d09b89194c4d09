package canary_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

const form = "application/x-www-form-urlencoded"

// odd is what a terminal, a log viewer or a header must not be given raw.
const odd = "\x1b[2J\u202e\r\nX-Injected: 1"

// A story is a gateway, and all that is marked in what reaches it.
type story struct {
	*anteroomtest.Program
	marks
	t         *testing.T
	collector *collector
	person    anteroomtest.Person
	own       []own // answers of the gateway itself

	clientSecret, authorization, query, body, answer, appCookie, patient, mrn, device string
}

// own is an answer that no backend gave.
type own struct{ name, body string }

// newStory starts binary with marks in all that a hospital would put there.
func newStory(t *testing.T, binary string, env ...string) *story {
	t.Helper()
	s := &story{t: t, collector: newCollector(t)}
	plant := func(what string, may place) string {
		v := "zq" + strings.ReplaceAll(what, " ", "") + strings.ToLower(rand.Text()[:12])
		s.add(what, v, may)
		return v
	}
	s.clientSecret = plant("the client secret", 0)
	s.authorization = plant("an Authorization header", 0)
	s.query = plant("a query string", 0)
	s.body = plant("a body", 0)
	s.answer = plant("an answer of the backend", 0)
	s.appCookie = plant("a cookie of the application", 0)
	s.patient = plant("a patient in the path", trail)
	s.mrn = plant("a patient in the query", trail)
	s.device = plant("a device", trail)
	s.person = anteroomtest.Person{
		Sub: plant("a sub", trail), Username: plant("a username", trail|page), Name: plant("a name", page) + odd,
		Groups: []string{"ehr-nurses", plant("a group", 0)}, ACR: "pwd", AMR: []string{"pwd"}, CanACR: []string{"mfa"}, CanAMR: []string{"pwd", "otp"},
	}

	p := anteroomtest.NewProvider(t)
	p.ClientSecret = s.clientSecret
	p.Person(s.person)
	s.overhear(p)
	b := anteroomtest.NewBackend(t)
	b.Handle(s.serve)
	s.Program = anteroomtest.StartProgram(t, binary, anteroomtest.Setup{Provider: p, Backend: b, Edit: s.edit}, env...)
	return s
}

// edit changes the fixture: spans of every request, the listener that
// redirects, and patients named in a query and in a form.
func (s *story) edit(text string) string {
	replace := func(old, new string) {
		s.t.Helper()
		if strings.Count(text, old) != 1 {
			s.t.Fatalf("the fixture has %q %d times", old, strings.Count(text, old))
		}
		text = strings.Replace(text, old, new, 1)
	}
	replace("telemetry: {sample: 0.05}", "telemetry: {sample: 1, otlp: "+s.collector.URL+"}")
	replace(`redirect_listen: ""`, "redirect_listen: 127.0.0.1:0")
	replace("    session: {lock_after: 2m}\n", "    session: {lock_after: 2m}\n    patient: {query: mrn}\n")
	replace("  - name: admin\n    host:", `  - name: intake
    host: ehr.test
    path: /intake
    backend: {url: {backend}}
    allow: {roles: [nurse]}
    device: none
    patient: {form: mrn}
  - name: admin
    host:`)
	return text
}

// serve is the application. Its answers say that they are its own.
func (s *story) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Backend", "1")
	http.SetCookie(w, &http.Cookie{Name: "app", Value: s.appCookie, Path: "/"})
	s.add("the identity assertion", r.Header.Get("X-Anteroom-Assertion"), 0)
	switch r.URL.Path {
	case "/garbled/status":
		raw(w, "HTTP/1.1 2x0 %s\r\n\r\n", s.answer)
	case "/garbled/header":
		raw(w, "HTTP/1.1 200 OK\r\nX Result %s\r\n\r\n", s.answer)
	case "/garbled/length":
		raw(w, "HTTP/1.1 200 OK\r\nX-Backend: 1\r\nContent-Length: 900\r\n\r\n%s", s.answer)
	case "/garbled/chunk":
		raw(w, "HTTP/1.1 200 OK\r\nX-Backend: 1\r\nTransfer-Encoding: chunked\r\n\r\n%s", s.answer)
	case "/garbled/nothing":
		raw(w, "%s", "")
	case "/garbled/response":
		raw(w, "X-Result: %s\r\n\r\n", s.answer)
	case "/garbled/more":
		raw(w, "HTTP/1.1 200 OK\r\nX-Backend: 1\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 %s\r\n\r\n", s.answer)
	case "/garbled/ntlm":
		w.Header().Set("WWW-Authenticate", "NTLM "+s.answer)
		w.WriteHeader(http.StatusUnauthorized)
	case "/garbled/upgrade":
		raw(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n", s.answer)
	default:
		fmt.Fprintf(w, "result: %s\n", s.answer)
	}
}

// raw answers with bytes that are no HTTP, and hangs up.
func raw(w http.ResponseWriter, format, value string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if value != "" {
		fmt.Fprintf(c, format, value)
	}
	c.Close()
}

// overhear marks what provider and gateway say to each other, and to browsers.
func (s *story) overhear(p *anteroomtest.Provider) {
	var token http.HandlerFunc
	token = func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		s.add("a code verifier", r.PostForm.Get("code_verifier"), 0)
		p.Handle(anteroomtest.TokenPath, nil)
		defer p.Handle(anteroomtest.TokenPath, token)
		p.ServeHTTP(w, r)
	}
	p.Handle(anteroomtest.TokenPath, token)
	p.EditCallback(s.callback)
	p.EditTokenAnswer(s.tokens)
}

func (s *story) callback(q url.Values) {
	s.add("an authorization code", q.Get("code"), 0)
	s.add("a state", q.Get("state"), 0)
}

func (s *story) tokens(m map[string]any) {
	s.add("an access token", m["access_token"].(string), 0)
	s.token("an ID token", m["id_token"].(string))
}

// token marks a JWT and its parts; every token here has the same header.
func (s *story) token(what, raw string) {
	s.add(what, raw, 0)
	for _, part := range strings.Split(raw, ".")[1:] {
		s.add("a part of "+strings.TrimPrefix(what, "an "), part, 0)
	}
}

// browser returns a browser on a marked device, all of whose answers are read.
func (s *story) browser() *anteroomtest.Browser {
	b := s.Gateway.Browser(s.t)
	b.Device = anteroomtest.Compliant(s.device)
	b.Watch = s.watch
	return b
}

// public are the parameters whose values are no secret.
var public = []string{"iss", "redirect_uri", "post_logout_redirect_uri", "scope", "client_id", "response_type", "code_challenge_method", "acr_values", "mrn", "token", "error", "error_description", "list"}

// watch marks what an answer hands out, and keeps it when it is the gateway's own.
func (s *story) watch(p *anteroomtest.Page) {
	for _, c := range (&http.Response{Header: p.Header}).Cookies() {
		if strings.HasPrefix(c.Name, "__Host-anteroom") {
			s.add("a cookie "+strings.TrimRight(c.Name, "-0123456789"), c.Value, 0)
		}
	}
	links := []string{p.URL.String(), p.Header.Get("Location"), p.Link("anteroom-continue")}
	var problem struct {
		LoginURL string `json:"login_url"`
	}
	if json.Unmarshal([]byte(p.Body), &problem) == nil {
		links = append(links, problem.LoginURL)
	}
	for _, link := range links {
		u, err := url.Parse(link)
		if err != nil {
			continue
		}
		var may place
		if u.Path == "/.anteroom/start" {
			may = page // the link onwards is there to be followed
		}
		for name, values := range u.Query() {
			if !slices.Contains(public, name) {
				s.add("the parameter "+name, values[0], may)
			}
		}
	}
	body := p.Body
	if action, token := p.ReleaseForm(); token != "" {
		s.add("a release token", token, page)
		body = strings.ReplaceAll(body, html.EscapeString(action), "") // where the form has to go
	}
	if strings.HasSuffix(p.URL.Hostname(), ".test") && p.Header.Get("X-Backend") == "" {
		s.own = append(s.own, own{fmt.Sprintf("%d of %s%s", p.Status, p.URL.Host, p.URL.EscapedPath()), body})
	}
}

// aged signs b in as somebody did a while ago.
func (s *story) aged(b *anteroomtest.Browser) {
	s.t.Helper()
	s.Provider.EditIDToken(func(c map[string]any) { c["auth_time"] = c["auth_time"].(int64) - 1200 })
	if p := b.Get(s.URL("ehr.test", "/")); p.Status != 200 {
		s.t.Fatalf("sign in: %d at %s\n%s", p.Status, p.URL, p.Body)
	}
	s.Provider.EditIDToken(nil)
}

// secrets are header fields of a client that carry more than they should.
func (s *story) secrets() http.Header {
	return http.Header{
		"Authorization": {"Bearer " + s.authorization}, "Referer": {"https://ehr.test/?token=" + s.query},
		"X-Api-Key": {s.authorization}, "X-Remote-User": {s.authorization}, "X_Odd": {s.authorization},
		"Baggage": {"key=" + s.authorization}, "User-Agent": {"reader \u202e" + s.authorization},
		"X-Forwarded-For": {s.authorization}, "X-Request-Id": {s.authorization},
	}
}

// A collector keeps the bytes that it is sent as spans.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	text []byte
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what came of it is what was exported
		c.mu.Lock()
		defer c.mu.Unlock()
		c.text = append(c.text, unpacked(body)...)
		for name, values := range r.Header {
			c.text = fmt.Appendf(c.text, "\n%s: %s", name, values)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.text)
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}
