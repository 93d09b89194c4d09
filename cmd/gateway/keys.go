package gateway

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/inject"
	"github.com/anteroom/anteroom/keys"
	"github.com/anteroom/anteroom/store"
)

// rotation has the keys of assertions take turns.
type rotation struct {
	keys   *keys.Assertions
	signer *inject.Signer
	seen   map[int]bool // numbers of the published keys
	signs  int          // number of the one that signs
	used   bool         // the signer goes by them
	broken bool         // the last look failed, and it was said
	stuck  bool         // the previous root key could not be deleted, and it was said
}

// openRotation returns the signer of assertions, whose keys take turns.
func (g *running) openRotation(dir string, roots []keys.Root) (*inject.Signer, error) {
	now := time.Now()
	a, err := keys.OpenAssertions(filepath.Join(dir, "keys"), now, roots...)
	if err != nil {
		return nil, err
	}
	r := &rotation{keys: a, seen: map[int]bool{}, signs: a.Signing(now).Number}
	for _, k := range a.Published() {
		r.seen[k.Number] = true
	}
	g.rotation = r
	if err := a.Look(now); err != nil {
		return nil, err
	}
	first, err := a.Key(a.Signing(now))
	if err != nil {
		return nil, err
	}
	if r.signer, err = inject.NewSigner(first, g.loaded.load().Config.Gateway.URL.String()); err != nil {
		return nil, err
	}
	return r.signer, g.turn(now)
}

// rootRest is how long the root key before the current one is kept: as long as
// a session that it sealed the cookie of may last, and as the last assertion key
// that comes from it is published.
func rootRest(c *config.Config) time.Duration {
	return max(c.Sessions.Max, keys.Lead+keys.Rest) + time.Hour
}

// rotate looks after the keys of assertions, and the root key before the current
// one, until ctx ends.
func (g *running) rotate(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		err := g.rotation.keys.Look(now)
		if err == nil {
			err = g.turn(now)
		}
		if err != nil && !g.rotation.broken {
			g.log.Error("the assertion keys stay as they are", "error", err)
		}
		g.rotation.broken = err != nil
		c := g.loaded.load().Config
		gone, err := keys.Forget(filepath.Join(c.Gateway.DataDir, "keys"), now, rootRest(c))
		switch {
		case err != nil && !g.rotation.stuck:
			g.log.Error("the previous root key stays", "error", err)
		case gone:
			g.log.Info("the previous root key is deleted")
		}
		g.rotation.stuck = err != nil
	}
}

// turn has the signer go by the keys as they are, and tells what is new.
func (g *running) turn(now time.Time) error {
	r := g.rotation
	signing, published := r.keys.Signing(now), r.keys.Published()
	fresh := !r.used || signing.Number != r.signs || len(published) != len(r.seen)
	for _, k := range published {
		fresh = fresh || !r.seen[k.Number]
	}
	if !fresh {
		return nil
	}
	key, err := r.keys.Key(signing)
	if err != nil {
		return err
	}
	var others []*ecdsa.PublicKey
	seen := make(map[int]bool)
	for _, k := range published {
		seen[k.Number] = true
		if k.Number == signing.Number {
			continue
		}
		other, err := r.keys.Key(k)
		if err != nil {
			return err
		}
		others = append(others, &other.PublicKey)
	}
	if err := r.signer.Use(key, others...); err != nil {
		return err
	}
	for _, k := range published {
		if !r.seen[k.Number] {
			g.tellKey("key_published", k.Number, "signs_from", k.From)
		}
	}
	if signing.Number != r.signs {
		g.tellKey("key_signs", signing.Number)
	}
	for n := range r.seen {
		if !seen[n] {
			g.tellKey("key_retired", n)
		}
	}
	r.seen, r.signs, r.used = seen, signing.Number, true
	g.telemetry.AssertionKeySince(signing.From)
	return nil
}

// tellKey logs and records a change of the assertion keys.
func (g *running) tellKey(what access.Reason, number int, more ...any) {
	g.log.Info("assertion keys", append([]any{"change", string(what), "number", number}, more...)...)
	if err := g.note(access.EventConfig, what, fmt.Sprintf("assertion key %d", number)); err != nil {
		g.log.Error("record a change of keys", "change", string(what), "error", err)
	}
}

