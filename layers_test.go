// Package anteroom_test holds what is true of the project as a whole.
package anteroom_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/anteroom/anteroom/"

// layers says which packages of ours each package may import. Imports point
// down; a new package is given its place here.
var layers = map[string][]string{
	"access":  {},
	"carry":   {},
	"headers": {},
	"keys":    {},
	"limit":   {},
	"store":   {},
	"listen":  {},

	"store/certs": {"store"},

	"audit":        {"access"},
	"audit/feed":   {"audit"},
	"audit/fhir":   {"access", "audit"},
	"audit/otlp":   {"access", "audit"},
	"audit/syslog": {"audit", "audit/fhir"},
	"authn":        {"access"},
	"inject":       {"access"},
	"pages":        {"access"},
	"posture":      {"access", "headers"},
	"routes":       {"access"},
	"telemetry":    {"access"},

	"config":  {"access", "headers", "routes"},
	"grace":   {"access", "store"},
	"held":    {"access", "store"},
	"session": {"access", "store"},
	"replay":  {"access", "audit", "routes"},
	"proxy":   {"access", "carry", "headers", "limit", "pages", "routes"},
	"signin":  {"access", "authn", "held", "pages", "session", "store"},

	"demo": {},

	"release/parts": {},

	"cmd/gateway": {
		"access", "audit", "audit/feed", "audit/fhir", "audit/otlp", "audit/syslog", "authn", "config", "grace", "held", "inject", "keys", "limit", "listen", "pages",
		"posture", "proxy", "routes", "session", "signin", "store", "store/certs", "telemetry",
	},
	"cmd/anteroom":      {"access", "audit", "audit/fhir", "cmd/gateway", "config", "keys", "posture", "replay", "routes"},
	"cmd/anteroom-demo": {"cmd/gateway", "demo"},
}

// forTests names the packages that only tests import.
var forTests = []string{"anteroomtest", "bench", "test"}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read the list of packages: %v", err)
		}
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours || isTesting(name) {
			continue
		}
		allowed, known := layers[name]
		if !known {
			t.Errorf("package %s has no place in the table", name)
		}
		for _, i := range p.Imports {
			i, ours := strings.CutPrefix(i, module)
			switch {
			case !ours:
			case isTesting(i):
				t.Errorf("package %s imports %s, which is for tests", name, i)
			case !slices.Contains(allowed, i):
				t.Errorf("package %s imports %s; it may import %v", name, i, allowed)
			}
		}
	}
}

func isTesting(name string) bool {
	return slices.ContainsFunc(forTests, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") })
}
