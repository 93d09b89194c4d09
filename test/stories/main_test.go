// Package stories_test tells the stories of a hospital in Debian's Chromium,
// through the built binaries over TLS, at two OpenID providers; every "never"
// is read from the bytes that a recording backend got.
package stories_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// What all stories share, set before the first begins.
var (
	binaries string          // the directory of anteroom and anteroom-demo
	chromium context.Context // the one browser process; each story has cookies of its own in it
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stories:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "anteroom-stories-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)

	// Built as `make build` does; the stories drive what people run.
	binaries = filepath.Join(dir, "bin")
	build := exec.Command("go", "build", "-trimpath", "-o", binaries+string(filepath.Separator), "../../cmd/anteroom", "../../cmd/anteroom-demo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the binaries: %w\n%s", err, out)
	}

	path, err := exec.LookPath("chromium")
	if err != nil {
		return 0, fmt.Errorf("%w: test/setup installs it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-proxy-server", true),
		// Everything is on this machine; no other name is looked up.
		chromedp.Flag("host-resolver-rules", "MAP *.anteroom.localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	ctx, stop := chromedp.NewContext(allocator, chromedp.WithLogf(silent), chromedp.WithErrorf(silent))
	defer stop()
	if err := chromedp.Do(ctx); err != nil {
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	chromium = ctx
	code := m.Run()
	return code, chromedp.Cancel(ctx)
}

// silent drops what the driver remarks about pages that a story has left.
func silent(string, ...any) {}
