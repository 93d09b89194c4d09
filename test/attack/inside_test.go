package attack_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/inject"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/posture"
	"github.com/anteroom/anteroom/proxy"
	"github.com/anteroom/anteroom/routes"
)

// An inside is the part of the gateway that reads requests and writes them
// anew, whole and as it is, without what would slow a fuzzer: no TLS, and
// sessions, trail and words that are stand-ins.
type inside struct {
	*posture.Sources
	*inject.Signer
	addresses map[string]string // by host
}

// noGrace remembers nothing of devices.
type noGrace struct{}

func (noGrace) Of(string) ([]access.Lapse, bool) { return nil, true }

func (noGrace) Note(string, []access.Check, []access.Failure, time.Time) {}

// devices are the sources in the proxy's words.
type devices struct{ *posture.Sources }

func (d devices) Read(from proxy.Peer, h http.Header, now time.Time) (access.Posture, error) {
	return d.Sources.Read(posture.Peer(from), h, now)
}

func (d devices) Admit(from proxy.Peer, now time.Time) error {
	return d.Sources.Admit(posture.Peer(from), now)
}

// The cookie of each person; it counts on their own host only.
var insideCookies = map[string]string{"ehr.test": "eve", "loose.test": "nora"}

func newInside(t testing.TB, w *world) *inside {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	in := &inside{addresses: make(map[string]string)}
	if in.Signer, err = inject.NewSigner(key, "https://gate.test"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := strings.NewReplacer("{port}", w.Port, "{issuer}", "https://login.test", "{dir}", dir, "client_secret: ${file:secret}", "client_secret: ${env:PATH}").Replace(w.catalogue(anteroomtest.Fixture))
	file := filepath.Join(dir, "anteroom.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var sources []posture.Source
	for _, s := range c.Posture.Sources {
		from := posture.Source{Name: s.Name, AssertionMaxAge: s.AssertionMaxAge, Map: s.Map}
		for _, one := range s.Senders {
			from.Senders = append(from.Senders, posture.Sender(one))
		}
		sources = append(sources, from)
	}
	in.Sources = posture.New(sources)
	table, err := routes.NewTable(c.Routes)
	if err != nil {
		t.Fatal(err)
	}
	pools, err := proxy.NewBackends(table, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &proxy.Gateway{Sessions: in, Held: in, Grace: noGrace{}, Audit: in, Tracer: unseen{}, Meter: in, Signer: in, Desk: in, Words: in, Log: slog.New(slog.DiscardHandler)}
	g.Use(&proxy.State{Table: table, Backends: pools, Devices: devices{in.Sources}, DeviceHeaders: in.HeaderNames(), RolesOf: c.RolesOf, SignInHost: "gate.test", Port: w.Port})
	for host := range insideCookies {
		in.addresses[host] = listen(t, g, host)
	}
	return in
}

// listen serves g as if every handshake had been for host.
func listen(t testing.TB, g http.Handler, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.TLS = &tls.ConnectionState{ServerName: host}
			g.ServeHTTP(w, r)
		}),
		Protocols: &protocols, MaxHeaderBytes: 32 << 10, DisableGeneralOptionsHandler: true, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// A resident is signed in, and stays so.
type resident struct{ who anteroomtest.Person }

func (p resident) Value(now time.Time) access.Session {
	return access.Session{ID: p.who.Username, LocksAt: now.Add(time.Minute), EndsAt: now.Add(time.Hour), Authentication: access.Authentication{
		Subject: access.Subject{Issuer: "https://login.test", Sub: p.who.Sub}, Username: p.who.Username, Name: p.who.Name, Groups: p.who.Groups, FreshAt: now.Add(-20 * time.Minute),
	}}
}
func (resident) LockedSince(time.Time) time.Time       { return time.Time{} }
func (resident) Once(_, _, _ string, _ time.Time) bool { return false }
func (resident) Owns(_, _, _ string) bool              { return false }

func (*inside) Find(r *http.Request, host string, _ time.Time) proxy.Found {
	cookies := r.CookiesNamed("__Host-anteroom")
	switch {
	case len(cookies) == 0:
		return proxy.Found{}
	case len(cookies) > 1:
		return proxy.Found{Bad: "duplicate"}
	case cookies[0].Value != insideCookies[host]:
		return proxy.Found{Bad: "broken"}
	case host == "ehr.test":
		return proxy.Found{Person: resident{anteroomtest.Eve}}
	}
	return proxy.Found{Person: resident{anteroomtest.Nora}}
}

func (*inside) Use(context.Context, proxy.Person, access.Limits, bool, time.Time) error { return nil }
func (*inside) Spend(context.Context, proxy.Person, string, string, string, time.Time) (bool, error) {
	return false, nil
}
func (*inside) Pin(context.Context, proxy.Person, string) error                         { return nil }
func (*inside) End(context.Context, string, access.Reason) error                        { return nil }
func (*inside) EndDevice(context.Context, string, access.Reason) error                  { return nil }
func (*inside) Remember(proxy.Person, string, []*http.Cookie)                           {}
func (*inside) Hold(context.Context, proxy.HeldRequest) (string, error)                 { return "held", nil }
func (*inside) Record(context.Context, *access.Event, bool) error                       { return nil }
func (*inside) Done(string, access.Decision, int, time.Duration, time.Duration, string) {}
func (*inside) Observed(string, access.Observation)                                     {}
func (*inside) HeadersDropped(int)                                                      {}
func (*inside) Security(string)                                                         {}
func (*inside) Limited(string)                                                          {}
func (*inside) AuditFailed()                                                            {}
func (*inside) Streams(int)                                                             {}
func (*inside) Serve(w http.ResponseWriter, _ *http.Request, _ proxy.Place)             { w.WriteHeader(204) }
func (*inside) Write(w http.ResponseWriter, p pages.Page)                               { w.WriteHeader(max(p.Status, 200)) }
func (*inside) Assets() http.Handler                                                    { return http.NotFoundHandler() }
func (*inside) Token(string, []byte) (string, bool)                                     { return "", false }
func (*inside) Value(word string, g access.Grant, p access.Posture) string {
	return inject.Value(word, g, p)
}
func (*inside) Redeem(context.Context, string) (proxy.HeldRequest, error) {
	return proxy.HeldRequest{}, proxy.ErrHeldGone
}
func (*inside) Link(http.ResponseWriter, *http.Request, access.Journey) string {
	return "https://gate.test/.anteroom/start?j=x"
}
func (in *inside) Assertion(g access.Grant, p access.Posture, route, audience string, ttl time.Duration, now time.Time) (string, error) {
	return in.Signer.Assertion(g, p, inject.Audience{Route: route, Audience: audience, TTL: ttl}, now)
}

// An unseen trace goes nowhere.
type unseen struct{}

func (unseen) Open(context.Context, proxy.Opening) proxy.Trace { return unseen{} }
func (unseen) TraceID() string                                 { return "" }
func (unseen) Traceparent() string                             { return "" }
func (unseen) Exemplar() string                                { return "" }
func (unseen) Backend(http.Header)                             {}
func (unseen) BackendDone(int, error)                          {}
func (unseen) End(int)                                         {}
