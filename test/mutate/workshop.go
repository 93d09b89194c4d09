package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Guard is a check that the gateway makes, how to take it out, and the test
// that must notice.
type Guard struct {
	Name string
	Why  string // what it keeps out, with the rows of the attack catalogue and of the hospital's list

	// What stands in File exactly once, and what takes its place: code that
	// compiles and lets through what the guard keeps out.
	File, Old, New string
	Also           []Edit // where one check stands behind another, all of them go

	Package string // whose test notices
	Test    string // -run
}

// An Edit is one more change.
type Edit struct{ File, Old, New string }

func (g Guard) edits() []Edit { return append([]Edit{{g.File, g.Old, g.New}}, g.Also...) }

// guards returns the whole table.
func guards() []Guard {
	var all []Guard
	for _, part := range [][]Guard{front(), backend(), carrier(), decision(), stepUp(), sessions(), signIn(), records(), edges()} {
		all = append(all, part...)
	}
	return all
}

// A verdict is what became of a guard.
type verdict string

const (
	killed   verdict = "killed"   // its test failed without it
	survived verdict = "SURVIVED" // its test did not notice
	wrong    verdict = "WRONG"    // the table does not fit the code, or the test fails anyway
)

// A workshop builds tests from changed copies of files. The tree itself is
// never touched: the changes are laid over it (go build -overlay).
type workshop struct {
	root, scratch string
	limit         time.Duration

	mu    sync.Mutex
	sound map[string]*baseline
}

// A baseline is a test of the code as it stands.
type baseline struct {
	once sync.Once
	err  error
}

// try takes g out and runs its test.
func (w *workshop) try(ctx context.Context, g Guard, n int) (verdict, string) {
	changed, err := mutate(w.root, g)
	if err != nil {
		return wrong, err.Error()
	}
	if err := w.passes(ctx, g); err != nil {
		return wrong, err.Error()
	}
	dir := filepath.Join(w.scratch, fmt.Sprint(n))
	overlay, err := lay(dir, changed)
	if err != nil {
		return wrong, err.Error()
	}
	defer os.RemoveAll(dir)
	binary, err := w.build(ctx, g.Package, filepath.Join(dir, "mutant.test"), "-overlay", overlay)
	if err != nil {
		return wrong, "without the guard it does not compile: " + err.Error()
	}
	out, err := w.run(ctx, binary, g)
	switch {
	case ctx.Err() != nil:
		return wrong, "interrupted"
	case err == nil:
		return survived, "its test passes without it: " + g.Why
	case strings.Contains(out, "panic: test timed out"):
		return wrong, "its test did not end in time"
	case !strings.Contains(out, "--- FAIL"):
		return wrong, "its test broke off without a failure:\n" + tail(out)
	}
	return killed, ""
}

// mutate returns the files that g changes, as they are without it.
func mutate(root string, g Guard) (map[string][]byte, error) {
	changed := make(map[string][]byte)
	for _, e := range g.edits() {
		path := filepath.Join(root, e.File)
		text, ok := changed[path]
		if !ok {
			var err error
			if text, err = os.ReadFile(path); err != nil {
				return nil, fmt.Errorf("read the guard's file: %w", err)
			}
		}
		if n := bytes.Count(text, []byte(e.Old)); n != 1 {
			return nil, fmt.Errorf("this stands %d times in %s, not once:\n%s", n, e.File, e.Old)
		}
		changed[path] = bytes.Replace(text, []byte(e.Old), []byte(e.New), 1)
	}
	return changed, nil
}

// lay writes the changed files into dir, and which files they replace.
func lay(dir string, changed map[string][]byte) (overlay string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("lay out changed files: %w", err)
	}
	replace := make(map[string]string)
	for path, text := range changed {
		copied := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			return "", fmt.Errorf("lay out changed files: %w", err)
		}
		replace[path] = copied
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("lay out changed files: %w", err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// passes runs g's test on the code as it stands, once for all guards that share
// it: a test that fails anyway proves nothing.
func (w *workshop) passes(ctx context.Context, g Guard) error {
	built, ran := w.of(g.Package), w.of(g.Package+" "+g.Test)
	binary := filepath.Join(w.scratch, strings.ReplaceAll(g.Package, "/", "-")+".test")
	built.once.Do(func() { _, built.err = w.build(ctx, g.Package, binary) })
	if built.err != nil {
		return fmt.Errorf("the tests of %s do not compile: %w", g.Package, built.err)
	}
	ran.once.Do(func() {
		out, err := w.run(ctx, binary, g)
		switch {
		case err != nil:
			ran.err = fmt.Errorf("its test fails with the guard in place: %w\n%s", err, tail(out))
		case strings.Contains(out, "no tests to run"):
			ran.err = fmt.Errorf("%s has no test %s", g.Package, g.Test)
		}
	})
	return ran.err
}

func (w *workshop) of(key string) *baseline {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sound[key] == nil {
		w.sound[key] = &baseline{}
	}
	return w.sound[key]
}

func (w *workshop) build(ctx context.Context, pkg, binary string, flags ...string) (string, error) {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir = w.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, tail(string(out)))
	}
	return binary, nil
}

// run runs g's test in its package's directory and returns what it printed.
func (w *workshop) run(ctx context.Context, binary string, g Guard) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, w.limit+10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^("+g.Test+")$", "-test.timeout", w.limit.String())
	cmd.Dir = filepath.Join(w.root, g.Package)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tail returns the last lines of out.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
