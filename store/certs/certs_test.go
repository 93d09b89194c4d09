package certs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/anteroom/anteroom/store"
	"github.com/anteroom/anteroom/store/certs"
)

func open(t *testing.T, dir string) (*store.Store, *store.Bucket) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Key: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b, err := s.Bucket(t.Context(), "certs")
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

// TestConformance holds the storage to what certmagic's own on files does.
func TestConformance(t *testing.T) {
	_, b := open(t, t.TempDir())
	for name, s := range map[string]certmagic.Storage{
		"files": &certmagic.FileStorage{Path: t.TempDir()},
		"store": certs.New(b),
	} {
		t.Run(name, func(t *testing.T) { conforms(t, s) })
	}
}

func conforms(t *testing.T, s certmagic.Storage) {
	ctx := t.Context()
	exists := func(key string, want bool) {
		t.Helper()
		if got := s.Exists(ctx, key); got != want {
			t.Errorf("Exists(%s) = %v, want %v", key, got, want)
		}
	}
	load := func(key, want string) {
		t.Helper()
		if got, err := s.Load(ctx, key); err != nil || string(got) != want {
			t.Errorf("Load(%s) = %q, %v; want %q", key, got, err, want)
		}
	}
	list := func(dir string, recursive bool, want ...string) {
		t.Helper()
		got, err := s.List(ctx, dir, recursive)
		if err != nil {
			t.Errorf("List(%s, %v): %v", dir, recursive, err)
		}
		have := map[string]bool{}
		for _, k := range got {
			have[k] = true
		}
		for _, k := range want {
			if !have[k] {
				t.Errorf("List(%s, %v) = %v, lacks %s", dir, recursive, got, k)
			}
			delete(have, k)
		}
		if len(have) > 0 {
			t.Errorf("List(%s, %v) = %v, want %v", dir, recursive, got, want)
		}
	}
	store := func(key, value string) {
		t.Helper()
		if err := s.Store(ctx, key, []byte(value)); err != nil {
			t.Errorf("Store(%s): %v", key, err)
		}
	}

	for _, key := range []string{"a", "a/b", "acme/it@hospital.example/key.json"} {
		exists(key, false)
		if _, err := s.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Load(%s) of nothing: %v, want fs.ErrNotExist", key, err)
		}
		if _, err := s.Stat(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%s) of nothing: %v, want fs.ErrNotExist", key, err)
		}
		if _, err := s.List(ctx, key, true); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("List(%s) of nothing: %v, want fs.ErrNotExist", key, err)
		}
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("Delete(%s) of nothing: %v", key, err)
		}
	}

	before := time.Now().Add(-time.Second)
	store("acme/ca-1/users/it@hospital.example/it.json", "account")
	store("certificates/ca-1/gate.test/gate.test.crt", "certificate")
	store("certificates/ca-1/gate.test/gate.test.key", "key")
	store("certificates/ca-1/gate.test.other/x.crt", "other")
	store("ocsp/empty", "")
	load("certificates/ca-1/gate.test/gate.test.key", "key")
	load("ocsp/empty", "")
	store("certificates/ca-1/gate.test/gate.test.key", "a new and longer key")
	load("certificates/ca-1/gate.test/gate.test.key", "a new and longer key")
	for key, want := range map[string]bool{
		"certificates/ca-1/gate.test/gate.test.key": true, "certificates/ca-1/gate.test": true, "certificates": true,
		"certificates/ca-1/gate": false, "certificates/ca-1/gate.test/gate.test": false, "acme/ca-1/users/it@hospital.example": true,
	} {
		exists(key, want)
	}
	switch info, err := s.Stat(ctx, "certificates/ca-1/gate.test/gate.test.key"); {
	case err != nil:
		t.Errorf("Stat: %v", err)
	case info.Key != "certificates/ca-1/gate.test/gate.test.key", info.Size != 20, !info.IsTerminal, info.Modified.Before(before), info.Modified.After(time.Now().Add(time.Second)):
		t.Errorf("Stat = %+v", info)
	}
	if info, err := s.Stat(ctx, "certificates/ca-1/gate.test"); err != nil || info.IsTerminal {
		t.Errorf("Stat of a directory = %+v, %v", info, err)
	}

	list("certificates/ca-1", false, "certificates/ca-1/gate.test", "certificates/ca-1/gate.test.other")
	list("certificates/ca-1/gate.test", false, "certificates/ca-1/gate.test/gate.test.crt", "certificates/ca-1/gate.test/gate.test.key")
	list("certificates", true, "certificates/ca-1", "certificates/ca-1/gate.test", "certificates/ca-1/gate.test.other",
		"certificates/ca-1/gate.test/gate.test.crt", "certificates/ca-1/gate.test/gate.test.key", "certificates/ca-1/gate.test.other/x.crt")

	if err := s.Delete(ctx, "certificates/ca-1/gate.test"); err != nil {
		t.Errorf("Delete of a directory: %v", err)
	}
	exists("certificates/ca-1/gate.test/gate.test.key", false)
	exists("certificates/ca-1/gate.test", false)
	exists("certificates/ca-1/gate.test.other/x.crt", true)

	if err := s.Lock(ctx, "issue_cert_gate.test"); err != nil {
		t.Fatal(err)
	}
	exists("issue_cert_gate.test", false) // a lock is no value
	if err := s.Lock(ctx, "issue_cert_ehr.test"); err != nil {
		t.Errorf("another lock: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := s.Lock(short, "issue_cert_gate.test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that is held: %v, want the deadline", err)
	}
	if ok, err := s.(certmagic.TryLocker).TryLock(ctx, "issue_cert_gate.test"); ok || err != nil {
		t.Errorf("try a lock that is held: %v, %v", ok, err)
	}
	for _, name := range []string{"issue_cert_gate.test", "issue_cert_ehr.test"} {
		if err := s.Unlock(ctx, name); err != nil {
			t.Errorf("Unlock(%s): %v", name, err)
		}
	}
	if ok, err := s.(certmagic.TryLocker).TryLock(ctx, "issue_cert_gate.test"); !ok || err != nil {
		t.Errorf("try a lock that was released: %v, %v", ok, err)
	}
}

