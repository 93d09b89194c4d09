package authn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	minRSA = 2048 // bits
	maxRSA = 8192 // bits; larger ones only cost time
)

var errSignature = errors.New("no key of the provider's made its signature")

// A ring is a set of keys that may verify signatures.
type ring struct{ keys []key }

type key struct {
	id     string // the kid; "" when it has none
	algs   string // the algorithms it may verify, each between spaces
	print  string // its thumbprint (RFC 7638)
	public crypto.PublicKey
}

// readKeys keeps the keys that we may use and leaves out the others, as
// RFC 7517, section 5, asks: one odd key must not take the good ones with it.
func readKeys(raw []json.RawMessage) *ring {
	r := new(ring)
	for _, text := range raw {
		if k, ok := readKey(text); ok {
			r.keys = append(r.keys, k)
		}
	}
	return r
}

func readKey(raw json.RawMessage) (key, bool) {
	var meta struct {
		Use string   `json:"use"`
		Ops []string `json:"key_ops"`
	}
	var jwk jose.JSONWebKey
	if json.Unmarshal(raw, &meta) != nil || json.Unmarshal(raw, &jwk) != nil {
		return key{}, false
	}
	if meta.Use != "" && meta.Use != "sig" || meta.Ops != nil && !slices.Contains(meta.Ops, "verify") {
		return key{}, false
	}
	k := key{id: jwk.KeyID, public: jwk.Key}
	switch pub := jwk.Key.(type) {
	case *rsa.PublicKey:
		k.algs = " RS256 PS256 "
		if bits := pub.N.BitLen(); bits < minRSA || bits > maxRSA {
			return key{}, false
		}
	case *ecdsa.PublicKey:
		k.algs = " ES256 "
		if pub.Curve != elliptic.P256() {
			return key{}, false
		}
	case ed25519.PublicKey:
		k.algs = " EdDSA "
	default: // a shared secret, or a private key that everybody can read
		return key{}, false
	}
	if jwk.Algorithm != "" {
		if !k.fits(jwk.Algorithm) {
			return key{}, false
		}
		k.algs = " " + jwk.Algorithm + " "
	}
	print, err := jwk.Thumbprint(crypto.SHA256)
	k.print = string(print)
	return k, err == nil
}

func (k key) fits(alg string) bool {
	return alg != "" && strings.Contains(k.algs, " "+alg+" ")
}

// verify returns the payload of token when a key that its kid names, or
// without a kid exactly one key of all, made its signature. Keys come from
// nowhere else: jwk, jku, x5u and x5c in the token's header are not looked at.
func (r *ring) verify(token string) ([]byte, error) {
	algs := make([]jose.SignatureAlgorithm, 0, 4)
	for _, alg := range acceptable() {
		algs = append(algs, jose.SignatureAlgorithm(alg))
	}
	jws, err := jose.ParseSignedCompact(token, algs)
	if err != nil {
		return nil, err
	}
	header := jws.Signatures[0].Header
	var payload []byte
	made := make(map[string]bool) // thumbprints: one key listed twice is one key
	for _, k := range r.keys {
		if header.KeyID != "" && k.id != header.KeyID || !k.fits(header.Algorithm) {
			continue
		}
		if text, err := jws.Verify(k.public); err == nil {
			payload, made[k.print] = text, true
		}
	}
	if len(made) != 1 {
		return nil, errSignature
	}
	return payload, nil
}

// A trial is a ring as go-oidc wants it; it remembers whether no key fitted,
// which go-oidc's error does not tell.
type trial struct {
	ring   *ring
	failed bool
}

// VerifySignature is part of [oidc.KeySet].
func (t *trial) VerifySignature(_ context.Context, token string) ([]byte, error) {
	payload, err := t.ring.verify(token)
	t.failed = err != nil
	return payload, err
}
