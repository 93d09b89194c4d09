// Package canary_test puts marks in everything secret and everything about
// patients, lives a day at the gateway's process, and looks for them in all
// that the process leaves behind.
package canary_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

func TestNothingLeaks(t *testing.T) {
	binary, tmp := anteroomtest.Build(t, "anteroom"), t.TempDir()
	s := newStory(t, binary, "TMPDIR="+tmp, "PATH="+os.Getenv("PATH"))
	for _, chapter := range []struct {
		name string
		tell func(*story, *testing.T)
	}{
		{"work", (*story).work},
		{"step-up", (*story).stepUp},
		{"refusals", (*story).refusals},
		{"backends that answer badly", (*story).badBackends},
		{"requests that are none", (*story).badRequests},
		{"sign-ins that fail", (*story).badSignIns},
		{"sign-outs", (*story).signOuts},
		{"configurations that are wrong", (*story).badConfigurations},
	} {
		t.Run(chapter.name, func(t *testing.T) { s.t = t; chapter.tell(s, t) })
	}
	s.t = t
	if t.Failed() {
		return // what did not happen cannot have leaked
	}

	for name, text := range s.processFiles(t) {
		s.search(t, environ, name, text)
	}
	for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
		s.search(t, numbers, path, get(t, "http://"+s.Admin+path))
	}
	s.commandLine(t, binary)
	if err := s.Stop(); err != nil { // which sends the last spans
		t.Fatal(err)
	}
	s.search(t, log, "the process", []byte(s.Log()))
	s.search(t, spans, "OTLP", s.collector.bytes())
	for _, o := range s.own {
		if !strings.HasSuffix(o.name, "/.anteroom/session") { // which tells people of themselves
			s.search(t, page, o.name, []byte(o.body))
		}
	}
	data := filepath.Join(s.Dir, "data")
	journal := filepath.Join(data, "audit")
	for name, text := range files(t, data, journal) {
		s.search(t, disk, name, text)
		s.search(t, disk, name, []byte(name))
	}
	for name, text := range files(t, tmp) {
		s.search(t, disk, name, text)
	}
	records := files(t, journal)
	for name, text := range records {
		s.search(t, trail, name, text)
	}
	s.legible(t, records)
	s.controls(t, records)
	closed(t, data)
}

// work is an ordinary day, with secrets where they should not be.
func (s *story) work(t *testing.T) {
	redirected, err := noRedirect.Get("http://" + s.Redirect + "/patients/" + s.patient + "?token=" + s.query)
	if err != nil {
		t.Fatal(err)
	}
	redirected.Body.Close()
	b := s.browser()
	p := b.Navigate("GET", s.URL("ehr.test", "/patients/"+s.patient+"/chart?token="+s.query), "", "", s.secrets())
	if p.Status != 200 || !strings.Contains(p.Body, s.answer) {
		t.Fatalf("the chart: %d at %s\n%s", p.Status, p.URL, p.Body)
	}
	for _, step := range []struct {
		method, host, target, body string
		want                       int
	}{
		{"GET", "img.test", "/study?mrn=" + s.mrn, "", 200},
		{"GET", "img.test", "/study?mrn=" + s.mrn + "&mrn=" + s.mrn + "&a=" + s.query, "", 200},
		{"POST", "ehr.test", "/intake", "note=" + s.body, 200},
		{"POST", "ehr.test", "/notes/1?token=" + s.query, "text=" + s.body, 200},
		{"GET", "ehr.test", "/pub/x?token=" + s.query, "", 200},
		{"GET", "ehr.test", "/watched/" + s.patient, "", 200},
		{"GET", "ehr.test", "/notes/%E2%80%AE%1b%0d%0aX-Injected:%201", "", 200},
	} {
		kind := ""
		if step.body != "" {
			kind = form
		}
		if p := b.Navigate(step.method, s.URL(step.host, step.target), kind, step.body, s.secrets()); p.Status != step.want && !strings.Contains(step.target, "%0d") {
			t.Errorf("%s %s: %d", step.method, step.target, p.Status)
		}
	}
	b.Get(s.URL("gate.test", "/"))
	b.Call("GET", s.URL("ehr.test", "/.anteroom/session"), "", "", nil)
}

