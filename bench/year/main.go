// Command year writes the audit trail of a year, whose every record is known,
// and measures how long it takes to search it, to prove it, and to judge a
// million of its requests by another configuration.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/anteroom/anteroom/audit"
)

func main() {
	records := flag.Int("records", 1_000_000, "records to write; two are a request")
	requests := flag.Int("diff", 1_000_000, "requests that anteroom diff judges, of a trail of their own")
	dir := flag.String("dir", "", "directory to work in, deleted afterwards; a temporary one when it is not given. 30,000,000 records take 26 GB")
	made := flag.String("trail", "", "where the trail is written and kept, or was by an earlier run with as many records")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *records, *requests, *dir, *made); err != nil {
		fmt.Fprintln(os.Stderr, "year:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, records, requests int, in, kept string) error {
	dir, err := os.MkdirTemp(in, "anteroom-year-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	anteroom := filepath.Join(dir, "anteroom")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", anteroom, "./cmd/anteroom").CombinedOutput(); err != nil {
		return fmt.Errorf("build anteroom: %w\n%s", err, out)
	}
	fmt.Printf("\nThe trail of a year: %d records in %d segments\n", records, days)
	w := year{requests: records / 2, days: days}
	trail := cmp.Or(kept, filepath.Join(dir, "trail"))
	if _, err := os.Stat(trail); err != nil {
		if err := written(ctx, w, trail); err != nil {
			return err
		}
	}
	size, _, err := sizes(trail)
	if err != nil {
		return err
	}
	r, err := command(ctx, 0, anteroom, "audit", "verify", trail)
	if err != nil {
		return err
	}
	if !strings.Contains(r.out, "intact") {
		return fmt.Errorf("verify says %s", r.out)
	}
	fmt.Printf("  verify    %s, CPU %s, %d MiB of memory: %.0f MB/s\n", short(r.wall), short(r.cpu), r.memory>>20, float64(size)/1e6/r.wall.Seconds())
	for _, s := range []struct{ what, flag, value string }{
		{"a patient", "--patient", w.patient(4711)},
		{"another", "--patient", w.patient(52)},
		{"nobody", "--patient", "P-none"},
		{"a request", "--request", w.id(w.requests / 3)},
	} {
		want := w.count(s.flag, s.value)
		code := 0
		if want == 0 {
			code = 1
		}
		r, err := command(ctx, code, anteroom, "audit", "search", trail, s.flag, s.value, "--json")
		if err != nil {
			return err
		}
		if got := strings.Count(r.out, "\n"); got != want {
			return fmt.Errorf("search for %s found %d records, there are %d", s.value, got, want)
		}
		fmt.Printf("  search    %s, CPU %s: %s, %d records, all there are\n", short(r.wall), short(r.cpu), s.what, want)
	}
	if kept == "" {
		if err := os.RemoveAll(trail); err != nil {
			return err
		}
	}
	return diff(ctx, dir, anteroom, requests)
}

// written writes the trail and its indexes.
func written(ctx context.Context, w year, trail string) error {
	began := time.Now()
	if err := w.write(ctx, trail); err != nil {
		return err
	}
	size, _, err := sizes(trail)
	if err != nil {
		return err
	}
	took, records := time.Since(began), float64(2*w.requests)
	fmt.Printf("  written   %s: %.1f GB, %.0f bytes a record, %.0f records/s, by the journal itself\n", short(took), gb(size), float64(size)/records, records/took.Seconds())
	began = time.Now()
	made, err := audit.Index(ctx, trail)
	if err != nil {
		return err
	}
	_, indexes, err := sizes(trail)
	if err != nil {
		return err
	}
	fmt.Printf("  indexed   %s: %d of %d segments, the journal had made the others; %.2f GB, %.1f %%\n", short(time.Since(began)), made, w.days-1, gb(indexes), 100*float64(indexes)/float64(size))
	return nil
}

// diff judges requests of a week by a file that asks more of some.
func diff(ctx context.Context, dir, anteroom string, requests int) error {
	w := year{requests: requests, days: 7}
	trail := filepath.Join(dir, "week")
	if err := w.write(ctx, trail); err != nil {
		return err
	}
	old, now := filepath.Join(dir, "old.yaml"), filepath.Join(dir, "new.yaml")
	for path, text := range map[string]string{old: configuration(""), now: configuration(stricter), filepath.Join(dir, "secret"): "hush-client-secret\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	r, err := command(ctx, 1, anteroom, "diff", "-c", now, "--against", old, "--audit", trail, "--from", start.Format(time.DateOnly), "--json")
	if err != nil {
		return err
	}
	var d struct{ Requests, Changed, Untold int }
	if err := json.Unmarshal([]byte(r.out), &d); err != nil {
		return err
	}
	changed := w.changed()
	if d.Requests != requests || d.Changed != changed || d.Untold != 0 {
		return fmt.Errorf("diff judged %d requests, %d otherwise and %d not at all; there are %d, and %d", d.Requests, d.Changed, d.Untold, requests, changed)
	}
	fmt.Printf("  diff      %s, CPU %s, %d MiB of memory: %d requests, %d decided otherwise, as is true\n", short(r.wall), short(r.cpu), r.memory>>20, d.Requests, d.Changed)
	return nil
}

// A result is what a command said and cost.
type result struct {
	out       string
	wall, cpu time.Duration
	memory    int64
}

// command runs a program, which must end with code.
func command(ctx context.Context, code int, name string, args ...string) (result, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	err := cmd.Run()
	r := result{out: out.String(), wall: time.Since(began)}
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		return r, fmt.Errorf("%s %s: %w: %s%.500s", filepath.Base(name), strings.Join(args, " "), err, errs.String(), r.out)
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.memory = usage.Maxrss << 10
	}
	return r, nil
}

// sizes returns the bytes of segments and of indexes.
func sizes(dir string) (segments, indexes int64, err error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range all {
		info, err := e.Info()
		if err != nil {
			return 0, 0, err
		}
		switch filepath.Ext(e.Name()) {
		case ".ndjson":
			segments += info.Size()
		case ".index":
			indexes += info.Size()
		}
	}
	return segments, indexes, nil
}

func gb(n int64) float64 { return float64(n) / 1e9 }

func short(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

var signing = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
