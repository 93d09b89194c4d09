package canary_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A process that crashes with its memory full of secrets leaves none of them,
// even where the system has been told to keep core dumps and Go to make them.
func TestCrashLeavesNothing(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: limit.Max, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_CORE, &limit)

	s := newStory(t, anteroomtest.Build(t, "anteroom"), "GOTRACEBACK=crash")
	s.work(t)
	s.stepUp(t)
	if t.Failed() {
		return
	}
	proc := fmt.Sprintf("/proc/%d/", s.PID)
	limits, err := os.ReadFile(proc + "limits")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Join(strings.Fields(rest), " ") != "0 0 bytes" {
			t.Errorf("the limit of core files is %s", rest)
		}
	}
	// What holds where the limit is of no account: a collector that core
	// dumps are piped to, and gcore.
	filter, err := os.ReadFile(proc + "coredump_filter")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Trim(string(filter), "0\n") != "" {
		t.Errorf("coredump_filter is %s", filter)
	}
	if how := s.Crash(); !how.Signaled() || how.CoreDump() {
		t.Errorf("ended by %v, with a core dump: %v", how.Signal(), how.CoreDump())
	}
	s.search(t, log, "the process", []byte(s.Log()))
	for name, text := range files(t, s.Dir, filepath.Join(s.Dir, "data", "audit")) {
		if name == filepath.Join(s.Dir, "secret") {
			continue // what the operator wrote
		}
		s.search(t, disk, name, text)
	}
}
