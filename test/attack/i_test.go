package attack_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// groupI: the browser's session and cookies.
func groupI() []row {
	with := func(cookie string) []request {
		return one(raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\r\nCookie: "+cookie+"\r\n\r\n"),
			frames(":method: GET", ":scheme: https", ":path: /chart/1", ":authority: {host}", "cookie: "+cookie))
	}
	rows := []row{
		{id: "I1", name: "a cookie that was chosen", run: fixation},
		{id: "I2", name: "two cookies in one line", as: "nora", send: with("{value}; {value}"), want: all(LOGIN, clearsCookie, smells("cookie_duplicate"))},
		{id: "I2", name: "two cookies in two lines", as: "nora", send: one(
			raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\r\n{cookie}{cookie}\r\n"),
			frames(":method: GET", ":scheme: https", ":path: /chart/1", ":authority: {host}", "{cookie}", "{cookie}")), want: all(LOGIN, clearsCookie, smells("cookie_duplicate"))},
		{id: "I2", name: "one that is hers and one that is not", as: "nora", send: with("{value}; a=b; __Host-anteroom=x"), want: all(LOGIN, clearsCookie)},
		{id: "I3", name: "8 KiB", send: with("__Host-anteroom=" + strings.Repeat("a", 8<<10)), want: all(LOGIN, clearsCookie, smells("cookie_oversized"))},
		{id: "I3", name: "empty", send: with("__Host-anteroom="), want: LOGIN},
		{id: "I3", name: "broken base64", send: with("__Host-anteroom=!!!%%%"), want: all(LOGIN, clearsCookie, smells("cookie_broken"))},
		{id: "I3", name: "quoted", as: "nora", send: with(`__Host-anteroom="x"`), want: LOGIN},
		{id: "I3", name: "in another case", as: "nora", send: one(h1("GET /chart/1").lowerCookie()), want: LOGIN},
		{id: "I3", name: "truncated and with a bit flipped", run: brokenCookies},
		{id: "I4", name: "after sign-out", run: afterSignOut},
		{id: "I4", name: "after the idle and the absolute limit", run: afterLimits},
		{id: "I5", name: "both ways", run: cookieBothWays},
		{id: "I6", name: "attributes", run: cookieAttributes},
		{id: "I7", name: "two people on one browser", run: sharedBrowser},
		{id: "I8", name: "200 requests at once", run: manyAtOnce},
		{id: "I9", name: "ended at the provider", run: endedAtProvider},
	}
	return rows
}

// lowerCookie spells the cookie's name in lower case, as some parser might read it.
func (r request) lowerCookie() request {
	r.raw = strings.Replace(r.raw, "{cookie}", "Cookie: __host-anteroom=x\r\n", 1)
	return r
}

func clearsCookie(_ *world, c *attempt) error {
	for _, line := range c.header["Set-Cookie"] {
		if strings.HasPrefix(line, "__Host-anteroom=;") && strings.Contains(line, "Max-Age=0") {
			return nil
		}
	}
	return fmt.Errorf("the cookie is not cleared: %q", c.header["Set-Cookie"])
}

