// Command mutate removes the gateway's guards one by one and expects a named
// test to fail each time: a guard that can be taken out unnoticed is not held
// by any test, whatever the coverage says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	pick := flag.String("run", "", "only the guards whose name matches this regular expression")
	list := flag.Bool("list", false, "list the guards, and remove none")
	jobs := flag.Int("j", 2, "how many to remove at once, each in a build of its own")
	limit := flag.Duration("timeout", 2*time.Minute, "how long one test may run")
	flag.Parse()
	chosen, err := choose(*pick)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "mutate:", errors.Join(err, surplus(flag.Args())))
		os.Exit(2)
	}
	if *list {
		for _, g := range chosen {
			fmt.Printf("%-44s %s\n%44s %s %s\n", g.Name, g.Why, "", g.Package, g.Test)
		}
		return
	}
	if err := remove(ctx, chosen, max(1, *jobs), *limit); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func surplus(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q is more than it takes", args)
}

func choose(pattern string) ([]Guard, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var chosen []Guard
	for _, g := range guards() {
		if re.MatchString(g.Name) {
			chosen = append(chosen, g)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-run %s: no guard has such a name", pattern)
	}
	return chosen, nil
}

// remove takes the guards out, several at once, and prints what became of each.
// It returns an error when one survived, or the table itself is wrong.
func remove(ctx context.Context, chosen []Guard, jobs int, limit time.Duration) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return fmt.Errorf("make a scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	w := &workshop{root: root, scratch: scratch, limit: limit, sound: make(map[string]*baseline)}

	began := time.Now()
	queue := make(chan int)
	var mu sync.Mutex
	counts := make(map[verdict]int)
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			for i := range queue {
				g, start := chosen[i], time.Now()
				v, detail := w.try(ctx, g, i)
				mu.Lock()
				counts[v]++
				fmt.Printf("%-9s %-44s %5.1fs  %s %s\n", v, g.Name, time.Since(start).Seconds(), g.Package, g.Test)
				if detail != "" {
					fmt.Println("          " + strings.ReplaceAll(strings.TrimSpace(detail), "\n", "\n          "))
				}
				mu.Unlock()
			}
		})
	}
	for i := range chosen {
		select {
		case queue <- i:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	fmt.Printf("%d guards removed in %v: %d killed, %d survived, %d of the table wrong\n",
		len(chosen), time.Since(began).Round(time.Second), counts[killed], counts[survived], counts[wrong])
	if counts[killed] != len(chosen) {
		return errors.New("not every guard is held by its test")
	}
	return nil
}

// moduleRoot returns the directory of the module that this command belongs to.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("find the module: run this inside of it")
	}
	return filepath.Dir(file), nil
}
