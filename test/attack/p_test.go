package attack_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// groupP: logs, the audit trail, traces.
func groupP() []row {
	return []row{
		{id: "P1", name: "control characters everywhere", run: controlCharacters},
		{id: "P2", name: "secrets", run: secrets},
		{id: "P3", name: "a trace and baggage of the client's", as: "nora", want: all(STRIP, freshTrace(true)), send: both("GET /chart/1",
			"Traceparent: 00-11111111111111111111111111111111-2222222222222222-01", "Tracestate: a=1", "Baggage: patient=7", "B3: 1", "X-B3-TraceId: 11111111111111111111111111111111")},
		{id: "P3", name: "by way of a trusted proxy", as: "nora", from: balancer, want: all(STRIP, freshTrace(false)), send: both("GET /chart/1",
			"Traceparent: 00-11111111111111111111111111111111-2222222222222222-01", "Baggage: patient=7")},
		{id: "P3", name: "a trace that is none, by way of a trusted proxy", as: "nora", from: balancer, want: all(STRIP, freshTrace(true)), send: both("GET /chart/1",
			"Traceparent: 00-00000000000000000000000000000000-0000000000000000-01\\x", "Traceparent: x")},
		{id: "P4", name: "a trail that was touched", run: touchedTrail},
	}
}

// freshTrace: the backend is told of a trace of the gateway's own, or not.
func freshTrace(own bool) judgement {
	return func(_ *world, c *attempt) error {
		got := c.got[0].get("Traceparent")
		if strings.Contains(got, strings.Repeat("1", 32)) == own || len(got) != 55 {
			c.t.Errorf("traceparent %q", got)
		}
		for _, name := range []string{"Tracestate", "B3", "X-B3-TraceId"} {
			if v := c.got[0].get(name); v != "" {
				c.t.Errorf("%s: %q", name, v)
			}
		}
		return nil
	}
}

// trail returns the audit journal's bytes.
func (w *world) trail(t *testing.T) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.Dir, "data", "audit", "*.ndjson"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segment: %v", err)
	}
	var all []byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

func controlCharacters(t *testing.T, w *world) {
	odd := "\r\n{\"event\":\"x\"}\x1b[31m\u202e\u2028"
	who := anteroomtest.Nora
	who.Sub, who.Name = "odd-sub", "odd"+odd
	w.Provider.Person(who)
	enters(t, w)
	who.Username = "odd" + odd
	w.Provider.Person(who)
	enters(t, w)
	for _, path := range []string{"/chart/%0d%0a%1b%5b31m", "/chart/%e2%80%ae", "/chart/%E2%80%A8", "/chart/\x1b[31m", "/chart/\u202e"} {
		for _, req := range both("GET "+path, "User-Agent: \u202e%0a\\n", "X-Request-Id: \u202e", "Referer: \u202e") {
			w.send(t, req, "nora", stranger)
		}
	}
	for name, text := range map[string][]byte{"trail": w.trail(t), "log": []byte(w.Log())} {
		for line := range bytes.Lines(text) {
			if !json.Valid(line) || bytes.ContainsAny(line, "\x1b\r\u202e\u2028") {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}

func secrets(t *testing.T, _ *world) {
	w := fresh(t, nil)
	var code string
	w.Provider.EditTokenAnswer(func(m map[string]any) { m["access_token"], m["refresh_token"] = "canary-access", "canary-refresh" })
	b := w.Browser(t)
	u := callback(t, w, b)
	code = u.Query().Get("code")
	b.Get(u.String())
	value, gate := b.Cookie("ehr.test", "__Host-anteroom"), b.Cookie("gate.test", "__Host-anteroom")
	var pages strings.Builder
	for _, path := range []string{"/chart/1?token=canary-query", "/chart/../x?token=canary-query", "/nothing?token=canary-query", "/admin?token=canary-query",
		"/chart;jsessionid=canary-parameter/1", "/chart/1%3Bjsessionid=canary-parameter", "/chart/1%3bjsessionid=canary%2Fparameter", "/pub/..;canary-parameter/x", "/%zz;canary-parameter", "/admin;canary-parameter"} {
		for _, req := range both("GET "+path, "Authorization: Bearer canary-bearer", "Cookie: __Host-anteroom="+value+"; app=canary-cookie", "Referer: https://x.test/?canary-referer", "Accept: text/html", "X-Api-Key: canary-key") {
			a := w.send(t, req, "", stranger)
			if a.status != 200 {
				pages.WriteString(a.body)
			}
		}
	}
	b.Get(w.URL("loose.test", "/chart;jsessionid=canary-parameter/1"))
	for _, path := range []string{"/chart;jsessionid=canary-parameter/1", "/chart/1;a=1;b=canary-parameter?q=1", "/pub/x%3Bcanary-parameter%2Fcanary"} {
		for _, req := range both("GET " + path) { // a backend that takes them
			w.send(t, req.at("loose.test"), "", stranger)
		}
	}
	w.send(t, post("POST /orders/7", "dose=canary-body", "Cookie: __Host-anteroom="+value, "Content-Type: "+form), "", stranger)
	w.send(t, h1("GET /.anteroom/callback?code=canary-code&state=canary-state&error_description=canary-words").at("gate.test"), "", stranger)
	b.Get(w.URL("ehr.test", "/.anteroom/session"))
	metrics, err := http.Get("http://" + w.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	var numbers bytes.Buffer
	numbers.ReadFrom(metrics.Body)
	assertion := ""
	if got, err := w.Backend.Take(); err == nil && len(got) > 0 {
		assertion = got[0].get("X-Anteroom-Assertion")
	}
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"trail": string(w.trail(t)), "log": w.Log(), "metrics": numbers.String(), "pages": pages.String()} {
		for _, secret := range []string{"canary", code, value, gate, w.Provider.ClientSecret, assertion} {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("the %s hold %.16q", where, secret)
			}
		}
	}
}

// touchedTrail edits, deletes, swaps and cuts off records of a trail.
func touchedTrail(t *testing.T, _ *world) {
	w := fresh(t, nil)
	b, _ := enters(t, w)
	for range 5 {
		b.Get(w.URL("ehr.test", "/chart/1"))
	}
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.Dir, "data", "audit")
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %v %v", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(dir); err != nil || report.Problem != nil {
		t.Fatalf("untouched: %v %v", report.Problem, err)
	}
	split := func() [][]byte { return bytes.SplitAfter(bytes.Clone(whole), []byte("\n")) }
	for name, touch := range map[string]func([][]byte) [][]byte{
		"edited":    func(l [][]byte) [][]byte { l[5] = bytes.Replace(l[5], []byte(`"GET"`), []byte(`"PUT"`), 1); return l },
		"deleted":   func(l [][]byte) [][]byte { return append(l[:5], l[6:]...) },
		"swapped":   func(l [][]byte) [][]byte { l[5], l[6] = l[6], l[5]; return l },
		"truncated": func(l [][]byte) [][]byte { return l[:len(l)-4] },
	} {
		text := bytes.Join(touch(split()), nil)
		if bytes.Equal(text, whole) {
			t.Fatalf("%s: nothing was touched", name)
		}
		if err := os.WriteFile(files[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
		if report, err := audit.Verify(dir); err != nil || report.Problem == nil {
			t.Errorf("%s: %+v %v", name, report, err)
		}
	}
	_ = access.EventStart
}
