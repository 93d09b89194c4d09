package keys

import (
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The life of a key that signs assertions. It is in the published set from
// Lead before it signs until Rest after the next one does.
const (
	Life = 30 * 24 * time.Hour // signs
	Lead = 24 * time.Hour      // nobody keeps the published set as long: it is cacheable for five minutes
	Rest = 24 * time.Hour      // as above, and no assertion is good for longer than ten minutes
)

// Names of files beside the root key.
const (
	scheduleFile = "assertions.json"
	rotateFile   = "rotate" // asks the gateway that runs for a new key
)

// ErrPending means that the next key is published already, so that none is made.
var ErrPending = errors.New("the next key is published already")

// An AssertionKey is one key of the schedule. The schedule holds no secret: the
// key itself is derived from a root key.
type AssertionKey struct {
	Number int       `json:"number"`
	Root   string    `json:"root"` // ID of the root key that it comes from
	From   time.Time `json:"from"` // it signs from here on, until the next one does
}

// Assertions are the keys that sign assertions, one after the other. It is for
// one goroutine.
type Assertions struct {
	dir   string
	roots []Root         // the first is the current one
	keys  []AssertionKey // by From; never empty
}

// ReadAssertions reads the schedule in dir. It returns [fs.ErrNotExist] when
// there is none.
func ReadAssertions(dir string, roots ...Root) (*Assertions, error) {
	file := filepath.Join(dir, scheduleFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read assertion keys: %w", err)
	}
	a := &Assertions{dir: dir, roots: roots}
	if a.keys, err = parseSchedule(text); err != nil {
		return nil, fmt.Errorf("read assertion keys %s: %w: restore it from backup, or remove it to begin anew", file, err)
	}
	return a, nil
}

// OpenAssertions reads the schedule in dir, or begins one with a key that signs
// from now on. Keys come from the first root; those of the others serve out
// their time.
func OpenAssertions(dir string, now time.Time, roots ...Root) (*Assertions, error) {
	a, err := ReadAssertions(dir, roots...)
	if errors.Is(err, fs.ErrNotExist) {
		a = &Assertions{dir: dir, roots: roots}
		err = a.keep([]AssertionKey{{Root: roots[0].ID(), From: now.UTC().Truncate(time.Second)}})
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

func parseSchedule(text []byte) ([]AssertionKey, error) {
	var s struct {
		Keys []AssertionKey `json:"keys"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if len(s.Keys) == 0 {
		return nil, errors.New("it names no key")
	}
	for i, k := range s.Keys {
		if k.Number < 0 || k.Root == "" || k.From.IsZero() || i > 0 && (k.Number <= s.Keys[i-1].Number || k.From.Before(s.Keys[i-1].From)) {
			return nil, fmt.Errorf("key %d of the list is not one that follows", i+1)
		}
	}
	return s.Keys, nil
}

// keep writes the schedule down and, once it is on the disk, goes by it.
func (a *Assertions) keep(all []AssertionKey) error {
	text, err := json.MarshalIndent(map[string]any{"keys": all}, "", "  ")
	if err == nil {
		err = replace(a.dir, scheduleFile, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep assertion keys: %w", err)
	}
	a.keys = all
	return nil
}

// replace writes a file of dir whole or not at all.
func replace(dir, name string, text []byte) error {
	f, err := os.CreateTemp(dir, name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return flush(dir)
}

// flush has the disk know the names in dir.
func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Look does what is due: it publishes the next key a day before the time of the
// one that signs is over, or a person asked for it, or the root key changed; and
// takes out what has served. It is to be called often. After an error the keys
// are as they were.
func (a *Assertions) Look(now time.Time) error {
	all := a.due(now)
	asked := filepath.Join(a.dir, rotateFile)
	_, err := os.Stat(asked)
	wanted := err == nil
	if wanted && !pending(all, now) {
		all = append(all, a.next(all, now.Add(Lead)))
	}
	if !same(all, a.keys) {
		if err := a.keep(all); err != nil {
			return err
		}
	}
	if wanted {
		if err := os.Remove(asked); err != nil {
			return fmt.Errorf("answer %s: %w", asked, err)
		}
	}
	return nil
}

func same(a, b []AssertionKey) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Number != b[i].Number { // a number is never given twice
			return false
		}
	}
	return true
}

func pending(all []AssertionKey, now time.Time) bool { return all[len(all)-1].From.After(now) }

// next is the key after the last of all.
func (a *Assertions) next(all []AssertionKey, from time.Time) AssertionKey {
	return AssertionKey{Number: all[len(all)-1].Number + 1, Root: a.roots[0].ID(), From: from.UTC().Truncate(time.Second)}
}

// due returns the schedule as it has to be now.
func (a *Assertions) due(now time.Time) []AssertionKey {
	var all []AssertionKey
	for i, k := range a.keys {
		over := i+1 < len(a.keys) && !now.Before(a.keys[i+1].From.Add(Rest))
		if _, known := a.root(k); known && !over {
			all = append(all, k)
		}
	}
	if len(all) == 0 { // their root key is gone: there is nothing to wait for
		return []AssertionKey{a.next(a.keys, now)}
	}
	last := all[len(all)-1]
	end := last.From.Add(Life)
	switch {
	case pending(all, now):
	case last.Root != a.roots[0].ID():
		all = append(all, a.next(all, now.Add(Lead)))
	case !now.Before(end.Add(-Lead)):
		if least := now.Add(Lead); end.Before(least) {
			end = least
		}
		all = append(all, a.next(all, end))
	}
	return all
}

// Rotate publishes the next key, which signs a day from now. It returns
// [ErrPending] when there is one already. It is for who holds the data
// directory; the gateway that runs is asked by [AskRotation].
func (a *Assertions) Rotate(now time.Time) error {
	all := a.due(now)
	if pending(all, now) {
		return ErrPending
	}
	return a.keep(append(all, a.next(all, now.Add(Lead))))
}

// AskRotation asks the gateway that runs on dir for the next key. It answers at
// its next look; [RotationAsked] then says no.
func AskRotation(dir string) error {
	if err := replace(dir, rotateFile, nil); err != nil {
		return fmt.Errorf("ask for a key: %w", err)
	}
	return nil
}

// RotationAsked reports whether the gateway has been asked for a key that it
// has not made yet.
func RotationAsked(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, rotateFile))
	return err == nil
}

// Pending reports whether the next key is published already.
func (a *Assertions) Pending(now time.Time) bool { return pending(a.keys, now) }

// Published returns the keys of the published set as of the last look, in order.
func (a *Assertions) Published() []AssertionKey { return append([]AssertionKey(nil), a.keys...) }

// Signing returns the key that signs now: the last whose time has come.
func (a *Assertions) Signing(now time.Time) AssertionKey {
	for i := len(a.keys) - 1; i > 0; i-- {
		if !now.Before(a.keys[i].From) {
			return a.keys[i]
		}
	}
	return a.keys[0]
}

func (a *Assertions) root(k AssertionKey) (Root, bool) {
	for _, r := range a.roots {
		if r.ID() == k.Root {
			return r, true
		}
	}
	return Root{}, false
}

// Key returns the key itself, or an error when its root key is gone.
func (a *Assertions) Key(k AssertionKey) (*ecdsa.PrivateKey, error) {
	r, ok := a.root(k)
	if !ok {
		return nil, fmt.Errorf("assertion key %d comes from root key %s, which is not here", k.Number, k.Root)
	}
	if k.Number == 0 { // the only one there was, before they took turns
		return r.DeriveECDSA("assertions"), nil
	}
	return r.DeriveECDSA("assertions " + strconv.Itoa(k.Number)), nil
}
