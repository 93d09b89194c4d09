// Package authn is the relying party: it sends browsers to an OpenID provider
// to sign in and checks what comes back.
package authn

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// skew is how far the provider's clock and this machine's may be apart.
const skew = 60 * time.Second

// delay is how much older a token may seem that was made just now: its times
// are in whole seconds, and it has been under way.
const delay = 2 * time.Second

// A Config is what is known of one provider before anybody has spoken to it.
type Config struct {
	Name         string // the provider's word in configuration
	Label        string // what people call it; "" is its name
	Issuer       string // https, or http on a loopback address; compared byte for byte
	ClientID     string
	ClientSecret string    // "" for a public client, and for one with a key
	ClientKey    ClientKey // takes the place of the secret
	Scopes       []string  // openid is added when it is missing
	Claims       Claims
	RedirectURL  string // where the provider sends browsers back to

	// ACRValues are asked for at a sign-in that asks for no stronger one; none
	// leaves it to the provider.
	ACRValues []string
	// AskByClaims asks for acr values by the claims parameter, of the claim that
	// Claims.ACR names (Core, section 5.5), in place of acr_values.
	AskByClaims bool

	// HTTPClient is asked through for every fetch; its redirects are not
	// followed, its answers are capped and its timeout is at most 10 s. Nil
	// takes a client of its own with the proxy settings of the environment.
	HTTPClient *http.Client
	// Now tells the time that tokens are judged by; nil is time.Now. Retries
	// and the age of keys follow the machine's monotonic clock instead.
	Now func() time.Time
	Log *slog.Logger // nil logs nothing
}

// Claims names the claims that describe a person. A name with dots that is
// not itself a claim leads into nested objects, as in realm_access.roles. An
// empty name asks for nothing.
//
// Groups may also pick from an array of objects: roles[id=selected].code is the
// code of those objects of roles whose id is what the claim selected says.
type Claims struct {
	Username string // missing from all answers: the sub stands in
	Name     string
	Groups   string // an array of strings, or one string
	ACR      string // of the ID token: a string, or an array of strings; "" is acr
}

// A Provider speaks OpenID Connect with one provider as its relying party. It
// is safe for concurrent use, and needs no closing: what it retries in the
// background it gives up when nobody has asked for a while.
type Provider struct {
	cfg       Config
	client    *http.Client
	now       func() time.Time
	log       *slog.Logger
	discovery *discovery
	logouts   *replays
	datedBack sync.Once // the operator is told
}

// NewProvider returns a provider that has not spoken to the network yet: the
// discovery document is fetched at the first use.
func NewProvider(c Config) *Provider {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !slices.Contains(c.Scopes, oidc.ScopeOpenID) {
		c.Scopes = append([]string{oidc.ScopeOpenID}, c.Scopes...)
	}
	client := newClient(c.HTTPClient)
	log := c.Log.With("provider", c.Name)
	return &Provider{
		cfg:       c,
		client:    client,
		now:       c.Now,
		log:       log,
		discovery: newDiscovery(c.Issuer, credentials{c.ClientSecret != "", c.ClientKey}, client, log),
		logouts:   newReplays(),
	}
}

// String returns the provider's name, and nothing of its secret.
func (p *Provider) String() string { return p.cfg.Name }

// Issuer returns the issuer of everybody whom p signs in.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// Label returns what people call p.
func (p *Provider) Label() string { return cmp.Or(p.cfg.Label, p.cfg.Name) }

// GoString is String, so that no way of printing shows the secret.
func (p *Provider) GoString() string { return p.cfg.Name }

// Check asks the provider anew for its discovery document and, unless they are
// at hand, its keys. It returns an [*UnavailableError] that says what is wrong,
// waiting for the answer rather than for long: each fetch ends within 3 s.
func (p *Provider) Check(ctx context.Context) error {
	doc, err := p.discovery.renewed(ctx)
	if err != nil {
		return err
	}
	if _, err := doc.keys.current(ctx); err != nil {
		return &UnavailableError{Issuer: p.cfg.Issuer, Err: err}
	}
	return nil
}

// NamesItself reports whether the provider says, in what it published last,
// that it names itself in every callback (RFC 9207, section 3), so that one
// without its name is refused. False until it has answered once.
func (p *Provider) NamesItself() bool {
	p.discovery.mu.Lock()
	defer p.discovery.mu.Unlock()
	return p.discovery.doc != nil && p.discovery.doc.SendsIssuer
}