func (s *story) stepUp(t *testing.T) {
	b := s.browser()
	s.aged(b)
	b.Call("POST", s.URL("ehr.test", "/orders/7?token="+s.query), form, "dose="+s.body, s.secrets())
	target := "/orders/7?list=1&token=" + s.query
	ask := func() *anteroomtest.Page {
		p := b.Navigate("POST", s.URL("ehr.test", target), form, "dose="+s.body, s.secrets())
		if p.Status != 200 || p.Code() != "old_login" {
			t.Fatalf("held: %d %s\n%s", p.Status, p.Code(), p.Body)
		}
		return p
	}
	s.Provider.Refuse("access_denied", "no: "+s.body)
	if p := b.Continue(ask()); p.Status == 200 && p.Code() == "" {
		t.Errorf("cancelled: %d %s", p.Status, p.Body)
	}
	s.Provider.EditCallback(s.callback)
	s.Backend.Forget()
	p := b.Continue(ask())
	_, token := p.ReleaseForm()
	if p = b.Release(p); p.Status != 200 || len(s.Backend.Requests()) != 1 {
		t.Fatalf("released: %d, %d requests at the backend", p.Status, len(s.Backend.Requests()))
	}
	if p = b.PostForm(s.URL("ehr.test", target), url.Values{"anteroom_release": {token}}); p.Status != http.StatusConflict {
		t.Errorf("released again: %d", p.Status)
	}
	// One is still held when all is searched.
	other := s.browser()
	s.aged(other)
	b = other
	ask()
}

func (s *story) refusals(t *testing.T) {
	b := s.browser()
	b.Get(s.URL("ehr.test", "/"))
	for target, want := range map[string]int{
		"/admin/" + s.patient + "?token=" + s.query: 403, // no role
		"/patients/../" + s.patient:                 400,
		"/patients/" + s.patient + "%2f..%2fx":      400,
		"/patients/" + s.patient + ";a=1":           400,
	} {
		for _, call := range []bool{false, true} {
			var p *anteroomtest.Page
			if call {
				p = b.Call("GET", s.URL("ehr.test", target), "", "", s.secrets())
			} else {
				p = b.Hop("GET", s.URL("ehr.test", target), "", "", s.secrets())
			}
			if p.Status != want {
				t.Errorf("%s: %d, want %d", target, p.Status, want)
			}
		}
	}
	b.Device.Set("X-Mdm-Compromised", "true")
	if p := b.Navigate("GET", s.URL("img.test", "/study?mrn="+s.mrn), "", "", s.secrets()); p.Status != 403 {
		t.Errorf("a device that must not: %d", p.Status)
	}
	stranger := s.browser()
	if p := stranger.Call("GET", s.URL("ehr.test", "/patients/"+s.patient+"?token="+s.query), "", "", s.secrets()); p.Status != 401 {
		t.Errorf("a stranger's call: %d", p.Status)
	}
	stranger.Hop("POST", s.URL("ehr.test", "/patients/"+s.patient+"?token="+s.query), form, s.body, s.secrets())
}

