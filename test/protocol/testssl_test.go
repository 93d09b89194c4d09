//go:build scan

package protocol_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// accepted are findings of testssl.sh that are no fault of a gateway's.
var accepted = map[string]string{
	"engine_problem":     "the machine that scans has no GOST",
	"cert_revocation":    "the certificates are the test's own, and short-lived",
	"DNS_CAArecord":      "the names are the test's own, and in no DNS",
	"TLS_session_ticket": "the keys of tickets change daily, and one is kept for a week so that a tablet resumes after a weekend",
}

func TestTLSByTestssl(t *testing.T) {
	g, authority := start(t, "1.2")
	report := filepath.Join(t.TempDir(), "report.json")
	scanner := "testssl" // as Debian names it
	if _, err := exec.LookPath(scanner); err != nil {
		scanner = "testssl.sh"
	}
	cmd := exec.Command(scanner, "--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1",
		"--add-ca", authority, "--jsonfile", report, hosts[0]+":"+g.Port)
	out, err := cmd.CombinedOutput() // whose exit code counts findings; the report has them
	text, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("%s: %v\n%s", scanner, err, out)
	}
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(text, &findings); err != nil {
		t.Fatalf("read the report: %v", err)
	}
	good := 0
	for _, f := range findings {
		line := fmt.Sprintf("%s: %s: %s", f.Severity, f.ID, f.Finding)
		id, _, _ := strings.Cut(f.ID, " ")
		switch {
		case f.Severity == "OK":
			good++
		case f.Severity == "INFO":
		case accepted[id] != "":
			t.Logf("%s (accepted: %s)", line, accepted[id])
		default:
			t.Error(line)
		}
	}
	if good < 40 {
		t.Errorf("only %d findings are good: the scan did not get far\n%s", good, out)
	}
	t.Logf("testssl.sh: %d findings are good", good)
}
