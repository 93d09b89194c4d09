package store_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/store"
)

// A slow connection holds each check of health back for as long as it says.
type slow struct {
	net.Conn
	hold *atomic.Int64
}

func (s slow) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("$KV.health.alive")) {
		time.Sleep(time.Duration(s.hold.Load()))
	}
	return s.Conn.Write(b)
}

// A disk that is slow at the start keeps nobody from starting; one that is slow
// later is told of within a second.
func TestSlow(t *testing.T) {
	t.Parallel()
	var hold atomic.Int64
	hold.Store(int64(1500 * time.Millisecond))
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Key: key}.Through(func(c net.Conn) net.Conn { return slow{c, &hold} }))
	if err != nil {
		t.Fatalf("a store whose first write takes 1.5 s does not open: %v", err)
	}
	defer s.Close()
	if err := s.Healthy(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("healthy, when a write takes 1.5 s: err = %v, want DeadlineExceeded", err)
	}
}
