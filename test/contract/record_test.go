package contract_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// fields lists every field of the contract's audit record.
var fields = []string{
	"seq", "time", "event", "verdict", "reason", "route", "rule", "host", "method", "path", "status", "subject", "session",
	"device", "login", "patient", "source_ip", "request_id", "trace_id", "prev",
}

// Java keeps a session's id in a path parameter when a browser takes no cookies.
func TestAuditPathParameters(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(s, "      max_body: 8MiB\n", "      max_body: 8MiB\n      tolerate: [path_params]\n", 1)
	}})
	b := signedIn(t, g)
	p := b.Get(g.URL("ehr.test", "/patients/77;jsessionid=canary/chart%3Bv=canary"))
	if r, _ := g.Backend.Last(); p.Status != http.StatusOK || r.Target != "/patients/77;jsessionid=canary/chart%3Bv=canary" {
		t.Fatalf("%d, the backend got %q", p.Status, r.Target)
	}
	refused := b.Get(g.URL("img.test", "/study;jsessionid=canary/7"))
	unread := b.Get(g.URL("ehr.test", "/pub/..;jsessionid=canary/x"))
	for _, want := range []struct {
		page                  *anteroomtest.Page
		status                int
		path, patient, reason string
	}{
		{p, http.StatusOK, "/patients/77;/chart%3B", "77", "all_met"},
		{refused, http.StatusBadRequest, "/study;/7", "", "bad_request"},
		{unread, http.StatusBadRequest, "/pub/..;/x", "", "bad_request"},
	} {
		found := g.Audit(audit.Query{RequestID: want.page.Header.Get("X-Request-Id")})
		if want.page.Status != want.status || len(found) == 0 {
			t.Errorf("%s: %d, %d records", want.path, want.page.Status, len(found))
		}
		for _, r := range found {
			if r.Path != want.path || r.Patient != want.patient || string(r.Reason) != want.reason {
				t.Errorf("%s of %q, patient %q, %s; want %q, %q, %s", r.Event, r.Path, r.Patient, r.Reason, want.path, want.patient, want.reason)
			}
		}
	}
	if text := journal(t, g); strings.Contains(text, "canary") || strings.Contains(g.Log(), "canary") {
		t.Error("a path parameter stands in the trail or the log")
	}
}