// A KeyState is one key, as people are shown it.
type KeyState struct {
	Kind   string    `json:"kind"`  // assertion or root
	ID     string    `json:"id"`    // kid of an assertion key
	State  string    `json:"state"` // next, current or previous
	From   time.Time `json:"from,omitzero"`
	Number int       `json:"number"`
}

// keysDir returns the directory of l's keys, when the gateway has made them.
func (l *Loaded) keysDir() (string, error) {
	dir := filepath.Join(l.Config.Gateway.DataDir, "keys")
	if _, err := os.Stat(filepath.Join(dir, "root")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no key in %s yet: the gateway makes them at its first start", dir)
	} else if err != nil {
		return "", fmt.Errorf("read keys: %w", err)
	}
	return dir, nil
}

// Keys lists the keys of l's gateway, whether it runs or not.
func (l *Loaded) Keys(now time.Time) ([]KeyState, error) {
	dir, err := l.keysDir()
	if err != nil {
		return nil, err
	}
	roots, err := keys.All(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(dir, "root"))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	all := []KeyState{{Kind: "root", ID: roots[0].ID(), State: "current", From: info.ModTime().UTC().Truncate(time.Second)}}
	if len(roots) > 1 {
		all = append(all, KeyState{Kind: "root", ID: roots[1].ID(), State: "previous", From: keys.PreviousSince(dir).UTC().Truncate(time.Second)})
	}
	if keys.Waiting(dir) {
		all = append(all, KeyState{Kind: "root", State: "next"})
	}
	a, err := keys.ReadAssertions(dir, roots...)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil // it never ran since keys take turns
	}
	if err != nil {
		return nil, err
	}
	signing := a.Signing(now)
	for _, k := range a.Published() {
		key, err := a.Key(k)
		if err != nil {
			return nil, err
		}
		s := KeyState{Kind: "assertion", State: "current", From: k.From, Number: k.Number}
		switch {
		case k.Number > signing.Number:
			s.State = "next"
		case k.Number < signing.Number:
			s.State = "previous"
		}
		if s.ID, err = inject.KeyID(&key.PublicKey); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// answerWithin is how long a running gateway may take to make a key.
const answerWithin = 10 * time.Second

// RotateKeys has l's gateway publish its next assertion key, which signs a day
// later. A gateway that runs is asked, and answers within a second or two. It
// returns [keys.ErrPending] when the next key is published already.
func (l *Loaded) RotateKeys(ctx context.Context, now time.Time) error {
	dir, err := l.keysDir()
	if err != nil {
		return err
	}
	roots, err := keys.All(dir)
	if err != nil {
		return err
	}
	release, err := store.LockDir(l.Config.Gateway.DataDir)
	if err == nil {
		defer release()
		a, err := keys.OpenAssertions(dir, now, roots...)
		if err != nil {
			return err
		}
		return a.Rotate(now)
	}
	if !errors.Is(err, store.ErrLocked) {
		return err
	}
	if a, err := keys.ReadAssertions(dir, roots...); err == nil && a.Pending(now) {
		return keys.ErrPending
	}
	if err := keys.AskRotation(dir); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for keys.RotationAsked(dir) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway has not answered yet: its log says why, and `keys list` when it has")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// ChangeRoot makes a root key that takes over at the next start of l's gateway.
// It returns [keys.ErrWaiting] or [keys.ErrNeeded] when it is too soon.
func (l *Loaded) ChangeRoot() error {
	dir, err := l.keysDir()
	if err != nil {
		return err
	}
	return keys.Ask(dir)
}

// PreviousRootUntil returns when the root key before the current one will be
// deleted; the zero time when there is none.
func (l *Loaded) PreviousRootUntil() time.Time {
	since := keys.PreviousSince(filepath.Join(l.Config.Gateway.DataDir, "keys"))
	if since.IsZero() {
		return since
	}
	return since.Add(rootRest(l.Config))
}
