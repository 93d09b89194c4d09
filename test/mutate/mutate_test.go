package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// TestGuardsAreThere holds the table against the code, so that a change which
// moves a guard is told at once and not only when the guards are removed.
func TestGuardsAreThere(t *testing.T) {
	names := make(map[string]bool)
	for _, g := range guards() {
		if names[g.Name] {
			t.Errorf("two guards are called %q", g.Name)
		}
		names[g.Name] = true
		if g.Name == "" || g.Why == "" || g.Package == "" || g.Test == "" {
			t.Errorf("%q does not say all", g.Name)
		}
		if _, err := mutate(root, g); err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
		tests := testsOf(t, g.Package)
		for test := range strings.SplitSeq(g.Test, "|") {
			if !tests[test] {
				t.Errorf("%s: %s has no test %s", g.Name, g.Package, test)
			}
		}
	}
}

var testName = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]*)\(`)

func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
	}
	return found
}

// TestEveryNeverIsGuarded holds that each row of the hospital's list whose
// "never" this gateway keeps has a guard, and with it a test that was seen to
// fail.
func TestEveryNeverIsGuarded(t *testing.T) {
	for _, row := range []string{"A1", "A3", "A5", "B2", "C1", "C2", "C14"} {
		re := regexp.MustCompile(`\(([^)]*; )?hospital ([A-C][0-9]+, )*` + row + `\b`)
		n := 0
		for _, g := range guards() {
			if re.MatchString(g.Why) {
				n++
			}
		}
		if n == 0 {
			t.Errorf("no guard keeps the never of row %s", row)
		}
	}
}

func TestMutateRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("one two two"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]Guard{
		"what is not there":   {File: "a.go", Old: "three"},
		"what is there twice": {File: "a.go", Old: "two"},
		"a file of nobody's":  {File: "b.go", Old: "one"},
		"a second that fails": {File: "a.go", Old: "one", New: "1", Also: []Edit{{File: "a.go", Old: "one"}}},
	} {
		if _, err := mutate(dir, g); err == nil {
			t.Errorf("%s was taken out", name)
		}
	}
	changed, err := mutate(dir, Guard{File: "a.go", Old: "one ", New: "", Also: []Edit{{File: "a.go", Old: "two two", New: "2"}}})
	if err != nil || string(changed[filepath.Join(dir, "a.go")]) != "2" {
		t.Errorf("changed %q, %v", changed, err)
	}
}
