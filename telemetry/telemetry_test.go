package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/telemetry"
)

// scrape returns the exposition's lines of the gateway's own metrics.
func scrape(t testing.TB, tel *telemetry.Telemetry) string {
	t.Helper()
	return scrapeAs(t, tel, "")
}

// scrapeAs asks for the exposition in a format that accept names.
func scrapeAs(t testing.TB, tel *telemetry.Telemetry, accept string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	tel.MetricsHandler().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func has(t testing.TB, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestMetrics(t *testing.T) {
	tel := setup(t, telemetry.Config{})
	has(t, scrape(t, tel), "anteroom_config_reload_success 1", "anteroom_sessions 0", "anteroom_held_requests 0", "anteroom_telemetry_dropped_total 0")

	r := tel.Route("pharmacy")
	r.Done(access.Allow, access.AllMet, 200, 30*time.Millisecond, "")
	r.Done(access.Allow, access.AllMet, 204, 30*time.Millisecond, "")
	r.Done(access.Deny, access.DeviceFailed("fresh_os"), 403, time.Millisecond, "")
	r.Done(access.Allow, access.AllMet, 0, time.Second, "")
	tel.Route("").Done(access.Deny, access.BadRequest, 400, time.Millisecond, "")
	r.Answered(20*time.Millisecond, "")
	r.Observed("old dispatcher amends", access.StepUp)
	tel.Reloaded(true)
	tel.Reloaded(false)
	tel.CountSessions(func() int { return 17 })
	tel.CountHeld(func() int { return 3 })
	tel.AuditFailed()
	tel.HeadersDropped(2)
	tel.HeadersDropped(0)
	tel.StreamOpened()
	tel.StreamOpened()
	tel.StreamClosed()
	tel.SecurityEvent(access.DeviceChanged)
	tel.SignedIn("signed_in")
	tel.ProviderUp("hospital", true)
	tel.ProviderUp("partner", false)
	tel.CertificateExpires("rx.test", time.Now().Add(48*time.Hour+30*time.Minute))

	text := scrape(t, tel)
	has(t, text,
		`anteroom_requests_total{reason="all_met",route="pharmacy",status_class="2xx",verdict="allow"} 2`,
		`anteroom_requests_total{reason="device_fresh_os",route="pharmacy",status_class="4xx",verdict="deny"} 1`,
		`anteroom_requests_total{reason="all_met",route="pharmacy",status_class="none",verdict="allow"} 1`,
		`anteroom_requests_total{reason="bad_request",route="(none)",status_class="4xx",verdict="deny"} 1`,
		`anteroom_request_seconds_count{route="pharmacy"} 4`,
		`anteroom_request_seconds_bucket{route="pharmacy",le="0.025"} 1`,
		`anteroom_request_seconds_bucket{route="pharmacy",le="0.05"} 3`,
		`anteroom_backend_seconds_count{route="pharmacy"} 1`,
		`anteroom_observed_total{route="pharmacy",rule="old dispatcher amends",verdict="step_up"} 1`,
		"anteroom_config_reload_success 0",
		"anteroom_config_reloads_total 2",
		"anteroom_sessions 17",
		"anteroom_held_requests 3",
		"anteroom_audit_failures_total 1",
		"anteroom_headers_dropped_total 2",
		"anteroom_open_streams 1",
		`anteroom_security_events_total{reason="device_changed"} 1`,
		`anteroom_signins_total{outcome="signed_in"} 1`,
		`anteroom_provider_up{provider="hospital"} 1`,
		`anteroom_provider_up{provider="partner"} 0`)
	if !regexp.MustCompile(`(?m)^anteroom_certificate_expiry_seconds\{host="rx.test"\} 1745\d\d`).MatchString(text) {
		t.Error("the certificate's expiry is not about 48.5 hours away")
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

// A sampled request's trace stands at the time it took, for whoever can read
// it there; one that is not sampled leads nowhere and is not named.
func TestExemplars(t *testing.T) {
	rec := newReceiver(t)
	tel := setup(t, telemetry.Config{OTLP: rec.URL, Sample: 0})
	route := tel.Route("pharmacy")
	kept := tel.Open(t.Context(), telemetry.Opening{Method: "GET", Verdict: access.StepUp})
	lost := tel.Open(t.Context(), telemetry.Opening{Method: "GET", Verdict: access.Allow})
	for _, r := range []*telemetry.Request{kept, lost} {
		r.End(200)
		route.Answered(20*time.Millisecond, r.Exemplar())
		route.Done(access.Allow, access.AllMet, 200, 30*time.Millisecond, r.Exemplar())
	}
	text := scrapeAs(t, tel, "application/openmetrics-text; version=1.0.0")
	for _, start := range []string{
		`anteroom_request_seconds_bucket{route="pharmacy",le="0.05"} 2 # {trace_id="` + kept.TraceID() + `"} 0.03 `,
		`anteroom_backend_seconds_bucket{route="pharmacy",le="0.025"} 2 # {trace_id="` + kept.TraceID() + `"} 0.02 `,
	} {
		if !strings.Contains(text, "\n"+start) {
			t.Errorf("no line begins with %s", start)
		}
	}
	if strings.Contains(text, lost.TraceID()) {
		t.Error("a trace that was not kept is an exemplar")
	}
	if !strings.HasSuffix(text, "\n# EOF\n") {
		t.Error("this is no OpenMetrics exposition")
	}
	if plain := scrape(t, tel); strings.Contains(plain, "trace_id") {
		t.Error("the old format has exemplars, which it cannot carry")
	}
}

func TestSeriesAreBounded(t *testing.T) {
	tel := setup(t, telemetry.Config{})
	r := tel.Route("pharmacy")
	for i := range 3000 {
		r.Done(access.Deny, access.Reason(strings.Repeat("x", i)), 403, time.Millisecond, "")
		r.Observed(strings.Repeat("x", i), access.Deny)
	}
	text := scrape(t, tel)
	if n := strings.Count(text, "\nanteroom_requests_total{"); n > 501 {
		t.Errorf("%d series of one route", n)
	}
	has(t, text, `anteroom_requests_total{reason="other",route="pharmacy",status_class="none",verdict="deny"} 2500`)
	if tel.Route("pharmacy") != r {
		t.Error("a route has two sets of counters")
	}
}

func TestCountingMakesNoGarbage(t *testing.T) {
	r := setup(t, telemetry.Config{}).Route("pharmacy")
	n := testing.AllocsPerRun(100, func() {
		r.Done(access.Allow, access.AllMet, 200, time.Millisecond, "")
		r.Observed("rule", access.StepUp)
		r.Answered(time.Millisecond, "")
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSetupRefuses(t *testing.T) {
	key := []byte("sixteen bytes or more of key")
	for name, c := range map[string]telemetry.Config{
		"sample above 1":   {Sample: 1.1},
		"sample below 0":   {Sample: -0.1},
		"no key":           {OTLP: "http://127.0.0.1:4318"},
		"no scheme":        {OTLP: "127.0.0.1:4318", PseudonymKey: key},
		"another scheme":   {OTLP: "ftp://127.0.0.1:4317", PseudonymKey: key},
		"gRPC with a path": {OTLP: "grpc://127.0.0.1:4317/v1/traces", PseudonymKey: key},
		"gRPC to nobody":   {OTLP: "grpc:///", PseudonymKey: key},
	} {
		if _, err := telemetry.Setup(t.Context(), c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// dropped reads the number of spans that were lost.
func dropped(t testing.TB, tel *telemetry.Telemetry) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^anteroom_telemetry_dropped_total (\S+)$`).FindStringSubmatch(scrape(t, tel))
	if m == nil {
		t.Fatal("no count of dropped spans")
	}
	return m[1]
}

func TestCollectorThatRefuses(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer refusing.Close()
	tel := setup(t, telemetry.Config{OTLP: refusing.URL})
	for range 10 {
		tel.Open(t.Context(), telemetry.Opening{Method: "GET"}).End(403)
	}
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := dropped(t, tel); n != "10" {
		t.Errorf("%s spans counted as dropped, want 10", n)
	}
}

func TestCollectorThatHangs(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hanging.Close()
	defer close(release)
	tel := setup(t, telemetry.Config{OTLP: hanging.URL})
	const all, room = 10000, 4096
	began := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range all / 4 {
				tel.Open(context.Background(), telemetry.Opening{Method: "GET"}).End(403)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 8*time.Second { // less than one export's limit: nobody waited for it
		t.Errorf("requests took %v", took)
	}
	if n := dropped(t, tel); n != strconv.Itoa(all-room) {
		t.Errorf("%s spans dropped of %d with room for %d", n, all, room)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); err == nil {
		t.Error("shutdown waited for a collector that hangs, and found no fault")
	}
}
