package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/store"
)

const (
	gate = "gate.test"
	ehr  = "ehr.test"
)

var limits = access.Limits{LockAfter: 5 * time.Minute, EndAfter: 30 * time.Minute, Max: 13 * time.Hour}

func key(b byte) session.CookieKey {
	return session.CookieKey{Hash: bytes.Repeat([]byte{b}, 32), Block: bytes.Repeat([]byte{b + 1}, 32)}
}

// A ward is a Keeper, what it was told, and what it stands on.
type ward struct {
	*session.Keeper
	t      *testing.T
	bucket *memory

	mu      sync.Mutex
	limits  access.Limits
	changes []string
}

func (w *ward) config() session.Config {
	return session.Config{
		Bucket: w.bucket, Keys: []session.CookieKey{key(1)},
		Limits: func() access.Limits { w.mu.Lock(); defer w.mu.Unlock(); return w.limits },
		OnChange: func(c session.Change) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changes = append(w.changes, fmt.Sprintf("%s %s %s %s", c.Kind, c.Session.Username, c.Why, c.Detail))
		},
	}
}

func open(t *testing.T, m *memory) *ward {
	t.Helper()
	w := &ward{t: t, bucket: m, limits: limits}
	var err error
	if w.Keeper, err = session.Open(t.Context(), w.config()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *ward) restart() *ward {
	w.t.Helper()
	w.Close()
	return open(w.t, w.bucket)
}

func nora() session.Begin {
	return session.Begin{
		Authn: access.Authentication{
			Subject:  access.Subject{Issuer: "https://login.test", Sub: "n-1"},
			Username: "nora", Name: "Nora N.", Groups: []string{"ehr-nurses"}, ACR: "pwd", AMR: []string{"pwd"},
			AuthTime: time.Now(), FreshAt: time.Now(),
		},
		Provider: "hospital", ProviderSID: "sid-1", IDToken: "header.nora.signature",
	}
}

func (w *ward) begin(host string) (*session.Handle, *http.Cookie) {
	w.t.Helper()
	h, c, err := w.Begin(w.t.Context(), nora(), host)
	if err != nil {
		w.t.Fatal(err)
	}
	return h, c
}

func request(cookies ...string) *http.Request {
	return &http.Request{Header: http.Header{"Cookie": cookies}}
}

func (w *ward) find(c *http.Cookie, host string) session.Found {
	return w.Find(request(c.Name+"="+c.Value), host, time.Now())
}

func (w *ward) use(h *session.Handle, l access.Limits, active bool) error {
	w.t.Helper()
	return w.Use(w.t.Context(), h, l, active, time.Now())
}

// bubble runs fn on a clock of its own; the Keeper is closed at its end.
func bubble(t *testing.T, fn func(t *testing.T, w *ward)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, new(memory))
		t.Cleanup(func() { w.Close() })
		fn(t, w)
	})
}

func TestTombstoneIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, c := w.begin(ehr)
		time.Sleep(time.Minute)
		at := time.Now()
		if n := w.Len(); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
		if err := w.End(t.Context(), h.ID(), access.SessionEnded); err != nil {
			t.Fatal(err)
		}
		if n := w.Len(); n != 0 {
			t.Errorf("%d sessions after the end, want none", n)
		}
		time.Sleep(13*time.Hour - time.Second)
		f := w.find(c, ehr)
		want := session.Tombstone{At: at, Subject: nora().Authn.Subject, Session: h.ID(), Provider: "hospital"}
		if f.Tombstone == nil || !f.Tombstone.At.Equal(at) {
			t.Fatalf("found %+v, want a tombstone of %v", f, at)
		}
		if f.Tombstone.At = at; *f.Tombstone != want {
			t.Fatalf("tombstone %+v, want %+v", *f.Tombstone, want)
		}
		time.Sleep(2 * time.Second)
		if f := w.find(c, ehr); f != (session.Found{}) {
			t.Fatalf("found %+v after a maximum's time", f)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if w.ByID(h.ID()) != nil {
			t.Error("the session is still in memory")
		}
		if !h.Value(time.Now()).Ended {
			t.Error("who holds the handle sees a session that lives")
		}
	})
}

