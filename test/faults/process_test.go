package faults_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A process is a gateway that runs as a program of its own, and can be stopped,
// killed and started again on its data. Its provider and backend are in this one.
type process struct {
	*anteroomtest.Gateway
	t     testing.TB
	text  string // of the configuration, before stand-ins are replaced
	args  []string
	env   []string
	admin string // host:port
	log   *text
	runs  int
	alone bool // its provider is not there

	socket *os.File // handed to each process as a supervisor does; nil: it opens its own
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	ended  error         // of cmd; read after exited
}

// A setup says how a [process] differs from the fixture.
type setup struct {
	edit     func(string) string
	args     []string // of serve, besides -c
	env      []string
	provider *anteroomtest.Provider
	backend  string            // its URL; "" makes a recording one
	socket   bool              // the listening socket is the supervisor's, and outlives the process
	before   func(g *process)  // called with everything in place but the gateway
	files    map[string][]byte // beside the configuration
}

// start runs a gateway until t ends and waits until it is ready.
func start(t testing.TB, s setup) *process {
	t.Helper()
	g := &process{
		Gateway: &anteroomtest.Gateway{Provider: s.provider, Dir: t.TempDir()},
		t:       t, args: s.args, env: s.env, log: &text{}, text: anteroomtest.Fixture,
	}
	if g.Provider == nil {
		g.Provider = anteroomtest.NewProvider(t)
		g.Provider.Person(anteroomtest.Nora)
	}
	if s.backend == "" {
		g.Backend = anteroomtest.NewBackend(t)
		s.backend = g.Backend.URL
	}
	g.Port = freePort(t)
	g.Address, g.admin = "127.0.0.1:"+g.Port, "127.0.0.1:"+freePort(t)
	if s.socket {
		l, err := net.Listen("tcp", g.Address)
		if err != nil {
			t.Fatal(err)
		}
		if g.socket, err = l.(*net.TCPListener).File(); err != nil {
			t.Fatal(err)
		}
		l.Close() // the file is a socket of its own
		t.Cleanup(func() { g.socket.Close() })
	}
	g.text = strings.NewReplacer("admin_listen: 127.0.0.1:0", "admin_listen: "+g.admin, "listen: 127.0.0.1:0", "listen: "+g.Address).Replace(g.text)
	g.text = limits.ReplaceAllLiteralString(g.text, loads)
	if s.edit != nil {
		g.text = s.edit(g.text)
	}
	g.text = strings.NewReplacer("{port}", g.Port, "{issuer}", g.Provider.URL, "{backend}", s.backend, "{dir}", g.Dir).Replace(g.text)
	g.write("secret", []byte(g.Provider.ClientSecret))
	for name, content := range s.files {
		g.write(name, content)
	}
	g.configure(g.text)
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("the gateway ended with: %v", err)
		}
		panicked := anteroomtest.Panicked(g.log.String())
		findings.ended(g.runs, panicked)
		if panicked {
			t.Error("the gateway panicked")
		}
		if t.Failed() {
			t.Logf("end of the gateway's log:\n%s", tail(g.log.String(), 4000))
		}
	})
	if s.before != nil {
		s.before(g)
	}
	g.launch()
	return g
}

// Loads come from one address, and some of them from one session.
var limits = regexp.MustCompile(`(?m)^limits: .*$`)

const loads = `limits:
  requests_per_session: {per_second: 100000, burst: 100000}
  requests_per_address: {per_second: 100000, burst: 100000}
  sign_ins_per_address: {per_minute: 100000, burst: 100000}`

// freePort returns a port that nothing listens on now, and that no outgoing
// connection is given while the gateway is down.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

// configure puts text in the configuration's place at once.
func (g *process) configure(text string) {
	g.t.Helper()
	g.write("anteroom.yaml.new", []byte(text))
	if err := os.Rename(filepath.Join(g.Dir, "anteroom.yaml.new"), filepath.Join(g.Dir, "anteroom.yaml")); err != nil {
		g.t.Fatal(err)
	}
}

func (g *process) write(name string, content []byte) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.Dir, name), content, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// launch starts the binary and returns how long it took to be ready.
func (g *process) launch() time.Duration {
	g.t.Helper()
	g.begin()
	took := g.awaitReady()
	if !g.alone {
		anteroomtest.AwaitGreeting(g.t, g.admin)
	}
	return took
}

