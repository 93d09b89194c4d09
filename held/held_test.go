package held_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/held"
	"github.com/anteroom/anteroom/store"
)

var key = bytes.Repeat([]byte{3}, 32)

// A desk is a Keeper on a clock that the test moves.
type desk struct {
	*held.Keeper
	bucket *store.Bucket
	clock  *atomic.Int64 // seconds that passed
}

func newBucket(t *testing.T) *store.Bucket {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Key: key, MaxBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b, err := s.Bucket(t.Context(), "held")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newDesk(t *testing.T, b *store.Bucket, perSession, all int) desk {
	t.Helper()
	d := desk{bucket: b, clock: new(atomic.Int64)}
	start := time.Now()
	var err error
	d.Keeper, err = held.New(held.Config{Bucket: b, Keys: [][]byte{key}, MaxPerSession: perSession, MaxAll: all,
		Now: func() time.Time { return start.Add(time.Duration(d.clock.Load()) * time.Second) }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func order(session string) held.Request {
	return held.Request{
		Session: session, Subject: access.Subject{Issuer: "https://login.test", Sub: "n-1"},
		Host: "ehr.test", Route: "ehr", Rule: "amend an order", Origin: "https://ehr.test",
		Method: "POST", Target: "/orders/7?x=%2F&y", Header: http.Header{"Content-Type": {"text/plain; charset=latin1"}},
		Body: []byte("dose=\x00\xff5 mg\r\n"),
	}
}

func (d desk) hold(t *testing.T, r held.Request) string {
	t.Helper()
	id, err := d.Hold(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestHoldAndRelease(t *testing.T) {
	ctx, b := t.Context(), newBucket(t)
	d := newDesk(t, b, 0, 0)
	want := order("s1")
	id := d.hold(t, want)
	for range 2 {
		got, err := d.Peek(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("peek (-want +got):\n%s", diff)
		}
	}
	proof := held.Proof{Session: "s2", Judged: time.Now(), Once: true}
	token, err := d.Release(ctx, id, proof)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := held.Token("application/x-www-form-urlencoded", []byte(held.Field+"="+token)); !ok || got != token {
		t.Fatalf("the form does not give the token back: %q, %t", got, ok)
	}
	second, err := d.Release(ctx, id, proof) // the callback was loaded again
	if err != nil {
		t.Fatal(err)
	}

	d = newDesk(t, b, 0, 0) // after a restart
	got, gotProof, err := d.Redeem(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("redeemed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(proof, gotProof, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("proof (-want +got):\n%s", diff)
	}
	for name, try := range map[string]func() error{
		"redeem again":  func() error { _, _, err := d.Redeem(ctx, token); return err },
		"second token":  func() error { _, _, err := d.Redeem(ctx, second); return err },
		"peek":          func() error { _, err := d.Peek(ctx, id); return err },
		"release":       func() error { _, err := d.Release(ctx, id, proof); return err },
		"no id":         func() error { _, err := d.Peek(ctx, ""); return err },
		"not an id":     func() error { _, err := d.Peek(ctx, "a.b"); return err },
		"another id":    func() error { _, err := d.Peek(ctx, id[:len(id)-2]+"AA"); return err },
		"no token":      func() error { _, _, err := d.Redeem(ctx, ""); return err },
		"id as token":   func() error { _, _, err := d.Redeem(ctx, id); return err },
		"secret of id":  func() error { _, _, err := d.Redeem(ctx, id[strings.Index(id, ".")+1:]); return err },
		"another token": func() error { _, _, err := d.Redeem(ctx, strings.Repeat("A", 43)); return err },
	} {
		if err := try(); !errors.Is(err, held.ErrGone) {
			t.Errorf("%s: err = %v, want ErrGone", name, err)
		}
	}
}

func TestDrop(t *testing.T) {
	d := newDesk(t, newBucket(t), 1, 0)
	id := d.hold(t, order("s1"))
	token, err := d.Release(t.Context(), id, held.Proof{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{id, id, "", "x.y"} {
		if err := d.Drop(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.Redeem(t.Context(), token); !errors.Is(err, held.ErrGone) {
		t.Fatalf("a dropped request is sent: err = %v", err)
	}
	if n := d.Len(); n != 0 {
		t.Errorf("%d are held after the drop", n)
	}
	d.hold(t, order("s1"))
	if n := d.Len(); n != 1 {
		t.Errorf("%d are held, want 1", n)
	}
	d.clock.Add(600)
	if n := d.Len(); n != 0 {
		t.Errorf("%d are held when their time is over", n)
	}
}

// A click that comes twice, or in a hundred tabs, sends the request once.
func TestRedeemOnce(t *testing.T) {
	d := newDesk(t, newBucket(t), 0, 0)
	id := d.hold(t, order("s1"))
	var tokens []string
	for range 4 {
		token, err := d.Release(t.Context(), id, held.Proof{})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	var sent atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			switch r, _, err := d.Redeem(t.Context(), tokens[i%len(tokens)]); {
			case err == nil && r.Target == "/orders/7?x=%2F&y":
				sent.Add(1)
			case !errors.Is(err, held.ErrGone):
				t.Errorf("err = %v, want ErrGone", err)
			}
		})
	}
	wg.Wait()
	if sent.Load() != 1 {
		t.Fatalf("sent %d times, want 1", sent.Load())
	}
}

func TestTimes(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		name              string
		release, redeem   int64 // seconds after holding
		released, redeems bool
	}{
		{"at once", 0, 0, true, true},
		{"on the token's last second", 60, 60 + 119, true, true},
		{"past the token's time", 60, 60 + 120, true, false},
		{"on the last second", 599, 599, true, true},
		{"proven in the last moment, sent after it", 599, 599 + 119, true, true},
		{"proven in the last moment, sent too late", 599, 599 + 120, true, false},
		{"past the time", 600, 600, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, newBucket(t), 0, 0)
			want := order("s1")
			id := d.hold(t, want)
			d.clock.Store(c.release)
			token, err := d.Release(ctx, id, held.Proof{})
			if (err == nil) != c.released || err != nil && !errors.Is(err, held.ErrGone) {
				t.Fatalf("release: err = %v, want %t", err, c.released)
			}
			if err != nil {
				return
			}
			d.clock.Store(c.redeem)
			got, _, err := d.Redeem(ctx, token)
			if (err == nil) != c.redeems || err != nil && !errors.Is(err, held.ErrGone) {
				t.Fatalf("redeem: err = %v, want %t", err, c.redeems)
			}
			if diff := cmp.Diff(want, got); c.redeems && diff != "" {
				t.Errorf("redeemed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	d := newDesk(t, newBucket(t), 0, 0)
	sized := func(body, header int) held.Request {
		r := order("s1")
		r.Body = bytes.Repeat([]byte{0xff}, body)
		r.Header.Set("X-Long", strings.Repeat("<", header)) // which JSON writes in six bytes
		return r
	}
	want := sized(held.MaxBody, 20<<10)
	got, err := d.Peek(t.Context(), d.hold(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(want, got) {
		t.Error("the largest request is not given back as it was")
	}
	for name, r := range map[string]held.Request{
		"body":   sized(held.MaxBody+1, 0),
		"header": sized(0, 128<<10),
	} {
		if _, err := d.Hold(t.Context(), r); !errors.Is(err, held.ErrTooLarge) {
			t.Errorf("%s: err = %v, want ErrTooLarge", name, err)
		}
	}
	empty := order("s1")
	empty.Body, empty.Header = nil, nil
	got, err = d.Peek(t.Context(), d.hold(t, empty))
	if err != nil || !cmp.Equal(empty, got, cmpopts.EquateEmpty()) {
		t.Errorf("empty request: %+v, %v", got, err)
	}
}

func TestLimits(t *testing.T) {
	ctx, b := t.Context(), newBucket(t)
	d := newDesk(t, b, 5, 20)
	many := func(session string, n int) (ids []string) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				id, err := d.Hold(ctx, order(session))
				if err != nil && !errors.Is(err, held.ErrFull) {
					t.Errorf("err = %v, want ErrFull", err)
				}
				if err == nil {
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return ids
	}
	count := func(when string, got []string, want int) {
		t.Helper()
		if len(got) != want {
			t.Errorf("%s: %d are held, want %d", when, len(got), want)
		}
	}
	first := many("s1", 200)
	count("200 of one session at once", first, 5)
	for i := range 3 {
		count("another session", many(fmt.Sprint("t", i), 10), 5)
	}
	count("over all", many("s2", 10), 0)
	if err := d.Drop(ctx, first[0]); err != nil {
		t.Fatal(err)
	}
	if err := d.Drop(ctx, first[0]); err != nil {
		t.Fatal(err)
	}
	token, err := d.Release(ctx, first[1], held.Proof{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Redeem(ctx, token); err != nil {
		t.Fatal(err)
	}
	count("two are gone", many("s1", 10), 2)
	d = newDesk(t, b, 5, 20)
	count("after a restart", many("s1", 10), 0)
	count("after a restart, over all", many("s3", 10), 0)
	d.clock.Store(600)
	count("when their time ran out", many("s3", 10), 5)
}

func TestStoreDown(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bucket(t.Context(), "held")
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, b, 1, 0)
	id := d.hold(t, order("s1"))
	s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for range 2 { // the room of what was not held is given back
		if _, err := d.Hold(ctx, order("s2")); err == nil || errors.Is(err, held.ErrFull) {
			t.Errorf("hold: err = %v, want the store's", err)
		}
	}
	if _, err := d.Peek(ctx, id); err == nil || errors.Is(err, held.ErrGone) {
		t.Errorf("peek: err = %v, want the store's", err)
	}
	if _, err := held.New(held.Config{Bucket: b, Keys: [][]byte{key[:31]}}); err == nil {
		t.Error("a short key is taken")
	}
}

// A value that was moved under another key, or sealed with another, does not open.
func TestSealed(t *testing.T) {
	ctx, b := t.Context(), newBucket(t)
	d := newDesk(t, b, 0, 0)
	one, two := d.hold(t, order("s1")), d.hold(t, order("s1"))
	keys, err := b.Keys(ctx)
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys %q, %v", keys, err)
	}
	var values [][]byte
	for _, k := range keys {
		value, _, err := b.Get(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"dose", "orders", "n-1", "ehr.test"} {
			if bytes.Contains(value, []byte(text)) || strings.Contains(k, text) {
				t.Errorf("%q can be read in the store", text)
			}
		}
		for _, id := range []string{one, two} {
			if _, secret, _ := strings.Cut(id, "."); strings.Contains(k, secret) {
				t.Error("the store's key gives the id away")
			}
		}
		values = append(values, value)
	}
	other, err := held.New(held.Config{Bucket: b, Keys: [][]byte{bytes.Repeat([]byte{4}, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Peek(ctx, one); !errors.Is(err, held.ErrGone) {
		t.Errorf("another key opens: err = %v", err)
	}
	for i, k := range keys {
		if err := b.Delete(ctx, k); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Create(ctx, k, values[1-i], time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{one, two} {
		if _, err := d.Peek(ctx, id); !errors.Is(err, held.ErrGone) {
			t.Errorf("swapped values open: err = %v", err)
		}
	}
}
