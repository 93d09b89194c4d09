// Package inject tells a backend who was let through: a signed assertion, and
// values for plain headers.
package inject

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
)

// ErrNoGrant means that nobody was let through, so that nothing may be asserted.
var ErrNoGrant = errors.New("inject: no grant to assert")

const defaultTTL = time.Minute

// An Audience is the backend that an assertion is for.
type Audience struct {
	Route    string
	Audience string        // the aud claim
	TTL      time.Duration // from iat to exp; zero or less: 60 seconds
}

// A Signer makes identity assertions: JWTs signed with ES256 (RFC 7518,
// section 3.4). It is safe for concurrent use and prints no key.
type Signer struct {
	issuer string
	keys   atomic.Pointer[signing]
	made   cache
}

// A signing is the key that signs, and the set that verifies.
type signing struct {
	key    *ecdsa.PrivateKey
	header string // the JOSE header, encoded, with its dot
	jwks   []byte
}

// String keeps the key out of logs.
func (*Signer) String() string { return "[secret]" }

// GoString keeps the key out of logs.
func (*Signer) GoString() string { return "[secret]" }

// NewSigner returns a Signer with key, which must be on P-256, whose
// assertions name issuer as iss.
func NewSigner(key *ecdsa.PrivateKey, issuer string) (*Signer, error) {
	if issuer == "" {
		return nil, errors.New("assertions need an issuer")
	}
	s := &Signer{issuer: issuer, made: newCache()}
	if err := s.Use(key); err != nil {
		return nil, err
	}
	return s, nil
}

// Use has key sign from here on; it and the others verify. What was made before
// goes on being used for its time, so the key before stays among the others.
func (s *Signer) Use(key *ecdsa.PrivateKey, others ...*ecdsa.PublicKey) error {
	if key == nil {
		return errors.New("no key signs assertions")
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	for _, public := range append([]*ecdsa.PublicKey{&key.PublicKey}, others...) {
		k, err := toJWK(public)
		if err != nil {
			return err
		}
		set.Keys = append(set.Keys, k)
	}
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}{"ES256", set.Keys[0].Kid, "JWT"})
	if err != nil {
		return fmt.Errorf("encode assertion header: %w", err)
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("encode assertion keys: %w", err)
	}
	s.keys.Store(&signing{key: key, header: encode(header) + ".", jwks: jwks})
	return nil
}

type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

func toJWK(key *ecdsa.PublicKey) (jwk, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return jwk{}, errors.New("assertion key is not on the curve P-256")
	}
	point, err := key.Bytes() // 4, X, Y
	if err != nil {
		return jwk{}, fmt.Errorf("encode assertion key: %w", err)
	}
	x, y := encode(point[1:33]), encode(point[33:65])
	return jwk{"EC", "sig", "ES256", thumbprint(x, y), "P-256", x, y}, nil
}

// KeyID returns the name by which assertions and the published set call key.
func KeyID(key *ecdsa.PublicKey) (string, error) {
	k, err := toJWK(key)
	return k.Kid, err
}

// thumbprint names a P-256 key (RFC 7638, section 3): the hash of its required
// members in lexical order, without white space.
func thumbprint(x, y string) string {
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	return encode(sum[:])
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JWKS returns the public keys that verify assertions, as a JWK set (RFC 7517,
// section 5).
func (s *Signer) JWKS() []byte { return slices.Clone(s.keys.Load().jwks) }

// claims are what an assertion says, in this order. What is not known is left
// out; roles and device are always there.
type claims struct {
	Iss      string   `json:"iss"`
	Aud      string   `json:"aud"`
	Sub      string   `json:"sub"`
	IDP      string   `json:"idp"`
	Username string   `json:"username,omitempty"`
	Name     string   `json:"name,omitempty"`
	Roles    []string `json:"roles"`
	ACR      string   `json:"acr,omitempty"`
	AMR      []string `json:"amr,omitempty"`
	AuthTime int64    `json:"auth_time,omitempty"`
	SID      string   `json:"sid"`
	Route    string   `json:"route"`
	Device   device   `json:"device"`
	Iat      int64    `json:"iat"`
	Exp      int64    `json:"exp"`
	JTI      string   `json:"jti"`
}

type device struct {
	ID        string `json:"id,omitempty"`
	Assurance string `json:"assurance"`
}

// Assertion returns the assertion for the person that g lets through, on a
// device of which p is known, to the backend a. The same one is returned for
// up to half its life, as long as everything in it still holds and no newer
// sign-in was made. On a public route, where g names nobody, it returns "".
// The zero Grant gets [ErrNoGrant].
func (s *Signer) Assertion(g access.Grant, p access.Posture, a Audience, now time.Time) (string, error) {
	if !g.Allowed() {
		return "", ErrNoGrant
	}
	who := g.Session()
	if who == nil {
		return "", nil
	}
	if a.TTL <= 0 {
		a.TTL = defaultTTL
	}
	if !p.Known(now) { // a stale statement is not passed on
		p = access.Posture{}
	}
	about := subject{
		issuer: who.Subject.Issuer, sub: who.Subject.Sub, username: who.Username, name: who.Name,
		acr: who.ACR, authTime: who.AuthTime.UnixNano(), freshAt: who.FreshAt.UnixNano(),
		device: p.DeviceID, assurance: p.Assurance, ttl: a.TTL,
	}
	at := place{session: who.ID, route: a.Route, audience: a.Audience}
	if token, ok := s.made.get(at, about, who.Roles, who.AMR, now); ok {
		return token, nil
	}
	c := claims{
		Iss: s.issuer, Aud: a.Audience, Sub: who.Subject.Sub, IDP: who.Subject.Issuer,
		Username: who.Username, Name: who.Name, Roles: who.Roles, ACR: who.ACR, AMR: who.AMR,
		SID: who.ID, Route: a.Route, Device: device{p.DeviceID, p.Assurance.String()},
		Iat: now.Unix(), Exp: now.Add(a.TTL).Unix(), JTI: rand.Text(),
	}
	if c.Roles == nil {
		c.Roles = []string{} // [] and not null
	}
	if !who.AuthTime.IsZero() {
		c.AuthTime = who.AuthTime.Unix()
	}
	token, err := s.sign(c)
	if err != nil {
		return "", err
	}
	s.made.put(at, assertion{
		subject: about, roles: slices.Clone(who.Roles), amr: slices.Clone(who.AMR),
		token: token, from: now, until: now.Add(a.TTL / 2),
	})
	return token, nil
}

// sign returns c in the compact serialisation (RFC 7515, section 7.1).
func (s *Signer) sign(c claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode assertion: %w", err)
	}
	with := s.keys.Load()
	signed := with.header + encode(payload)
	sum := sha256.Sum256([]byte(signed))
	r, t, err := ecdsa.Sign(rand.Reader, with.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	var signature [64]byte // R and S, each with its leading zeros (RFC 7518, section 3.4)
	r.FillBytes(signature[:32])
	t.FillBytes(signature[32:])
	return signed + "." + encode(signature[:]), nil
}
