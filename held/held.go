// Package held keeps a sealed request while its person proves themselves.
package held

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/store"
)

var (
	// ErrGone means that the request is not, or no longer, held: it was sent,
	// dropped, or its time ran out.
	ErrGone = errors.New("held: gone")
	// ErrFull means that the session, or all of them together, hold as many
	// requests as they may.
	ErrFull = errors.New("held: no room for another request")
	// ErrTooLarge means that the body is over [MaxBody], or the rest over 128 KiB.
	ErrTooLarge = errors.New("held: request too large")
)

// MaxBody is the size of the largest body that is held, in bytes.
const MaxBody = 512 << 10

const (
	holdFor       = 10 * time.Minute // time to prove oneself
	releaseWithin = 2 * time.Minute  // time to send the request off afterwards
	maxMeta       = 128 << 10        // bytes of all that is not the body
	openWithin    = 10 * time.Second
)

// A Config is all that a [Keeper] needs.
type Config struct {
	Bucket        Bucket
	Keys          [][]byte         // 32 bytes each; the first seals what is held, each opens
	Now           func() time.Time // nil: time.Now
	MaxPerSession int              // requests of one session at a time; zero: 5
	MaxAll        int              // requests of all sessions; zero: 2000
}

// A Bucket is where sealed requests are kept: a [store.Bucket] behaves as one must.
type Bucket interface {
	Create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error)
	Update(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error)
	Get(ctx context.Context, key string) ([]byte, uint64, error)
	Take(ctx context.Context, key string) ([]byte, error)
	Keys(ctx context.Context) ([]string, error)
}

// A Request is what is held. The caller puts into Header only the fields that
// the backend needs again.
type Request struct {
	Session string         // whose; requests of nobody, "", share one session's allowance
	Subject access.Subject // the person it is bound to
	Host    string
	Route   string
	Rule    string // the rule that asked for more
	Origin  string // as sent, checked before holding
	Method  string
	Target  string // path and query
	Header  http.Header
	Body    []byte `json:"-"` // kept beside the rest, as it is
}

// A Proof is what a sign-in proved for a held request.
type Proof struct {
	Session string    // the session that the sign-in belongs to
	Judged  time.Time // when it was judged
	Once    bool      // it was made for this very request
}

// A Keeper holds requests. It is safe for concurrent use.
type Keeper struct {
	bucket Bucket
	aeads  []cipher.AEAD // the first seals
	now    func() time.Time
	room   room
}

