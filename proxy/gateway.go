// Package proxy carries one request from the listener to a backend, or refuses it.
package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/routes"
)

// A Gateway answers every request of the TLS listener. Its fields are set
// before the first request; what a reload changes is in its [State].
type Gateway struct {
	Sessions Sessions
	Held     Held
	Grace    Grace
	Audit    Audit
	Tracer   Tracer
	Meter    Meter
	Signer   Signer
	Desk     Desk
	Words    Words
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now

	state   atomic.Pointer[State]
	streams streams
	taken   taken
	told    told
}

// ServeHTTP answers one request. Read downward it is the whole promise of the
// gateway: nothing is forwarded without a grant, and no decision goes unrecorded.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.serve(w, r, "") }

// On returns g as it answers on a listener of senders, by the name under which
// [Devices] knows that.
func (g *Gateway) On(listener string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, listener) })
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, listener string) {
	x := g.begin(w, r) // one state for the whole request, so that a reload never splits it
	x.listener = listener
	defer x.finish()

	if !x.enter() {
		return
	}
	defer x.leave()
	req, no := parse(r) // the one reading of the request; all below use it
	x.req = req
	if no == nil {
		x.found = g.Sessions.Find(r, x.req.Host, x.now)
	}
	if !x.within() {
		return
	}
	if no != nil {
		x.refuse(no)
		return
	}
	if own(&x.req) {
		x.serveOwn()
		return
	}
	route, err := x.state.Table.Match(&x.req)
	if err != nil {
		x.unmatched(err)
		return
	}
	x.route = route
	if no := x.readDevice(); no != nil {
		x.refuse(no)
		return
	}
	if no := x.admit(); no != nil { // method, size, upgrade, headers: what no sign-in can mend
		x.refuse(no)
		return
	}
	if isPreflight(r) {
		x.preflight()
		return
	}
	if x.found.Bad != "" {
		x.security("cookie_" + x.found.Bad)
		forgetSession(w)
	}
	if no := x.unwrap(); no != nil { // a release token becomes the request that was held under it
		x.refuse(no)
		return
	}
	if no := x.readFields(); no != nil {
		x.refuse(no)
		return
	}
	x.need = route.Need(&x.req)
	x.patient = route.PatientOf(&x.req)
	var q access.Question
	x.ask(&q)
	d := x.spend(&q, access.Decide(q))
	x.decided(&q, d)
	if err := x.record(d); err != nil {
		x.unrecorded(err)
		return
	}
	grant, ok := d.Grant()
	if !ok {
		x.answer(d)
		return
	}
	if x.forewarn() { // before the page, once; what it stands for comes with the next request
		return
	}
	x.forward(grant)
}

// A State is everything that a reload replaces as a whole.
type State struct {
	Table          *routes.Table
	Backends       *Backends
	Devices        Devices
	DeviceHeaders  []string // names that posture sources use
	RolesOf        func(issuer string, groups []string) []string
	TrustedProxies []netip.Prefix
	Providers      []string // the names of all, for whoever signs in on the sign-in host itself
	SignInHost     string   // canonical
	Port           string   // that browsers use; "" for 443
	HSTS           bool
	Zone           *time.Location // for the times that people read; nil: UTC
	Limits         Limits

	protection protection
	origins    map[string]string // of the hosts that are served
}

// Use puts s in force for the requests that begin from now on.
func (g *Gateway) Use(s *State) {
	names := slices.Clone(s.DeviceHeaders)
	for _, r := range s.Table.Routes() {
		if r.Backend == nil {
			continue
		}
		for _, h := range r.Backend.Headers {
			names = append(names, h.Header)
		}
		if r.Backend.Assertion.Header != "" {
			names = append(names, r.Backend.Assertion.Header)
		}
	}
	s.protection = newProtection(names)
	s.origins = map[string]string{s.SignInHost: s.origin(s.SignInHost)}
	for _, r := range s.Table.Routes() {
		s.origins[r.Host] = s.origin(r.Host)
	}
	g.state.Store(s)
}

// origin returns the origin that browsers see host under.
func (s *State) origin(host string) string {
	if o, ok := s.origins[host]; ok {
		return o
	}
	if s.Port == "" || s.Port == "443" {
		return "https://" + host
	}
	return "https://" + host + ":" + s.Port
}

// authority returns host as it stands in a Host header.
func (s *State) authority(host string) string {
	return strings.TrimPrefix(s.origin(host), "https://")
}

// own reports whether a path belongs to the gateway, however it is spelled.
func own(req *routes.Request) bool {
	for _, form := range [2][]string{req.Path.Segments, req.Path.Resolved} {
		if len(form) > 0 && strings.EqualFold(form[0], ".anteroom") {
			return true
		}
	}
	return false
}

// unmatched answers where no route governs. The sign-in host has a front page
// of its own, for whoever types its name.
func (x *exchange) unmatched(err error) {
	here := x.req.Host == x.state.SignInHost
	switch {
	case here && x.req.Path.Escaped == "/" && (x.req.Method == "GET" || x.req.Method == "HEAD"):
		x.decision = access.Decision{Verdict: access.Allow, Reason: access.Public} // as in serveOwn
		x.home()
	case errors.Is(err, routes.ErrHost) && !here:
		x.refuse(refuse(wrongHost, "no route on this host"))
	case errors.Is(err, routes.ErrTolerance):
		x.refuse(refuse(badRequest, "path spelling"))
	default:
		x.refuse(refuse(noRoute, "no route for this path"))
	}
}

// home shows the sign-in host's own front page: who is signed in, or where to.
func (x *exchange) home() {
	p := pages.Page{Kind: pages.Home, RequestID: x.id}
	if s := x.found.Person; s != nil {
		if v := s.Value(x.now); !v.Ended && !v.Locked {
			p.Who = v.Display()
		}
	}
	if p.Who == "" {
		p.Continue = x.g.Desk.Link(x.w, x.r, access.Journey{
			Host: x.req.Host, Return: "/", Front: "/", Providers: x.state.Providers,
			Reason: access.NoSession, NotBefore: x.found.EndedAt, Method: x.req.Judged(), RequestID: x.id,
		})
	}
	x.g.Words.Write(x.w, p)
}

// HeadersTooLarge answers a request whose header is over the listener's limit.
// Nothing of it is looked at but what kind of answer it wants.
func (g *Gateway) HeadersTooLarge(w http.ResponseWriter, r *http.Request) {
	x := g.begin(w, r)
	defer x.finish()
	defer x.leave()
	if host, err := canonicalHost(r.Host); err == nil {
		x.req.Host = host
	}
	if x.within() {
		x.refuse(refuse(headersTooLarge, "header"))
	}
}

func (g *Gateway) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

// background runs with a request's values but not its cancellation: what must
// still be written when the client has gone.
func (x *exchange) background() context.Context {
	x.lasting.r = x.r
	return &x.lasting
}

// A lasting context is what [context.WithoutCancel] returns, with no object of
// its own.
type lasting struct{ r *http.Request }

func (lasting) Deadline() (t time.Time, ok bool) { return }
func (lasting) Done() <-chan struct{}            { return nil }
func (lasting) Err() error                       { return nil }
func (l *lasting) Value(key any) any             { return l.r.Context().Value(key) }
