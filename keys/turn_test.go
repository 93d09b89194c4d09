package keys_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/keys"
)

const rest = 49 * time.Hour

// opened returns the root keys in force after a start now, when the gateway has
// looked after them once, and the key of the store.
func opened(t *testing.T, dir string, now time.Time) ([]keys.Root, []byte) {
	t.Helper()
	if _, err := keys.Turn(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Forget(dir, now, rest); err != nil {
		t.Fatal(err)
	}
	roots, err := keys.All(dir)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := keys.OpenStore(dir, roots)
	if err != nil {
		t.Fatal(err)
	}
	return roots, stored
}

func names(roots []keys.Root) (all []string) {
	for _, r := range roots {
		all = append(all, r.ID())
	}
	return all
}

// A new root key takes over at the next start, the one before is kept for its
// time, and the store's own key is the same throughout.
func TestRootTurns(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	first, stored := opened(t, dir, now)
	if !bytes.Equal(stored, first[0].Derive("store", 32)) {
		t.Error("a store that was written before it had a key of its own is not opened")
	}

	if err := keys.Ask(dir); err != nil {
		t.Fatal(err)
	}
	if err := keys.Ask(dir); !errors.Is(err, keys.ErrWaiting) {
		t.Errorf("asked twice: %v", err)
	}
	if roots, err := keys.All(dir); err != nil || len(roots) != 1 || roots[0].ID() != first[0].ID() {
		t.Errorf("before the start: %v, %v", names(roots), err)
	}

	second, same := opened(t, dir, now)
	if len(second) != 2 || second[0].ID() == first[0].ID() || second[1].ID() != first[0].ID() {
		t.Fatalf("after the start: %v, before %v", names(second), names(first))
	}
	if !bytes.Equal(same, stored) {
		t.Error("the store has another key")
	}
	if err := keys.Ask(dir); !errors.Is(err, keys.ErrNeeded) {
		t.Errorf("asked while the previous one is needed: %v", err)
	}
	if again, _ := opened(t, dir, now.Add(rest-time.Minute)); len(again) != 2 || again[0].ID() != second[0].ID() {
		t.Errorf("started again: %v", names(again))
	}

	last, same := opened(t, dir, now.Add(rest+time.Minute))
	if len(last) != 1 || last[0].ID() != second[0].ID() || !bytes.Equal(same, stored) {
		t.Errorf("after its time: %v", names(last))
	}
	if _, same := opened(t, dir, now.Add(rest+time.Hour)); !bytes.Equal(same, stored) {
		t.Error("the store's key rested on the root key that is gone")
	}
	if err := keys.Ask(dir); err != nil {
		t.Errorf("the next change: %v", err)
	}
}

// Whatever a crash leaves, the next start opens the store and ends with the new
// root key.
func TestRootTurnInterrupted(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash func(t *testing.T, at func(string) string)
	}{
		{"before anything", func(*testing.T, func(string) string) {}},
		{"the old one copied", func(t *testing.T, at func(string) string) { move(t, at("root"), at("root.previous"), true) }},
		{"the new one in place, the store's key not sealed anew", func(t *testing.T, at func(string) string) {
			move(t, at("root"), at("root.previous"), true)
			move(t, at("root.next"), at("root"), false)
		}},
		{"files half written beside", func(t *testing.T, at func(string) string) {
			for _, name := range []string{"root.previous-1", "root.next-2", "store-3"} {
				if err := os.WriteFile(at(name), []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		for _, after := range []time.Duration{0, rest + 24*time.Hour} { // the next start may come long after the crash
			t.Run(c.name+", "+after.String(), func(t *testing.T) {
				dir := t.TempDir()
				first, stored := opened(t, dir, time.Now())
				if err := keys.Ask(dir); err != nil {
					t.Fatal(err)
				}
				c.crash(t, func(name string) string { return filepath.Join(dir, name) })
				for range 2 {
					roots, same := opened(t, dir, time.Now().Add(after))
					if roots[0].ID() == first[0].ID() || !bytes.Equal(same, stored) {
						t.Errorf("roots %v, before %v; the store's key is the same: %v", names(roots), names(first), bytes.Equal(same, stored))
					}
					if after == 0 && (len(roots) != 2 || roots[1].ID() != first[0].ID()) {
						t.Errorf("roots %v, before %v: the previous one is gone too soon", names(roots), names(first))
					}
				}
			})
		}
	}
}

func move(t *testing.T, from, to string, keep bool) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err == nil && !keep {
		err = os.Remove(from)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What is wrong with the files is said, and stops the start.
func TestRootTurnRefuses(t *testing.T) {
	for _, c := range []struct {
		name, file, want string
		text             []byte
		mode             os.FileMode
	}{
		{"a short next one", "root.next", "has 3 bytes", []byte("abc"), 0o600},
		{"a next one that others read", "root.next", "chmod 600", bytes.Repeat([]byte{1}, 32), 0o640},
		{"a previous one that others read", "root.previous", "chmod 600", bytes.Repeat([]byte{1}, 32), 0o604},
		{"another root's store", "store", "sealed under another root key", bytes.Repeat([]byte{1}, 60), 0o600},
		{"no store's key at all", "store", "sealed under another root key", nil, 0o600},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			opened(t, dir, time.Now())
			file := filepath.Join(dir, c.file)
			if err := os.WriteFile(file, c.text, c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, c.mode); err != nil {
				t.Fatal(err)
			}
			roots, err := keys.Turn(dir)
			if err == nil {
				_, err = keys.OpenStore(dir, roots)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %v, want %q", err, c.want)
			}
		})
	}
}
