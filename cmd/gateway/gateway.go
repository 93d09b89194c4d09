// Package gateway builds the parts of a gateway from a configuration file, and
// runs them until told to stop.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/grace"
	"github.com/anteroom/anteroom/held"
	"github.com/anteroom/anteroom/keys"
	"github.com/anteroom/anteroom/listen"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/proxy"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/signin"
	"github.com/anteroom/anteroom/store"
	"github.com/anteroom/anteroom/telemetry"
)

// Options say which gateway to run.
type Options struct {
	ConfigFile string
	Version    string
	Log        *slog.Logger

	// Ready, when set, is told the addresses once every listener is open.
	Ready func(Addresses)
	// Grace is how long a stopping gateway goes on accepting, already not
	// ready, so that a balancer looks away. Zero is 5 s; less than zero none.
	Grace time.Duration

	// Listener, when set, takes the place of gateway.listen.
	Listener net.Listener
	// Inherited are sockets that were open before, each for the address of the
	// configuration that it is bound to.
	Inherited []net.Listener
}

// Addresses are where a gateway listens, with the ports it was given.
type Addresses struct {
	TLS, Redirect, Admin string
	Senders              []string // of posture sources, in the order of the file
}

// running is a gateway and everything it has opened.
type running struct {
	file     string
	log      *slog.Logger
	loaded   current[*Loaded]
	state    current[*proxy.State]
	known    current[[]registration]
	clients  clients
	draining atomic.Bool

	store     *store.Store
	sessions  *session.Keeper
	journal   *audit.Journal
	fan       *fan
	telemetry *telemetry.Telemetry
	proxy     *proxy.Gateway
	server    *listen.Server
	rotation  *rotation
}

// Run builds the gateway that o names and serves until ctx ends; then it
// drains. The error says what could not be built, or what broke.
func Run(ctx context.Context, o Options) (err error) {
	l, err := Load(o.ConfigFile)
	if err != nil {
		return err
	}
	g := &running{file: o.ConfigFile, log: o.Log}
	g.loaded.store(l)
	for _, w := range l.Warnings {
		g.log.Warn(w.Message, "at", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column))
	}

	// What is opened is closed in reverse, whether it ran or could not start.
	var closers []func() error
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			if cerr := closers[i](); cerr != nil {
				err = errors.Join(err, cerr)
			}
		}
	}()
	closing := func(f func() error) { closers = append(closers, f) }

	dir := l.Config.Gateway.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data_dir: %w", err)
	}
	release, err := store.LockDir(dir)
	if err != nil {
		return err
	}
	closing(func() error { release(); return nil })
	changing := keys.Waiting(filepath.Join(dir, "keys"))
	roots, err := keys.Turn(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	g.known.store(g.providers(g.loaded.load(), nil)) // first, so that they are asked while the store is read
	if err := g.open(ctx, roots, dir, o.Version, closing); err != nil {
		return err
	}
	if changing {
		g.log.Info("a new root key took over", "root", roots[0].ID())
		if err := g.note(access.EventConfig, "root_key_changed", roots[0].ID()); err != nil {
			return fmt.Errorf("record the change of the root key: %w", err)
		}
	}
	if err := g.listen(ctx, o); err != nil {
		return err
	}

	g.endStrays(ctx)
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	watched := make(chan struct{})
	go func() { defer close(watched); g.watch(work) }()
	go g.proxy.WatchStreams(work)
	go g.greetAll(work)
	turned := make(chan struct{})
	go func() { defer close(turned); g.rotate(work) }()
	return g.serve(ctx, o, func() { stopWork(); <-watched; <-turned })
}

