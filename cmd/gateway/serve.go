package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/keys"
	"github.com/anteroom/anteroom/listen"
	"github.com/anteroom/anteroom/store/certs"
	"github.com/anteroom/anteroom/telemetry"
)

// listen opens the listeners that the configuration names.
func (g *running) listen(ctx context.Context, o Options) error {
	l := g.loaded.load()
	c := l.Config
	var pairs []listen.Pair
	for _, p := range c.TLS.Certificates {
		pairs = append(pairs, listen.Pair(p))
	}
	authority, err := g.authority(ctx, c.TLS.ACME)
	if err != nil {
		return err
	}
	server, err := listen.New(listen.Config{
		Addr: c.Gateway.Listen, RedirectAddr: c.Gateway.RedirectListen, AdminAddr: c.Gateway.AdminListen, Listener: o.Listener, Inherited: o.Inherited,
		Handler: g.proxy, Mutual: g.mutual(), Admin: g.admin(), HeadersTooLarge: http.HandlerFunc(g.proxy.HeadersTooLarge),
		Certificates: pairs, SelfSigned: c.TLS.SelfSigned, ACME: authority, DataDir: c.Gateway.DataDir,
		Hosts: l.hosts(), MinVersion: c.TLS.MinVersion, ExternalPort: c.Gateway.URL.Port(),
		Limits: listenLimits(c),
		Grace:  o.Grace, Log: g.log,
		Hooks: listen.Hooks{
			Draining:     func() { g.draining.Store(true) },
			Reloaded:     func(error) { g.expiry() }, // listen has logged it
			NotIssued:    g.telemetry.NotIssued,
			Refused:      g.refused,
			Crowded:      g.crowded,
			Stalled:      func() { g.telemetry.Limited("stall") },
			CloseStreams: func(context.Context) { g.proxy.CloseStreams() },
		},
	})
	if err != nil {
		return err
	}
	g.server = server
	g.expiry()
	return nil
}

// authority returns the ACME authority of the configuration, with its storage
// in the store; nil when there is none.
func (g *running) authority(ctx context.Context, a *config.ACME) (*listen.ACME, error) {
	if a == nil {
		return nil, nil
	}
	bucket, err := g.store.Bucket(ctx, "certs")
	if err != nil {
		return nil, err
	}
	out := &listen.ACME{Directory: a.Directory, Email: a.Email, Storage: certs.New(bucket)}
	if a.Roots != "" {
		out.Roots = x509.NewCertPool()
		out.Roots.AppendCertsFromPEM([]byte(a.Roots))
	}
	return out, nil
}

// expiry tells the metrics when the certificates end.
func (g *running) expiry() {
	if g.server != nil {
		g.telemetry.CertificateExpires(g.loaded.load().Config.Gateway.URL.Hostname(), g.server.CertificateExpiry())
	}
}

// serve runs the listeners until ctx ends and they have drained; then it calls
// stop and says in the trail that it stopped.
func (g *running) serve(ctx context.Context, o Options, stop func()) error {
	if err := g.note(access.EventStart, "started", o.Version); err != nil {
		g.server.Close()
		return fmt.Errorf("record the start: %w", err)
	}
	go func() {
		select {
		case <-g.server.Ready():
			if o.Ready != nil {
				a := Addresses{TLS: g.server.Addr().String()}
				if at := g.server.RedirectAddr(); at != nil {
					a.Redirect = at.String()
				}
				if at := g.server.AdminAddr(); at != nil {
					a.Admin = at.String()
				}
				for _, at := range g.server.MutualAddrs() {
					a.Senders = append(a.Senders, at.String())
				}
				o.Ready(a)
			}
		case <-ctx.Done():
		}
	}()
	err := g.server.Run(ctx)
	stop()
	if noteErr := g.note(access.EventStop, "stopped", ""); noteErr != nil {
		err = errors.Join(err, fmt.Errorf("record the stop: %w", noteErr))
	}
	return err
}

// auditKey signs the checkpoints of the trail.
func auditKey(root keys.Root) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(root.Derive("audit checkpoints", ed25519.SeedSize))
}

// Logger returns the gateway's logger: JSON lines on w.
func Logger(w io.Writer, level slog.Level) *slog.Logger { return telemetry.Logger(w, level) }

// AskProviders asks each provider for its discovery document and keys, and
// returns what is wrong with them.
func (l *Loaded) AskProviders(ctx context.Context) error {
	var all []error
	for _, p := range l.Config.Providers {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := authn.NewProvider(providerConfig(l.Config, p)).Check(ctx); err != nil {
			all = append(all, fmt.Errorf("provider %q: %w", p.Name, err))
		}
		cancel()
	}
	return errors.Join(all...)
}
