package signin

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gorilla/securecookie"
)

// A Key seals what travels through browsers. It prints as [secret].
type Key struct {
	Hash  []byte // 32 or 64 bytes, authenticates
	Block []byte // 32 bytes, encrypts
}

// String keeps the key out of logs.
func (Key) String() string { return "[secret]" }

// GoString keeps the key out of logs.
func (Key) GoString() string { return "[secret]" }

// What a sealed value is for. One sealed for one purpose does not open for
// another.
const (
	forLink   = "start"
	forState  = "state"
	forCode   = "code"
	forEffect = "effect"
	forEnded  = "ended"
	forOut    = "signed-out"
	forTicket = "ticket"
	forChoice = "choice"
)

const maxSealed = 16 << 10 // bytes; longer is nothing of ours

// A sealer encrypts values for a browser to carry, and opens them again. It
// checks no age: each value says when it was made, and its reader how long it
// is good for.
type sealer struct{ codecs []*securecookie.SecureCookie }

func newSealer(keys []Key) (sealer, error) {
	var s sealer
	for _, k := range keys {
		if len(k.Hash) < 32 || len(k.Block) != 32 {
			return sealer{}, errors.New("signin: a sealing key has the wrong size")
		}
		c := securecookie.New(k.Hash, k.Block)
		s.codecs = append(s.codecs, c.MaxAge(0).MaxLength(0).SetSerializer(securecookie.NopEncoder{}))
	}
	if len(s.codecs) == 0 {
		return sealer{}, errors.New("signin: no sealing key")
	}
	return s, nil
}

func (s sealer) seal(purpose string, v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an & in a query would cost six bytes of cookie
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("seal for %s: %w", purpose, err)
	}
	text, err := s.codecs[0].Encode(purpose, b.Bytes())
	if err != nil {
		return "", fmt.Errorf("seal for %s: %w", purpose, err)
	}
	return text, nil
}

// open reads text into v, and reports whether one of our keys sealed it for
// that purpose.
func (s sealer) open(purpose, text string, v any) bool {
	if text == "" || len(text) > maxSealed {
		return false
	}
	for _, c := range s.codecs {
		var b []byte
		if c.Decode(purpose, text, &b) == nil {
			return json.Unmarshal(b, v) == nil
		}
	}
	return false
}

// secret returns 256 random bits as text.
func secret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest returns what may be shown of a secret: its SHA-256 as text, fit for a
// key of the store.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
