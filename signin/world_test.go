package signin_test

import (
	"bytes"
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/held"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/signin"
	"github.com/anteroom/anteroom/store"
)

const (
	gate = "gate.test" // the sign-in host
	ehr  = "ehr.test"
	img  = "img.test"
	port = ":8443"
)

var strong = access.Login{Name: "strong", ACR: []string{"phr"}}

// A world is a desk with real stores around it, a provider, and on every other
// host an application that refuses the way the gateway does.
type world struct {
	t        testing.TB
	desk     *signin.Desk
	sessions *session.Keeper
	held     *held.Keeper
	provider *anteroomtest.Provider
	trail    *trail

	mu     sync.Mutex
	ahead  time.Duration
	limits access.Limits
	holds  []string // ids of requests that were held
}

type trail struct {
	mu     sync.Mutex
	events []access.Event
	fail   error
}

func (tr *trail) Record(_ context.Context, e *access.Event, _ bool) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.fail != nil {
		return tr.fail
	}
	c := *e
	if e.Session != nil {
		s := *e.Session
		c.Session = &s
	}
	tr.events = append(tr.events, c)
	return nil
}

func (tr *trail) failing(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.fail = err
}

// told returns "kind verdict reason username" of each event, and forgets them.
func (tr *trail) told() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var all []string
	for _, e := range tr.events {
		line := string(e.Kind)
		for _, word := range []string{e.Verdict, string(e.Reason)} {
			if word != "" {
				line += " " + word
			}
		}
		if e.Session != nil {
			line += " " + e.Session.Username
		}
		all = append(all, line)
	}
	tr.events = nil
	return all
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, trail: &trail{}, provider: anteroomtest.NewProvider(t),
		limits: access.Limits{LockAfter: 5 * time.Minute, EndAfter: 30 * time.Minute, Max: 13 * time.Hour}}
	w.provider.Person(nora())
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	kept, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Key: bytes.Repeat([]byte{1}, 32), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	bucket := func(name string) *store.Bucket {
		b, err := kept.Bucket(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	limits := func() access.Limits {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.limits
	}
	w.sessions, err = session.Open(ctx, session.Config{
		Bucket: bucket("sessions"), Now: w.now, Limits: limits, Log: log,
		Keys: []session.CookieKey{{Hash: bytes.Repeat([]byte{2}, 32), Block: bytes.Repeat([]byte{3}, 32)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.sessions.Close() })
	if w.held, err = held.New(held.Config{Bucket: bucket("held"), Keys: [][]byte{bytes.Repeat([]byte{4}, 32)}, Now: w.now}); err != nil {
		t.Fatal(err)
	}
	site, err := pages.New(pages.Options{})
	if err != nil {
		t.Fatal(err)
	}
	provider := authn.NewProvider(authn.Config{
		Name: "hospital", Issuer: w.provider.URL, ClientID: w.provider.ClientID, ClientSecret: w.provider.ClientSecret,
		Claims:      authn.Claims{Username: "preferred_username", Name: "name", Groups: "groups"},
		RedirectURL: "https://" + gate + port + "/.anteroom/callback", Now: w.now,
	})
	if err := provider.Check(ctx); err != nil { // as a gateway does at its start
		t.Fatal(err)
	}
	w.desk, err = signin.New(signin.Config{
		URL:       &url.URL{Scheme: "https", Host: gate + port},
		Providers: func() []*authn.Provider { return []*authn.Provider{provider} },
		Known:     func(host string) bool { return slices.Contains([]string{gate, ehr, img}, host) },
		RolesOf: func(_ string, groups []string) []string {
			if slices.Contains(groups, "ehr-nurses") {
				return []string{"nurse"}
			}
			return nil
		},
		Limits: limits, Sessions: w.sessions, Held: w.held, Codes: bucket("codes"), Pages: site, Audit: w.trail,
		Keys: []signin.Key{{Hash: bytes.Repeat([]byte{5}, 32), Block: bytes.Repeat([]byte{6}, 32)}},
		Now:  w.now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// limit sets the sessions' clocks, for those that begin from now on.
func (w *world) limit(l access.Limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limits = l
}

// pass lets time go by, everywhere.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	w.ahead += d
	w.provider.Skew(w.ahead)
	w.mu.Unlock()
}

func nora() anteroomtest.Person {
	return anteroomtest.Person{Sub: "u-nora", Username: "nora", Groups: []string{"ehr-nurses"},
		ACR: "pwd", AMR: []string{"pwd"}, CanACR: []string{"phr"}, CanAMR: []string{"hwk"}}
}

func piet() anteroomtest.Person {
	return anteroomtest.Person{Sub: "u-piet", Username: "piet", Groups: []string{"ehr-physicians"},
		ACR: "pwd", AMR: []string{"pwd"}}
}

// ServeHTTP answers for every host of the gateway.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	host := strings.TrimSuffix(r.Host, port)
	if strings.HasPrefix(r.URL.Path, signin.Prefix) {
		w.desk.Serve(rw, r, signin.Place{Host: host, RequestID: "req-1", SourceIP: "192.0.2.7"})
		return
	}
	w.app(rw, r, host)
}

// app stands for the gateway's proxy and a backend behind it: /rx wants a
// strong sign-in, /fresh one of the last five minutes, /each one of its own.
func (w *world) app(rw http.ResponseWriter, r *http.Request, host string) {
	now := w.now()
	found := w.sessions.Find(r, host, now)
	j := access.Journey{Host: host, Return: r.URL.RequestURI(), Front: "/front", Route: "app", Method: r.Method, Reason: access.NoSession}
	h := held.Request{Host: host, Method: r.Method, Target: r.URL.RequestURI(), Route: "app", Header: http.Header{}}
	body, _ := io.ReadAll(r.Body)
	once := false
	switch s := found.Handle; {
	case s != nil:
		v := s.Value(now)
		if token, ok := strings.CutPrefix(string(body), held.Field+"="); ok && r.Method == "POST" {
			req, proof, err := w.held.Redeem(r.Context(), token)
			if err != nil || proof.Session != s.ID() || req.Subject != v.Subject {
				http.Error(rw, "gone", http.StatusConflict)
				return
			}
			io.WriteString(rw, "did "+req.Method+" "+req.Target+" "+string(req.Body)+" for "+v.Username)
			return
		}
		j.Session, j.Subject = s.ID(), v.Subject
		h.Session, h.Subject = s.ID(), v.Subject
		once = s.Once(r.Method, host, r.URL.RequestURI(), now)
		switch path := r.URL.Path; {
		case v.Locked:
			j.Reason, j.NotBefore = access.SessionLocked, s.LockedSince(now)
			if path == "/rx" { // asked for along with the unlock
				j.Logins = []access.Login{strong}
			}
		case path == "/rx" && !strong.ProvenBy(v.ACR, v.AMR):
			j.Reason, j.Logins, j.Rule = access.WeakLogin, []access.Login{strong}, "prescribe"
		case path == "/fresh" && now.Sub(v.FreshAt) > 5*time.Minute:
			j.Reason, j.Within, j.Rule = access.OldLogin, 5*time.Minute, "amend"
		case path == "/each" && !once:
			j.Reason, j.EachTime, j.Rule = access.OnceUsed, true, "export"
		default:
			w.sessions.Use(r.Context(), s, access.Limits{}, true, now)
			io.WriteString(rw, "hello "+v.Username+" at "+r.URL.RequestURI())
			return
		}
	case found.Tombstone != nil:
		j.Reason, j.NotBefore = access.SessionEnded, found.Tombstone.At
		h.Session, h.Subject = found.Tombstone.Session, found.Tombstone.Subject
		if r.Method == "POST" {
			j.Session, j.Subject = h.Session, h.Subject
		}
	}
	if r.Method == "POST" && j.Reason != access.NoSession {
		h.Body = body
		id, err := w.held.Hold(r.Context(), h)
		if err != nil {
			w.t.Error(err)
		}
		j.Held, w.holds = id, append(w.holds, id)
		io.WriteString(rw, `<a id="anteroom-continue" href="`+html.EscapeString(w.desk.Link(rw, r, j))+`">on</a>`)
		return
	}
	if r.Header.Get("X-Window") != "" {
		j.Window = true
	}
	j.Frame = r.Header.Get("Sec-Fetch-Dest") == "iframe"
	rw.Header().Set("Location", w.desk.Link(rw, r, j))
	rw.WriteHeader(http.StatusSeeOther)
}

// wantTold checks what the trail was told since it was last asked.
func (w *world) wantTold(want ...string) {
	w.t.Helper()
	if got := w.trail.told(); !slices.Equal(got, want) {
		w.t.Errorf("audit trail:\n got %q\nwant %q", got, want)
	}
}

// heldIDs returns what is held of all requests the application held so far.
func (w *world) heldIDs() (there []string) {
	for _, id := range w.holds {
		if _, err := w.held.Peek(context.Background(), id); err == nil {
			there = append(there, id)
		}
	}
	return there
}
