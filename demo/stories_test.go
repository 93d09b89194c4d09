package demo_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anteroom/anteroom/demo"
)

// A telling is the page with its sources, each of which a test can be.
type telling struct {
	*testing.T
	*demo.Stories
	page http.Handler
}

func newTelling(t *testing.T) *telling {
	s := demo.NewStories()
	return &telling{t, s, s.Site("https://start.test/")}
}

func (s *telling) get(target string) (int, string) {
	s.Helper()
	w := httptest.NewRecorder()
	s.page.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	return w.Code, w.Body.String()
}

// story returns the part of the page that is about one request.
func (s *telling) story(id string) string {
	s.Helper()
	status, body := s.get("/request/" + id + "?part")
	if status != http.StatusOK {
		s.Fatalf("the story of %s: %d", id, status)
	}
	return body
}

func (s *telling) says(text string, parts ...string) {
	s.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			s.Errorf("the page does not say %q:\n%s", p, text)
		}
	}
}

// answers says a request of the gateway's and its answer, as a tunnel does.
func (s *telling) answers(id, method, at string, header, answer http.Header, status int) {
	r := httptest.NewRequest(method, at, nil)
	r.Header = header
	if answer == nil {
		answer = http.Header{}
	}
	answer.Set("X-Request-Id", id)
	s.Answered(&http.Response{Request: r, StatusCode: status, Header: answer})
}

const record = `{"seq":4,"time":"2026-11-21T12:00:03Z","event":"access","verdict":"%s","reason":"%s","route":"pharmacy","rule":"%s",` +
	`"host":"rx.anteroom.localhost","method":"POST","path":"/orders/7","subject":{"issuer":"https://login","sub":"staff-nora","username":"nora","roles":["nurse"]},` +
	`"session":"s-1","device":{"id":"ward4-ipad-01","assurance":"A1"},"login":{"acr":"pwd","auth_time":"2026-11-21T11:40:03Z"},"request_id":"r1","trace_id":"0102","prev":"00"}`

// Each reason stops at its own question; those before were passed, those after
// were not asked.
func TestEachReasonStopsAtItsQuestion(t *testing.T) {
	for _, c := range []struct {
		verdict, reason, rule    string
		passed, skipped, unasked int
		stops                    string // the question, or ""
	}{
		{"allow", "all_met", "", 6, 3, 0, ""},
		{"allow", "all_met", "amend an order", 9, 0, 0, ""},
		{"sign_in", "no_session", "", 0, 0, 8, "Is somebody signed in?"},
		{"sign_in", "session_ended", "", 1, 0, 7, "Is the session alive?"},
		{"locked", "session_locked", "", 2, 0, 6, "Is it unlocked?"},
		{"deny", "device_changed", "", 3, 0, 5, "Is it the device that it began on?"},
		{"deny", "device_unknown", "", 4, 0, 4, "Is the device fit?"},
		{"deny", "device_fresh_os", "", 4, 0, 4, "Is the device fit?"},
		{"deny", "no_role", "", 5, 0, 3, "Is there a role for it?"},
		{"step_up", "weak_login", "amend an order", 6, 0, 2, "Was the sign-in strong enough?"},
		{"step_up", "old_login", "amend an order", 7, 0, 1, "Was it recent enough?"},
		{"step_up", "once_used", "export", 8, 0, 0, "Was it made for this very request?"},
		{"deny", "bad_request", "", 0, 0, 0, "Could it be decided?"},
		{"allow", "public", "", 1, 0, 0, ""},
	} {
		s := newTelling(t)
		s.Record([]byte(fmt.Sprintf(record, c.verdict, c.reason, c.rule)))
		text := s.story("r1")
		for state, want := range map[string]int{"passed": c.passed, "skipped": c.skipped, "unasked": c.unasked} {
			if got := strings.Count(text, `<li class="`+state+`">`); got != want {
				t.Errorf("%s: %d questions %s, want %d", c.reason, got, state, want)
			}
		}
		if c.stops != "" {
			s.says(text, `<li class="stopped"><span class="q">`+c.stops+`</span> <b>no</b> <code>`+c.reason+`</code>`)
		} else if strings.Contains(text, `class="stopped"`) {
			t.Errorf("%s %s stops", c.verdict, c.reason)
		}
	}
}

