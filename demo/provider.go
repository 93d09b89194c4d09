package demo

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What the provider says of a sign-in.
const (
	ACRPassword = "urn:hospital:password" // unless more is asked
	ACRMFA      = "urn:hospital:mfa"      // password and one-time code
)

// A ProviderConfig says who the provider is and who its one client is.
type ProviderConfig struct {
	Issuer string

	ClientID       string
	ClientSecret   string
	RedirectURI    string
	PostLogoutURI  string
	BackchannelURI string // where logout tokens go; "" sends none

	Key        *rsa.PrivateKey  // signs ID tokens and logout tokens
	HTTPClient *http.Client     // sends logout tokens; nil: the default client
	Now        func() time.Time // nil: time.Now
	Log        *slog.Logger
}

// A Provider is an OpenID provider for the people of [People]. It does what it
// is asked: acr_values, max_age, prompt=login and prompt=none each have their
// effect, and end_session tells the client by back-channel logout.
type Provider struct {
	config  ProviderConfig
	storage *storage
	op      *op.Provider
	handler http.Handler
}

// NewProvider returns a provider with nobody signed in. It is an error when
// the issuer is no URL or the key is missing.
func NewProvider(c ProviderConfig) (*Provider, error) {
	if c.Key == nil {
		return nil, fmt.Errorf("provider %s has no signing key", c.Issuer)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTPClient == nil {
		c.HTTPClient = http.DefaultClient
	}
	p := &Provider{config: c, storage: newStorage(c)}
	p.storage.ended = p.sendLogoutTokens
	var key [32]byte // seals codes and access tokens; both die with the process
	rand.Read(key[:])
	var err error
	p.op, err = op.NewProvider(&op.Config{
		CryptoKey:                         key,
		DefaultLogoutRedirectURI:          c.Issuer + "/signed-out",
		CodeMethodS256:                    true,
		AuthMethodPost:                    true,
		SupportedScopes:                   []string{"openid", "profile", "email", "groups"},
		SupportedClaims:                   []string{"sub", "aud", "exp", "iat", "iss", "auth_time", "nonce", "acr", "amr", "at_hash", "azp", "sid", "preferred_username", "name", "email", "groups"},
		BackChannelLogoutSupported:        c.BackchannelURI != "",
		BackChannelLogoutSessionSupported: c.BackchannelURI != "",
	}, p.storage, op.StaticIssuer(c.Issuer), op.WithAllowInsecure(), op.WithCORSOptions(nil))
	if err != nil {
		return nil, fmt.Errorf("set up provider %s: %w", c.Issuer, err)
	}

	var samePage http.CrossOriginProtection // another site must not sign a browser in as somebody of its choosing
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.front)
	mux.HandleFunc("GET /login", p.showLogin)
	mux.Handle("POST /login", samePage.Handler(http.HandlerFunc(p.login)))
	mux.HandleFunc("GET /signed-out", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "signed-out.html", nil)
	})
	mux.HandleFunc("GET /style.css", serveStyle)
	mux.HandleFunc("GET "+oidc.DiscoveryEndpoint, p.discovery)
	mux.Handle("/", p.op)
	p.handler = p.withBrowser(mux)
	return p, nil
}

// ServeHTTP answers the protocol's endpoints and the sign-in form.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	p.handler.ServeHTTP(w, r)
}

// discovery says what this provider really offers; the library's own document
// leaves acr_values out and lists flows that its client may not use.
func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	d := op.CreateDiscoveryConfig(op.ContextWithIssuer(r.Context(), p.config.Issuer), p.op, p.storage)
	d.ACRValuesSupported = []string{ACRPassword, ACRMFA}
	d.ResponseTypesSupported = []string{string(oidc.ResponseTypeCode)}
	d.ResponseModesSupported = []string{string(oidc.ResponseModeQuery)}
	d.GrantTypesSupported = []oidc.GrantType{oidc.GrantTypeCode}
	d.DeviceAuthorizationEndpoint, d.IntrospectionEndpoint = "", ""
	op.Discover(w, d)
}

func (p *Provider) front(w http.ResponseWriter, r *http.Request) {
	s := p.storage.sessionOf(r.Context())
	write(w, http.StatusOK, "provider.html", map[string]any{"Session": s})
}

// A client is the provider's one relying party.
type client struct{ config ProviderConfig }

var _ op.Client = client{}

func (c client) GetID() string                       { return c.config.ClientID }
func (c client) RedirectURIs() []string              { return []string{c.config.RedirectURI} }
func (c client) PostLogoutRedirectURIs() []string    { return []string{c.config.PostLogoutURI} }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType         { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c client) LoginURL(id string) string            { return "/login?id=" + id }
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration       { return 10 * time.Minute }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(scope string) bool     { return scope == "groups" }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return 0 }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// keyID names a key by its own digest, so that a new key never has an old name.
func keyID(k *rsa.PrivateKey) string {
	sum := sha256.Sum256(k.PublicKey.N.Bytes())
	return fmt.Sprintf("%x", sum[:8])
}
