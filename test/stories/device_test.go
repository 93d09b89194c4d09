package stories_test

import (
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// untouched fails when anything at all has reached the applications.
func untouched(h *hospital, when string) {
	h.Helper()
	for _, b := range []*anteroomtest.Backend{h.pharmacy, h.imaging} {
		if raw := b.Raw(); raw != "" {
			h.Errorf("%s, the backend got\n%s", when, raw)
			b.Forget()
		}
	}
}

// A tablet that is outdated, tampered with or unknown is told what is wrong
// and what to do about it; once that is done, trying again is enough.
func TestBlockedDevice(t *testing.T) {
	old := time.Now().Add(-75 * time.Hour).UTC().Format(time.RFC3339)
	atEach(t, nil, func(h *hospital) {
		for _, c := range []struct {
			name   string
			device device
			code   string
			words  []string
			ends   bool // the check is a hard one
		}{
			{"outdated", compliant("X-Mdm-Os-Version", "18.5"), "device_fresh_os",
				[]string{"This iPad is on 18.5. It needs 18.7.3 or newer to open this page.", "Software Update", "Recheck"}, false},
			{"not heard of for days", compliant("X-Mdm-Checked-In-At", old), "device_fresh_checkin",
				[]string{"has not reported in for 3 days", "Choose Sync", "Recheck"}, false},
			{"jailbroken", compliant("X-Mdm-Compromised", "true"), "device_not_jailbroken",
				[]string{"can't be used for patient data", "Take it to IT"}, true},
			{"perhaps jailbroken", compliant("X-Mdm-Compromised", "unknown"), "device_not_jailbroken",
				[]string{"We don't know whether this iPad is safe", "Recheck"}, true},
		} {
			p := h.browser(compliant()).tab()
			p.enter("nora", h.rx+"/orders")
			h.pharmacy.Forget()
			p.hold(c.device)
			p.open(h.rx + "/orders/7?patient=mrn-4711")
			p.asked(c.code)
			p.picture("blocked-" + strings.ReplaceAll(c.name, " ", "-"))
			p.says(append(c.words, "Service desk, extension 4000")...)
			if text := p.text("body"); strings.Contains(text, "mrn-4711") || strings.Contains(text, "X-Mdm") || strings.Contains(text, "compromised") {
				h.Errorf("%s: the page says more than its person needs:\n%s", c.name, text)
			}
			untouched(h, c.name)

			if c.ends { // signed out for good: the device has to be trusted again first
				p.hold(compliant())
				p.open(h.rx + "/orders/7?patient=mrn-4711")
				p.atLogin()
				continue
			}
			p.open(h.rx + "/status") // where scripts have a page to run in
			h.pharmacy.Forget()
			if a := p.fetch("/orders/7", `{method: "POST", body: "note=x"}`); a.Status != 403 || !strings.Contains(a.Body, "device_not_allowed") {
				h.Errorf("%s: a script's POST is answered %d %s", c.name, a.Status, a.Body)
			}
			untouched(h, c.name)
			p.open(h.rx + "/orders/7?patient=mrn-4711")
			p.asked(c.code)
			p.hold(compliant())
			p.follow("#anteroom-continue")
			p.at(h.rx + "/orders/7?patient=mrn-4711")
			p.see("#amend")
		}
	})
}

// A private laptop reaches nothing but what is open to everybody, whoever sits
// at it, and whatever it says of itself.
func TestUnmanagedLaptop(t *testing.T) {
	for _, c := range []struct {
		name   string
		change change
		device device
		code   string
	}{
		{"says nothing", nil, device{}, ""},
		{"is known to be unmanaged", nil, device{"X-Mdm-Device-Id": "laptop-1", "X-Mdm-Platform": "windows", "X-Mdm-Managed": "false", "X-Mdm-Compromised": "false"}, "device_managed"},
		// Here the tunnel is elsewhere, so that this browser speaks for itself.
		{"calls itself a ward tablet", change{"{sender}", "10.20.0.0/28"}, compliant(), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			atEach(t, c.change, func(h *hospital) {
				for _, who := range []struct {
					name string
					at   []string
				}{
					{"piet", []string{h.rx + "/", h.rx + "/orders/7", h.rx + "/export/orders.csv", h.img + "/", h.img + "/study.html"}},
					{"tess", []string{h.rx + "/appointments/3"}},
				} {
					p := h.browser(c.device).tab()
					for i, at := range who.at {
						p.open(at)
						if i == 0 || c.code != "" { // of a device with a name, the page before has ended the session: the check is hard
							p.signIn(who.name)
						}
						code := p.text("#anteroom-code")
						if c.code != "" && code != c.code || !strings.HasPrefix(code, "device_") {
							h.Errorf("%s at %s: the page says %s", who.name, at, code)
						}
						p.picture("blocked-laptop-" + strings.ReplaceAll(c.name, " ", "-"))
					}
					untouched(h, "from an unmanaged laptop")
					p.open(h.rx + "/status") // where scripts have a page to run in
					h.pharmacy.Forget()
					for _, at := range who.at {
						target, ok := strings.CutPrefix(at, h.rx)
						if !ok {
							continue
						}
						for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
							// A hard check has ended the session of a device that has a name.
							if a := p.fetch(target, `{method: "`+method+`"}`); a.Status != 403 && a.Status != 401 {
								h.Errorf("%s: %s %s by script is answered %d %s", who.name, method, at, a.Status, a.Body)
							}
						}
					}
				}
				untouched(h, "from an unmanaged laptop")

				p := h.browser(c.device).tab()
				p.open(h.rx + "/status")
				p.see("#status")
				if strings.Contains(h.pharmacy.Raw(), "Mdm") {
					h.Errorf("what the browser says of its device reached the backend:\n%s", h.pharmacy.Raw())
				}
			})
		})
	}
}

// The best device is no person: without a sign-in it opens nothing.
func TestDeviceAloneIsNoProof(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.open(h.rx + "/status") // open to everybody, so that scripts have a page to run in
		p.see("#status")
		h.pharmacy.Forget()
		for _, target := range []string{"/", "/orders", "/orders/7", "/notes/7", "/prescriptions/7", "/export/orders.csv", "/appointments/3"} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
				a := p.fetch(target, `{method: "`+method+`", redirect: "manual"}`)
				if a.Status != 401 || method != "HEAD" && (a.Type != "application/problem+json" || !strings.Contains(a.Body, "login_required")) {
					h.Errorf("%s %s is answered %d %s %s", method, target, a.Status, a.Type, a.Body)
				}
			}
		}
		for _, at := range []string{h.rx + "/orders", h.rx + "/appointments/3", h.img + "/", h.img + "/study.html"} {
			p.open(at)
			p.atLogin()
		}
		// Nor does a form that is sent from an open page arrive.
		p.open(h.rx + "/status")
		h.pharmacy.Forget()
		eval[bool](p, `(() => { const f = document.createElement("form"); f.method = "post"; f.action = "/orders/7"; document.body.append(f); f.submit(); return true })()`)
		p.atLogin()
		untouched(h, "without a person")
	})
}
