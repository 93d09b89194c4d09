// Package install_test installs what a release ships, as its users do, and
// signs in at what was installed.
package install_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

const root = "../.."

// The Debian package is installed into a bare Debian of its own, and the program
// of it runs there, as the user that the package made, until somebody is signed in.
func TestDebianPackage(t *testing.T) {
	file := pack(t)
	debian := bareDebian(t)
	inside := func(args ...string) string { return run(t, "chroot", append([]string{debian}, args...)...) }

	run(t, "cp", file, debian+"/anteroom.deb")
	inside("dpkg", "--install", "/anteroom.deb")
	if got := inside("stat", "-c", "%U:%G %a", "/etc/anteroom"); got != "root:anteroom 750\n" {
		t.Errorf("/etc/anteroom is %q", got)
	}
	if got := inside("anteroom", "version"); !strings.HasPrefix(got, "anteroom ") {
		t.Errorf("anteroom version says %q", got)
	}
	inside("dpkg", "--verify", "anteroom")
	for _, example := range strings.Fields(inside("sh", "-c", "echo /usr/share/doc/anteroom/examples/*.yaml")) {
		if _, err := os.Stat(debian + example); err != nil {
			t.Errorf("example: %v", err)
		}
	}

	signIn(t, debian)

	// The trail outlives the package.
	inside("dpkg", "--purge", "anteroom")
	if trail, _ := filepath.Glob(debian + "/var/lib/anteroom/data/audit/*.ndjson"); len(trail) == 0 {
		t.Error("the audit trail is gone with the package")
	}
}

// signIn runs the installed program as the user that the package made, and goes
// through a first sign-in.
func signIn(t *testing.T, debian string) {
	// Inside, the path that the test knows the bare Debian by leads to its root,
	// so that the same file names hold on both sides.
	if err := os.MkdirAll(filepath.Dir(debian+debian), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", debian+debian); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(debian, "var/lib/anteroom")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	launcher := filepath.Join(t.TempDir(), "anteroom")
	script := fmt.Sprintf("#!/bin/sh\nchroot %[1]s chown -R anteroom:anteroom /var/lib/anteroom && exec chroot --userspec=anteroom:anteroom %[1]s /usr/bin/anteroom \"$@\"\n", debian)
	if err := os.WriteFile(launcher, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	g := anteroomtest.StartProgram(t, launcher, anteroomtest.Setup{Dir: home})
	if p := g.Browser(t).Get(g.URL("ehr.test", "/chart")); p.Status != http.StatusOK {
		t.Errorf("after the sign-in: status %d", p.Status)
	}
	owner := run(t, "stat", "-c", "%u", home+"/data/keys/root")
	if uid := run(t, "chroot", debian, "id", "-u", "anteroom"); owner != uid || uid == "0\n" {
		t.Errorf("the root key belongs to %q, the user anteroom is %q", owner, uid)
	}
	g.Stop()
}

// The units say nothing that systemd does not understand, and give the program
// little to abuse.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	unit := func(name string) string {
		text, err := os.ReadFile(root + "/deploy/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		there := strings.ReplaceAll(string(text), "/usr/bin/anteroom", "/bin/true") // neither the program nor its manual is installed here
		there = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(there, "")
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(there), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	service, socket := unit("anteroom.service"), unit("anteroom.socket")
	if said := run(t, "systemd-analyze", "verify", "--recursive-errors=no", service, socket); said != "" {
		t.Errorf("systemd-analyze verify: %s", said)
	}
	said := run(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", service) // 2.0 of 10
	if !strings.Contains(said, "Overall exposure level") {
		t.Errorf("systemd-analyze security: %s", said)
	}
}

// Every command has a page in the manual that man can set without a warning.
func TestManual(t *testing.T) {
	tree := t.TempDir()
	run(t, "dpkg-deb", "--extract", pack(t), tree)
	pages, err := filepath.Glob(tree + "/usr/share/man/man1/*.1.gz")
	if err != nil || len(pages) < 10 {
		t.Fatalf("pages: %v, %v", pages, err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".1.gz")
		text := run(t, "man", "--warnings", "--encoding=UTF-8", "--local-file", page)
		if !strings.Contains(text, "NAME\n") || strings.Contains(text, "warning:") {
			t.Errorf("%s: %s", name, text)
		}
		if args := strings.Split(name, "-"); args[0] != "anteroom" {
			t.Errorf("a page for %s", name)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue // its completions are still in the package; bash is always there
		}
		files := map[string]string{
			"bash": "bash-completion/completions/anteroom", "zsh": "zsh/vendor-completions/_anteroom", "fish": "fish/vendor_completions.d/anteroom.fish",
		}
		run(t, shell, "-n", tree+"/usr/share/"+files[shell])
	}
}

// Two packages of one tree are the same file, and lintian finds nothing in it
// but what a static Go program is.
func TestPackageIsReproducible(t *testing.T) {
	first := pack(t)
	run(t, "cmp", first, packInto(t, t.TempDir()))
	run(t, "lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", strings.Join([]string{
		"statically-linked-binary",           // Go links so
		"no-changelog",                       // the package has the project's own
		"maintainer-script-calls-systemctl",  // only where systemd runs, and never to start
		"copyright-without-copyright-notice", // the licence is named; the notice is in LICENSE
	}, ","), first)
}

// shipped is the package of this tree, once a test wanted it, and the binary in it.
var shipped struct{ dir, binary, file string }

func TestMain(m *testing.M) {
	var err error
	if shipped.dir, err = os.MkdirTemp("", "anteroom-package-*"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(shipped.dir)
	os.Exit(code)
}

// pack returns the package of this tree.
func pack(t *testing.T) string {
	t.Helper()
	if shipped.file == "" {
		shipped.binary = filepath.Join(shipped.dir, "anteroom")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", shipped.binary, "./cmd/anteroom")
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		shipped.file = packInto(t, shipped.dir)
	}
	return shipped.file
}

func packInto(t *testing.T, dir string) string {
	t.Helper()
	return strings.TrimSpace(run(t, root+"/release/deb", dir, "v0.0.1", strings.TrimSpace(run(t, "dpkg", "--print-architecture")), shipped.binary))
}

// bareDebian returns the root of a minimal Debian. It is made once for a user of
// this machine, from Debian's own archive, and unpacked for each test.
func bareDebian(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("only root can install a package into a Debian of its own")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(cache, "anteroom-tests", "bookworm.tar")
	if _, err := os.Stat(archive); err != nil {
		made := t.TempDir()
		run(t, "debootstrap", "--variant=minbase", "--include=adduser", "bookworm", made)
		if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
			t.Fatal(err)
		}
		run(t, "tar", "-C", made, "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "-cf", archive+".new", ".")
		if err := os.Rename(archive+".new", archive); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "anteroom-debian-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	run(t, "tar", "-C", dir, "-xf", archive)
	return dir
}

// run runs a program and returns what it said; the test ends when it failed.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}