func (s *story) badBackends(t *testing.T) {
	b := s.browser()
	b.Get(s.URL("ehr.test", "/"))
	for _, name := range []string{"status", "header", "response", "nothing", "more", "ntlm"} {
		b.Call("GET", s.URL("ehr.test", "/garbled/"+name+"?token="+s.query), "", "", s.secrets())
		b.Hop("GET", s.URL("ehr.test", "/garbled/"+name+"?token="+s.query), "", "", s.secrets())
	}
	// Cut short, an answer is no error of the browser's.
	client := &http.Client{Transport: s.Transport(false), CheckRedirect: noRedirect.CheckRedirect}
	for _, name := range []string{"length", "chunk", "upgrade"} {
		r, err := http.NewRequest("GET", s.URL("ehr.test", "/garbled/"+name+"?token="+s.query), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = s.secrets()
		r.Header.Set("Cookie", "__Host-anteroom="+b.Cookie("ehr.test", "__Host-anteroom"))
		if name == "upgrade" {
			for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": s.Origin("ehr.test")} {
				r.Header.Set(k, v)
			}
		}
		if resp, err := client.Do(r); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

// badRequests sends what no browser would.
func (s *story) badRequests(t *testing.T) {
	head := "GET /patients/" + s.patient + "?token=" + s.query + " HTTP/1.1\r\nHost: ehr.test:" + s.Port + "\r\nAuthorization: Bearer " + s.authorization + "\r\n"
	for _, text := range []string{
		head + "X Bad: " + s.body + "\r\n\r\n",
		head + "Host: " + s.body + "\r\n\r\n",
		head + "X-Bad: \x1b" + s.body + "\r\n\r\n",
		head + "Content-Length: 1" + s.body + "\r\n\r\n",
		head + "Transfer-Encoding: " + s.body + "\r\n\r\n",
		head + "Cookie: __Host-anteroom=" + s.body + "; __Host-anteroom=" + s.body + "\r\n\r\n",
		head + "X-Large: " + strings.Repeat(s.body, 8000) + "\r\n\r\n",
		head + "Connection: X-Mdm-Device-Id, " + s.body + "\r\n\r\n",
		head + "X-Mdm-Device-Id: " + s.body + "\r\nX-Mdm-Device-Id: " + s.body + "\r\n\r\n",
		strings.Replace(head, "HTTP/1.1", s.body, 1) + "\r\n",
		strings.Replace(head, "GET", s.body, 1) + "\r\n",
		strings.Replace(head, "ehr.test:"+s.Port, "other.test", 1) + "\r\n",
		strings.Replace(head, "/patients", "%zz"+s.body, 1) + "\r\n",
		strings.Replace(head, "/patients", "http://"+s.body+"@x.test/", 1) + "\r\n",
	} {
		exchange(t, s.Dial(t, "ehr.test", "http/1.1"), text)
		// And without TLS, where TLS is spoken, and where only the redirect is.
		for _, address := range []string{s.Address, s.Redirect} {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, c, text)
		}
	}
	c, err := net.Dial("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, c, "\x16\x03\x01\x00\x05"+s.body+s.patient)
	c2 := s.Dial(t, "ehr.test", "h2")
	exchange(t, c2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+s.body+s.patient)
}

// exchange sends text over c and reads until the other side has had enough.
func exchange(t *testing.T, c net.Conn, text string) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(c, text+"GET / HTTP/1.1\r\nHost: none.test\r\nConnection: close\r\n\r\n")
	io.Copy(io.Discard, c) // what is answered is for the attacks to judge
}

func (s *story) badSignIns(t *testing.T) {
	try := func(name string) {
		t.Helper()
		p := s.browser().Get(s.URL("ehr.test", "/patients/"+s.patient+"?token="+s.query))
		if p.Status == 200 && p.Header.Get("X-Backend") != "" {
			t.Errorf("%s: signed in", name)
		}
	}
	for name, edit := range map[string]func(url.Values){
		"state":       func(q url.Values) { q.Set("state", s.body) },
		"no state":    func(q url.Values) { q.Del("state") },
		"two codes":   func(q url.Values) { q.Add("code", s.body) },
		"code":        func(q url.Values) { q.Set("code", s.body) },
		"issuer":      func(q url.Values) { q.Set("iss", "https://other.test") }, // which is told: it is how operators find out
		"error":       func(q url.Values) { q.Set("error", s.body); q.Set("error_description", s.body) },
		"known error": func(q url.Values) { q.Set("error", "server_error"); q.Set("error_description", s.body+odd) },
	} {
		s.Provider.EditCallback(func(q url.Values) { s.callback(q); edit(q) })
		try(name)
	}
	s.Provider.EditCallback(s.callback)

	for name, edit := range map[string]func(map[string]any){
		"a token that is none":    func(m map[string]any) { m["id_token"] = s.body },
		"a token with a body":     func(m map[string]any) { m["id_token"] = "e30." + s.body + "." + s.body },
		"a token of another":      func(m map[string]any) { m["id_token"] = m["id_token"].(string)[:60] + s.body },
		"a bearer of another way": func(m map[string]any) { m["token_type"] = s.body },
		"no token":                func(m map[string]any) { delete(m, "id_token"); m["x"] = s.body },
		"a token that is a list":  func(m map[string]any) { m["id_token"] = []string{s.body} },
	} {
		s.Provider.EditTokenAnswer(func(m map[string]any) { s.tokens(m); edit(m) })
		try(name)
	}
	s.Provider.EditTokenAnswer(s.tokens)

	for name, edit := range map[string]func(map[string]any){
		"nonce":     func(c map[string]any) { c["nonce"] = s.body },
		"no sub":    func(c map[string]any) { delete(c, "sub") },
		"sub":       func(c map[string]any) { c["sub"] = []string{s.person.Sub} },
		"at_hash":   func(c map[string]any) { c["at_hash"] = s.body },
		"auth_time": func(c map[string]any) { c["auth_time"] = s.person.Sub },
		"old":       func(c map[string]any) { c["exp"] = c["iat"].(int64) - 3600 },
		"groups":    func(c map[string]any) { c["groups"] = map[string]any{s.person.Groups[1]: s.body} },
		"username":  func(c map[string]any) { c["preferred_username"] = []any{s.person.Username, s.body} },
	} {
		s.Provider.EditIDToken(edit)
		if p := s.browser().Get(s.URL("ehr.test", "/patients/"+s.patient)); p.Status == 200 && p.Header.Get("X-Backend") != "" {
			t.Errorf("claim %s: signed in", name)
		}
	}
	// Userinfo of another, and one that is no JSON.
	s.Provider.EditIDToken(func(c map[string]any) { delete(c, "groups"); delete(c, "name") })
	s.Provider.EditUserInfo(func(m map[string]any) { m["sub"] = s.body })
	try("userinfo of another")
	s.Provider.EditUserInfo(nil)
	s.answers(anteroomtest.UserInfoPath)
	try("no userinfo")
	s.Provider.Handle(anteroomtest.UserInfoPath, nil)
	s.Provider.EditIDToken(nil)

	for _, status := range []int{200, 400, 401, 500} {
		s.Provider.Handle(anteroomtest.TokenPath, func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(map[string]string{"error": s.body, "error_description": r.PostForm.Encode() + s.clientSecret, "error_uri": s.body})
		})
		try(fmt.Sprint("token endpoint ", status))
		s.answers(anteroomtest.TokenPath)
		try("token endpoint that speaks of something else")
	}
	s.overhear(s.Provider)

	for _, target := range []string{
		"/.anteroom/callback?code=" + s.body + "&state=" + s.body,
		"/.anteroom/callback?error=" + s.body + "&error_description=" + s.patient,
		"/.anteroom/start?j=" + s.body, "/.anteroom/" + s.body, "/.anteroom/signed-out?state=" + s.body,
	} {
		s.browser().Get(s.URL("gate.test", target))
	}
	s.browser().Get(s.URL("ehr.test", "/.anteroom/return?code="+s.body+"&state="+s.body))
	if p := s.browser().Get(s.URL("ehr.test", "/")); p.Status != 200 {
		t.Errorf("a sign-in after all that: %d", p.Status)
	}
}