// The page tells names of cookies and never what opens something.
func TestTheStoryHoldsNoSecret(t *testing.T) {
	s := newTelling(t)
	h := http.Header{"Cookie": {"__Host-anteroom=SECRET1; PHRMSESSID=SECRET2"}, "Authorization": {"Bearer SECRET3"}, "Referer": {"https://rx.test/?code=SECRET4"}, "X-Mdm-Device-Id": {"tab-1"}}
	s.answers("r1", "GET", "https://gate.anteroom.localhost:8443/.anteroom/callback?code=SECRET5&state=SECRET6", h,
		http.Header{"Set-Cookie": {"__Host-anteroom=SECRET7; Path=/"}, "Location": {"https://rx.test/.anteroom/return?code=SECRET8"}}, 303)
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"staff-nora"}`))
	r := httptest.NewRequest("GET", "http://rx.anteroom.localhost/orders/7?token=SECRET9", nil)
	r.Header = h.Clone()
	r.Header.Set("Cookie", "PHRMSESSID=SECRET2")
	r.Header.Set("X-Request-Id", "r1")
	r.Header.Set("X-Remote-User", "nora")
	r.Header.Set("X-Anteroom-Assertion", "eyJhbGciOiJFUzI1NiJ9."+payload+".SECRET10")
	s.Watch("Pharmacy", http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	s.answers("r2", "GET", "https://plan.anteroom.localhost:8443/appointments/3;jsessionid=SECRET11", h, nil, 200)
	s.Record([]byte(`{"event":"access","request_id":"r1","path":"/appointments/3;jsessionid=SECRET12"}`))
	_, whole := s.get("/request/r1")
	if strings.Contains(whole, "SECRET") {
		t.Errorf("a secret is told:\n%s", whole)
	}
	s.says(whole, "<code>__Host-anteroom</code>", "Its own cookies: <code>PHRMSESSID</code>", "The gateway's cookie is not among them",
		"&#34;sub&#34;: &#34;staff-nora&#34;", "/.anteroom/callback?…", ";jsessionid=…", "https://rx.test/.anteroom/return?…", "<dt>X-Mdm-Device-Id</dt><dd>tab-1</dd>")

	// Should the promise ever break, the page says so.
	r.Header.Set("Cookie", "__Host-anteroom=x")
	s.Watch("Pharmacy", http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	s.says(s.story("r1"), "A cookie of the gateway is among them")
}

// What people write into addresses and headers is text.
func TestTheStoryIsText(t *testing.T) {
	s := newTelling(t)
	s.answers("r1", "GET", "https://rx.anteroom.localhost/a'%22%3Cscript%3E", http.Header{"X-Evil": {`<script>alert(1)</script>`}}, nil, 200)
	s.Record([]byte(`{"event":"access","request_id":"r1","path":"/<script>","verdict":"deny","reason":"no_role"}`))
	for _, target := range []string{"/", "/request/r1", "/request/r1?part"} {
		if _, body := s.get(target); strings.Contains(body, "<script>") {
			t.Errorf("%s runs what was sent:\n%s", target, body)
		}
	}
	if status, _ := s.get("/request/none"); status != http.StatusNotFound {
		t.Errorf("the story of no request: %d", status)
	}
}

func TestCollectorTakesSpans(t *testing.T) {
	s := newTelling(t)
	s.Record([]byte(fmt.Sprintf(record, "allow", "all_met", "")))
	text := func(v string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}
	}
	spans := &collector.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
		{TraceId: []byte{1, 2}, SpanId: []byte{4}, ParentSpanId: []byte{3}, Name: "GET", Kind: tracepb.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 2e6, EndTimeUnixNano: 4e6},
		{TraceId: []byte{1, 2}, SpanId: []byte{3}, Name: "GET pharmacy", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1e6, EndTimeUnixNano: 5e6, Attributes: []*common.KeyValue{{Key: "anteroom.route", Value: text("pharmacy")}}},
		{TraceId: []byte{9}, SpanId: []byte{5}, Name: "callback", StartTimeUnixNano: 1e6, EndTimeUnixNano: 2e6, Links: []*tracepb.Span_Link{{TraceId: []byte{1, 2}, SpanId: []byte{3}}}},
		{TraceId: []byte{8}, SpanId: []byte{6}, Name: "another request's"},
	}}}}}}
	body, err := proto.Marshal(spans)
	if err != nil {
		t.Fatal(err)
	}
	post := func(kind, body string) int {
		r := httptest.NewRequest("POST", "/v1/traces", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		s.Collector().ServeHTTP(w, r)
		return w.Code
	}
	if got := post("application/x-protobuf", string(body)); got != http.StatusOK {
		t.Fatalf("spans are answered %d", got)
	}
	told := s.story("r1")
	s.says(told, `<li class="depth-0"><b>GET pharmacy</b>`, `server, 4ms`, `<li class="depth-1"><b>GET</b>`, `x="250" y="0" width="500"`, "<dt>anteroom.route</dt><dd>pharmacy</dd>", "<b>callback</b>")
	if strings.Contains(told, "another request") {
		t.Error("a span of another request is told")
	}
	for _, bad := range []int{post("application/json", "{}"), post("application/x-protobuf", "no spans")} {
		if bad != http.StatusBadRequest {
			t.Errorf("what is no span is answered %d", bad)
		}
	}
}

// A page that is open hears of a request when it happens.
func TestStoryIsToldAsItHappens(t *testing.T) {
	s := newTelling(t)
	server := httptest.NewServer(s.page)
	defer server.Close()
	resp, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the stream is open once something came
	s.answers("r1", "POST", "https://rx.anteroom.localhost/orders/7", nil, nil, 303)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			s.says(data, `"id":"r1"`, `"page":true`, `/orders/7`)
			return
		}
	}
	t.Error("the stream ended")
}

// The trail is read from where it stands, line by line, over days.
func TestTrailIsFollowed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.WriteString(text)
	}
	write("2026-11-20.ndjson", "old\n")
	lines := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	trail := demo.OpenTrail(dir)
	go trail.Follow(ctx, func(text []byte) { lines <- string(text) })
	next := func(want string) {
		t.Helper()
		select {
		case got := <-lines:
			if got != want {
				t.Errorf("read %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%q was never read", want)
		}
	}
	write("2026-11-20.ndjson", "first\nsec")
	next("first")
	write("2026-11-20.ndjson", "ond\n")
	next("second")
	write("2026-11-21.ndjson", "third\n")
	next("third")
}

// What is told is bounded: the oldest goes.
func TestStoriesAreForgotten(t *testing.T) {
	s := newTelling(t)
	for i := range 300 {
		s.answers(fmt.Sprint("r", i), "GET", "https://rx.anteroom.localhost/", nil, nil, 200)
	}
	if status, _ := s.get("/request/r0"); status != http.StatusNotFound {
		t.Errorf("the oldest is still told: %d", status)
	}
	s.story("r299")
	if _, page := s.get("/"); strings.Count(page, `<li id="row-`) != 40 {
		t.Errorf("the list has %d rows", strings.Count(page, `<li id="row-`))
	}
}