// begin starts the binary.
func (g *process) begin() {
	g.t.Helper()
	args := append([]string{"serve", "-c", filepath.Join(g.Dir, "anteroom.yaml")}, g.args...)
	if len(g.args) == 0 {
		args = append(args, "--grace", "0s")
	}
	cmd := exec.Command(program(g.t), args...)
	if g.socket != nil { // sd_listen_fds(3): the number of the process is only known in it
		cmd = exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, program(g.t)}, args...)...)
		cmd.ExtraFiles = []*os.File{g.socket}
	}
	cmd.Stdout, cmd.Stderr = g.log, g.log
	cmd.Env = append(os.Environ(), g.env...)
	if err := cmd.Start(); err != nil {
		g.t.Fatalf("start the gateway: %v", err)
	}
	exited := make(chan struct{})
	g.cmd, g.exited, g.runs = cmd, exited, g.runs+1
	go func() { g.ended = cmd.Wait(); close(exited) }()
}

// awaitReady waits until the gateway says that it is ready.
func (g *process) awaitReady() time.Duration {
	g.t.Helper()
	began := time.Now()
	for g.ready() != http.StatusOK {
		select {
		case <-g.exited:
			g.t.Fatalf("the gateway ended at its start: %v\n%s", g.ended, tail(g.log.String(), 4000))
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(began) > time.Minute {
			g.t.Fatalf("the gateway is not ready after a minute\n%s", tail(g.log.String(), 4000))
		}
	}
	took := time.Since(began)
	if g.CA == nil {
		if pem, err := os.ReadFile(filepath.Join(g.Dir, "data", "tls", "ca.pem")); err == nil {
			g.CA = x509.NewCertPool()
			g.CA.AppendCertsFromPEM(pem)
		}
	}
	return took
}

// prompt asks the admin listener, over a connection of its own each time.
var prompt = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

// ready returns the status of /readyz; 0 when nobody answers.
func (g *process) ready() int {
	resp, err := prompt.Get("http://" + g.admin + "/readyz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// metric returns the sum of the series whose line begins with name.
func (g *process) metric(name string) float64 {
	g.t.Helper()
	resp, err := prompt.Get("http://" + g.admin + "/metrics")
	if err != nil {
		g.t.Fatalf("read metrics: %v", err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("read metrics: %v", err)
	}
	sum := 0.0
	for line := range strings.Lines(string(all)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			var v float64
			if _, err := fmt.Sscan(rest[strings.LastIndex(rest, " ")+1:], &v); err == nil {
				sum += v
			}
		}
	}
	return sum
}

// kill ends the process as the kernel does when memory runs out.
func (g *process) kill() {
	g.t.Helper()
	g.signal(syscall.SIGKILL)
	<-g.exited
}

func (g *process) signal(s os.Signal) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.t.Fatalf("signal %v: %v", s, err)
	}
}

// stop asks the process to end and waits until it has. One that has ended by
// then is no error.
func (g *process) stop() error {
	if g.cmd == nil {
		return nil
	}
	select {
	case <-g.exited:
		return nil
	default:
	}
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-g.exited:
		return g.ended
	case <-time.After(50 * time.Second):
		g.cmd.Process.Kill()
		<-g.exited
		return fmt.Errorf("killed: it did not stop in 50 s")
	}
}

// memory returns the resident set of the process in bytes.
func (g *process) memory() int64 {
	g.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				g.t.Fatal(err)
			}
			return kb << 10
		}
	}
	g.t.Fatal("no VmRSS")
	return 0
}

// cpu returns the processor time that the process has had.
func (g *process) cpu() time.Duration {
	g.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	const tick = time.Second / 100 // USER_HZ, which is part of the kernel's interface
	var ticks time.Duration
	// Behind the name in brackets, which may hold anything: utime and stime are fields 14 and 15 of all.
	for _, field := range strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			g.t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * tick
}

func (g *process) auditDir() string { return filepath.Join(g.Dir, "data", "audit") }

// eventually waits until ok holds, looking every few milliseconds, and returns
// how long that took.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("waited %v for %s", limit, what)
		}
		time.Sleep(3 * time.Millisecond)
	}
	return time.Since(began)
}

// A text keeps what is written to it, for many goroutines.
type text struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
