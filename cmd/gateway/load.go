package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/posture"
	"github.com/anteroom/anteroom/proxy"
	"github.com/anteroom/anteroom/routes"
)

// A Loaded is a configuration that passed every check that starting makes.
type Loaded struct {
	Config   *config.Config
	Table    *routes.Table
	Warnings []config.Warning
}

// Load reads the configuration file at path, builds its table and runs the
// tests of its routes. The error is a [config.Mistakes] where the file is wrong.
func Load(path string) (*Loaded, error) {
	c, warnings, err := config.Load(path)
	if err != nil {
		return &Loaded{Warnings: warnings}, err
	}
	table, err := routes.NewTable(c.Routes)
	if err != nil {
		return &Loaded{Warnings: warnings}, fmt.Errorf("%s: %w", path, err)
	}
	if wrong := c.Rehearse(table, time.Now()); len(wrong) > 0 {
		return &Loaded{Warnings: warnings}, wrong
	}
	return &Loaded{Config: c, Table: table, Warnings: warnings}, nil
}

// state builds what the proxy works by from l. Pools of connections that
// before has go on.
func (l *Loaded) state(before *proxy.State) (*proxy.State, error) {
	var old *proxy.Backends
	if before != nil {
		old = before.Backends
	}
	backends, err := proxy.NewBackends(l.Table, old)
	if err != nil {
		return nil, err
	}
	var sources []posture.Source
	for _, s := range l.Config.Posture.Sources {
		sources = append(sources, posture.Source(s))
	}
	devices := posture.New(sources)
	g := l.Config.Gateway
	return &proxy.State{
		Table: l.Table, Backends: backends, Devices: devices, DeviceHeaders: devices.HeaderNames(),
		RolesOf: l.Config.RolesOf, TrustedProxies: slices.Clone[[]netip.Prefix](g.TrustedProxies),
		SignInHost: g.URL.Hostname(), Port: g.URL.Port(), HSTS: !l.Config.TLS.SelfSigned,
		Limits: requestLimits(l.Config),
	}, nil
}

// hosts lists every host that is served, the sign-in host first.
func (l *Loaded) hosts() []string {
	all := []string{l.Config.Gateway.URL.Hostname()}
	for _, r := range l.Config.Routes {
		if !slices.Contains(all, r.Host) {
			all = append(all, r.Host)
		}
	}
	return all
}

// A registration is a provider and the configuration that made it.
type registration struct {
	config   authn.Config
	provider *authn.Provider
}

// providers returns a provider for each that l names. One that is configured as
// in before goes on, with what it has learnt of its issuer.
func (g *running) providers(l *Loaded, before []registration) []registration {
	var all []registration
	for _, p := range l.Config.Providers {
		c := providerConfig(l.Config, p)
		c.Log = g.log
		i := slices.IndexFunc(before, func(r registration) bool { return sameProvider(r.config, c) })
		if i >= 0 {
			all = append(all, before[i])
			continue
		}
		all = append(all, registration{c, authn.NewProvider(c)})
	}
	return all
}

// greetEvery is how often a provider is asked whether it answers.
const greetEvery = 10 * time.Second

// greetAll asks each provider for its documents before anybody waits for them,
// and then again and again, so that whoever watches hears of one that is down
// before the people do. That it is down is no reason not to start.
func (g *running) greetAll(ctx context.Context) {
	down := make(map[string]bool)
	tick := time.NewTicker(greetEvery)
	defer tick.Stop()
	for {
		for _, r := range g.known.load() {
			name, err := r.config.Name, r.provider.Check(ctx)
			if ctx.Err() != nil {
				return
			}
			g.telemetry.ProviderUp(name, err == nil)
			switch was := down[name]; {
			case err != nil && !was:
				g.log.Warn("the provider does not answer: nobody can sign in until it does", "provider", name, "error", err)
			case err == nil && was:
				g.log.Info("the provider answers again", "provider", name)
			}
			down[name] = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func providerConfig(c *config.Config, p config.Provider) authn.Config {
	return authn.Config{
		Name: p.Name, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: p.ClientSecret.Reveal(),
		Scopes: p.Scopes, Claims: authn.Claims(p.Claims),
		RedirectURL: c.Gateway.URL.String() + "/.anteroom/callback",
	}
}

func sameProvider(a, b authn.Config) bool {
	return a.Name == b.Name && a.Issuer == b.Issuer && a.ClientID == b.ClientID && a.ClientSecret == b.ClientSecret &&
		slices.Equal(a.Scopes, b.Scopes) && a.Claims == b.Claims && a.RedirectURL == b.RedirectURL
}
