package authn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// assertionLife is how long a client assertion is good for: the clocks may
// differ by [skew], and it is used at once.
const assertionLife = 2 * time.Minute

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523, section 2.2

// A ClientKey is the private key by which the gateway proves to a provider who
// it is (private_key_jwt; OpenID Connect Core 1.0, section 9). The zero
// ClientKey is none.
type ClientKey struct {
	Private     crypto.Signer     // RSA of at least 2048 bits, ECDSA on P-256, or Ed25519
	ID          string            // the kid under which it is registered; "" is its thumbprint (RFC 7638)
	Alg         string            // "" is the best that the provider and the key know
	Certificate *x509.Certificate // named in the header by its hash, for providers that want that; may be nil
}

// algs returns the algorithms that k's key can sign by, the best first.
func (k ClientKey) algs() []string {
	if k.Private == nil {
		return nil
	}
	switch pub := k.Private.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() >= minRSA {
			return []string{"PS256", "RS256"}
		}
	case *ecdsa.PublicKey:
		if pub.Curve.Params().Name == "P-256" {
			return []string{"ES256"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// choose returns the algorithm to sign by at a provider that takes offered;
// none means that it does not say.
func (k ClientKey) choose(offered []string) (string, error) {
	able := k.algs()
	if k.Alg != "" {
		able = slices.DeleteFunc(able, func(alg string) bool { return alg != k.Alg })
	}
	switch {
	case len(able) == 0:
		return "", errors.New("the client key cannot sign by an algorithm that is known")
	case len(offered) == 0 && k.Certificate == nil:
		return able[len(able)-1], nil // RS256 is the one that every provider should take
	case len(offered) == 0:
		return able[0], nil
	}
	for _, alg := range able {
		if slices.Contains(offered, alg) {
			return alg, nil
		}
	}
	return "", fmt.Errorf("its token endpoint takes no client assertion signed by %s", strings.Join(able, " or "))
}

// Same reports whether k and other are one key, used in one way.
func (k ClientKey) Same(other ClientKey) bool {
	if k.Private == nil || other.Private == nil {
		return k.Private == nil && other.Private == nil
	}
	pub, ok := k.Private.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(other.Private.Public()) && k.ID == other.ID && k.Alg == other.Alg &&
		(k.Certificate == nil) == (other.Certificate == nil) && (k.Certificate == nil || k.Certificate.Equal(other.Certificate))
}

// assertion returns a statement of who the gateway is, for one use.
//
// Its audience is the issuer alone (draft-ietf-oauth-rfc7523bis): an endpoint's
// address is whatever a provider publishes, and a hostile one could publish
// another's to be sent what that one takes.
func (p *Provider) assertion(doc *document) (string, error) {
	k := p.cfg.ClientKey
	options := (&jose.SignerOptions{}).WithType("JWT")
	if k.Certificate != nil {
		sum := sha256.Sum256(k.Certificate.Raw)
		options = options.WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	key := jose.JSONWebKey{Key: k.Private, KeyID: k.ID}
	if key.KeyID == "" {
		public := jose.JSONWebKey{Key: k.Private.Public()}
		print, err := public.Thumbprint(crypto.SHA256)
		if err != nil {
			return "", fmt.Errorf("authn: client assertion: %w", err)
		}
		key.KeyID = base64.RawURLEncoding.EncodeToString(print)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(doc.assertionAlg), Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("authn: client assertion: %w", err)
	}
	now := p.now()
	claims, err := json.Marshal(map[string]any{
		"iss": p.cfg.ClientID, "sub": p.cfg.ClientID, "aud": p.cfg.Issuer, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("authn: client assertion: %w", err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("authn: client assertion: %w", err)
	}
	return signed.CompactSerialize()
}

// proofs returns the parameters that prove to doc's provider who the gateway is,
// beside what x/oauth2 sends by itself.
func (p *Provider) proofs(doc *document) (url.Values, error) {
	if doc.assertionAlg == "" {
		return nil, nil
	}
	assertion, err := p.assertion(doc)
	if err != nil {
		return nil, err
	}
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}, nil
}

// push hands the parameters of an authorization request to the provider itself
// (RFC 9126) and returns what stands for them in the browser's address: there
// nobody reads or edits them.
func (p *Provider) push(ctx context.Context, doc *document, request url.Values) (url.Values, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	proofs, err := p.proofs(doc)
	if err != nil {
		return nil, err
	}
	form := make(url.Values, len(request)+3)
	for _, from := range []url.Values{request, proofs} {
		for name, values := range from {
			form[name] = values
		}
	}
	basic := doc.assertionAlg == "" && doc.authStyle == oauth2.AuthStyleInHeader
	if doc.assertionAlg == "" && !basic && p.cfg.ClientSecret != "" {
		form.Set("client_secret", p.cfg.ClientSecret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, doc.Pushed, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &UnavailableError{Issuer: p.cfg.Issuer, Err: errors.New("its pushed_authorization_request_endpoint cannot be used")}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if basic { // RFC 6749, section 2.3.1: form-encoded within
		r.SetBasicAuth(url.QueryEscape(p.cfg.ClientID), url.QueryEscape(p.cfg.ClientSecret))
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, &UnavailableError{Issuer: p.cfg.Issuer, Err: fmt.Errorf("push an authorization request: %w", bare(err))}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &UnavailableError{Issuer: p.cfg.Issuer, Err: fmt.Errorf("push an authorization request: %w", err)}
	}
	var answer claims
	readable := json.Unmarshal(body, &answer) == nil
	switch uri := answer.text("request_uri"); {
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && readable && answer.text("error") != "":
		return nil, &RefusedError{Endpoint: "pushed authorization request", Code: knownCode(answer.text("error"))}
	case resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK:
		return nil, &UnavailableError{Issuer: p.cfg.Issuer, Err: fmt.Errorf("the answer to a pushed authorization request has status %d", resp.StatusCode)}
	case !readable || uri == "" || len(uri) > maxRequestURI:
		return nil, &UnavailableError{Issuer: p.cfg.Issuer, Err: errors.New("the answer to a pushed authorization request names no request_uri")}
	default:
		return url.Values{"client_id": {p.cfg.ClientID}, "request_uri": {uri}}, nil
	}
}

const maxRequestURI = 2 << 10 // bytes; it goes into an address
