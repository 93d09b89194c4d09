package anteroomtest

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Program is a [Gateway] that runs as a process of its own, in its Dir, as
// people run it. Its provider and its backend are in the test.
type Program struct {
	*Gateway
	Binary string
	PID    int

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	ended  error         // of cmd; read after exited
}

// Build builds the command of this name, as a release is built, and returns
// its file, which is there until t ends.
func Build(t testing.TB, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "github.com/anteroom/anteroom/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return binary
}

// StartProgram runs binary with the configuration that s describes, all it can
// log, and env as its whole environment, until t ends.
func StartProgram(t testing.TB, binary string, s Setup, env ...string) *Program {
	t.Helper()
	g := around(t, s)
	if g.Port = s.Port; g.Port == "" {
		g.Port = FreePort(t)
	}
	g.Address = "127.0.0.1:" + g.Port
	text := s.Config
	if text == "" {
		text = Fixture
	}
	text = strings.Replace(text, "\n  listen: 127.0.0.1:0\n", "\n  listen: "+g.Address+"\n", 1)
	if s.Edit != nil {
		text = s.Edit(text)
	}
	g.WriteFile("secret", g.Provider.ClientSecret)
	g.WriteConfig(text)

	p := &Program{Gateway: g, Binary: binary, exited: make(chan struct{})}
	p.cmd = exec.Command(binary, "serve", "-v", "--grace", "0s", "-c", filepath.Join(g.Dir, "anteroom.yaml"))
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = g.Dir, env, g.log, g.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start the gateway: %v", err)
	}
	p.PID = p.cmd.Process.Pid
	go func() { p.ended = p.cmd.Wait(); close(p.exited) }()
	g.stop = sync.OnceValue(p.terminate)
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("the gateway ended with: %v", err)
		}
		if Panicked(g.Log()) {
			t.Error("the gateway panicked")
		}
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", g.log)
		}
	})
	p.awaitServing()
	AwaitGreeting(t, p.Admin)
	if pem, err := os.ReadFile(filepath.Join(g.Dir, "data", "tls", "ca.pem")); err == nil { // else its certificates are the test's
		g.CA = x509.NewCertPool()
		g.CA.AppendCertsFromPEM(pem)
	}
	return p
}

// awaitServing waits for the line that says where the gateway listens.
func (p *Program) awaitServing() {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		for line := range strings.Lines(p.Log()) {
			var m struct {
				Msg, Redirect, Admin string
				Senders              []string
			}
			if json.Unmarshal([]byte(line), &m) == nil && m.Msg == "serving" {
				p.Redirect, p.Admin, p.Senders = m.Redirect, m.Admin, m.Senders
				return
			}
		}
		select {
		case <-p.exited:
			p.t.Fatalf("the gateway did not start: %v", p.ended)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatal("the gateway does not serve after a minute")
		}
	}
}

// Signal sends s to the process.
func (p *Program) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// Crash has the process abort, as on a fault of its own, and returns how it ended.
func (p *Program) Crash() syscall.WaitStatus {
	p.t.Helper()
	p.Signal(syscall.SIGABRT)
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.t.Fatal("the process goes on a minute after SIGABRT")
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// terminate asks the process to end, when it has not, and waits until it has.
func (p *Program) terminate() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return p.ended
	case <-time.After(50 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("killed: it did not stop in 50 s")
	}
}

// FreePort returns a port of loopback that nothing listens on, from below
// those that the system gives to outgoing connections.
func FreePort(t testing.TB) string {
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
