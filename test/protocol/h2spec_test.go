//go:build scan

package protocol_test

import (
	"encoding/xml"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Nothing that plain net/http does right is done wrong by the gateway around it.
func TestHTTP2ByH2spec(t *testing.T) {
	bare := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "backend\n") }))
	bare.EnableHTTP2 = true
	bare.Config.ErrorLog = log.New(io.Discard, "", 0)
	bare.StartTLS()
	defer bare.Close()
	g, _ := start(t, "1.2")

	_, port, err := net.SplitHostPort(bare.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	total, missedBare := h2spec(t, port)
	same, missed := h2spec(t, g.Port)
	t.Logf("plain net/http: %d of %d; the gateway: %d of %d", total-len(missedBare), total, same-len(missed), same)
	if same != total || total < 140 {
		t.Errorf("%d cases were run against the gateway, %d against net/http", same, total)
	}
	for _, name := range missed {
		if !slices.Contains(missedBare, name) {
			t.Errorf("a new miss: %s", name)
		} else {
			t.Logf("missed, as by net/http: %s", name)
		}
	}
}

// h2spec returns how many cases were run against localhost at port, and those
// that failed.
func h2spec(t *testing.T, port string) (total int, missed []string) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.xml")
	cmd := exec.Command("go", "tool", "-modfile=../../release/h2spec.mod", "h2spec",
		"--tls", "--insecure", "--host", "localhost", "--port", port, "--timeout", "3", "--junit-report", report)
	out, err := cmd.CombinedOutput() // which fails when any case does; the report says which
	text, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("h2spec: %v\n%s", err, out)
	}
	var doc struct {
		Suites []struct {
			Cases []struct {
				Package string    `xml:"package,attr"`
				Class   string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &doc); err != nil {
		t.Fatalf("read the report: %v", err)
	}
	for _, s := range doc.Suites {
		for _, c := range s.Cases {
			total++
			if c.Failure != nil || c.Error != nil {
				missed = append(missed, c.Package+": "+c.Class)
			}
		}
	}
	return total, missed
}
