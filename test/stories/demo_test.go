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
	device, plan, ehr := place("device"), place("plan"), place("ehr")

	b := h.browser(nil)
	p, hand, story := b.tab(), b.tab(), b.tab()
	story.open(place("story"))
	story.until("nothing has happened yet", `!document.querySelector("#none").hidden && document.querySelector("#live").innerText == "Live."`)
	p.open(place("start"))
	p.picture("start")
	p.fits("the start page")
	p.follow("#pharmacy")
	p.atLogin()
	p.picture("sign-in")
	p.follow("#person-nora") // a tap on her name
	p.at(h.rx + "/")
	// The story of her first page, as it happened, without a reload.
	story.until("the worklist's story is whole", `document.querySelector("#application")?.innerText == "Pharmacy" &&
		document.querySelector("#verdict").innerText == "allow" && document.querySelector("#reason").innerText == "all_met" &&
		document.querySelectorAll("#steps .passed").length == 6 && document.querySelectorAll("#steps .skipped").length == 3 &&
		document.querySelector("#assertion").innerText.includes('"username": "nora"') &&
		document.querySelector("#identity").innerText.includes("Nora Lind") &&
		document.querySelector("#cookies").innerText.includes("The gateway's cookie is not among them") &&
		document.querySelectorAll("#records pre").length == 2 && document.querySelectorAll("#spans li").length == 2`)
	story.picture("story")
	story.fits("the story")
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
	story.until("the refusal is told", `document.querySelector("#reason")?.innerText == "device_fresh_os" &&
		document.querySelector("#steps .stopped b").innerText == "no" && document.querySelectorAll("#steps .unasked").length == 4 &&
		document.querySelector("#unseen") != null && document.querySelectorAll("#spans li").length == 1`)
	story.picture("story-refused")
	story.fits("the story of a refusal")
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

	// The record sends browsers to its own address; the gateway to theirs. What
	// it remembers of the last patient is nora's alone.
	p.open(ehr + "/patients/77")
	p.at(ehr + "/patients/77/chart")
	p.open(ehr + "/patients/77/notes")
	p.fill("#note", note)
	p.follow("#sign")
	p.at(ehr + "/patients/77/notes")
	p.until("the note is signed once", `document.querySelector("#signed")?.innerText == "1"`)
	p.picture("record")
	p.open(ehr + "/")
	p.until("the record knows the last patient", `document.querySelector("#last")?.innerText == "77"`)
	p.signOut()
	p.open(ehr + "/")
	p.atLogin()
	p.follow("#person-piet")
	p.at(ehr + "/")
	p.until("the record knows no patient of nora's", `document.querySelector("#last")?.innerText == "nobody"`)
	p.signOut()
	p.open(plan + "/appointments/3")
	p.atLogin()
	p.follow("#person-tess")
	p.at(plan + "/appointments/3")
	p.picture("scheduling")
	p.follow("#go-billing")
	p.asked("weak_login")
	story.until("the step-up is told", `document.querySelector("#reason")?.innerText == "weak_login" && document.querySelectorAll("#spans li").length == 1`)
	story.picture("story-step-up")
	p.follow("#anteroom-continue")
	p.signIn("tess")
	p.until("the appointment is changed once", `document.querySelectorAll("ol li").length == 1`)
	p.follow("#later") // by the application's script
	p.until("the appointment is half an hour later", `document.querySelector("#time")?.innerText == "11:00"`)
	story.until("what the script sent is told", `[...document.querySelectorAll("#rows .what")].some((e) => e.innerText.includes("POST plan/appointments/3"))`)
}
