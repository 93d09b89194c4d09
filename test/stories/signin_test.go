package stories_test

import (
	"slices"
	"strings"
	"testing"
)

// A link in a push message opens the page it names, through sign-in, posture
// and step-up like any request, and takes nothing along but its address.
func TestDeepLinkOpenedCold(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		p := h.browser(compliant()).tab()
		link := h.rx + "/orders/7?from=push&view=a%20b%2Fc"
		p.open(link)
		p.atLogin()
		if raw := h.pharmacy.Raw(); raw != "" {
			h.Errorf("before anybody signed in, the backend got\n%s", raw)
		}
		p.signIn("nora")
		p.at(link)
		p.see("#amend")
		if got, want := targets(h.pharmacy), []string{"GET /orders/7?from=push&view=a%20b%2Fc"}; !slices.Equal(got, want) {
			h.Errorf("the backend got %q, want %q", got, want)
		}
		if r, _ := h.pharmacy.Last(); r.Header.Get("X-Remote-User") != "nora" || r.Header.Get("X-Remote-Roles") != "nurse" {
			h.Errorf("the backend was told %v", r.Header)
		}
		if n := p.prompts(); n != 1 {
			h.Errorf("the provider showed %d pages, want one", n)
		}

		// Going on asks nothing more.
		p.open(h.rx + "/orders")
		p.follow("#order-8")
		p.see("#amend")
		if n := p.prompts(); n != 1 {
			h.Errorf("reading on, the provider showed %d pages in all, want one", n)
		}
	})
}

func TestDeepLinkMeetsStepUpAndPosture(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		link := h.rx + "/export/orders.csv?since=2026-01-01"
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders")
		h.pharmacy.Forget()

		// Signed in by password; the link's rule wants more.
		p.open(link)
		p.atLogin()
		if raw := h.pharmacy.Raw(); strings.Contains(raw, "/export") {
			h.Errorf("before the step-up, the backend got\n%s", raw)
		}
		p.signIn("nora")
		p.at(link)
		if got := p.text("#rows"); got != "7, 8" {
			h.Errorf("after the step-up the page says %q", got)
		}
		if s := p.session(); s.ACR != "urn:hospital:mfa" {
			h.Errorf("after the step-up acr is %q", s.ACR)
		}

		// Opened cold, on a device that the rule's route does not take.
		h.pharmacy.Forget()
		q := h.browser(compliant("X-Mdm-Os-Version", "18.5")).tab()
		q.open(link)
		q.signIn("nora")
		q.asked("device_fresh_os")
		if raw := h.pharmacy.Raw(); raw != "" {
			h.Errorf("from an outdated device the backend got\n%s", raw)
		}

		// Opened cold on a good one: signed in and stepped up, then there.
		r := h.browser(compliant()).tab()
		r.open(link)
		r.signIn("nora")
		r.at(link)
		if got := targets(h.pharmacy); !slices.Equal(got, []string{"GET /export/orders.csv?since=2026-01-01"}) {
			h.Errorf("the backend got %q", got)
		}
	})
}

// Two tabs at the provider at once both end where they were going, whichever
// is finished first, as one session.
func TestTwoTabsSignInAtOnce(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		b := h.browser(compliant())
		first, second := b.tab(), b.tab()
		first.open(h.rx + "/orders/7?tab=1")
		first.atLogin()
		second.open(h.rx + "/orders/8?tab=2")
		second.atLogin()

		second.signIn("nora")
		second.at(h.rx + "/orders/8?tab=2")
		first.signIn("nora")
		first.at(h.rx + "/orders/7?tab=1")
		for _, p := range []*tab{first, second} {
			p.see("#amend")
			p.open(h.rx + "/orders") // each goes on working
			p.see("#order-7")
			if s := p.session(); s.Username != "nora" {
				h.Errorf("signed in as %q", s.Username)
			}
		}
		for _, r := range h.pharmacy.Requests() {
			if r.Header.Get("X-Remote-User") != "nora" {
				h.Errorf("%s %s reached the backend as %q", r.Method, r.Target, r.Header.Get("X-Remote-User"))
			}
		}
	})
}

// From one application to the next there is no prompt, and no cookie of the
// one reaches the other.
func TestSecondHostAsksNothing(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders")
		n := p.prompts()
		p.open(h.img + "/")
		p.at(h.img + "/")
		p.until("both frames are there", `frames.length == 2 && frames[1].document.querySelector("#number") && frames[0].document.querySelector("#study")`)
		eval[bool](p, `frames[0].document.querySelector("#study").click() || true`)
		p.until("the second study is there", `frames[1].document.querySelector("#number")?.innerText == "2"`)
		if p.prompts() != n {
			h.Errorf("the second host showed the provider:\n%s", p.now())
		}
		rx, _ := h.pharmacy.Last()
		for _, r := range h.imaging.Requests() {
			if r.Header.Get("X-Remote-User") != "nora" {
				h.Errorf("%s reached imaging as %q", r.Target, r.Header.Get("X-Remote-User"))
			}
			if c := r.Header.Get("Cookie"); strings.Contains(c, "anteroom") || c != "" && c == rx.Header.Get("Cookie") {
				h.Errorf("%s reached imaging with the cookie %q", r.Target, c)
			}
		}
	})
}
