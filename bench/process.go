package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server under measure.
type process struct {
	name  string
	cmd   *exec.Cmd
	admin string // host:port of its /metrics; "" when it has none
	log   bytes.Buffer
	ended chan struct{}
}

// The proxy under measure has one core; load and backend have the others.
const proxyCore = "0"

// pinned names, in the environment, the cores that this process was moved to.
const pinned = "ANTEROOM_BENCH_CORES"

// start runs a program, on cores when that is not "".
func start(name, cores, program string, args ...string) (*process, error) {
	if cores != "" {
		program, args = "taskset", append([]string{"-c", cores, program}, args...)
	}
	p := &process{name: name, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	return p, nil
}

// stop ends the process and waits for it.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// listening waits until addr accepts connections.
func (p *process) listening(addr string) error {
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(2 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			c.Close()
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it listened:\n%s", p.name, &p.log)
		default:
		}
	}
	return fmt.Errorf("%s does not listen on %s", p.name, addr)
}

// ready waits until the admin listener says so.
func (p *process) ready() error {
	if err := p.listening(p.admin); err != nil {
		return err
	}
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(2 * time.Millisecond) {
		if resp, err := http.Get("http://" + p.admin + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not ready:\n%s", p.name, &p.log)
}

// cpu returns the time on the processor of the process and its children.
func (p *process) cpu() (time.Duration, error) {
	var all time.Duration
	for _, pid := range p.pids() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// the name before the last ) may hold blanks; utime and stime are 12 and 13 after it
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] {
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, err
			}
			all += time.Duration(ticks) * (time.Second / 100)
		}
	}
	return all, nil
}

func (p *process) pids() []int {
	pids := []int{p.cmd.Process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0]))
	if err == nil {
		for _, f := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// memory returns the resident bytes of the process and its children.
func (p *process) memory() (int64, error) {
	var all int64
	for _, pid := range p.pids() {
		f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			return 0, err
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			var kib int64
			if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
				fmt.Sscan(rest, &kib)
				all += kib << 10
			}
		}
		f.Close()
	}
	return all, nil
}

// calls returns how often the process has read and written so far.
func (p *process) calls() float64 {
	all := 0.0
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			return 0
		}
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); name == "syscr" || name == "syscw" {
				n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
				all += n
			}
		}
	}
	return all
}

// objects returns how many heap objects the process has made; 0 when it cannot say.
func (p *process) objects() float64 {
	if p.admin == "" {
		return 0
	}
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "go_memstats_mallocs_total "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return n
		}
	}
	return 0
}

// freePort returns a port that nothing listens on just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
