package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

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
	sources := posture.New(sourcesOf(l.Config))
	if before != nil {
		sources.Continue(before.Devices.(devices).Sources)
	}
	g := l.Config.Gateway
	var providers []string
	for _, p := range l.Config.Providers {
		providers = append(providers, p.Name)
	}
	return &proxy.State{
		Table: l.Table, Backends: backends, Devices: devices{sources}, DeviceHeaders: sources.HeaderNames(),
		RolesOf: l.Config.RolesOf, TrustedProxies: slices.Clone[[]netip.Prefix](g.TrustedProxies),
		Providers:  providers,
		SignInHost: g.URL.Hostname(), Port: g.URL.Port(), HSTS: !l.Config.TLS.SelfSigned, Zone: g.TimeZone,
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
