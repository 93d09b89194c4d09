package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// A ClientKey is a private key, and a certificate of it when there is one. It
// is never printed. The zero ClientKey is none.
type ClientKey struct {
	private     crypto.Signer
	certificate *x509.Certificate
}

// Reveal returns the key itself and its certificate; nil for none.
func (k ClientKey) Reveal() (crypto.Signer, *x509.Certificate) { return k.private, k.certificate }

// Format writes [secret] for every verb.
func (ClientKey) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// MarshalText returns [secret].
func (ClientKey) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns [secret].
func (ClientKey) LogValue() slog.Value { return slog.StringValue(hidden) }

// A keyRef is a reference to a private key in PEM, read at once.
type keyRef struct {
	place
	V ClientKey
}

func (k *keyRef) read(d *decoder, n *yaml.Node) {
	s := secret{lines: true}
	s.read(d, n)
	if s.V.value == "" {
		return
	}
	key, err := parseKey([]byte(s.V.value))
	if err != nil {
		d.mistake(placeOf(n), "%s: %v", d.name(), err)
		return
	}
	k.V = key
}

func (*keyRef) schema() *jsonschema.Schema { return (*secret)(nil).schema() }

// parseKey reads the private key, and a certificate, in text. Its errors hold
// nothing of what stands there.
func parseKey(text []byte) (ClientKey, error) {
	var k ClientKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return ClientKey{}, errors.New("the certificate cannot be read")
			}
			if k.certificate == nil {
				k.certificate = c
			}
		case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY":
			any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				any, err = x509.ParseECPrivateKey(block.Bytes)
			}
			if err != nil {
				any, err = x509.ParsePKCS1PrivateKey(block.Bytes)
			}
			signer, ok := any.(crypto.Signer)
			if err != nil || !ok {
				return ClientKey{}, errors.New("the private key cannot be read")
			}
			if k.private != nil {
				return ClientKey{}, errors.New("there are two private keys")
			}
			k.private = signer
		}
	}
	if k.private == nil {
		return ClientKey{}, errors.New("there is no private key in PEM, or it is encrypted")
	}
	switch pub := k.private.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < 2048 {
			return ClientKey{}, errors.New("an RSA key has at least 2048 bits")
		}
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return ClientKey{}, errors.New("an EC key is on the curve P-256")
		}
	case ed25519.PublicKey:
	default:
		return ClientKey{}, errors.New("the key is neither RSA, nor P-256, nor Ed25519")
	}
	if pub, ok := k.private.Public().(interface{ Equal(crypto.PublicKey) bool }); k.certificate != nil && (!ok || !pub.Equal(k.certificate.PublicKey)) {
		return ClientKey{}, errors.New("the certificate is not of the key beside it")
	}
	return k, nil
}