// A store that fails or hangs does not keep a session alive that was ended.
func TestStoreDown(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		hang bool
	}{{"refusing", errors.New("disk full"), false}, {"hanging", nil, true}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *ward) {
				ended, endedCookie := w.begin(ehr)
				locked, _ := w.begin(ehr)
				used, _ := w.begin(ehr)
				w.bucket.set(c.err, c.hang)

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := w.End(ctx, ended.ID(), access.SessionEnded); err == nil {
					t.Error("an end that is not in the store is acknowledged")
				}
				if f := w.find(endedCookie, ehr); f.Handle != nil {
					t.Error("the session lives on")
				}
				if err := w.End(ctx, ended.ID(), access.SessionEnded); err == nil {
					t.Error("a second try is acknowledged while the first is not in the store")
				}
				if err := w.Lock(ctx, locked.ID()); err == nil {
					t.Error("a lock that is not in the store is acknowledged")
				}
				before := time.Now()
				if err := w.Use(t.Context(), used, access.Limits{LockAfter: time.Minute}, true, time.Now()); err == nil {
					t.Error("limits that are not in the store are acknowledged")
				}
				if took := time.Since(before); took > 250*time.Millisecond {
					t.Errorf("a request waits %v for the store", took)
				}
				if v := used.Value(before); v.LocksAt.Sub(before) > time.Minute {
					t.Errorf("the tighter limit does not hold: locks at %v", v.LocksAt.Sub(before))
				}
				if _, _, err := w.Begin(ctx, nora(), ehr); err == nil {
					t.Error("a session begins without a store")
				}
				time.Sleep(20 * time.Second)
				w.bucket.set(nil, false)
				time.Sleep(6 * time.Second)
				synctest.Wait()

				// Another gateway starts from the store alone, as after a kill.
				next := open(t, w.bucket)
				defer next.Close()
				if f := next.find(endedCookie, ehr); f.Handle != nil || f.Tombstone == nil {
					t.Errorf("the end was not written in the background: found %+v", f)
				}
				if v := next.ByID(locked.ID()).Value(time.Now()); !v.Locked {
					t.Error("the lock was not written in the background")
				}
				if v := next.ByID(used.ID()).Value(time.Now()); v.LocksAt.Sub(before) > time.Minute+time.Second {
					t.Error("the limits were not written in the background")
				}
			})
		})
	}
}

// Activity is written a few seconds late, coalesced, and all of it by Close.
func TestActivityIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, _ := w.begin(ehr)
		before := w.bucket.writes
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			if err := w.use(h, access.Limits{}, true); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.bucket.writes - before; n < 9 || n > 13 {
			t.Errorf("a minute of activity took %d writes, want about 12", n)
		}
		next := open(t, w.bucket) // as after a kill
		if lag := h.Value(time.Now()).LocksAt.Sub(next.ByID(h.ID()).Value(time.Now()).LocksAt); lag < 0 || lag > 7*time.Second {
			t.Errorf("after a kill the lock is %v off", lag)
		}
		next.Close()
		want := h.Value(time.Now()).LocksAt
		next = w.restart()
		defer next.Close()
		if got := next.ByID(h.ID()).Value(time.Now()).LocksAt; !got.Equal(want) {
			t.Errorf("after a restart it locks at %v, want %v", got, want)
		}
	})
}

func TestEndWhere(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		_, a := w.begin(ehr)
		h, b := w.begin(ehr)
		other := nora()
		other.ProviderSID = "sid-2"
		_, c, err := w.Begin(t.Context(), other, ehr)
		if err != nil {
			t.Fatal(err)
		}
		w.End(t.Context(), h.ID(), access.SessionEnded)
		ended, err := w.EndWhere(t.Context(), func(s access.Session, provider, sid string) bool {
			return provider == "hospital" && sid == "sid-1" && s.Subject.Sub == "n-1"
		}, access.SessionEnded)
		if err != nil || len(ended) != 1 || ended[0].Username != "nora" {
			t.Fatalf("ended %+v, %v; want the one that lived", ended, err)
		}
		next := open(t, w.bucket)
		defer next.Close()
		for _, k := range []*ward{w, next} {
			if k.find(a, ehr).Handle != nil || k.find(b, ehr).Handle != nil || k.find(c, ehr).Handle == nil {
				t.Error("the wrong sessions ended")
			}
		}
	})
}

// Two gateways on one store see each other's sessions, and no change is lost
// when both write one session.
func TestTwoKeepers(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		ctx := t.Context()
		other := open(t, w.bucket)
		defer other.Close()
		h, c := w.begin(ehr)
		f := other.find(c, ehr)
		if f.Handle == nil {
			t.Fatal("the other gateway does not know the session")
		}
		var wg sync.WaitGroup
		cookies := make(chan *http.Cookie, 20)
		for i := range 10 {
			for _, k := range []*ward{w, other} {
				wg.Go(func() {
					c, err := k.Join(ctx, h.ID(), fmt.Sprintf("app%d.%p.test", i, k))
					if err != nil {
						t.Error(err)
						return
					}
					cookies <- c
				})
				wg.Go(func() {
					k.use(k.ByID(h.ID()), access.Limits{LockAfter: time.Minute + time.Duration(i)*time.Second}, false)
				})
			}
		}
		wg.Wait()
		synctest.Wait()
		if len(cookies) != 20 {
			t.Fatalf("%d of 20 hosts joined", len(cookies))
		}
		for _, k := range []*ward{w, other} {
			if v := k.ByID(h.ID()).Value(time.Now()); time.Until(v.LocksAt) > time.Minute {
				t.Errorf("a tighter limit was lost: %v", time.Until(v.LocksAt))
			}
		}
		if err := other.End(ctx, h.ID(), access.SessionEnded); err != nil {
			t.Fatal(err)
		}
		if f := w.find(c, ehr); f.Handle != nil || f.Tombstone == nil {
			t.Fatalf("ended on the other gateway, found %+v", f)
		}
		h, c = w.begin(ehr)
		w.bucket.Delete(ctx, h.ID())
		if f := other.find(c, ehr); f != (session.Found{}) {
			t.Errorf("removed from the store, found %+v", f)
		}
		if !h.Value(time.Now()).Ended {
			t.Error("removed from the store, the handle lives")
		}
	})
}

