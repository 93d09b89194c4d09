package authn

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	keysRenew    = 10 * time.Minute // older keys are fetched again when used, so that a withdrawn one goes
	keysLast     = 24 * time.Hour   // how long keys serve while their endpoint fails
	keysInterval = 30 * time.Second // between fetches that tokens with unknown keys cause
	keysGap      = time.Second      // between attempts while there are no keys at all
	maxKeys      = 100
)

// An origin says how a token came to us.
type origin int

const (
	delivered origin = iota // anybody may have sent it
	fetched                 // from the token endpoint, over a connection of our own
)

// A keySet holds a provider's public keys. go-oidc's own remote set asks the
// provider again for every unknown kid, without pause: anybody could make us
// do so through the open endpoint that takes logout tokens.
type keySet struct {
	url    string
	client *http.Client
	log    *slog.Logger
	flight *flight

	mu      sync.Mutex
	ring    *ring     // nil before there were any; replaced whole
	fetched time.Time // when ring was
	tried   time.Time // when the last attempt ended
	begun   time.Time // when the last one for an unknown key began
	err     error     // of the last attempt
}

func newKeySet(url string, client *http.Client, log *slog.Logger) *keySet {
	k := &keySet{url: url, client: client, log: log}
	k.flight = &flight{fetch: k.fetch, done: k.ended}
	return k
}

// verify runs check with a verifier that knows the provider's keys, and once
// more with newer ones when none of them made the signature. It returns
// check's error, or an [*UnavailableError] when there are no keys.
func (d *document) verify(ctx context.Context, from origin, check func(*oidc.IDTokenVerifier) error) error {
	start := time.Now()
	keys, err := d.keys.current(ctx)
	if err != nil {
		return &UnavailableError{Issuer: d.Issuer, Err: err}
	}
	t := &trial{ring: keys}
	err = check(d.verifier(t))
	if !t.failed {
		return err
	}
	keys, ok := d.keys.newer(ctx, keys, start, from)
	if !ok {
		return err
	}
	return check(d.verifier(&trial{ring: keys}))
}

// verifier has go-oidc check algorithm and signature. Issuer, audience and
// times are checked by us, with the claims' exact names: go-oidc makes an
// exception of one issuer, gives expiry no leeway and nbf five minutes.
func (d *document) verifier(keys oidc.KeySet) *oidc.IDTokenVerifier {
	return oidc.NewVerifier(d.Issuer, keys, &oidc.Config{
		SupportedSigningAlgs: d.algs,
		SkipIssuerCheck:      true,
		SkipClientIDCheck:    true,
		SkipExpiryCheck:      true,
	})
}

// current returns keys to verify with, fetching them when there are none or
// they have aged. Keys that have aged serve while their endpoint fails.
func (k *keySet) current(ctx context.Context) (*ring, error) {
	k.mu.Lock()
	now := time.Now()
	age := now.Sub(k.fetched)
	have := k.ring != nil && age < keysLast
	limit := fetchTimeout + shortWait
	switch {
	case have && (age < keysRenew || now.Sub(k.tried) < keysInterval):
		defer k.mu.Unlock()
		return k.ring, nil
	case have:
		limit = shortWait
	case k.err != nil && now.Sub(k.tried) < keysGap:
		defer k.mu.Unlock()
		return nil, k.err
	}
	ended := k.flight.join() // while the lock shows that none has just ended
	k.mu.Unlock()
	if err := await(ctx, ended, limit); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.ring != nil && time.Since(k.fetched) < keysLast:
		return k.ring, nil
	case k.err != nil:
		return nil, k.err
	}
	return nil, errNoAnswer
}

// newer returns other keys than old, and whether there are any; those that were
// fetched after start are new enough. It fetches at most once in keysInterval.
// For tokens that anybody may have sent that counts every fetch; for one from
// the token endpoint only those for unknown keys, since a provider may well
// rotate just after we first asked.
func (k *keySet) newer(ctx context.Context, old *ring, start time.Time, from origin) (*ring, bool) {
	k.mu.Lock()
	if k.ring != old {
		defer k.mu.Unlock()
		return k.ring, true
	}
	now := time.Now()
	last := k.begun
	if from == delivered && k.tried.After(last) {
		last = k.tried
	}
	if !k.fetched.Before(start) || !last.IsZero() && now.Sub(last) < keysInterval {
		defer k.mu.Unlock()
		return nil, false
	}
	k.begun = now
	ended := k.flight.join()
	k.mu.Unlock()
	if err := await(ctx, ended, fetchTimeout+shortWait); err != nil {
		return nil, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ring, k.ring != old
}

func (k *keySet) fetch(ctx context.Context) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := getJSON(ctx, k.client, k.url, "", &set); err != nil {
		return err
	}
	if len(set.Keys) > maxKeys {
		return fmt.Errorf("fetch %s: it has more than %d keys", k.url, maxKeys)
	}
	keys := readKeys(set.Keys)
	if len(keys.keys) == 0 {
		return fmt.Errorf("fetch %s: it has no key that may verify a signature", k.url)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring, k.fetched = keys, time.Now()
	return nil
}

func (k *keySet) ended(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && (k.err == nil || k.err.Error() != err.Error()) {
		k.log.Warn("provider's keys cannot be fetched", "error", err)
	}
	k.tried, k.err = time.Now(), err
}
