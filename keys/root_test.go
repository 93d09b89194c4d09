package keys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/anteroom/anteroom/keys"
)

func open(t *testing.T, dir string) keys.Root {
	t.Helper()
	root, err := keys.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first := open(t, dir)
	info, err := os.Stat(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("root key has mode %04o and %d bytes, want 0600 and 32", info.Mode().Perm(), info.Size())
	}
	if again := open(t, dir); !bytes.Equal(again.Derive("x", 32), first.Derive("x", 32)) {
		t.Error("a second open gives another key")
	}
	if other := open(t, t.TempDir()); bytes.Equal(other.Derive("x", 32), first.Derive("x", 32)) {
		t.Error("two gateways have one key")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("directory holds %v, %v; want the root key alone", left, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		mode os.FileMode
		says string
	}{
		{"empty", 0, 0o600, "0 bytes"},
		{"short", 31, 0o600, "31 bytes"},
		{"long", 33, 0o600, "33 bytes"},
		{"group may read", 32, 0o640, "chmod 600"},
		{"all may read", 32, 0o604, "chmod 600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "root")
			text := bytes.Repeat([]byte("s"), c.size)
			if err := os.WriteFile(path, text, c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
			_, err := keys.Open(dir)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("err = %v, want one that says %q", err, c.says)
			}
			if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, text) {
				t.Errorf("the file was replaced: %q, %v", kept, err)
			}
		})
	}
}

// Of many that start at once, those that succeed have the same key.
func TestOpenAtOnce(t *testing.T) {
	dir := t.TempDir()
	got := make([][]byte, 20)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			if root, err := keys.Open(dir); err == nil {
				got[i] = root.Derive("x", 32)
			}
		})
	}
	wg.Wait()
	want := open(t, dir).Derive("x", 32)
	for i, key := range got {
		if key != nil && !bytes.Equal(key, want) {
			t.Errorf("opener %d has another key", i)
		}
	}
}

// fixed is the root whose derived keys are known.
func fixed(t *testing.T) keys.Root {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "root"), bytes.Repeat([]byte{1}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

// Were derivation to change, an upgrade would end every session.
func TestDeriveStays(t *testing.T) {
	root := fixed(t)
	if got, want := hex.EncodeToString(root.Derive("store", 32)), "764f9b2d2e5d61d0d78e262712f5170bb5df3249092066c070491ae51bcc858a"; got != want {
		t.Errorf("store key = %s, want %s", got, want)
	}
	raw, err := root.DeriveECDSA("assertion").Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(raw), "8f0a4bb15c5dfa57f974f6c93cc668ec08c844df1e450b0439a03c2acbc8d4d5"; got != want {
		t.Errorf("assertion key = %s, want %s", got, want)
	}
}

func TestDerive(t *testing.T) {
	root := fixed(t)
	a := root.Derive("a", 64)
	if len(a) != 64 || !bytes.Equal(a, root.Derive("a", 64)) {
		t.Error("one purpose gives two keys")
	}
	if bytes.Equal(a, root.Derive("b", 64)) {
		t.Error("two purposes have one key")
	}
	key := root.DeriveECDSA("a")
	digest := sha256.Sum256([]byte("text"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(&root.DeriveECDSA("a").PublicKey, digest[:], sig) {
		t.Error("a signature is not verified by the same purpose's key")
	}
	if ecdsa.VerifyASN1(&root.DeriveECDSA("b").PublicKey, digest[:], sig) {
		t.Error("a signature is verified by another purpose's key")
	}
}

func TestRootDoesNotPrint(t *testing.T) {
	root := fixed(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, root); strings.Trim(got, `"`) != "[secret]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestZeroRootDerivesNothing(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the zero Root derives a key that everybody knows")
		}
	}()
	keys.Root{}.Derive("x", 32)
}