func TestAuditRecord(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	p := b.Get(g.URL("ehr.test", "/patients/77/chart?secret=canary"))
	id := p.Header.Get("X-Request-Id")
	r, _ := g.Backend.Last()

	var access_, outcome map[string]any
	for line, err := range audit.Search(filepath.Join(g.Dir, "data", "audit"), audit.Query{RequestID: id}) {
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(line.Raw, &m); err != nil {
			t.Fatal(err)
		}
		if m["event"] == "access" {
			access_ = m
		} else {
			outcome = m
		}
	}
	if access_ == nil || outcome == nil {
		t.Fatalf("access %v, outcome %v", access_, outcome)
	}
	for name, want := range map[string]any{
		"event": "access", "verdict": "allow", "reason": "all_met", "route": "chart", "host": "ehr.test", "method": "GET",
		"path": "/patients/77/chart", "patient": "77", "source_ip": "127.0.0.1", "request_id": id,
	} {
		if access_[name] != want {
			t.Errorf("%s = %v, want %v", name, access_[name], want)
		}
	}
	subject, _ := json.Marshal(access_["subject"])
	device, _ := json.Marshal(access_["device"])
	login, _ := access_["login"].(map[string]any)
	if string(subject) != `{"issuer":"`+g.Provider.URL+`","roles":["nurse"],"sub":"nora-sub","username":"nora"}` {
		t.Errorf("subject %s", subject)
	}
	if string(device) != `{"assurance":"A1","id":"tunnel:ipad-1"}` {
		t.Errorf("device %s", device)
	}
	if login["acr"] != "pwd" || login["auth_time"] == nil || login["amr"] == nil {
		t.Errorf("login %v", login)
	}
	// The trace that the backend was told is the one in the record.
	if parts := strings.Split(r.Header.Get("Traceparent"), "-"); len(parts) != 4 || parts[1] != access_["trace_id"] {
		t.Errorf("traceparent %q, trace_id %v", r.Header.Get("Traceparent"), access_["trace_id"])
	}
	if outcome["event"] != "outcome" || outcome["status"] != float64(200) || outcome["seq"].(float64) <= access_["seq"].(float64) {
		t.Errorf("outcome %v", outcome)
	}
	// Refusals too, with the failed checks.
	b.Device.Set("X-Mdm-Os-Version", "18.5")
	p = b.Get(g.URL("img.test", "/study/1"))
	records := g.Audit(audit.Query{RequestID: p.Header.Get("X-Request-Id"), Event: access.EventAccess})
	if len(records) != 1 || records[0].Verdict != "deny" || records[0].Reason != "device_fresh_os" || !slices.Equal(records[0].Device.Failed, []string{"fresh_os"}) {
		t.Errorf("refusal: %+v", records)
	}
	b.Device = anteroomtest.Compliant("ipad-1")
	b.Release(b.Continue(b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1")))
	b.Get(g.URL("ehr.test", "/watched/1"))
	g.Browser(t).Call("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Cookie": {"__Host-anteroom=broken"}}) // loses that browser's cookie
	signOut(t, g, b, "ehr.test")
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}

	text := journal(t, g)
	for _, field := range fields {
		if !strings.Contains(text, `"`+field+`":`) {
			t.Errorf("no record has the field %s", field)
		}
	}
	for _, event := range []string{"access", "outcome", "sign_in", "sign_out", "step_up", "start", "stop", "checkpoint", "security"} {
		if !strings.Contains(text, `"event":"`+event+`"`) {
			t.Errorf("no record of %s", event)
		}
	}
	if !strings.Contains(text, `"observed":[{"rule":"watched","verdict":"deny","reason":"no_role"}]`) {
		t.Error("what an observed rule would have decided is not recorded")
	}
	for _, secret := range []string{"canary", b.Cookie("ehr.test", "__Host-anteroom"), r.Header.Get("X-Anteroom-Assertion"), g.Provider.ClientSecret, "ok=1"} {
		if secret != "" && (strings.Contains(text, secret) || strings.Contains(g.Log(), secret)) {
			t.Errorf("%.12q stands in the trail or the log", secret)
		}
	}
	report, err := audit.Verify(filepath.Join(g.Dir, "data", "audit"))
	if err != nil || report.Problem != nil {
		t.Errorf("verify: %v %v", report.Problem, err)
	}
}

