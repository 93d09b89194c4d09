// Package signin takes one browser from a refused request through sign-in and
// back: the endpoints under /.anteroom/ that move browsers.
package signin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/held"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/session"
)

// Prefix begins the paths that belong to the gateway, on every host.
const Prefix = "/.anteroom/"

// Audit keeps the trail of what happened.
type Audit interface {
	// Record returns once e is written; durable, once it is flushed to disk.
	Record(ctx context.Context, e *access.Event, durable bool) error
}

// Codes keeps small values under one-time keys.
type Codes interface {
	// Create fails with store.ErrExists when key is there already.
	Create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error)
	// Take returns a value and removes it; of many callers exactly one gets it,
	// the others store.ErrNotFound.
	Take(ctx context.Context, key string) ([]byte, error)
}

// Tracer opens the spans of a sign-in.
type Tracer interface {
	// SignIn begins the span of one endpoint, linked to the request whose
	// traceparent is origin; "" links none. The function ends it.
	SignIn(ctx context.Context, endpoint, origin string) (context.Context, func())
}

// A Config is what a Desk works with. Functions are asked anew for each
// request, so that a reload takes effect at once.
type Config struct {
	URL       *url.URL                                      // gateway.url: the sign-in host, with the port that browsers use
	Providers func() []*authn.Provider                      // the first signs people in unless a journey names another
	Known     func(host string) bool                        // whether a host has a route, or is the sign-in host
	RolesOf   func(issuer string, groups []string) []string // the roles that an issuer's groups give
	Limits    func() access.Limits                          // the sessions' clocks; Max is how long a sign-out is remembered

	// Begun counts a browser that is about to be sent to a provider from an
	// address, as [Place] has it. It returns how long it has to wait when those
	// were too many, else zero; nil: none are.
	Begun func(source string, now time.Time) (wait time.Duration)

	Sessions *session.Keeper
	Held     *held.Keeper
	Codes    Codes
	Pages    *pages.Site
	Audit    Audit
	Tracer   Tracer // nil: no spans

	Keys []Key            // the first seals, all open
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger
}

// A Desk serves the sign-in endpoints of every host. It is safe for concurrent
// use, and keeps nothing of a browser but what the session and code stores hold.
type Desk struct {
	Config
	seal sealer
	host string // the sign-in host, canonical, without port
	port string // ":8443", or "" for the scheme's own
}

// New returns a desk. It fails when c lacks a part that it cannot do without.
func New(c Config) (*Desk, error) {
	switch {
	case c.URL == nil || c.URL.Hostname() == "":
		return nil, errors.New("signin: no gateway URL")
	case c.Providers == nil || c.Known == nil || c.RolesOf == nil || c.Limits == nil:
		return nil, errors.New("signin: a function of the configuration is missing")
	case c.Sessions == nil || c.Held == nil || c.Codes == nil || c.Pages == nil || c.Audit == nil || c.Log == nil:
		return nil, errors.New("signin: a part of the gateway is missing")
	}
	seal, err := newSealer(c.Keys)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Begun == nil {
		c.Begun = func(string, time.Time) time.Duration { return 0 }
	}
	d := &Desk{Config: c, seal: seal, host: strings.ToLower(c.URL.Hostname())}
	if port := c.URL.Port(); port != "" {
		d.port = ":" + port
	}
	return d, nil
}

// A Place is where and how a request came in, as its listener established it.
type Place struct {
	Host      string // canonical, no port; one that is served
	RequestID string
	SourceIP  string
	Device    access.Posture
	Warnings  []access.Warning // until when the device may go on as it is
}

// An endpoint is one path below [Prefix].
type endpoint struct {
	get, post  func(*Desk, http.ResponseWriter, *http.Request, Place)
	signInHost bool // there only on the sign-in host
	moves      bool // has effects, so that a prefetch must not reach it
}