// A gateway whose watch is behind finds out when it writes; and what the watch
// tells late takes nothing back.
func TestWatchBehind(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		ctx := t.Context()
		other := open(t, w.bucket)
		defer other.Close()
		h, c := w.begin(ehr)
		w.bucket.mute = true
		old, rev, err := w.bucket.Get(ctx, h.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Pin(ctx, other.ByID(h.ID()), "tablet-1"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Join(ctx, h.ID(), gate); err != nil {
			t.Fatalf("join of what another wrote: %v", err)
		}
		if got := h.Value(time.Now()).Device; got != "tablet-1" {
			t.Errorf("pinned to %q, want what the other gateway wrote", got)
		}
		if err := other.End(ctx, h.ID(), access.SessionEnded); err != nil {
			t.Fatalf("end of what another wrote: %v", err)
		}
		if err := w.Renew(ctx, h.ID(), nora(), nil); !errors.Is(err, session.ErrEnded) {
			t.Fatalf("renew of what another ended: err = %v, want ErrEnded", err)
		}
		for _, tell := range w.bucket.told {
			tell(store.Entry{Key: h.ID(), Value: old, Rev: rev})
		}
		for _, k := range []*ward{w, other} {
			if f := k.find(c, ehr); f.Handle != nil || f.Tombstone == nil {
				t.Errorf("an old revision revived the session: %+v", f)
			}
		}
		h, _ = w.begin(ehr)
		w.bucket.told = nil
		w.bucket.Delete(ctx, h.ID())
		if err := w.Renew(ctx, h.ID(), nora(), nil); !errors.Is(err, session.ErrEnded) {
			t.Errorf("renew of what was removed: err = %v, want ErrEnded", err)
		}
	})
}

// What the store holds opens nothing.
func TestRecordHoldsNoSecret(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, c := w.begin(ehr)
		w.Remember(h, "ehr", []*http.Cookie{{Name: "JSESSIONID", Value: "backend-secret"}})
		w = w.restart()
		defer w.Close()
		text := w.bucket.text()
		says, _, err := session.Recode(h.ID(), text)
		if err != nil {
			t.Fatalf("not one record: %v", err)
		}
		text = append(text, says...)
		// What the cookie seals, read as whoever has the key could.
		var id []byte
		if err := securecookie.New(key(1).Hash, key(1).Block).SetSerializer(securecookie.NopEncoder{}).MaxAge(0).Decode(session.CookieName+" "+ehr, c.Value, &id); err != nil || len(id) < 16 {
			t.Fatalf("open the cookie: %d bytes, %v", len(id), err)
		}
		for _, secret := range []string{c.Value, string(id), base64.RawURLEncoding.EncodeToString(id), base64.StdEncoding.EncodeToString(id), hex.EncodeToString(id), "backend-secret", "JSESSIONID"} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the record holds %q", secret)
			}
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(format, key('k')); strings.ContainsAny(got, "k07") {
				t.Errorf("%s prints %s", format, got)
			}
		}
	})
}

// The count is of sessions that have not ended, wherever and however they end.
func TestLen(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		other := open(t, w.bucket)
		defer other.Close()
		here := func(want int, when string) {
			t.Helper()
			synctest.Wait()
			if a, b := w.Len(), other.Len(); a != want || b != want {
				t.Errorf("%s: %d and %d sessions, want %d", when, a, b, want)
			}
		}
		here(0, "before")
		first, _ := w.begin(ehr)
		other.begin(ehr)
		third, _ := w.begin(ehr)
		here(3, "begun here and there")
		for range 2 {
			if err := other.End(t.Context(), first.ID(), access.SessionEnded); err != nil {
				t.Fatal(err)
			}
			here(2, "ended there")
		}
		time.Sleep(4 * time.Minute)
		if err := w.use(third, access.Limits{}, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(limits.EndAfter - 4*time.Minute + 3*time.Second)
		here(1, "one was idle for too long")
		again := open(t, w.bucket)
		defer again.Close()
		if n := again.Len(); n != 1 {
			t.Errorf("%d sessions after a restart, want 1", n)
		}
		time.Sleep(limits.EndAfter)
		here(0, "so was the other")
		time.Sleep(14 * time.Hour)
		here(0, "forgotten")
	})
}
