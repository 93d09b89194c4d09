//go:build scan

package canary_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A core dump that is taken from outside is empty of memory.
func TestCoreDumpIsEmpty(t *testing.T) {
	s := newStory(t, anteroomtest.Build(t, "anteroom"))
	s.work(t)
	s.stepUp(t)
	out, err := exec.Command("gcore", "-o", filepath.Join(t.TempDir(), "core"), fmt.Sprint(s.PID)).CombinedOutput()
	if err != nil {
		t.Fatalf("gcore, which comes with gdb: %v\n%s", err, out)
	}
	_, name, ok := strings.Cut(string(out), "Saved corefile ")
	if !ok {
		t.Fatalf("gcore saved nothing:\n%s", out)
	}
	name, _, _ = strings.Cut(name, "\n")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("gcore wrote %d KiB", len(text)>>10)
	s.search(t, dump, name, text)
}
