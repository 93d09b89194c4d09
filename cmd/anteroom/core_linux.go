package main

import (
	"fmt"
	"os"
	"syscall"
)

// keepMemory keeps what the process holds in memory from the disk: a crash
// writes no core file, and one that is taken from outside, or piped to a
// collector whatever the limit says, is empty of memory (core(5)).
func keepMemory() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("set the limit of core files: %w", err)
	}
	if err := os.WriteFile("/proc/self/coredump_filter", []byte("0"), 0); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("keep memory out of core dumps: %w", err)
	}
	return nil
}
