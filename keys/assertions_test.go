package keys_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/anteroom/anteroom/inject"
	"github.com/anteroom/anteroom/keys"
)

// published returns the kids of the set, and which of them signs.
func published(t *testing.T, a *keys.Assertions) (all []string, signs string) {
	t.Helper()
	for _, k := range a.Published() {
		key, err := a.Key(k)
		if err != nil {
			t.Fatal(err)
		}
		id, err := inject.KeyID(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
		if k == a.Signing(time.Now()) {
			signs = id
		}
	}
	return all, signs
}

// Over months, with restarts between, what signs has been in the set for a day,
// and stays in it for a day: whoever keeps the set for less than that verifies
// every assertion.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		root := open(t, dir)
		a, err := keys.OpenAssertions(dir, time.Now(), root)
		if err != nil {
			t.Fatal(err)
		}
		const step, day = 20 * time.Minute, 24 * time.Hour
		since := map[string]time.Time{} // in the set
		until := map[string]time.Time{} // signed last
		first, _ := published(t, a)
		since[first[0]] = time.Now().Add(-day) // the very first could not be announced
		signers := 0
		var last string
		for begin := time.Now(); time.Since(begin) < 200*24*time.Hour; time.Sleep(step) {
			if err := a.Look(time.Now()); err != nil {
				t.Fatal(err)
			}
			set, signs := published(t, a)
			for _, id := range set {
				if since[id].IsZero() {
					since[id] = time.Now()
				}
			}
			if signs != last {
				last = signs
				signers++
			}
			until[signs] = time.Now()
			if ahead := time.Since(since[signs]); ahead < day-step {
				t.Fatalf("after %v: the key that signs is in the set for only %v", time.Since(begin), ahead)
			}
			for id, at := range until {
				if rested := time.Since(at); rested < day-2*step != slices.Contains(set, id) && (rested < day-2*step || rested > day+2*step) {
					t.Fatalf("after %v: a key that signed %v ago: in the set: %v", time.Since(begin), rested, slices.Contains(set, id))
				}
			}
			if len(set) > 2 {
				t.Fatalf("after %v: %d keys in the set", time.Since(begin), len(set))
			}
			if time.Since(begin)%(7*24*time.Hour) < step { // a restart
				again, err := keys.OpenAssertions(dir, time.Now(), root)
				if err != nil {
					t.Fatal(err)
				}
				if kept, still := published(t, again); !slices.Equal(kept, set) || still != signs {
					t.Fatalf("after %v: a restart changes the keys", time.Since(begin))
				}
				a = again
			}
		}
		if signers != 7 {
			t.Errorf("%d keys signed in 200 days, want 7", signers)
		}
	})
}

// A gateway that was off when a key was due announces it all the same.
func TestTurnAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		root := open(t, dir)
		if _, err := keys.OpenAssertions(dir, time.Now(), root); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * 24 * time.Hour)
		a, err := keys.OpenAssertions(dir, time.Now(), root)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Look(time.Now()); err != nil {
			t.Fatal(err)
		}
		all := a.Published()
		if len(all) != 2 || all[1].From.Before(time.Now().Add(keys.Lead-time.Second)) || a.Signing(time.Now()).Number != 0 {
			t.Errorf("after a pause: %v, signs %v", all, a.Signing(time.Now()))
		}
		// A clock that goes back has an announced key wait, and one that signed go on.
		if got := a.Signing(time.Now().Add(-1000 * time.Hour)); got.Number != 0 {
			t.Errorf("with the clock gone back, key %d signs", got.Number)
		}
	})
}

func TestAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, err := keys.OpenAssertions(dir, time.Now(), open(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.AskRotation(dir); err != nil {
			t.Fatal(err)
		}
		if !keys.RotationAsked(dir) {
			t.Error("nothing is asked for")
		}
		for range 2 { // asking twice makes one
			if err := a.Look(time.Now()); err != nil {
				t.Fatal(err)
			}
			if keys.RotationAsked(dir) || len(a.Published()) != 2 || !a.Pending(time.Now()) {
				t.Errorf("asked %v, keys %v", keys.RotationAsked(dir), a.Published())
			}
			if err := keys.AskRotation(dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Rotate(time.Now()); !errors.Is(err, keys.ErrPending) {
			t.Errorf("a key on top of the next one: %v, want ErrPending", err)
		}
		time.Sleep(keys.Lead)
		if a.Signing(time.Now()).Number != 1 {
			t.Error("the key that was asked for does not sign a day later")
		}
	})
}

// With another root key the assertion keys that come from it are announced like
// any other, and those of the old one serve out their time.
func TestRootChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old, other := open(t, dir), open(t, t.TempDir())
		a, err := keys.OpenAssertions(dir, time.Now(), old)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		both, err := keys.OpenAssertions(dir, time.Now(), other, old)
		if err != nil {
			t.Fatal(err)
		}
		if err := both.Look(time.Now()); err != nil {
			t.Fatal(err)
		}
		set, signs := published(t, both)
		if _, before := published(t, a); len(set) != 2 || signs != before {
			t.Errorf("set %v, signs %s, before %s", set, signs, before)
		}
		time.Sleep(keys.Lead)
		if both.Signing(time.Now()).Root != other.ID() {
			t.Error("a day later the old root's key still signs")
		}
		time.Sleep(keys.Rest)
		if err := both.Look(time.Now()); err != nil {
			t.Fatal(err)
		}
		if all := both.Published(); len(all) != 1 || all[0].Root != other.ID() {
			t.Errorf("two days later: %v", all)
		}

		// When the old root is lost there is nothing to wait for.
		alone, err := keys.OpenAssertions(dir, time.Now(), old)
		if err == nil {
			err = alone.Look(time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alone.Key(alone.Signing(time.Now())); err != nil {
			t.Errorf("no key signs: %v", err)
		}
	})
}

func TestScheduleRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":      ``,
		"no key":       `{"keys":[]}`,
		"no root":      `{"keys":[{"number":0,"from":"2026-11-20T12:00:00Z"}]}`,
		"no time":      `{"keys":[{"number":0,"root":"aa"}]}`,
		"one twice":    `{"keys":[{"number":1,"root":"aa","from":"2026-11-20T12:00:00Z"},{"number":1,"root":"aa","from":"2026-11-21T12:00:00Z"}]}`,
		"out of order": `{"keys":[{"number":1,"root":"aa","from":"2026-11-20T12:00:00Z"},{"number":2,"root":"aa","from":"2026-11-19T12:00:00Z"}]}`,
		"negative":     `{"keys":[{"number":-1,"root":"aa","from":"2026-11-20T12:00:00Z"}]}`,
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "assertions.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.OpenAssertions(dir, time.Now(), open(t, dir)); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want an error that names %s", name, err, file)
		}
		if kept, err := os.ReadFile(file); err != nil || string(kept) != text {
			t.Errorf("%s: the file was replaced", name)
		}
	}
	if _, err := keys.ReadAssertions(t.TempDir(), open(t, t.TempDir())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no schedule: %v, want fs.ErrNotExist", err)
	}
}

// A schedule that cannot be written leaves the keys as they are.
func TestLookThatCannotWrite(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	a, err := keys.OpenAssertions(dir, now, open(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := a.Look(now.Add(keys.Life)); err == nil {
		t.Error("no error without a directory")
	}
	if len(a.Published()) != 1 {
		t.Errorf("a key is published that was not written down: %v", a.Published())
	}
}

// The first key is the one that there was before keys took turns, and no two
// numbers have one key. The file gives none of them away.
func TestAssertionKeysStay(t *testing.T) {
	dir := t.TempDir()
	root := open(t, dir)
	a, err := keys.OpenAssertions(dir, time.Now(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Rotate(time.Now()); err != nil {
		t.Fatal(err)
	}
	all := a.Published()
	var got []*ecdsa.PrivateKey
	for _, k := range all {
		key, err := a.Key(k)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if !got[0].Equal(root.DeriveECDSA("assertions")) || got[0].Equal(got[1]) {
		t.Error("the keys are not those that are expected")
	}
}

// FuzzSchedule: what is read without an error has a key that signs at any time,
// and is read the same again.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte(`{"keys":[{"number":0,"root":"aa","from":"2026-11-20T12:00:00Z"}]}`), int64(0))
	dir := f.TempDir()
	root, err := keys.Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, at int64) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "assertions.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := keys.ReadAssertions(dir, root)
		if err != nil {
			return
		}
		now := time.Unix(at%(1<<33), 0)
		if !slices.Contains(a.Published(), a.Signing(now)) {
			t.Fatalf("what signs is not published: %s", text)
		}
		if err := a.Look(now); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Key(a.Signing(now)); err != nil {
			t.Fatalf("after a look: %v", err)
		}
		again, err := keys.ReadAssertions(dir, root)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if x, y := a.Published(), again.Published(); len(x) != len(y) || x[len(x)-1].Number != y[len(y)-1].Number {
			t.Fatalf("%v was written, %v is read", x, y)
		}
	})
}

// A backend that keeps the set verifies what a signer made before and after.
func TestSetVerifies(t *testing.T) {
	dir := t.TempDir()
	root := open(t, dir)
	now := time.Now()
	a, err := keys.OpenAssertions(dir, now, root)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Rotate(now); err != nil {
		t.Fatal(err)
	}
	all := a.Published()
	first, _ := a.Key(all[0])
	second, _ := a.Key(all[1])
	s, err := inject.NewSigner(first, "https://gate.test")
	if err == nil {
		err = s.Use(first, &second.PublicKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	var before, after jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS(), &before); err != nil {
		t.Fatal(err)
	}
	if err := s.Use(second, &first.PublicKey); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(s.JWKS(), &after); err != nil {
		t.Fatal(err)
	}
	for _, key := range []*ecdsa.PrivateKey{first, second} {
		id, err := inject.KeyID(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range []jose.JSONWebKeySet{before, after} {
			if got := set.Key(id); len(got) != 1 || !key.PublicKey.Equal(got[0].Key) {
				t.Errorf("the set does not hold %s", id)
			}
		}
	}
}
