package stories_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A php is the built-in web server of a real PHP, with an old application.
type php struct {
	address string
	dir     string // where the application keeps what was posted
}

func startPHP(h *hospital) php {
	h.Helper()
	a := php{address: "127.0.0.1:" + freePort(h), dir: h.TempDir()}
	said := &output{}
	cmd := exec.Command("php", "-d", "session.save_path="+a.dir, "-S", a.address, "-t", filepath.Join("testdata", "oldapp"))
	cmd.Env = append(os.Environ(), "STORY_DIR="+a.dir)
	cmd.Stdout, cmd.Stderr = said, said
	start(h, cmd, said, func() error { return cmd.Process.Signal(syscall.SIGINT) })
	eventually(h, "PHP listens", func() bool { return dialable(a.address) })
	return a
}

// A posting is what the application was given by PHP.
type posting struct {
	Who, Query, Type string
	Body             []byte // as it came
	Post             struct {
		Note struct{ Text string }
		Go   string
	}
}

func (a php) posts(h *hospital) []posting {
	h.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "posts"))
	if err != nil && !os.IsNotExist(err) {
		h.Fatal(err)
	}
	var all []posting
	for line := range bytes.Lines(text) {
		var p posting
		if err := json.Unmarshal(line, &p); err != nil {
			h.Fatalf("read %s: %v", line, err)
		}
		all = append(all, p)
	}
	return all
}

// A real old application in PHP, which believes any header that its server
// hands it, is told who signed in and nothing else, keeps its own session, and
// gets its form once through a step-up, though its pages ask for no referrer.
func TestOldApplicationInPHP(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		app := startPHP(h)
		h.reconfigure(change{h.pharmacy.URL, "http://" + app.address, "path: /prescriptions/**}", "path: /order.php}"})
		p := h.browser(compliant()).tab()
		at := h.rx + "/order.php?id=7&from=list"
		p.enter("nora", at)
		if who, roles := p.text("#who"), p.text("#roles"); who != "nora" || roles != "nurse" {
			h.Errorf("PHP was told %q with the roles %q", who, roles)
		}

		// To PHP, a hyphen and an underscore are one.
		a := p.fetch("/order.php", `{headers: {"X_Remote_User": "admin", "x-remote_roles": "admin", "X-REMOTE-USER": "admin", "Proxy": "http://evil.example"}}`)
		if a.Status != 200 || strings.Contains(a.Body, "admin") || strings.Contains(a.Body, "HTTP_PROXY") || !strings.Contains(a.Body, `<p id="who">nora</p>`) {
			h.Errorf("PHP believed the browser: %d %s", a.Status, a.Body)
		}
		for _, secret := range []string{"__Host-anteroom", "HTTP_X_MDM"} {
			if strings.Contains(a.Body, secret) {
				h.Errorf("PHP was given %s:\n%s", secret, a.Body)
			}
		}

		p.open(at)
		visits := p.text("#visits")
		if visits != "3" {
			h.Errorf("PHP counts %s visits in its session, want 3", visits)
		}
		p.fill("#note", note)
		p.follow("#save")
		p.asked("weak_login")
		if all := app.posts(h); len(all) != 0 {
			h.Fatalf("before the step-up, PHP was posted %+v", all)
		}
		p.follow("#anteroom-continue")
		p.signIn("nora")
		p.at(at)
		p.see("#saved")
		all := app.posts(h)
		if len(all) != 1 {
			h.Fatalf("PHP was posted %d times: %+v", len(all), all)
		}
		got, typed := all[0], strings.ReplaceAll(note, "\n", "\r\n")
		if got.Who != "nora" || got.Query != "id=7&from=list" || got.Post.Note.Text != typed || got.Post.Go != "Save" {
			h.Errorf("PHP was posted %+v", got)
		}
		if f, err := url.ParseQuery(string(got.Body)); err != nil || f.Get("note[text]") != typed || len(f) != 3 {
			h.Errorf("PHP's input was %s, %v", got.Body, err)
		}
		if visits := p.text("#visits"); visits != "4" {
			h.Errorf("after the step-up PHP counts %s visits in its session, want 4", visits)
		}
	})
}
