package anteroomtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// A Key signs tokens. An Alg of "none" or "HS256" makes tokens that nobody
// should accept.
type Key struct {
	ID, Alg string
	Private crypto.Signer // nil for none and HS256
	Secret  []byte        // for HS256
}

var oneRSA = sync.OnceValue(func() *rsa.PrivateKey { return mustRSA(2048) }) // slow to make

func mustRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

// NewKey returns a key for alg: ES256, EdDSA, RS256, PS256, or RS256-1024 for
// one that is too short. All RSA keys of a process but the short ones are one.
func NewKey(id, alg string) Key {
	switch alg {
	case "ES256":
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return Key{ID: id, Alg: alg, Private: k}
	case "EdDSA":
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return Key{ID: id, Alg: alg, Private: k}
	case "RS256", "PS256":
		return Key{ID: id, Alg: alg, Private: oneRSA()}
	case "RS256-1024":
		return Key{ID: id, Alg: "RS256", Private: mustRSA(1024)}
	}
	panic("anteroomtest: no keys for " + alg)
}

// None returns a key that does not sign.
func None() Key { return Key{Alg: "none"} }

// Confused returns a key that signs by HS256 with what everybody knows of k:
// its public part in PEM, as careless verifiers would take it for a secret.
func Confused(k Key) Key {
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	if err != nil {
		panic(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return Key{ID: k.ID, Alg: "HS256", Secret: secret}
}

// Published returns k as a member of a key set; more overrides or adds members.
func (k Key) Published(more map[string]any) map[string]any {
	jwk := jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: k.Alg, Use: "sig"}
	text, err := jwk.MarshalJSON()
	if err != nil {
		panic(err)
	}
	m := make(map[string]any)
	if err := json.Unmarshal(text, &m); err != nil {
		panic(err)
	}
	maps.Copy(m, more)
	return m
}

// Token signs claims, any JSON value, with k under header, to which alg and
// kid are added unless it has them.
func (k Key) Token(header map[string]any, claims any) string {
	h := map[string]any{"alg": k.Alg}
	if k.ID != "" {
		h["kid"] = k.ID
	}
	maps.Copy(h, header)
	input := segment(h) + "." + segment(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(k.signature(input))
}

func segment(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (k Key) signature(input string) []byte {
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	var err error
	switch k.Alg {
	case "none":
	case "HS256":
		mac := hmac.New(sha256.New, k.Secret)
		mac.Write([]byte(input))
		sig = mac.Sum(nil)
	case "RS256":
		sig, err = rsa.SignPKCS1v15(nil, k.Private.(*rsa.PrivateKey), crypto.SHA256, sum[:])
	case "PS256":
		sig, err = rsa.SignPSS(rand.Reader, k.Private.(*rsa.PrivateKey), crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case "EdDSA":
		sig, err = k.Private.Sign(rand.Reader, []byte(input), crypto.Hash(0))
	case "ES256":
		r, s, signErr := ecdsa.Sign(rand.Reader, k.Private.(*ecdsa.PrivateKey), sum[:])
		if err = signErr; err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	default:
		err = fmt.Errorf("no signature for %s", k.Alg)
	}
	if err != nil {
		panic(err)
	}
	return sig
}

// signing is how a provider signs now.
type signing struct {
	mu   sync.Mutex
	key  Key
	keys []Key // published
	edit func(header, claims map[string]any) string
}

func newSigning() *signing {
	k := NewKey("key-1", "ES256")
	return &signing{key: k, keys: []Key{k}}
}

func (s *signing) published() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []any
	for _, k := range s.keys {
		all = append(all, k.Published(nil))
	}
	return all
}

func (s *signing) token(typ string, claims map[string]any) string {
	s.mu.Lock()
	key, edit := s.key, s.edit
	s.mu.Unlock()
	header := map[string]any{"typ": typ}
	if edit != nil {
		return edit(header, claims)
	}
	return key.Token(header, claims)
}

// atHash returns the at_hash of an access token (Core, section 3.1.3.6).
func (s *signing) atHash(access string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key.Alg == "EdDSA" {
		sum := sha512.Sum512([]byte(access))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Key returns the key that signs now.
func (p *Provider) Key() Key {
	p.sign.mu.Lock()
	defer p.sign.mu.Unlock()
	return p.sign.key
}

// SignWith signs with k from now on and publishes the keys given, in place of
// those before. Without any, those published before stay as they are.
func (p *Provider) SignWith(k Key, publish ...Key) {
	p.sign.mu.Lock()
	defer p.sign.mu.Unlock()
	p.sign.key = k
	if len(publish) > 0 {
		p.sign.keys = publish
	}
}

// Rotate signs with a new key from now on and publishes only that one.
func (p *Provider) Rotate() Key {
	k := NewKey("key-"+rand.Text(), "ES256")
	p.SignWith(k, k)
	return k
}

// Sign makes tokens by f from now on; nil goes back to signing with [Provider.Key].
func (p *Provider) Sign(f func(header, claims map[string]any) string) {
	p.sign.mu.Lock()
	defer p.sign.mu.Unlock()
	p.sign.edit = f
}