// New returns a Keeper of what the bucket holds already, which counts against
// the limits as if it had come in now.
func New(c Config) (*Keeper, error) {
	k := &Keeper{bucket: c.Bucket, now: c.Now}
	if len(c.Keys) == 0 {
		return nil, errors.New("hold requests: there is no key")
	}
	for _, key := range c.Keys {
		if len(key) != 32 {
			return nil, fmt.Errorf("hold requests: a key has %d bytes, not 32", len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("hold requests: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("hold requests: %w", err)
		}
		k.aeads = append(k.aeads, aead)
	}
	if k.now == nil {
		k.now = time.Now
	}
	if k.room.perSession = c.MaxPerSession; k.room.perSession <= 0 {
		k.room.perSession = 5
	}
	if k.room.all = c.MaxAll; k.room.all <= 0 {
		k.room.all = 2000
	}
	ctx, cancel := context.WithTimeout(context.Background(), openWithin)
	defer cancel()
	keys, err := k.bucket.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("hold requests: %w", err)
	}
	expires := k.now().Add(holdFor)
	for _, key := range keys {
		if tag, _, ok := strings.Cut(key, "."); ok && tag != tokenTag {
			k.room.note(tag, key, expires)
		}
	}
	return k, nil
}

// An id is the tag of its session and a secret. The store's key has only a
// digest of the secret; from the tags the requests of each session are counted.
const (
	tagBytes    = 9
	secretBytes = 32
	tokenTag    = "token"
)

// tag is what ids and keys show of a session: enough to count by.
func tag(session string) string {
	sum := sha256.Sum256([]byte("anteroom held session\x00" + session))
	return base64.RawURLEncoding.EncodeToString(sum[:tagBytes])
}

func newSecret() string {
	b := make([]byte, secretBytes)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// storeKey returns the key under which tag's secret is kept.
func storeKey(tag, secret string) string {
	sum := sha256.Sum256([]byte(tag + "\x00" + secret))
	return tag + "." + base64.RawURLEncoding.EncodeToString(sum[:])
}

// splitID returns the parts of an id, and whether it can be one.
func splitID(id string) (tag, secret string, ok bool) {
	tag, secret, ok = strings.Cut(id, ".")
	return tag, secret, ok && len(tag) == base64.RawURLEncoding.EncodedLen(tagBytes) && isSecret(secret)
}

func isSecret(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == secretBytes && len(s) == base64.RawURLEncoding.EncodedLen(secretBytes)
}

// Hold keeps r for ten minutes and returns the id that leads to it. It returns
// [ErrFull] or [ErrTooLarge] when it keeps nothing.
func (k *Keeper) Hold(ctx context.Context, r Request) (string, error) {
	t := tag(r.Session)
	secret := newSecret()
	key, id := storeKey(t, secret), t+"."+secret
	now := k.now()
	value, err := k.seal(id, now.Add(holdFor), r)
	if err != nil {
		return "", err
	}
	if !k.room.take(t, key, now, now.Add(holdFor)) {
		return "", ErrFull
	}
	if _, err := k.bucket.Create(ctx, key, value, holdFor); err != nil {
		k.room.leave(t, key)
		return "", fmt.Errorf("hold request: %w", err)
	}
	return id, nil
}

// Peek returns the request without taking it, or [ErrGone].
func (k *Keeper) Peek(ctx context.Context, id string) (Request, error) {
	r, _, _, err := k.get(ctx, id)
	return r, err
}

// get returns the request, when its time runs out, and its revision.
func (k *Keeper) get(ctx context.Context, id string) (Request, time.Time, uint64, error) {
	t, secret, ok := splitID(id)
	if !ok {
		return Request{}, time.Time{}, 0, ErrGone
	}
	value, rev, err := k.bucket.Get(ctx, storeKey(t, secret))
	if err != nil {
		return Request{}, time.Time{}, 0, gone("find held request", err)
	}
	r, expires, err := k.open(id, value)
	return r, expires, rev, err
}

// gone turns the store's answer into ours.
func gone(doing string, err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return ErrGone
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Release returns a token that sends the request off, once and within two
// minutes, with what p proved; or [ErrGone]. Of several tokens for one request
// only one can be redeemed.
func (k *Keeper) Release(ctx context.Context, id string, p Proof) (string, error) {
	r, expires, rev, err := k.get(ctx, id)
	if err != nil {
		return "", err
	}
	now := k.now()
	if until := now.Add(releaseWithin); expires.Before(until) { // proven in the last moment
		t, secret, _ := splitID(id)
		value, err := k.seal(id, until, r)
		if err != nil {
			return "", err
		}
		if _, err := k.bucket.Update(ctx, storeKey(t, secret), value, rev, releaseWithin); err != nil {
			return "", gone("release held request", err)
		}
		k.room.note(t, storeKey(t, secret), until)
	}
	token := newSecret()
	value, err := k.sealTicket(token, ticket{ID: id, Expires: now.Add(releaseWithin), Proof: p})
	if err != nil {
		return "", err
	}
	if _, err := k.bucket.Create(ctx, storeKey(tokenTag, token), value, releaseWithin); err != nil {
		return "", fmt.Errorf("release held request: %w", err)
	}
	return token, nil
}

// Redeem takes the request that token releases. Of many callers exactly one
// gets it; the others get [ErrGone], as does whoever comes late or again.
func (k *Keeper) Redeem(ctx context.Context, token string) (Request, Proof, error) {
	if !isSecret(token) {
		return Request{}, Proof{}, ErrGone
	}
	value, err := k.bucket.Take(ctx, storeKey(tokenTag, token))
	if err != nil {
		return Request{}, Proof{}, gone("redeem held request", err)
	}
	tk, err := k.openTicket(token, value)
	if err != nil {
		return Request{}, Proof{}, err
	}
	t, secret, ok := splitID(tk.ID)
	if !ok {
		return Request{}, Proof{}, ErrGone
	}
	value, err = k.bucket.Take(ctx, storeKey(t, secret))
	if err != nil {
		return Request{}, Proof{}, gone("redeem held request", err)
	}
	k.room.leave(t, storeKey(t, secret))
	r, _, err := k.open(tk.ID, value)
	return r, tk.Proof, err
}

// Len returns how many requests are held.
func (k *Keeper) Len() int { return k.room.len(k.now()) }

// Drop forgets the request. That it is gone is no error.
func (k *Keeper) Drop(ctx context.Context, id string) error {
	t, secret, ok := splitID(id)
	if !ok {
		return nil
	}
	_, err := k.bucket.Take(ctx, storeKey(t, secret))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("drop held request: %w", err)
	}
	k.room.leave(t, storeKey(t, secret))
	return nil
}