// smells: the trail has a security record with this reason.
func smells(reason access.Reason) judgement {
	return func(w *world, c *attempt) error {
		for _, r := range w.Audit(audit.Query{RequestID: c.header.Get("X-Request-Id"), Event: access.EventSecurity}) {
			if r.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("no security record of %s", reason)
	}
}

func fixation(t *testing.T, w *world) {
	b := w.Browser(t)
	for _, host := range []string{"ehr.test", "gate.test"} {
		b.Jar.SetCookies(&url.URL{Scheme: "https", Host: host, Path: "/"}, []*http.Cookie{{Name: "__Host-anteroom", Value: "chosen", Path: "/", Secure: true}})
	}
	if p := b.Get(w.URL("ehr.test", "/chart/1")); p.Status != 200 {
		t.Errorf("%d at %s", p.Status, p.URL)
	}
	first := b.Cookie("ehr.test", "__Host-anteroom")
	if first == "chosen" || len(first) < 40 {
		t.Errorf("the cookie is %q", first)
	}
	if _, other := enters(t, w); other.Status != 200 {
		t.Error("another browser cannot sign in")
	}
}

func brokenCookies(t *testing.T, w *world) {
	b, _ := enters(t, w)
	value := b.Cookie("ehr.test", "__Host-anteroom")
	broken := []string{value[:len(value)-1], value[:10], value + "A", " " + value[1:], strings.ToUpper(value), value + "=", strings.TrimRight(value, "=") + "%3D"}
	for i := 0; i < len(value); i += 7 {
		flipped := []byte(value)
		flipped[i] ^= 1
		broken = append(broken, string(flipped))
	}
	for _, v := range broken {
		w.Backend.Forget()
		a := w.send(t, raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-anteroom="+v+"\r\n\r\n"), "", stranger)
		if (a.status != 401 && a.status != 303) || len(a.got) > 0 {
			t.Errorf("%q: status %d, %d at the backend", v, a.status, len(a.got))
		}
	}
}

// shut checks that a cookie opens nothing any more.
func shut(t *testing.T, w *world, cookie string) {
	t.Helper()
	w.Backend.Forget()
	a := w.send(t, raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-anteroom="+cookie+"\r\n\r\n"), "", stranger)
	if (a.status != 401 && a.status != 303) || len(a.got) > 0 {
		t.Errorf("status %d, the backend got %v", a.status, a.got)
	}
}

func signOut(w *world, b *anteroomtest.Browser) *anteroomtest.Page {
	p := b.Hop("POST", w.URL("ehr.test", "/.anteroom/logout"), "application/x-www-form-urlencoded", "", nil)
	b.Get(p.Header.Get("Location"))
	return p
}

func afterSignOut(t *testing.T, w *world) {
	b, _ := enters(t, w)
	cookie := b.Cookie("ehr.test", "__Host-anteroom")
	gate := b.Cookie("gate.test", "__Host-anteroom")
	p := signOut(w, b)
	if got := p.Header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data %q", got)
	}
	shut(t, w, cookie)
	if a := w.send(t, raw("GET /.anteroom/session HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-anteroom="+gate+"\r\n\r\n").at("gate.test"), "", stranger); a.status != 401 {
		t.Errorf("the sign-in host's cookie: %d", a.status)
	}
}

func afterLimits(t *testing.T, _ *world) {
	limited := func(limits string) (*world, string) {
		w := fresh(t, func(s string) string {
			before, rest, _ := strings.Cut(s, "\nsessions: {")
			_, after, _ := strings.Cut(rest, "}")
			return before + "\nsessions: {" + limits + "}" + after
		})
		b, p := enters(t, w)
		if p.Status != 200 {
			t.Fatalf("sign in: %d at %s", p.Status, p.URL)
		}
		return w, b.Cookie("ehr.test", "__Host-anteroom")
	}
	ask := func(w *world, cookie string) int {
		w.Backend.Forget()
		return w.send(t, raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-anteroom="+cookie+"\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n\r\n"), "", stranger).status
	}
	idle, one := limited("lock_after: 2s, end_after: 3s, max: 13h")
	busy, two := limited("lock_after: 3s, end_after: 4s, max: 5s")
	began := time.Now()
	until(t, "the absolute limit", func() bool { return ask(busy, two) != 200 })
	if lived := time.Since(began); lived < time.Second {
		t.Errorf("a busy session lived %v", lived)
	}
	shut(t, busy, two)
	until(t, "the idle limit", func() bool { return time.Since(began) > 3500*time.Millisecond })
	shut(t, idle, one)
}

func cookieBothWays(t *testing.T, w *world) {
	w.Backend.Handle(func(out http.ResponseWriter, r *http.Request) {
		for _, c := range []string{"__Host-anteroom=x; Path=/; Secure", " __Host-anteroom=x", "__host-anteroom=x; Path=/", "__Host-anteroom-login-1=x; Path=/; Secure", "app=1; Path=/"} {
			out.Header().Add("Set-Cookie", c)
		}
	})
	a := w.send(t, h1("GET /chart/1", "Cookie: other=1"), "nora", stranger)
	if got := a.header["Set-Cookie"]; len(got) != 1 || !strings.HasPrefix(got[0], "app=1") {
		t.Errorf("Set-Cookie %q", got)
	}
	if len(a.got) != 1 || a.got[0].get("Cookie") != "" {
		t.Errorf("the backend got %v", a.got)
	}
}

func cookieAttributes(t *testing.T, w *world) {
	b := w.Browser(t)
	address := w.URL("ehr.test", "/chart/1")
	seen := 0
	for range 10 {
		p := b.Hop("GET", address, "", "", nil)
		if strings.HasPrefix(address, "https:") {
			checkCookies(t, p.Header["Set-Cookie"])
			seen += len(p.Header["Set-Cookie"])
		}
		if address = p.Header.Get("Location"); address == "" {
			break
		}
	}
	if seen < 4 {
		t.Errorf("%d cookies on the way", seen)
	}
}

func sharedBrowser(t *testing.T, w *world) {
	w.Backend.Handle(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chart/login" {
			out.Header().Set("Set-Cookie", "APP=of-"+r.Header.Get("X-Remote-User")+"; Path=/")
		}
	})
	b, _ := enters(t, w)
	b.Get(w.URL("ehr.test", "/chart/login"))
	b.Get(w.URL("ehr.test", "/chart/1"))
	if !strings.Contains(w.Backend.Text(), "APP=of-nora") {
		t.Error("nora's own cookie is not sent for her")
	}
	signOut(w, b)
	w.Provider.Person(anteroomtest.Piet)
	w.Backend.Forget()
	if p := b.Get(w.URL("ehr.test", "/chart/2")); p.Status != 200 {
		t.Errorf("piet: %d at %s", p.Status, p.URL)
	}
	if text := w.Backend.Text(); strings.Contains(text, "of-nora") || !strings.Contains(text, "X-Remote-User: piet") {
		t.Errorf("for piet the backend got\n%s", text)
	}
}

// manyAtOnce: sessions here need no refreshing at the provider, so that there
// is no moment at which many requests could ask it at once.
func manyAtOnce(t *testing.T, w *world) {
	tokens := w.Provider.Calls(anteroomtest.TokenPath)
	w.Provider.Hang()
	defer w.Provider.Up()
	client := &http.Client{Transport: w.Transport(true), Timeout: 6 * limit}
	defer client.CloseIdleConnections()
	var wait sync.WaitGroup
	var mu sync.Mutex
	served := 0
	for range 200 {
		wait.Go(func() {
			r, err := http.NewRequest("GET", w.URL("ehr.test", "/chart/1"), nil)
			if err != nil {
				return
			}
			r.Header.Set("Cookie", w.cookie("nora", "ehr.test"))
			resp, err := client.Do(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == 200 {
				mu.Lock()
				served++
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if served != 200 || w.Provider.Calls(anteroomtest.TokenPath) != tokens {
		t.Errorf("%d of 200 served, %d calls to the token endpoint", served, w.Provider.Calls(anteroomtest.TokenPath)-tokens)
	}
}

// socket opens a WebSocket to a backend that says nothing, and returns a
// channel that is closed when it ends.
func socket(t *testing.T, w *world, host, cookie, from string, headers ...string) <-chan struct{} {
	t.Helper()
	w.Backend.Handle(func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		c, rw, err := http.NewResponseController(out).Hijack()
		if err != nil {
			return
		}
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		rw.Flush()
		io.Copy(io.Discard, c)
		c.Close()
	})
	c, err := w.dial(t.Context(), from, host, "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	name := host + ":" + w.Port
	fmt.Fprintf(c, "GET /chart/ws HTTP/1.1\r\nHost: %s\r\nCookie: __Host-anteroom=%s\r\n%sConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: https://%s\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", name, cookie, lines(headers), name)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, br)
		close(ended)
	}()
	return ended
}

// closes waits until a socket ends, at most five seconds after since.
func closes(t *testing.T, ended <-chan struct{}, since time.Time) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(time.Until(since.Add(5 * time.Second))):
		t.Error("the WebSocket is still open after 5 s")
	}
}

func endedAtProvider(t *testing.T, w *world) {
	b, _ := enters(t, w)
	cookie := b.Cookie("ehr.test", "__Host-anteroom")
	sid := w.Provider.SID()
	ended := socket(t, w, "ehr.test", cookie, stranger)
	since := time.Now()
	if got := w.post(t, w.Provider.LogoutToken("nora-sub", sid, nil)); got != 200 {
		t.Fatalf("back-channel logout: %d", got)
	}
	shut(t, w, cookie)
	closes(t, ended, since)
}

// post sends a logout token to the back channel and returns the status.
func (w *world) post(t *testing.T, token string) int {
	t.Helper()
	body := "logout_token=" + url.QueryEscape(token)
	r := raw(fmt.Sprintf("POST /.anteroom/backchannel-logout HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	return w.send(t, r.at("gate.test"), "", stranger).status
}