// answers has the provider answer path with a page that is full of marks.
func (s *story) answers(path string) {
	s.Provider.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("X-Request", s.body)
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprintf(w, "<p>%s %s %s", s.body, r.Header.Get("Authorization"), r.PostForm.Encode())
	})
}

func (s *story) signOuts(t *testing.T) {
	b := s.browser()
	b.Get(s.URL("ehr.test", "/patients/"+s.patient))
	sid := s.Provider.SID()
	s.add("the provider's session", sid, 0)
	to := s.URL("gate.test", "/.anteroom/backchannel-logout")
	client := &http.Client{Transport: s.Transport(false)}
	send := func(raw string) int {
		resp, err := client.PostForm(to, url.Values{"logout_token": {raw}, "token": {s.body}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, edit := range []func(h, c map[string]any){
		func(h, _ map[string]any) { h["kid"] = s.body },
		func(_, c map[string]any) { c["aud"] = "other" },
		func(_, c map[string]any) { c["events"] = s.body },
		func(_, c map[string]any) { c["nonce"] = s.body },
		func(_, c map[string]any) { c["iat"] = s.person.Sub },
	} {
		raw := s.Provider.LogoutToken(s.person.Sub, sid, edit)
		s.token("a logout token", raw)
		if status := send(raw); status != 400 {
			t.Errorf("a bad logout token: %d", status)
		}
	}
	send(s.body)
	raw := s.Provider.LogoutToken(s.person.Sub, sid, nil)
	s.token("a logout token", raw)
	if status := send(raw); status != 200 {
		t.Errorf("back-channel: %d", status)
	}
	send(raw) // once more
	if p := b.Call("GET", s.URL("ehr.test", "/patients/"+s.patient), "", "", nil); p.Status != 401 {
		t.Errorf("after the back-channel: %d", p.Status)
	}

	b = s.browser()
	b.Get(s.URL("ehr.test", "/patients/"+s.patient))
	b.Get(s.URL("ehr.test", "/.anteroom/logout"))
	b.Hop("POST", s.URL("ehr.test", "/.anteroom/logout"), form, "x="+s.body, http.Header{"Origin": {"https://" + s.body + ".test"}})
	if p := b.Post(s.URL("ehr.test", "/.anteroom/logout"), form, "x="+s.body); p.URL.Path != "/.anteroom/signed-out" {
		t.Errorf("signed out at %s: %d", p.URL, p.Status)
	}
}

// badConfigurations has the gateway read secrets where none belong.
func (s *story) badConfigurations(t *testing.T) {
	file := filepath.Join(s.Dir, "anteroom.yaml")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, with := range []string{s.clientSecret, "${file:" + s.body + "}", "${env:" + s.clientSecret, "[" + s.clientSecret + "]", "{" + s.clientSecret + ": a}", "\"" + s.clientSecret} {
		s.WriteConfig(strings.Replace(string(good), "${file:secret}", with, 1))
		if i == 1 {
			continue // the name of a file is no secret, and is told
		}
		if out, err := exec.Command(s.Binary, "check", "--offline", "-c", file).CombinedOutput(); err == nil {
			t.Errorf("client_secret: %s is good", with)
		} else {
			s.search(t, log, "anteroom check", out)
		}
		before := strings.Count(s.Log(), "the new configuration is refused")
		s.Signal(syscall.SIGHUP)
		eventually(t, "a refused configuration", func() bool { return strings.Count(s.Log(), "the new configuration is refused") > before })
	}
	s.WriteConfig(string(good))
	s.Signal(syscall.SIGHUP)
	eventually(t, "the good configuration", func() bool { return strings.Contains(s.Log(), "the new configuration is in force") })
}

// commandLine runs what operators run, and searches what it prints.
func (s *story) commandLine(t *testing.T, binary string) {
	file := filepath.Join(s.Dir, "anteroom.yaml")
	for _, args := range [][]string{
		{"check", "-c", file}, {"check", "--json", "-c", file}, {"routes", "--json", "-c", file},
		{"explain", "--json", "-c", file, "--as", "nurse", "GET", "https://ehr.test/chart"}, {"version"},
		{"audit", "verify", filepath.Join(s.Dir, "data", "audit")},
	} {
		out, err := exec.Command(binary, args...).CombinedOutput()
		if err != nil {
			t.Errorf("anteroom %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		s.search(t, log, "anteroom "+args[0], out)
	}
}

// processFiles returns what everybody of the same user can read of the process.
func (s *story) processFiles(t *testing.T) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, name := range []string{"environ", "cmdline", "comm"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.PID, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = text
	}
	return all
}

// legible checks that what people read by line cannot be made to say other things.
func (s *story) legible(t *testing.T, records map[string][]byte) {
	t.Helper()
	lines := map[string][]byte{"log": []byte(s.Log())}
	for name, text := range records {
		if strings.HasSuffix(name, ".ndjson") {
			lines[name] = text
		}
	}
	for name, text := range lines {
		for line := range bytes.Lines(text) {
			if !json.Valid(line) {
				t.Errorf("%s: no JSON: %q", name, line)
			}
		}
		if i := bytes.IndexAny(text, "\x1b\r\u202e"); i >= 0 {
			t.Errorf("%s: a raw control character: %q", name, around(text, i))
		}
	}
	for _, o := range s.own {
		if i := strings.IndexAny(o.body, "\x1b\r\u202e"); i >= 0 {
			t.Errorf("%s: a raw control character: %q", o.name, around([]byte(o.body), i))
		}
	}
}

// controls checks that marks are found where they belong: had they not been
// there, not finding them elsewhere would say nothing.
func (s *story) controls(t *testing.T, records map[string][]byte) {
	t.Helper()
	var all []byte
	for _, text := range records {
		all = append(all, text...)
	}
	for _, what := range []string{"a patient in the path", "a patient in the query", "a sub", "a username", "a device"} {
		k := s.must(t, what)
		if _, at := k.find(all, lower(all)); at < 0 {
			t.Errorf("%s is not in the audit trail, where it belongs", what)
		}
	}
	for _, what := range []string{
		"an authorization code", "the parameter state", "a code verifier", "an access token", "an ID token", "a part of ID token", "a cookie __Host-anteroom",
		"a cookie __Host-anteroom-login", "the identity assertion", "a release token", "a logout token", "the provider's session", "the parameter nonce",
	} {
		s.must(t, what)
	}
	if text := s.collector.bytes(); !bytes.Contains(text, []byte("anteroom.verdict")) || !bytes.Contains(text, []byte("step_up")) {
		t.Error("the collector has no span of a step-up")
	}
	if raw := s.Backend.Raw(); !strings.Contains(raw, "/garbled/upgrade") {
		t.Error("the bad answers were not asked for")
	}
	if len(s.own) < 40 {
		t.Errorf("only %d pages of the gateway's own were read", len(s.own))
	}
}

// closed checks that nobody else may read what is under dir, but for the
// certificate that others must trust.
func closed(t *testing.T, dir string) {
	t.Helper()
	for name := range files(t, dir) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 && filepath.Ext(name) != ".pem" {
			t.Errorf("%s is open to others: %s", name, info.Mode())
		}
	}
}

var noRedirect = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func get(t *testing.T, address string) []byte {
	t.Helper()
	resp, err := noRedirect.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s %v", address, resp.Status, err)
	}
	return text
}
