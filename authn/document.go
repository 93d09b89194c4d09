package authn

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"golang.org/x/oauth2"
)

// metadata is what we read of a provider's discovery document (OpenID Connect
// Discovery 1.0, section 3; RFC 8414; RFC 9207, section 3).
type metadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	UserInfo      string   `json:"userinfo_endpoint"`
	EndSession    string   `json:"end_session_endpoint"`
	JWKS          string   `json:"jwks_uri"`
	Algs          []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgs      []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	SendsIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
	Pushed        string   `json:"pushed_authorization_request_endpoint"` // RFC 9126, section 5
	MustPush      bool     `json:"require_pushed_authorization_requests"`
}

// Credentials are what the client can prove itself by.
type credentials struct {
	secret bool // it has one
	key    ClientKey
}

// A document is discovery metadata that has passed its checks, and the keys it names.
type document struct {
	metadata
	algs         []string // that we accept: never none, never HMAC
	authStyle    oauth2.AuthStyle
	assertionAlg string // of client assertions; "" when the client has no key
	keys         *keySet
}

// acceptable lists the signature algorithms we know; a provider may use those
// of them that it names.
func acceptable() []string { return []string{"RS256", "PS256", "ES256", "EdDSA"} }

// vet checks m, fetched on behalf of issuer, and turns it into a document
// without keys. The error says what is wrong to an operator.
func (m metadata) vet(issuer string, client credentials) (*document, error) {
	if m.Issuer != issuer {
		// A difference of one slash counts: every token is checked against this string.
		return nil, fmt.Errorf("its discovery document names the issuer %q", clip(m.Issuer))
	}
	home, err := endpoint("issuer", issuer, true)
	if err != nil {
		return nil, err
	}
	local := home.Scheme == "http" // then it is a loopback address
	for _, e := range []struct {
		name, value string
		need        bool
	}{
		{"authorization_endpoint", m.Authorization, true},
		{"token_endpoint", m.Token, true},
		{"jwks_uri", m.JWKS, true},
		{"userinfo_endpoint", m.UserInfo, false},
		{"end_session_endpoint", m.EndSession, false},
		{"pushed_authorization_request_endpoint", m.Pushed, m.MustPush},
	} {
		if e.value == "" && !e.need {
			continue
		}
		if _, err := endpoint(e.name, e.value, local); err != nil {
			return nil, err
		}
	}
	d := &document{metadata: m, authStyle: oauth2.AuthStyleInHeader}
	if len(m.Algs) == 0 {
		d.algs = []string{"RS256"} // the one that every provider must offer
	}
	for _, alg := range acceptable() {
		if slices.Contains(m.Algs, alg) {
			d.algs = append(d.algs, alg)
		}
	}
	if len(d.algs) == 0 {
		return nil, errors.New("it signs ID tokens with none of RS256, PS256, ES256, EdDSA")
	}
	switch {
	case client.key.Private != nil:
		d.authStyle = oauth2.AuthStyleInParams
		if !slices.Contains(m.AuthMethods, "private_key_jwt") {
			return nil, errors.New("its token endpoint takes no private_key_jwt")
		}
		if d.assertionAlg, err = client.key.choose(m.AuthAlgs); err != nil {
			return nil, err
		}
	case !client.secret:
		d.authStyle = oauth2.AuthStyleInParams // a public client only says its id
	case len(m.AuthMethods) == 0, slices.Contains(m.AuthMethods, "client_secret_basic"):
	case slices.Contains(m.AuthMethods, "client_secret_post"):
		d.authStyle = oauth2.AuthStyleInParams
	default:
		return nil, errors.New("its token endpoint takes neither client_secret_basic nor client_secret_post")
	}
	return d, nil
}

// endpoint reads an address that a provider publishes: https, or http on
// loopback where local allows it. An https provider has no business sending us
// to our own machine over http.
func endpoint(name, value string, local bool) (*url.URL, error) {
	u, err := url.Parse(value)
	switch {
	case value == "":
		return nil, fmt.Errorf("its discovery document has no %s", name)
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("its %s %q is not an address that can be used", name, clip(value))
	case u.Scheme == "https", u.Scheme == "http" && local && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("its %s %q is not https", name, clip(value))
}

func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return isLocalhost(host)
}
