// Command bench measures what the gateway costs a request, against a proxy
// that does nothing else, in turns on the same machine.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	backend := flag.String("backend", "", "serve as the backend on this address, and do nothing else")
	long := flag.Bool("long", os.Getenv("BENCH") == "long", "more and longer rounds, 10,000 routes and 100,000 sessions: up to 20 minutes")
	before := flag.String("against", "", "another gateway's binary, which takes turns with this one; the other products then stay out")
	only := flag.String("only", "", "the one part to run: requests, latency, crowd, mix, features, scale, idle, sockets, shift or start")
	out := flag.String("json", "", "file to write the rounds to; beside it, with the ending .svg, they are drawn")
	flag.Parse()
	if *backend != "" {
		fatal(serveBackend(*backend))
	}
	pin()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *long, *only, *before, *out); err != nil {
		stop()
		fatal(err)
	}
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// pin moves this process, which makes the load, off the core of the proxies.
func pin() {
	taskset, err := exec.LookPath("taskset")
	if err != nil || runtime.NumCPU() < 2 || os.Getenv(pinned) != "" {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	others := "1-" + strconv.Itoa(runtime.NumCPU()-1)
	os.Setenv(pinned, others)
	fatal(syscall.Exec(taskset, append([]string{"taskset", "-c", others, self}, os.Args[1:]...), os.Environ()))
}

// A pace says how long things are measured.
type pace struct {
	rounds, fewer int
	round, short  time.Duration
	routes        []int
	sessions      int
	idle, sockets int
	shift         time.Duration // of a change of shifts
}

func run(ctx context.Context, long bool, only, before, out string) error {
	p := pace{rounds: 9, fewer: 5, round: time.Second, short: 700 * time.Millisecond, routes: []int{10, 1000, 10_000}, sessions: 50_000, idle: 10_000, sockets: 10_000, shift: 15 * time.Second}
	if long {
		p = pace{rounds: 25, fewer: 15, round: 2 * time.Second, short: time.Second, routes: []int{10, 1000, 10_000}, sessions: 100_000, idle: 10_000, sockets: 10_000, shift: time.Minute}
	}
	w, err := newWorld(ctx)
	if w != nil {
		defer w.close()
	}
	if err != nil {
		return err
	}
	w.before = before
	began := time.Now()
	r := &report{Load: cmp.Or(os.Getenv(pinned), "all"), Go: runtime.Version(), Kernel: kernel(), Pinned: w.proxies != "", LoadBefore: loadAverage()}
	for _, part := range []struct {
		name string
		run  func(context.Context, *world, pace, *report) error
	}{
		{"requests", requests}, {"latency", latency}, {"crowd", crowded}, {"mix", mixed}, {"features", features}, {"scale", scale},
		{"idle", idle}, {"sockets", sockets}, {"shift", shift}, {"start", startUp},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		fmt.Fprintf(os.Stderr, "%s ...\n", part.name)
		if err := part.run(ctx, w, p, r); err != nil {
			r.print(os.Stdout) // what there is
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	r.LoadAfter, r.Took = loadAverage(), time.Since(began).Round(time.Second).String()
	for name, path := range map[string]string{"gateway": w.gateway, "bare proxy": w.bare} {
		if info, err := os.Stat(path); err == nil {
			r.size(name, info.Size())
		}
	}
	r.print(os.Stdout)
	if out == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	drawing, err := os.Create(strings.TrimSuffix(out, ".json") + ".svg")
	if err != nil {
		return err
	}
	return errors.Join(r.plot(drawing), drawing.Close())
}
