package stories_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// An output keeps what a process says, for many goroutines.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// freePort returns a port of loopback that is free, from below those that the
// system hands out by itself, so that no test elsewhere is given it meanwhile.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		l.Close()
		return port
	}
	t.Fatal("no free port below 32000")
	return ""
}

// start runs cmd until t ends, and then ends it by stop, which must make it
// end. What it said is logged when t failed.
func start(t testing.TB, cmd *exec.Cmd, said *output, stop func() error) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v (test/setup installs what the stories need)", cmd.Path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop %s: %v", cmd.Path, err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s ended with: %v", cmd.Path, err)
			}
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			t.Errorf("%s did not end within 20 s", cmd.Path)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, said)
		}
	})
}

// eventually asks again until ok holds, for a minute at most.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func dialable(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func origin(host, port string) string {
	return fmt.Sprintf("https://%s.anteroom.localhost:%s", host, port)
}
