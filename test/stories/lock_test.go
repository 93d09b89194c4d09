package stories_test

import (
	"testing"
)

// A tablet left alone locks: nothing of it reaches an application until the
// same person has unlocked it, and then they go on where they were.
func TestLockAndUnlock(t *testing.T) {
	atEach(t, change{"lock_after: 5m", "lock_after: 6s"}, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders")
		locked(p)
		h.pharmacy.Forget()
		n := p.prompts()

		p.open(h.rx + "/orders/8?x=1")
		p.asked("session_locked")
		p.picture("locked")
		p.says("Nora Lind", "Unlock", "I'm someone else")
		if p.prompts() != n {
			h.Error("the provider was shown before the lock page")
		}
		untouched(h, "locked")
		p.follow("#anteroom-continue")
		p.atLogin() // though the provider's own session is alive
		untouched(h, "at the provider")
		p.signIn("nora")
		p.at(h.rx + "/orders/8?x=1")
		p.see("#amend")

		// By another it is not unlocked: nora's session ends.
		locked(p)
		noras := cookies(h)
		h.pharmacy.Forget()
		p.open(h.rx + "/orders/8?x=1")
		p.asked("session_locked")
		p.follow("#anteroom-continue")
		p.signIn("piet")
		p.at(h.rx + "/")
		if s := p.session(); s.Username != "piet" {
			h.Errorf("signed in as %q", s.Username)
		}
		onlyOf(h, "piet", noras)
	})
}

// A form that meets the lock is kept, whatever it is, and sent once by the
// person who filled it in; to anybody else it is lost.
func TestFormMeetsTheLock(t *testing.T) {
	atEach(t, change{"lock_after: 5m", "lock_after: 6s"}, func(h *hospital) {
		p := h.browser(compliant()).tab()
		meet := func() (before []string) {
			h.Helper()
			p.open(h.rx + "/notes/7?upload=1")
			p.fill("#note", note)
			locked(p)
			before = cookies(h)
			h.pharmacy.Forget()
			p.follow("#save")
			p.asked("session_locked")
			untouched(h, "locked")
			return before
		}
		p.enter("nora", h.rx+"/orders")
		meet()
		p.picture("locked-held")
		p.says("What you entered is kept")
		p.follow("#anteroom-continue")
		p.signIn("nora")
		p.at(h.rx + "/notes/7?upload=1")
		p.see("#saved")
		all := sent(h.pharmacy)
		if len(all) != 1 || all[0].Header.Get("X-Remote-User") != "nora" {
			h.Fatalf("%d requests but GET reached the backend: %q", len(all), targets(h.pharmacy))
		}
		sameFields(h, all[0])

		noras := meet()
		p.follow("#anteroom-continue")
		p.signIn("piet")
		p.at(h.rx + "/")
		p.see("#orders")
		nothingSent(h, "another person came to the lock")
		onlyOf(h, "piet", noras)
	})
}

// What stands in a frame cannot lead its person to the provider there, so that
// it leads out of the frame.
func TestLockInsideAFrame(t *testing.T) {
	atEach(t, change{"lock_after: 5m", "lock_after: 6s"}, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.img+"/")
		p.until("both frames are there", `frames.length == 2 && frames[0].document.querySelector("#study") && frames[1].document.querySelector("#number")`)
		locked(p)
		h.imaging.Forget()
		eval[bool](p, `frames[0].document.querySelector("#study").click() || true`)
		p.until("the frame says that it is locked", `frames[1].document.querySelector("#anteroom-code")?.innerText == "session_locked"`)
		p.picture("frame-notice")
		untouched(h, "locked")
		eval[bool](p, `frames[1].document.querySelector("#anteroom-continue").click() || true`)
		p.asked("session_locked") // out of the frame, the whole window asks
		p.follow("#anteroom-continue")
		p.signIn("nora")
		p.see("#number")
	})
}

// locked waits until the session of the tab's host is locked.
func locked(p *tab) {
	p.h.Helper()
	eventually(p.h, "the session is locked", func() bool { return p.session().Locked })
}