// Of two gateways on one store, one has the lock at a time.
func TestLockExcludes(t *testing.T) {
	_, b := open(t, t.TempDir())
	both := []*certs.Storage{certs.New(b), certs.New(b)}
	var wg sync.WaitGroup
	inside, turns := 0, 0
	for i := range 6 {
		wg.Go(func() {
			s := both[i%2]
			if err := s.Lock(t.Context(), "issue"); err != nil {
				t.Error(err)
				return
			}
			inside++ // the race detector sees two at once, too
			if inside != 1 {
				t.Errorf("%d hold one lock", inside)
			}
			inside--
			turns++
			if err := s.Unlock(t.Context(), "issue"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if turns != 6 {
		t.Errorf("%d of 6 had their turn", turns)
	}
}

// A lease that is renewed goes on; one that is not ends; and then the lock is
// no longer the first one's to renew or to release.
func TestLease(t *testing.T) {
	_, b := open(t, t.TempDir())
	first, second := certs.New(b), certs.New(b)
	if err := first.Lock(t.Context(), "issue"); err != nil {
		t.Fatal(err)
	}
	if err := second.RenewLockLease(t.Context(), "issue", time.Hour); err == nil {
		t.Error("a lease is renewed by who does not hold it")
	}
	if err := first.RenewLockLease(t.Context(), "issue", time.Second); err != nil { // the holder dies
		t.Fatal(err)
	}
	if err := second.Lock(t.Context(), "issue"); err != nil { // waits until the lease is over
		t.Fatal(err)
	}
	if err := first.RenewLockLease(t.Context(), "issue", time.Hour); err == nil {
		t.Error("a lease that ran out is renewed over its next holder")
	}
	if err := first.Unlock(t.Context(), "issue"); err != nil {
		t.Errorf("release of a lock that ran out: %v", err)
	}
	if ok, err := first.TryLock(t.Context(), "issue"); ok || err != nil {
		t.Errorf("the release took the lock from its next holder: %v, %v", ok, err)
	}
}

// What is kept survives a restart, and is not legible on the disk.
func TestKeptEncrypted(t *testing.T) {
	dir, key := t.TempDir(), "certificates/ca-1/gate.test/gate.test.key"
	s, b := open(t, dir)
	secret := strings.Repeat("-----BEGIN EC PRIVATE KEY-----", 20)
	if err := certs.New(b).Store(t.Context(), key, []byte(secret)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("PRIVATE KEY")) {
			t.Errorf("%s holds the key in the clear", path)
		}
		files++
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("walked %d files: %v", files, err)
	}
	_, b = open(t, dir)
	if got, err := certs.New(b).Load(t.Context(), key); err != nil || string(got) != secret {
		t.Errorf("after a restart: %d bytes, %v", len(got), err)
	}
}

// Any key that certmagic makes, from whatever name, is a key of its own.
func FuzzKey(f *testing.F) {
	f.Add("a/b", "a/c")
	f.Add("it@hospital.example", "it_at_hospital.example")
	f.Add("lock/x", "value/x")
	dir := f.TempDir()
	s, err := store.Open(context.Background(), store.Options{Dir: dir, Key: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	b, err := s.Bucket(context.Background(), "certs")
	if err != nil {
		f.Fatal(err)
	}
	c, n := certs.New(b), 0
	f.Fuzz(func(t *testing.T, x, y string) {
		n++
		x, y = fmt.Sprintf("%d/x%s", n, x), fmt.Sprintf("%d/y%s", n, y)
		if strings.Contains(x+y, "..") || len(x) > 200 || len(y) > 200 {
			t.Skip() // certmagic makes none
		}
		for _, key := range []string{x, y} {
			if err := c.Store(t.Context(), key, []byte(key)); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{x, y} {
			if got, err := c.Load(t.Context(), key); err != nil || string(got) != key {
				t.Fatalf("Load(%q) = %q, %v", key, got, err)
			}
		}
		all, err := c.List(t.Context(), fmt.Sprint(n), true)
		if err != nil || len(all) < 2 {
			t.Fatalf("List = %q, %v", all, err)
		}
		if err := c.Delete(t.Context(), fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	})
}
