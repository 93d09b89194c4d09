package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/keys"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/store"
)

// seed puts n sessions of people of issuer into the data directory of a gateway
// that does not run, for at most limit. It returns how many it put there. Those
// of an issuer that the gateway does not know would end at its start, each with a
// write to the disk.
func seed(ctx context.Context, data, issuer string, n int, limit time.Duration) (made int, err error) {
	root, err := keys.Open(filepath.Join(data, "keys"))
	if err != nil {
		return 0, err
	}
	s, err := store.Open(ctx, store.Options{Dir: filepath.Join(data, "store"), Key: root.Derive("store", 32)})
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	bucket, err := s.Bucket(ctx, "sessions")
	if err != nil {
		return 0, err
	}
	keeper, err := session.Open(ctx, session.Config{
		Bucket: bucket,
		Keys:   []session.CookieKey{{Hash: root.Derive("cookie hash", 32), Block: root.Derive("cookie block", 32)}},
		Limits: func() access.Limits {
			return access.Limits{LockAfter: 5 * time.Minute, EndAfter: 8 * time.Hour, Max: 13 * time.Hour}
		},
	})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var next, done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) || ctx.Err() != nil {
					return
				}
				now := time.Now()
				_, _, err := keeper.Begin(ctx, session.Begin{
					Provider: "hospital", ProviderSID: fmt.Sprintf("sid-%d", i),
					Authn: access.Authentication{
						Subject:  access.Subject{Issuer: issuer, Sub: fmt.Sprintf("person-%d", i)},
						Username: fmt.Sprintf("user%d", i), Name: "Person of the Ward", Groups: []string{"ehr-nurses", "ward-7"},
						ACR: "mfa", AMR: []string{"pwd", "otp"}, AuthTime: now, FreshAt: now,
					},
				}, "ehr.test")
				if err != nil {
					if ctx.Err() == nil {
						failed.Store(&err)
					}
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	err = keeper.Close()
	if f := failed.Load(); f != nil {
		err = *f
	}
	return int(done.Load()), err
}