func journal(t *testing.T, g *anteroomtest.Gateway) string {
	t.Helper()
	var all strings.Builder
	files, err := filepath.Glob(filepath.Join(g.Dir, "data", "audit", "*.ndjson"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// A collector takes spans by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlptrace.Span
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var in coltrace.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(body, &in) != nil {
			w.WriteHeader(400)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range in.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func TestSpans(t *testing.T) {
	c := newCollector(t)
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(s, "telemetry: {sample: 0.05}", "telemetry: {sample: 1, otlp: "+c.URL+"}", 1)
	}})
	b := signedIn(t, g)
	p := b.Get(g.URL("ehr.test", "/patients/77/chart?x=canary"))
	r, _ := g.Backend.Last()
	b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1")
	id := p.Header.Get("X-Request-Id")
	records := g.Audit(audit.Query{RequestID: id, Event: access.EventAccess})
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var server, client, held, linked *otlptrace.Span
	for _, s := range c.spans {
		attrs := attributes(s)
		switch {
		case attrs["anteroom.request_id"] == id && s.Kind == otlptrace.Span_SPAN_KIND_SERVER:
			server = s
		case attrs["anteroom.verdict"] == "step_up":
			held = s
		}
		if len(s.Links) > 0 {
			linked = s
		}
	}
	for _, s := range c.spans {
		if server != nil && s.Kind == otlptrace.Span_SPAN_KIND_CLIENT && string(s.ParentSpanId) == string(server.SpanId) {
			client = s
		}
	}
	if server == nil || client == nil || held == nil || linked == nil {
		t.Fatalf("server %v, client %v, step-up %v, linked sign-in %v of %d spans", server != nil, client != nil, held != nil, linked != nil, len(c.spans))
	}
	if server.Name != "GET chart" {
		t.Errorf("span %q", server.Name)
	}
	attrs := attributes(server)
	for name, want := range map[string]string{
		"anteroom.route": "chart", "anteroom.verdict": "allow", "anteroom.reason": "all_met", "anteroom.device.assurance": "A1",
		"session.id": records[0].Session, "user.roles": "nurse", "anteroom.request_id": id,
	} {
		if attrs[name] != want {
			t.Errorf("%s = %q, want %q", name, attrs[name], want)
		}
	}
	if attrs["enduser.pseudo.id"] == "" || strings.Contains(attrs["enduser.pseudo.id"], "nora") {
		t.Errorf("enduser.pseudo.id = %q", attrs["enduser.pseudo.id"])
	}
	if a := attributes(held); a["anteroom.rule"] != "sign a result" || a["anteroom.reason"] != "weak_login" {
		t.Errorf("step-up span %v", a)
	}
	if parts := strings.Split(r.Header.Get("Traceparent"), "-"); parts[1] != hexOf(server.TraceId) || parts[2] != hexOf(client.SpanId) || records[0].TraceID != parts[1] {
		t.Errorf("the backend was told %s, the trail has %s", r.Header.Get("Traceparent"), records[0].TraceID)
	}
	for _, s := range c.spans {
		text := s.String()
		for _, bad := range []string{"canary", "/patients", "nora", "Nora", "77/chart"} {
			if strings.Contains(text, bad) {
				t.Errorf("span %q holds %q", s.Name, bad)
			}
		}
	}
}

func attributes(s *otlptrace.Span) map[string]string {
	m := map[string]string{}
	for _, a := range s.Attributes {
		v := a.Value.GetStringValue()
		for _, e := range a.Value.GetArrayValue().GetValues() {
			v += e.GetStringValue()
		}
		m[a.Key] = v
	}
	return m
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestAdmin(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	for path, want := range map[string]string{"/healthz": "alive", "/readyz": "ready", "/metrics": "anteroom_config_reload_success 1"} {
		resp, err := http.Get("http://" + g.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, body)
		}
	}
}

func TestReload(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 {
		t.Fatal(p.Status)
	}
	g.WriteConfig(strings.Replace(anteroomtest.Fixture, "allow: {roles: [nurse, physician, admin]}", "allow: {roles: [admin]}", 1))
	wait(t, "the new configuration", func() bool { return g.Metric("anteroom_config_reloads_total") == 1 })
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 403 {
		t.Errorf("after the reload: %d", p.Status)
	}
	g.WriteConfig("gateway: {lissten: 1}\n")
	wait(t, "the bad configuration", func() bool { return g.Metric("anteroom_config_reload_success") == 0 })
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 403 {
		t.Errorf("a bad file changed what is in force: %d", p.Status)
	}
	if log := g.Log(); !strings.Contains(log, "anteroom.yaml:1:11") || !strings.Contains(log, "listen") {
		t.Error("the log does not say where the mistake is")
	}
	g.WriteConfig(anteroomtest.Fixture)
	wait(t, "the good configuration", func() bool { return g.Metric("anteroom_config_reload_success") == 1 })
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 {
		t.Errorf("after the mend: %d", p.Status)
	}
}

// wait polls until ok, for at most ten seconds.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
