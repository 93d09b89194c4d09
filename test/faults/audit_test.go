package faults_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// TestR10AuditFull fills the volume of the audit trail. Nothing may reach a
// backend any more, and all goes on once there is room again. Where this may
// mount one, the volume is a small file system; else the process is forbidden to
// let the trail's file grow, which fails its writes in the same way.
func TestR10AuditFull(t *testing.T) {
	e := begin(t, "R10")
	var fill, free func(g *process)
	mounted := false
	g := start(t, setup{before: func(g *process) {
		if err := os.MkdirAll(g.auditDir(), 0o700); err != nil {
			t.Fatal(err)
		}
		if syscall.Mount("tmpfs", g.auditDir(), "tmpfs", 0, "size=1m,mode=0700") != nil {
			return
		}
		mounted = true
		t.Cleanup(func() {
			g.stop()
			if err := syscall.Unmount(g.auditDir(), 0); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
	}})
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	client := g.client(t, false, 4)
	if mounted {
		ballast := filepath.Join(g.auditDir(), "ballast")
		fill = func(g *process) {
			f, err := os.Create(ballast)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for { // until not a byte is left
				if _, err := f.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}
		free = func(*process) { os.Remove(ballast) }
		e.figure("a volume of 1 MiB, full")
	} else {
		fill = func(g *process) {
			// The trail's file has to be the largest that the process writes.
			for {
				if _, size, _ := journalEnd(t, g.auditDir()); size > 2<<20 {
					limitFiles(t, g, fmt.Sprint(size))
					return
				}
				write(t, g, client, cookie)
			}
		}
		free = func(g *process) { limitFiles(t, g, "unlimited") }
		e.figure("no right to mount: a limit on the size of files")
	}

	fill(g)
	// What is left of the file's last page takes a few records more.
	filled := time.Now()
	fails := func() bool { return g.status(t, client, "/chart", cookie) == http.StatusServiceUnavailable }
	eventually(t, 10*time.Second, "the first refusal", fails)
	refusedAt := time.Now()
	eventually(t, 5*time.Second, "the alarm", func() bool {
		return g.ready() == http.StatusServiceUnavailable && g.metric("anteroom_audit_failures_total") > 0 && strings.Contains(g.log.String(), "audit records cannot be written")
	})
	alarm := time.Since(refusedAt)
	g.Backend.Forget()
	refused, other := 0, 0
	for i := range 100 {
		method, body := http.MethodGet, ""
		if i%2 == 1 {
			method, body = http.MethodPost, "order=1"
		}
		a, err := call(t.Context(), client, method, g.URL("ehr.test", "/chart"), cookie, strings.NewReader(body))
		if err == nil && a.status == http.StatusServiceUnavailable && strings.Contains(a.body, `"cannot_record"`) {
			refused++
		} else {
			other++
			t.Logf("%s: %d %v %s", method, a.status, err, tail(a.body, 100))
		}
	}
	reached := len(g.Backend.Requests())
	stranger := g.Browser(t).Get(g.URL("ehr.test", "/"))
	e.figure("%d of 100 requests 503 cannot_record, %d reached the backend, a new sign-in %d", refused, reached, stranger.Status)
	e.figure("unready, counted and logged %v after the first refusal, %v after the disk was full", round(alarm), round(time.Since(filled)))
	e.must(refused+reached == 100, "%d answers without a record", other)
	e.must(stranger.Status >= 500, "somebody signed in without a record: %d", stranger.Status)
	e.within(alarm, time.Second, "the alarm came after")

	free(g)
	back := eventually(t, 20*time.Second, "requests to be served again", func() bool { return g.status(t, client, "/chart", cookie) == http.StatusOK })
	eventually(t, 5*time.Second, "the gateway to be ready", func() bool { return g.ready() == http.StatusOK })
	e.figure("served again %v after there was room", round(back))
	g.status(t, client, "/last", cookie)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(g.auditDir())
	if err != nil {
		t.Fatal(err)
	}
	e.must(report.Problem == nil && len(report.Gaps) > 0, "the trail afterwards: %v, gaps %v", report.Problem, report.Gaps)
	recorded := make(map[string]bool)
	for line, err := range audit.Search(g.auditDir(), audit.Query{Event: access.EventAccess}) {
		if err != nil {
			t.Fatal(err)
		}
		recorded[line.Record.RequestID] = true
	}
	missing := 0
	for _, r := range g.Backend.Requests() {
		if !recorded[r.Header.Get("X-Request-Id")] {
			missing++
		}
	}
	e.figure("the trail tells of it: %v", report.Gaps)
	e.must(missing == 0, "%d requests at the backend are not in the trail", missing)
	e.unkept("no 16 MiB are set aside for emergency access: there is no emergency access yet that would write to them")
}

// limitFiles lets no file of the process grow beyond size.
func limitFiles(t *testing.T, g *process, size string) {
	t.Helper()
	out, err := exec.Command("prlimit", "--pid", fmt.Sprint(g.cmd.Process.Pid), "--fsize="+size+":").CombinedOutput()
	if err != nil {
		t.Fatalf("limit the size of files: %v: %s", err, out)
	}
}
