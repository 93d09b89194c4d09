// Package faults_test breaks what is around a gateway, kills the gateway itself,
// and measures whether it keeps its reliability promises. Each experiment drives
// the built binary over TLS on loopback, and can be run alone:
//
//	go test ./test/faults -run R4 -v
//
// ANTEROOM_FAULTS=long runs their longer forms.
package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// long reports whether the experiments' longer forms are asked for. It looks
// while tests run: what is read before, the cache of test results knows nothing of.
func long() bool { return os.Getenv("ANTEROOM_FAULTS") == "long" }

// choose returns the short form of a number, or its long one.
func choose[T any](short, longer T) T {
	if long() {
		return longer
	}
	return short
}

var findings table

func TestMain(m *testing.M) {
	code := m.Run()
	findings.print()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is the binary under test, built once in a run.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "anteroom-faults-"); built.err != nil {
			return
		}
		// The command is no import of this package's: looking at its files has
		// the cache of test results notice when they change.
		if sources, err := filepath.Glob("../../cmd/anteroom/*.go"); err == nil {
			for _, f := range sources {
				os.Stat(f)
			}
		}
		cmd := exec.Command("go", "build", "-o", built.dir, "github.com/anteroom/anteroom/cmd/anteroom")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the gateway: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "anteroom")
}

// A table collects a line for each experiment, and how gateways ended in all of them.
type table struct {
	mu             sync.Mutex
	lines          []string
	runs, panicked int
}

// ended counts a gateway that ran.
func (b *table) ended(runs int, panicked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs += runs
	if panicked {
		b.panicked++
	}
}

func (b *table) add(line string) {
	fmt.Println(line)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
}

func (b *table) print() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) < 2 {
		return
	}
	verdict := "held"
	if b.panicked > 0 {
		verdict = "not held"
	}
	b.lines = append(b.lines, fmt.Sprintf("promise R18 | %d runs of the gateway, %d logs with a panic | %s", b.runs, b.panicked, verdict))
	slices.SortStableFunc(b.lines, func(x, y string) int { return rank(x) - rank(y) })
	fmt.Printf("\n%s\n", strings.Join(b.lines, "\n"))
}

// rank orders lines by the number of their promise; those without one come last.
func rank(line string) int {
	var n int
	if _, err := fmt.Sscanf(line, "promise R%d", &n); err != nil {
		return 1000
	}
	return n
}

// An experiment is one promise put to the test. What it measures and what it
// finds wanting become one line of the table when its test ends.
type experiment struct {
	t       testing.TB
	promise string
	figures []string
	lacking []string
	witness *witness
}

func begin(t testing.TB, promise string) *experiment {
	t.Helper()
	e := &experiment{t: t, promise: promise, witness: watchClock()}
	t.Cleanup(func() {
		e.witness.end()
		verdict := "held"
		if len(e.lacking) > 0 {
			verdict = "not held: " + strings.Join(e.lacking, "; ")
		} else if t.Failed() {
			verdict = "not held: the experiment failed"
		}
		findings.add(fmt.Sprintf("promise %s | %s | %s", promise, strings.Join(e.figures, ", "), verdict))
	})
	return e
}

// figure notes what was measured.
func (e *experiment) figure(format string, args ...any) {
	e.figures = append(e.figures, fmt.Sprintf(format, args...))
}

// must fails the test unless ok: what counts can be told on any machine.
func (e *experiment) must(ok bool, format string, args ...any) {
	e.t.Helper()
	if !ok {
		what := fmt.Sprintf(format, args...)
		e.lacking = append(e.lacking, what)
		e.t.Error(what)
	}
}

// within says that something took too long. Times are facts about a gateway
// only where the machine had room for it, so they fail the longer runs alone,
// and on one that wakes its sleepers late the line says that too.
func (e *experiment) within(took, limit time.Duration, what string) {
	e.t.Helper()
	e.judged(took < limit, fmt.Sprintf("%s %v, promised under %v", what, round(took), limit), min(busy, limit))
}

// rate says that there was too little of something, as [experiment.within] does.
func (e *experiment) rate(got, promised float64, what string) {
	e.t.Helper()
	e.judged(got >= promised, fmt.Sprintf("%s %.2f, promised %.2f", what, got, promised), busy)
}

// judged takes what was told of a time, on a machine that may wake its sleepers
// so much late and still be believed.
func (e *experiment) judged(ok bool, told string, tolerance time.Duration) {
	e.t.Helper()
	if ok {
		return
	}
	if late := e.witness.late(); late > tolerance {
		e.lacking = append(e.lacking, fmt.Sprintf("%s, on a machine that woke a sleeper %v late", told, round(late)))
		return
	}
	e.lacking = append(e.lacking, told)
	if long() {
		e.t.Error(told)
	}
}

// unkept says what of a promise is known not to be kept, and why.
func (e *experiment) unkept(format string, args ...any) {
	e.lacking = append(e.lacking, fmt.Sprintf(format, args...))
}

func round(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d > 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// busy is how late a sleeper is woken on a machine whose times say nothing.
const busy = 15 * time.Millisecond

// A witness sleeps and notes how much later than asked it wakes.
type witness struct {
	stop, done chan struct{}
	once       sync.Once
	mu         sync.Mutex
	lags       []time.Duration
}

func watchClock() *witness {
	w := &witness{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		const nap = 10 * time.Millisecond
		for {
			slept := time.Now()
			select {
			case <-w.stop:
				return
			case <-time.After(nap):
				w.mu.Lock()
				w.lags = append(w.lags, time.Since(slept)-nap)
				w.mu.Unlock()
			}
		}
	}()
	return w
}

// late returns what one in fifty naps exceeded.
func (w *witness) late() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return quantile(w.lags, .98)
}

func (w *witness) end() {
	w.once.Do(func() { close(w.stop); <-w.done })
}

// quantile returns the value below which the share q of all lies; zero of none.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
