package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/proxy"
	"github.com/anteroom/anteroom/routes"
)

// nora is signed in, and stays so.
type nora struct{ groups []string }

func (n nora) Value(now time.Time) access.Session {
	return access.Session{ID: "s1", LocksAt: now.Add(time.Minute), EndsAt: now.Add(time.Hour), Authentication: access.Authentication{
		Subject: access.Subject{Issuer: "https://login.test", Sub: "1"}, Username: "nora", Groups: n.groups, FreshAt: now,
	}}
}
func (nora) LockedSince(time.Time) time.Time       { return time.Time{} }
func (nora) Once(_, _, _ string, _ time.Time) bool { return false }
func (nora) Owns(realm, name, value string) bool   { return false }

// parts are what a gateway is made of, and a journal of what happened to them.
type parts struct {
	mu      sync.Mutex
	journal []string
	events  []access.Event
	refuse  error // what Record returns
	who     proxy.Person
}

func (p *parts) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.journal = append(p.journal, what)
}

func (p *parts) Find(*http.Request, string, time.Time) proxy.Found { return proxy.Found{Person: p.who} }
func (p *parts) Use(context.Context, proxy.Person, access.Limits, bool, time.Time) error {
	return nil
}
func (p *parts) Spend(context.Context, proxy.Person, string, string, string, time.Time) (bool, error) {
	return false, nil
}
func (p *parts) Pin(context.Context, proxy.Person, string) error        { return nil }
func (p *parts) End(context.Context, string, access.Reason) error       { return nil }
func (p *parts) EndDevice(context.Context, string, access.Reason) error { return nil }
func (p *parts) Remember(proxy.Person, string, []*http.Cookie)          {}
func (p *parts) Hold(context.Context, proxy.HeldRequest) (string, error) {
	return "", proxy.ErrHeldFull
}
func (p *parts) Redeem(context.Context, string) (proxy.HeldRequest, error) {
	return proxy.HeldRequest{}, proxy.ErrHeldGone
}
func (p *parts) Token(string, []byte) (string, bool) { return "", false }
func (p *parts) Of(string) ([]access.Lapse, bool)    { return nil, true }

func (p *parts) Note(string, []access.Check, []access.Failure, time.Time) {}

func (p *parts) Admit(proxy.Peer, time.Time) error { return nil }

func (p *parts) Read(proxy.Peer, http.Header, time.Time) (access.Posture, error) {
	return access.Posture{}, nil
}
func (p *parts) Latest(string) (access.Posture, bool)                                    { return access.Posture{}, false }
func (p *parts) Done(string, access.Decision, int, time.Duration, time.Duration, string) {}
func (p *parts) Observed(string, access.Observation)                                     {}
func (p *parts) HeadersDropped(int)                                                      {}
func (p *parts) Security(string)                                                         {}
func (p *parts) Limited(string)                                                          {}
func (p *parts) AuditFailed()                                                            { p.note("audit failed") }
func (p *parts) Streams(int)                                                             {}
func (p *parts) Value(string, access.Grant, access.Posture) string                       { return "" }
func (p *parts) JWKS() []byte                                                            { return nil }
func (p *parts) Assertion(access.Grant, access.Posture, string, string, time.Duration, time.Time) (string, error) {
	return "", nil
}
func (p *parts) Serve(http.ResponseWriter, *http.Request, proxy.Place) {}
func (p *parts) Link(http.ResponseWriter, *http.Request, access.Journey) string {
	return "https://gate.test/.anteroom/start"
}
func (p *parts) Write(w http.ResponseWriter, page pages.Page) { w.WriteHeader(page.Status) }
func (p *parts) Assets() http.Handler                         { return http.NotFoundHandler() }

func (p *parts) Record(_ context.Context, e *access.Event, durable bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := string(e.Kind)
	if durable {
		what += " on disk"
	}
	if p.refuse != nil {
		what += " refused"
	}
	p.journal, p.events = append(p.journal, what), append(p.events, *e)
	return p.refuse
}

type tracer struct{}

func (tracer) Open(context.Context, proxy.Opening) proxy.Trace { return tracer{} }
func (tracer) TraceID() string                                 { return "" }
func (tracer) Traceparent() string                             { return "" }
func (tracer) Exemplar() string                                { return "" }
func (tracer) Backend(http.Header)                             {}
func (tracer) BackendDone(int, error)                          {}
func (tracer) End(int)                                         {}

