package stories_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// On a shared tablet the provider's own session outlives the gateway's. It must
// not bring the person before back: the next one is asked who they are.
func TestEndedSessionOnASharedTablet(t *testing.T) {
	atEach(t, change{"lock_after: 5m, end_after: 30m", "lock_after: 4s, end_after: 6s"}, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders")

		// A browser that merely lost the gateway's cookies comes in without a
		// prompt, which shows that the provider's session is there to be misused.
		n := p.prompts()
		for _, host := range []string{h.rx, h.gate} {
			if _, err := chromedp.Call(p.ctx, network.DeleteCookies, network.DeleteCookiesParams{Name: "__Host-anteroom", URL: host + "/"}); err != nil {
				h.Fatal(err)
			}
		}
		p.open(h.rx + "/orders/8")
		p.at(h.rx + "/orders/8")
		p.see("#amend")
		if p.prompts() != n {
			h.Fatal("the provider keeps no session of its own")
		}
		p.open(h.rx + "/orders")
		p.see("#order-7")

		ended(p)
		noras := cookies(h)
		h.pharmacy.Forget()
		p.open(h.rx + "/orders/7")
		p.atLogin()
		untouched(h, "after the session ended")
		p.signIn("piet")
		p.at(h.rx + "/orders/7")
		p.see("#amend")
		if s := p.session(); s.Username != "piet" {
			h.Errorf("signed in as %q", s.Username)
		}
		onlyOf(h, "piet", noras)
	})
}

// A form that meets the end of its session is kept for its person alone.
func TestFormMeetsTheEnd(t *testing.T) {
	atEach(t, change{"lock_after: 5m, end_after: 30m", "lock_after: 4s, end_after: 6s"}, func(h *hospital) {
		p := h.browser(compliant()).tab()
		meet := func() (before []string) {
			h.Helper()
			p.open(h.rx + "/notes/7?upload=1")
			p.fill("#note", note)
			ended(p)
			before = cookies(h)
			h.pharmacy.Forget()
			p.follow("#save")
			p.asked("session_ended")
			untouched(h, "after the session ended")
			return before
		}
		p.enter("nora", h.rx+"/orders")
		meet()
		p.picture("session-ended")
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
		nothingSent(h, "another person came after the end")
		onlyOf(h, "piet", noras)
	})
}

// Whoever signs out leaves a tablet that knows nothing of them, here, on the
// other hosts and at the provider.
func TestSignOutAndTheNextPerson(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders/7")
		p.open(h.img + "/study.html")
		p.see("#number")
		p.open(h.rx + "/orders/7")
		noras := cookies(h)
		h.pharmacy.Forget()
		h.imaging.Forget()
		p.signOut()
		untouched(h, "signing out")

		// Neither the button nor the address brings her pages back.
		history, err := chromedp.Run(p.ctx, chromedp.NavigationEntries())
		if err != nil {
			h.Fatal(err)
		}
		for _, e := range history.Entries {
			if e.URL != h.rx+"/orders/7" {
				continue
			}
			if _, err := chromedp.Call(p.ctx, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: e.ID}); err != nil {
				h.Fatal(err)
			}
			p.atLogin()
		}
		for _, at := range []string{h.rx + "/orders/7", h.img + "/study.html"} {
			p.open(at)
			p.atLogin()
		}
		untouched(h, "signed out")

		p.signIn("piet")
		p.at(h.img + "/study.html")
		p.open(h.rx + "/orders/7")
		p.see("#amend")
		if s := p.session(); s.Username != "piet" {
			h.Errorf("signed in as %q", s.Username)
		}
		onlyOf(h, "piet", noras)
	})
}

// Signing out at the provider, where somebody leaves for the day, ends what
// they have here (OpenID Connect Back-Channel Logout 1.0).
func TestSignOutAtTheProvider(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		b := h.browser(compliant())
		p, away := b.tab(), b.tab()
		p.enter("nora", h.rx+"/orders")
		h.pharmacy.Forget()

		away.open(endSession(h))
		if away.is(`document.querySelector('button[value="yes"]')`) {
			away.follow(`button[value="yes"]`)
		}
		eventually(h, "the session ended", func() bool { return p.session().Status == http.StatusUnauthorized })
		p.open(h.rx + "/orders")
		p.atLogin()
		untouched(h, "signed out at the provider")
	})
}

// endSession returns where a browser signs out at the provider.
func endSession(h *hospital) string {
	h.Helper()
	resp, err := http.Get(h.issuer + "/.well-known/openid-configuration")
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	var discovered struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&discovered); err != nil || discovered.EndSession == "" {
		h.Fatalf("the provider names no end_session_endpoint: %v", err)
	}
	return discovered.EndSession
}

// ended waits until nobody is signed in on the tab's host.
func ended(p *tab) {
	p.h.Helper()
	eventually(p.h, "the session has ended", func() bool { return p.session().Status == http.StatusUnauthorized })
}