// open builds every part but the listeners.
func (g *running) open(ctx context.Context, roots []keys.Root, dir, version string, closing func(func() error)) error {
	c := g.loaded.load().Config
	root := roots[0] // makes and seals; what the one before made still opens
	stored, err := keys.OpenStore(filepath.Join(dir, "keys"), roots)
	if err != nil {
		return err
	}
	var cookies []session.CookieKey
	var journeys []signin.Key
	var holding [][]byte
	for _, r := range roots {
		cookies = append(cookies, session.CookieKey{Hash: r.Derive("cookie hash", 32), Block: r.Derive("cookie block", 32)})
		journeys = append(journeys, signin.Key{Hash: r.Derive("journey hash", 32), Block: r.Derive("journey block", 32)})
		holding = append(holding, r.Derive("held requests", 32))
	}
	if g.telemetry, err = telemetry.Setup(ctx, telemetry.Config{
		OTLP: c.Telemetry.OTLP, Sample: c.Telemetry.Sample, ServiceVersion: version,
		PseudonymKey: root.Derive("pseudonyms", 32), Log: g.log,
	}); err != nil {
		return err
	}
	closing(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := g.telemetry.Shutdown(ctx); err != nil {
			g.log.Warn("telemetry", "error", err)
		}
		return nil
	})
	if g.fan, err = g.feeds(dir, version); err != nil {
		return err
	}
	every := time.Duration(0)
	if c.Audit.CopyDir != "" {
		every = time.Minute // what was written since the last checkpoint is in no copy
	}
	if g.journal, err = audit.Open(audit.Options{
		Dir: filepath.Join(dir, "audit"), Key: auditKey(root), Retain: c.Audit.Retain, Needed: g.fan.needed, CheckpointAfter: every, Log: g.log,
	}); err != nil {
		return err
	}
	feeding, stopFeeds := context.WithCancel(context.WithoutCancel(ctx))
	fed := make(chan struct{})
	go func() { defer close(fed); g.fan.run(feeding) }()
	closing(func() error { stopFeeds(); <-fed; return nil }) // after the journal, so that its end is sent too
	closing(g.journal.Close)
	if g.store, err = store.Open(ctx, store.Options{Dir: filepath.Join(dir, "store"), Key: stored, Log: g.log}); err != nil {
		return err
	}
	closing(g.store.Close)
	buckets := make(map[string]*store.Bucket)
	for _, name := range []string{"sessions", "held", "codes", "grace"} {
		if buckets[name], err = g.store.Bucket(ctx, name); err != nil {
			return err
		}
	}
	limits := func() access.Limits { return g.loaded.load().Config.Sessions }
	if g.sessions, err = session.Open(ctx, session.Config{
		Bucket: buckets["sessions"], Keys: cookies,
		Limits: limits, PerPerson: func() int { return g.loaded.load().Config.Limits.SessionsPerPerson }, Log: g.log, OnChange: g.changed,
	}); err != nil {
		return err
	}
	closing(g.sessions.Close)
	kept, err := held.New(held.Config{Bucket: buckets["held"], Keys: holding, MaxAll: c.Limits.Held, MaxPerSession: c.Limits.HeldPerSession})
	if err != nil {
		return err
	}
	g.telemetry.CountSessions(g.sessions.Len)
	g.telemetry.CountHeld(kept.Len)
	lapses, err := grace.Open(ctx, buckets["grace"], g.log)
	if err != nil {
		return err
	}
	closing(lapses.Close)
	g.telemetry.CountEndingGrace(func() int {
		return lapses.Ending(24*time.Hour, time.Now(), g.loaded.load().Config.WarnFor)
	})
	site, err := pages.New(pages.Options{Help: c.Gateway.Help})
	if err != nil {
		return err
	}
	signing, err := g.openRotation(dir, roots)
	if err != nil {
		return err
	}
	reception, err := signin.New(signin.Config{
		URL: c.Gateway.URL,
		Providers: func() []*authn.Provider {
			var all []*authn.Provider
			for _, r := range g.known.load() {
				all = append(all, r.provider)
			}
			return all
		},
		Known: func(host string) bool {
			s := g.state.load()
			return host == s.SignInHost || s.Table.Host(host)
		},
		RolesOf: func(issuer string, groups []string) []string { return g.loaded.load().Config.RolesOf(issuer, groups) },
		Begun:   g.signInBegun,
		Limits:  limits, Sessions: g.sessions, Held: kept, Codes: buckets["codes"], Pages: site,
		Audit: trail{g.journal, g.telemetry}, Tracer: tracer{g.telemetry}, Log: g.log,
		Keys: journeys,
	})
	if err != nil {
		return err
	}
	g.proxy = &proxy.Gateway{
		Sessions: sessions{g.sessions}, Held: requests{kept}, Grace: lapses, Audit: g.journal, Tracer: tracer{g.telemetry},
		Meter: meter{g.telemetry}, Signer: signer{signing}, Desk: desk{reception}, Words: site, Log: g.log,
	}
	s, err := g.loaded.load().state(nil)
	if err != nil {
		return err
	}
	g.state.store(s)
	g.proxy.Use(s)
	return nil
}

// changed writes down what time alone did to a session.
func (g *running) changed(c session.Change) {
	s := c.Session
	s.Roles = g.loaded.load().Config.RolesOf(s.Subject.Issuer, s.Groups)
	if c.Detail == session.TooMany {
		g.telemetry.Limited(c.Detail)
	}
	e := &access.Event{Kind: c.Kind, Reason: c.Why, Session: &s, Detail: c.Detail}
	if err := g.journal.Record(context.Background(), e, false); err != nil {
		g.telemetry.AuditFailed()
		g.log.Error("record a change of a session", "event", string(c.Kind), "error", err)
	}
}

// note records what the gateway itself did.
func (g *running) note(kind access.EventKind, reason access.Reason, detail string) error {
	return g.journal.Record(context.Background(), &access.Event{Kind: kind, Reason: reason, Detail: detail}, true)
}

// admin serves what watches over the gateway.
func (g *running) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		switch err := errors.Join(g.store.Healthy(ctx), g.journal.Healthy()); {
		case g.draining.Load():
			http.Error(w, "not ready: stopping", http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "ready")
		}
	})
	mux.Handle("GET /metrics", g.telemetry.MetricsHandler())
	return mux
}
