package stories_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// What a newcomer does after `make run`: the demo's own binary, with its
// tunnel, its provider and its applications.
func TestDemoHospital(t *testing.T) {
	t.Parallel()
	said, log := &output{}, &output{}
	cmd := exec.Command(filepath.Join(binaries, "anteroom-demo"), "--dir", t.TempDir(), "--listen", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = said, log
	start(t, cmd, log, func() error { return cmd.Process.Signal(syscall.SIGTERM) })
	eventually(t, "the demo says where to begin", func() bool { return strings.Contains(said.String(), "Ctrl-C") })
	place := func(host string) string {
		at := regexp.MustCompile(`https://` + host + `\.anteroom\.localhost:\d+`).FindString(said.String())
		if at == "" {
			t.Fatalf("the demo does not say where %s is:\n%s", host, said)
		}
		return at
	}
	h := &hospital{TB: t, provider: "the demo's own", rx: place("rx"), img: place("img"), issuer: "http://127.0.0.1:"}
	device := place("device")

	b := h.browser(nil)
	p, hand := b.tab(), b.tab()
	p.open(place("start"))
	p.follow("#pharmacy")
	p.atLogin()
	p.follow("#person-nora") // a tap on her name
	p.at(h.rx + "/")
	if raw := p.text("body"); strings.Contains(raw, "not available") {
		t.Errorf("the worklist says\n%s", raw)
	}

	// A second application asks nothing.
	n := p.prompts()
	p.open(h.img + "/")
	p.until("imaging has its frames", `frames.length >= 2`)
	if p.prompts() != n {
		t.Errorf("imaging asked for a sign-in:\n%s", p.now())
	}

	// An order, with a login that is fresh, and the step-up that is always asked.
	p.open(h.rx + "/orders/7")
	p.fill("#text", note)
	p.follow("#go")
	p.until("the order is amended once", `document.querySelector("#sent")?.innerText == "1"`)

	hand.open(device)
	hand.follow("#device-old-ipad")
	p.open(h.rx + "/orders/7")
	p.asked("device_fresh_os")
	hand.open(device)
	hand.follow("#device-ipad")
	p.follow("#anteroom-continue")
	p.at(h.rx + "/orders/7")
	p.until("the order is amended once", `document.querySelector("#sent")?.innerText == "1"`)

	hand.open(device)
	hand.follow("#device-laptop")
	p.open(h.rx + "/orders/7")
	p.until("the laptop is refused", `document.querySelector("#anteroom-code")?.innerText.startsWith("device_")`)
	hand.open(device)
	hand.follow("#device-ipad")

	p.open(h.rx + "/orders")
	p.signOut()
	p.open(h.rx + "/appointments/3")
	p.atLogin()
	p.follow("#person-tess")
	p.at(h.rx + "/appointments/3")
	p.follow("#go-billing")
	p.asked("weak_login")
	p.follow("#anteroom-continue")
	p.signIn("tess")
	p.until("the appointment is changed once", `document.querySelectorAll("ol li").length == 1`)
}