// serve sends one request through a gateway of these parts and returns its
// status. The backend notes when it is asked.
func (p *parts) serve(t *testing.T, deny bool, method, path string) int {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.note("backend")
		io.WriteString(w, "ok")
	}))
	defer backend.Close()
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	orders, err := routes.ParsePattern("/orders/**")
	if err != nil {
		t.Fatal(err)
	}
	table, err := routes.NewTable([]*routes.Route{{
		Name: "rx", Host: "rx.test", Prefix: "/", Issuers: []string{"https://login.test"}, Allow: []string{"nurse"}, Device: access.Profile{Name: "none", Any: true},
		Methods: []string{"GET", "POST"}, Backend: &routes.Backend{URL: u}, AuditDeny: deny,
		Rules: []routes.Rule{{When: routes.When{Path: &orders}, Demand: access.Demand{Rule: "amend", Within: time.Minute}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	pools, err := proxy.NewBackends(table, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pools.CloseIdle(nil)
	g := &proxy.Gateway{Sessions: p, Held: p, Grace: p, Audit: p, Tracer: tracer{}, Meter: p, Signer: p, Desk: p, Words: p, Log: slog.New(slog.DiscardHandler)}
	g.Use(&proxy.State{Table: table, Backends: pools, Devices: p, RolesOf: func(_ string, groups []string) []string { return groups }, SignInHost: "gate.test"})
	r := httptest.NewRequestWithContext(t.Context(), method, "https://rx.test"+path, nil)
	r.RequestURI, r.URL.Scheme, r.URL.Host = path, "", ""
	r.TLS = &tls.ConnectionState{ServerName: "rx.test"}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Code
}

// TestRecordedBeforeForwarded holds that no request reaches a backend before
// its decision is written down, on disk first where a rule applied, and what
// becomes of it when it cannot be.
func TestRecordedBeforeForwarded(t *testing.T) {
	full := errors.New("no space left on device")
	for _, c := range []struct {
		name         string
		who          proxy.Person
		deny         bool
		refuse       error
		method, path string
		status       int
		journal      string
	}{
		{"allowed", nora{[]string{"nurse"}}, true, nil, "GET", "/chart", 200, "access, backend, outcome"},
		{"allowed under a rule", nora{[]string{"nurse"}}, true, nil, "POST", "/orders/7", 200, "access on disk, backend, outcome"},
		{"refused", nora{[]string{"clerk"}}, true, nil, "GET", "/chart", 403, "access, outcome"},
		{"refused under a rule", nora{[]string{"clerk"}}, true, nil, "POST", "/orders/7", 403, "access on disk, outcome"},
		{"nobody", nil, true, nil, "GET", "/chart", 401, "access, outcome"},
		{"refused before a route was found", nil, true, nil, "GET", "/a/../b", 400, "access, outcome"},
		{"a method of nobody's", nil, true, nil, "TRACE", "/chart", 405, "access, outcome"},
		{"cannot be recorded", nora{[]string{"nurse"}}, true, full, "GET", "/chart", 503, "access refused, audit failed"},
		{"cannot be recorded, under a rule", nora{[]string{"nurse"}}, true, full, "POST", "/orders/7", 503, "access on disk refused, audit failed"},
		{"cannot be recorded, with an alarm", nora{[]string{"nurse"}}, false, full, "GET", "/chart", 200, "access refused, audit failed, backend"},
		{"cannot be recorded and is refused", nora{[]string{"clerk"}}, true, full, "GET", "/chart", 403, "access refused, audit failed"},
		{"an alarm grants nothing", nil, false, full, "GET", "/chart", 401, "access refused, audit failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &parts{who: c.who, refuse: c.refuse}
			if status := p.serve(t, c.deny, c.method, c.path); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if got := strings.Join(p.journal, ", "); got != c.journal {
				t.Errorf("what happened: %s\nwant: %s", got, c.journal)
			}
			for _, e := range p.events {
				if e.RequestID == "" || e.Host != "rx.test" {
					t.Errorf("a record of no request: %+v", e)
				}
			}
		})
	}
}
