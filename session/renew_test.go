package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

func TestRenew(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		ctx := t.Context()
		h, c := w.begin(ehr)
		time.Sleep(6 * time.Minute)
		other := nora()
		other.Authn.Subject.Sub = "p-1"
		if err := w.Renew(ctx, h.ID(), other, nil); !errors.Is(err, session.ErrSubject) {
			t.Fatalf("another person unlocks: err = %v, want ErrSubject", err)
		}
		other = nora()
		other.Authn.Subject.Issuer = "https://elsewhere.test"
		if err := w.Renew(ctx, h.ID(), other, nil); !errors.Is(err, session.ErrSubject) {
			t.Fatalf("another issuer's same sub: err = %v, want ErrSubject", err)
		}
		if v := h.Value(time.Now()); !v.Locked {
			t.Fatal("unlocked by another person")
		}
		w.bucket.set(errors.New("disk full"), false)
		if err := w.Renew(ctx, h.ID(), nora(), nil); err == nil {
			t.Fatal("renewed without a store")
		}
		if v := h.Value(time.Now()); !v.Locked {
			t.Fatal("unlocked by what is not in the store")
		}
		w.bucket.set(nil, false)
		strong := nora()
		strong.Authn.ACR, strong.IDToken = "phr", "newer"
		if err := w.Renew(ctx, h.ID(), strong, nil); err != nil {
			t.Fatal(err)
		}
		v := w.find(c, ehr).Handle.Value(time.Now())
		if v.Locked || v.ACR != "phr" || h.IDToken() != "newer" || !v.LocksAt.Equal(time.Now().Add(limits.LockAfter)) {
			t.Fatalf("after unlocking: %+v", v)
		}
		if err := w.End(ctx, h.ID(), access.SessionEnded); err != nil {
			t.Fatal(err)
		}
		if err := w.Renew(ctx, h.ID(), nora(), nil); !errors.Is(err, session.ErrEnded) {
			t.Fatalf("renew of what ended: err = %v, want ErrEnded", err)
		}
		if _, err := w.Join(ctx, h.ID(), gate); !errors.Is(err, session.ErrEnded) {
			t.Fatalf("join of what ended: err = %v, want ErrEnded", err)
		}
		if err := w.Renew(ctx, "nobody's", nora(), nil); !errors.Is(err, session.ErrEnded) {
			t.Fatalf("renew of nothing: err = %v, want ErrEnded", err)
		}
		if err := w.use(h, access.Limits{}, true); !errors.Is(err, session.ErrEnded) {
			t.Fatalf("use of what ended: err = %v, want ErrEnded", err)
		}
	})
}

func TestOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		ctx := t.Context()
		h, _ := w.begin(ehr)
		renew := func(target string, good time.Duration) {
			t.Helper()
			e := &session.Once{Method: "POST", Host: ehr, Target: target, Until: time.Now().Add(good)}
			if err := w.Renew(ctx, h.ID(), nora(), e); err != nil {
				t.Fatal(err)
			}
		}
		holds := func(method, host, target string) bool { return h.Once(method, host, target, time.Now()) }
		renew("/export?id=7", time.Hour)
		for _, c := range []struct {
			method, host, target string
			want                 bool
		}{
			{"POST", ehr, "/export?id=7", true},
			{"GET", ehr, "/export?id=7", false},
			{"POST", gate, "/export?id=7", false},
			{"POST", ehr, "/export?id=8", false},
			{"POST", ehr, "/export", false},
		} {
			if got := holds(c.method, c.host, c.target); got != c.want {
				t.Errorf("%s %s%s: %t, want %t", c.method, c.host, c.target, got, c.want)
			}
		}
		if bytes.Contains(w.bucket.text(), []byte("/export")) {
			t.Error("the record holds the request in plain text")
		}
		time.Sleep(time.Minute - time.Second)
		if !holds("POST", ehr, "/export?id=7") {
			t.Error("outdated before a minute")
		}
		time.Sleep(time.Second)
		if holds("POST", ehr, "/export?id=7") {
			t.Error("good for more than a minute")
		}
		for i := range 20 {
			renew(fmt.Sprint("/x/", i), time.Minute)
		}
		n := 0
		for i := range 20 {
			if holds("POST", ehr, fmt.Sprint("/x/", i)) {
				n++
			}
		}
		if n != 8 || !holds("POST", ehr, "/x/19") {
			t.Errorf("%d pieces of evidence are kept, want the newest 8", n)
		}
		var spent atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				ok, err := w.Spend(ctx, h, "POST", ehr, "/x/19", time.Now())
				if err != nil {
					t.Error(err)
				}
				if ok {
					spent.Add(1)
				}
			})
		}
		wg.Wait()
		if spent.Load() != 1 || holds("POST", ehr, "/x/19") {
			t.Errorf("spent %d times, want 1", spent.Load())
		}
		w = w.restart()
		defer w.Close()
		if h = w.ByID(h.ID()); holds("POST", ehr, "/x/19") || !holds("POST", ehr, "/x/18") {
			t.Error("a restart changed what is spent")
		}
	})
}

func TestPin(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		ctx := t.Context()
		h, _ := w.begin(ehr)
		for _, c := range []struct {
			device string
			want   error
		}{
			{"", nil},
			{"tablet-1", nil},
			{"tablet-1", nil},
			{"", nil},
			{"tablet-2", session.ErrDevice},
		} {
			if err := w.Pin(ctx, h, c.device); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("pin to %q: err = %v, want %v", c.device, err, c.want)
			}
		}
		w = w.restart()
		defer w.Close()
		h = w.ByID(h.ID())
		if got := h.Value(time.Now()).Device; got != "tablet-1" {
			t.Errorf("after a restart pinned to %q", got)
		}
		if err := w.Renew(ctx, h.ID(), nora(), nil); err != nil {
			t.Fatal(err)
		}
		if got := h.Value(time.Now()).Device; got != "tablet-1" {
			t.Errorf("after unlocking pinned to %q", got)
		}
		w.End(ctx, h.ID(), access.DeviceChanged)
		if err := w.Pin(ctx, h, "tablet-3"); !errors.Is(err, session.ErrEnded) {
			t.Errorf("pin of what ended: err = %v, want ErrEnded", err)
		}
	})
}