func endpointOf(name string) (endpoint, bool) {
	switch name {
	case "start":
		return endpoint{get: (*Desk).start, signInHost: true, moves: true}, true
	case "callback":
		return endpoint{get: (*Desk).callback, signInHost: true, moves: true}, true
	case "return":
		return endpoint{get: (*Desk).arrive, moves: true}, true
	case "logout":
		return endpoint{get: (*Desk).askLogout, post: (*Desk).logout, moves: true}, true
	case "signed-out":
		return endpoint{get: (*Desk).signedOut, signInHost: true}, true
	case "backchannel-logout":
		return endpoint{post: (*Desk).backchannel, signInHost: true}, true
	case "session":
		return endpoint{get: (*Desk).session}, true
	case "done":
		return endpoint{get: (*Desk).done}, true
	}
	return endpoint{}, false
}

// Serve answers a request for a path under [Prefix] that this package knows,
// and 404 for the others. HEAD is answered as GET.
func (d *Desk) Serve(w http.ResponseWriter, r *http.Request, at Place) {
	e, ok := endpointOf(strings.TrimPrefix(r.URL.Path, Prefix))
	if !ok || e.signInHost && at.Host != d.host {
		d.page(w, at, pages.Page{Kind: pages.NoRoute})
		return
	}
	var serve func(*Desk, http.ResponseWriter, *http.Request, Place)
	var allow []string
	if e.get != nil {
		allow = append(allow, "GET", "HEAD")
	}
	if e.post != nil {
		allow = append(allow, "POST")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		serve = e.get
	case http.MethodPost:
		serve = e.post
	}
	if serve == nil {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		d.page(w, at, pages.Page{Kind: pages.MethodNotAllowed})
		return
	}
	if e.moves && prefetched(r) {
		// A guess of the browser must not spend a code or begin an attempt; it
		// asks again when its person really goes there.
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	serve(d, w, r, at)
}

func prefetched(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") || r.Header.Get("Purpose") == "prefetch"
}

// done is where a small window ends.
func (d *Desk) done(w http.ResponseWriter, r *http.Request, at Place) {
	d.page(w, at, pages.Page{Kind: pages.Done})
}

// page answers with p.
func (d *Desk) page(w http.ResponseWriter, at Place, p pages.Page) {
	p.RequestID = at.RequestID
	d.Pages.Write(w, p)
}

// unavailable answers for a fault of ours.
func (d *Desk) unavailable(w http.ResponseWriter, at Place, doing string, err error) {
	d.Log.Error(doing, "error", err, "request_id", at.RequestID)
	d.page(w, at, pages.Page{Kind: pages.Unavailable})
}

// redirect sends the browser to location, which must be absolute.
func redirect(w http.ResponseWriter, location string) {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// span begins the span of one endpoint, when there is a tracer.
func (d *Desk) span(ctx context.Context, endpoint, origin string) (context.Context, func()) {
	if d.Tracer == nil {
		return ctx, func() {}
	}
	return d.Tracer.SignIn(ctx, endpoint, origin)
}

// provider returns the provider of that name; nil when there is none.
func (d *Desk) provider(name string) *authn.Provider {
	i := slices.IndexFunc(d.Providers(), func(p *authn.Provider) bool { return p.String() == name })
	if i < 0 {
		return nil
	}
	return d.Providers()[i]
}

// providerOf returns the provider whose issuer that is; nil when there is none,
// or no longer.
func (d *Desk) providerOf(issuer string) *authn.Provider {
	for _, p := range d.Providers() {
		if p.Issuer() == issuer {
			return p
		}
	}
	return nil
}

// value returns what h is at now; nil when nobody is signed in, or no longer.
func (d *Desk) value(h *session.Handle, now time.Time) *access.Session {
	if h == nil {
		return nil
	}
	s := h.Value(now)
	if s.Ended || !now.Before(s.EndsAt) {
		return nil
	}
	if !now.Before(s.LocksAt) {
		s.Locked = true
	}
	s.Roles = d.RolesOf(s.Subject.Issuer, s.Groups)
	return &s
}

// alive returns the session of that id; nil when it has ended.
func (d *Desk) alive(id string, now time.Time) *access.Session {
	if id == "" {
		return nil
	}
	return d.value(d.Sessions.ByID(id), now)
}
