package session_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/store"
)

// A hasty bucket tells of every second session at once that it is gone again.
type hasty struct{ *memory }

func (h hasty) Watch(ctx context.Context, fn func(store.Entry)) error {
	n := 0
	return h.memory.Watch(ctx, func(e store.Entry) {
		fn(e)
		if n++; n%2 == 0 {
			fn(store.Entry{Key: e.Key, Rev: e.Rev + 1, Gone: true})
		}
	})
}

// Sessions are read by many at once, but what is told of one stays in order:
// one that went while they were read is not there afterwards.
func TestReadingKeepsOrder(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		const n = 400
		var ids []string
		for i := range n {
			one := nora()
			one.Authn.Subject.Sub = fmt.Sprint("n-", i)
			h, _, err := w.Begin(t.Context(), one, ehr)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, h.ID())
		}
		w.Close()
		c := w.config()
		c.Bucket = hasty{w.bucket}
		k, err := session.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		there := 0
		for _, id := range ids {
			if h := k.ByID(id); h != nil && !h.Value(time.Now()).Ended {
				there++
			}
		}
		if there != n/2 {
			t.Errorf("%d of %d sessions are there, want %d", there, n, n/2)
		}
	})
}
