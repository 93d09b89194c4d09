package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/config"
)

// A registration is a provider and the configuration that made it.
type registration struct {
	config   authn.Config
	provider *authn.Provider
}

// providers returns a provider for each that l names. One that is configured as
// in before goes on, with what it has learnt of its issuer; a new one is asked
// at once, since the first person to be sent there is not kept waiting for it.
func (g *running) providers(l *Loaded, before []registration) []registration {
	var all []registration
	for _, named := range l.Config.Providers {
		c := providerConfig(l.Config, named)
		c.Log = g.log
		i := slices.IndexFunc(before, func(r registration) bool { return sameProvider(r.config, c) })
		if i >= 0 {
			all = append(all, before[i])
			continue
		}
		p := authn.NewProvider(c)
		go p.Check(context.Background()) // greetAll says how it went
		all = append(all, registration{c, p})
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
	nameless := make(map[*authn.Provider]bool) // the operator was told
	tick := time.NewTicker(greetEvery)
	defer tick.Stop()
	for {
		for name := range down {
			if !slices.ContainsFunc(g.known.load(), func(r registration) bool { return r.config.Name == name }) {
				g.telemetry.ProviderGone(name)
				delete(down, name)
			}
		}
		for _, r := range g.known.load() {
			name, err := r.config.Name, r.provider.Check(ctx)
			if ctx.Err() != nil {
				return
			}
			if !slices.ContainsFunc(g.known.load(), func(k registration) bool { return k.provider == r.provider }) {
				continue // a reload removed it meanwhile
			}
			g.telemetry.ProviderUp(name, err == nil)
			switch was := down[name]; {
			case err != nil && !was:
				g.log.Warn("the provider does not answer: nobody can sign in there until it does", "provider", name, "error", err)
			case err == nil && was:
				g.log.Info("the provider answers again", "provider", name)
			}
			down[name] = err != nil
			if err == nil && len(g.known.load()) > 1 && !r.provider.NamesItself() && !nameless[r.provider] {
				nameless[r.provider] = true
				g.log.Warn("the provider does not name itself in callbacks (RFC 9207), which would tell it from the other providers", "provider", name)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func providerConfig(c *config.Config, p config.Provider) authn.Config {
	key, certificate := p.ClientKey.Reveal()
	return authn.Config{
		ClientKey: authn.ClientKey{Private: key, Certificate: certificate, ID: p.ClientKeyID},
		ACRValues: p.ACRValues, AskByClaims: p.AskByClaims,
		Name: p.Name, Label: p.Label, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: p.ClientSecret.Reveal(),
		Scopes: p.Scopes, Claims: authn.Claims(p.Claims),
		RedirectURL: c.Gateway.URL.String() + "/.anteroom/callback",
	}
}

func sameProvider(a, b authn.Config) bool {
	return a.Name == b.Name && a.Label == b.Label && a.Issuer == b.Issuer && a.ClientID == b.ClientID && a.ClientSecret == b.ClientSecret &&
		a.ClientKey.Same(b.ClientKey) && slices.Equal(a.ACRValues, b.ACRValues) && a.AskByClaims == b.AskByClaims && slices.Equal(a.Scopes, b.Scopes) && a.Claims == b.Claims && a.RedirectURL == b.RedirectURL
}

// endStrays ends the sessions of whom no provider of the configuration has
// signed in: that provider was removed, or its issuer is another now. No route
// takes them any more; they end so that their people, their devices and their
// records hear of it.
func (g *running) endStrays(ctx context.Context) {
	issuers := make(map[string]bool)
	for _, r := range g.known.load() {
		issuers[r.config.Issuer] = true
	}
	ended, err := g.sessions.EndWhere(ctx, func(s access.Session, _, _ string) bool { return !issuers[s.Subject.Issuer] }, access.SessionEnded)
	if err != nil {
		g.log.Error("end the sessions of a provider that was removed", "error", err)
	}
	for i := range ended {
		e := &access.Event{Kind: access.EventSessionEnded, Reason: access.SessionEnded, Session: &ended[i], Detail: "provider removed"}
		if err := (trail{g.journal, g.telemetry}).Record(ctx, e, false); err != nil {
			g.log.Error("record the end of a session", "error", err)
		}
	}
	if len(ended) > 0 {
		g.log.Warn("sessions of a provider that was removed have ended", "sessions", len(ended))
	}
}
