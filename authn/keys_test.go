package authn_test

import (
	"crypto/rand"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

// round goes all the way round in memory.
func round(t testing.TB, op *anteroomtest.Provider, rp *authn.Provider) error {
	t.Helper()
	authURL, a := begun(t, rp, authn.Ask{})
	_, err := rp.Finish(t.Context(), a, callback(t, op, authURL))
	return err
}

// H8: the key changed, even between the two halves of a sign-in.
func TestKeyRotation(t *testing.T) {
	op, rp := parties(t)
	mustSignIn(t, op, rp)
	op.Rotate()
	mustSignIn(t, op, rp)
	if n := op.Calls(anteroomtest.KeysPath); n != 2 {
		t.Errorf("keys were fetched %d times, want 2", n)
	}
}

// A withdrawn key signs nobody in for longer than keys go unasked.
func TestKeyWithdrawn(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		refusal{}.check(t, round(t, op, rp))
		stolen := op.Key()
		op.SignWith(stolen, anteroomtest.NewKey("next", "ES256"))
		time.Sleep(11 * time.Minute)
		refusal{other: true}.check(t, round(t, op, rp))
	})
}

// O5: a thousand tokens with unknown keys, from anybody or from the token
// endpoint, cause one fetch in 30 s.
func TestUnknownKeys(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		key := anteroomtest.NewKey("", "ES256")
		flood := func(tokens int) {
			var all sync.WaitGroup
			for range tokens {
				k := key
				k.ID = rand.Text()
				all.Go(func() {
					raw := k.Token(nil, map[string]any{"iss": op.URL, "aud": op.ClientID, "sub": "u", "jti": "j"})
					_, err := rp.LogoutToken(t.Context(), raw)
					refusal{other: true}.check(t, err)
				})
			}
			all.Wait()
		}
		calls := func() int { return op.Calls(anteroomtest.KeysPath) }
		flood(1000)
		if n := calls(); n != 1 {
			t.Fatalf("cold: %d fetches, want 1", n)
		}
		flood(100)
		if n := calls(); n != 1 {
			t.Fatalf("within 30 s: %d fetches, want 1", n)
		}
		time.Sleep(31 * time.Second)
		flood(100)
		if n := calls(); n != 2 {
			t.Fatalf("31 s later: %d fetches, want 2", n)
		}
		time.Sleep(31 * time.Second)
		op.Sign(func(h, claims map[string]any) string {
			k := key
			k.ID = rand.Text()
			return k.Token(h, claims)
		})
		for range 20 {
			refusal{other: true}.check(t, round(t, op, rp))
			time.Sleep(time.Second)
		}
		if n := calls(); n != 3 {
			t.Errorf("20 ID tokens: %d fetches, want 3", n)
		}
	})
}

// Those who come while the first documents are fetched share that fetch,
// however short it is: whoever finds none done joins the one under way. The
// moment between the two is narrow, so many crowds try to hit it.
func TestFirstFetchIsShared(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	raw := op.LogoutToken("u", "", nil)
	for range 200 {
		rp := inBubble(op)
		discovered, keys := op.Calls(anteroomtest.DiscoveryPath), op.Calls(anteroomtest.KeysPath)
		var all sync.WaitGroup
		gate := make(chan struct{})
		for range 32 {
			all.Go(func() {
				<-gate
				rp.LogoutToken(t.Context(), raw) // its outcome is another test's
			})
		}
		close(gate)
		all.Wait()
		discovered, keys = op.Calls(anteroomtest.DiscoveryPath)-discovered, op.Calls(anteroomtest.KeysPath)-keys
		if discovered != 1 || keys != 1 {
			t.Fatalf("discovery was fetched %d times, the keys %d times; want one each", discovered, keys)
		}
	}
}

// A token whose key is not in a set fetched for it causes no second fetch.
func TestUnknownKeyAtFirst(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		op.SignWith(anteroomtest.NewKey("unpublished", "ES256"))
		refusal{other: true}.check(t, round(t, op, rp))
		if n := op.Calls(anteroomtest.KeysPath); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

// Someone who sends us nonsense just before cannot keep a new key from us for
// longer than the interval; a fetch for them brings it to all.
func TestRotationUnderFlood(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		refusal{}.check(t, round(t, op, rp))
		time.Sleep(time.Minute)
		nonsense := func() {
			rp.LogoutToken(t.Context(), anteroomtest.NewKey(rand.Text(), "ES256").Token(nil, map[string]any{"iss": op.URL, "aud": op.ClientID}))
		}
		nonsense()
		op.Rotate()
		refusal{other: true}.check(t, round(t, op, rp))
		time.Sleep(30 * time.Second)
		refusal{}.check(t, round(t, op, rp))
	})
}

// R6: keys at hand serve for 24 h while the key endpoint fails, however it does.
func TestKeyEndpointFails(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"empty set": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"keys":[]}`)) },
		"not JSON":  func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`<html>`)) },
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"hangs":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			op := anteroomtest.NewProvider(t)
			synctest.Test(t, func(t *testing.T) {
				rp := inBubble(op)
				refusal{}.check(t, round(t, op, rp))
				op.Handle(anteroomtest.KeysPath, h)
				for range 23 {
					time.Sleep(time.Hour)
					start := time.Now()
					refusal{}.check(t, round(t, op, rp))
					if d := time.Since(start); d > 300*time.Millisecond {
						t.Fatalf("a sign-in waited %v for keys that were at hand", d)
					}
				}
				calls := op.Calls(anteroomtest.KeysPath)
				for range 10 {
					refusal{}.check(t, round(t, op, rp))
				}
				if n := op.Calls(anteroomtest.KeysPath) - calls; n > 1 {
					t.Errorf("10 sign-ins asked a failing endpoint %d times", n)
				}
				time.Sleep(time.Hour + time.Second)
				for range 2 {
					refusal{down: true}.check(t, round(t, op, rp))
				}
				op.Handle(anteroomtest.KeysPath, nil)
				time.Sleep(4 * time.Second)
				refusal{}.check(t, round(t, op, rp))
			})
		})
	}
}

func TestTooManyKeys(t *testing.T) {
	op, rp := parties(t)
	k := op.Key()
	op.EditKeys(func(m map[string]any) {
		var all []any
		for range 101 {
			all = append(all, k.Published(nil))
		}
		m["keys"] = all
	})
	refusal{down: true}.check(t, rp.Check(t.Context()))
}

// Without any keys the endpoint is asked again soon, but not by everybody.
func TestNoKeysYet(t *testing.T) {
	op := anteroomtest.NewProvider(t)
	synctest.Test(t, func(t *testing.T) {
		rp := inBubble(op)
		op.Handle(anteroomtest.KeysPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		for range 10 {
			refusal{down: true}.check(t, round(t, op, rp))
		}
		if n := op.Calls(anteroomtest.KeysPath); n != 1 {
			t.Errorf("10 sign-ins asked %d times", n)
		}
		op.Handle(anteroomtest.KeysPath, nil)
		time.Sleep(time.Second)
		refusal{}.check(t, round(t, op, rp))
	})
}
