package stories_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/anteroom/anteroom/anteroomtest"
)

// note is what somebody typed: 2,000 characters of all that an old form can
// carry, and that a careless copy would change.
var note = func() string {
	const piece = "Täglich 2 × 5 mg; 100 % + \"nicht\" <b>&amp; 'é'</b>\n\tanteroom_release=x&note=y #€ "
	return string([]rune(strings.Repeat(piece, 40))[:2000])
}()

// latin returns text as a Latin-1 form sends it: one byte a character, and the
// lines ended as forms end them.
func latin(text string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(text, "\n", "\r\n") {
		if r == '€' {
			r = 0x80 // Latin-1 is windows-1252 to a browser (WHATWG Encoding, section 4.2)
		}
		b.WriteByte(byte(r))
	}
	return b.String()
}

// direct returns the request that the browser makes of the same form where no
// rule stops it.
func direct(p *tab, at string) anteroomtest.Recorded {
	p.h.Helper()
	before := len(sent(p.h.pharmacy))
	p.open(at)
	p.fill("#note", note)
	p.follow("#save")
	p.see("#saved")
	all := sent(p.h.pharmacy)
	if len(all) != before+1 {
		p.h.Fatalf("a form without a rule was sent %d times", len(all)-before)
	}
	p.h.pharmacy.Forget()
	return all[before]
}

// arrivedOnce fails unless exactly one request but GET reached the pharmacy,
// for target, with the body of want byte for byte.
func arrivedOnce(h *hospital, target, username string, want anteroomtest.Recorded) {
	h.Helper()
	all := sent(h.pharmacy)
	if len(all) != 1 {
		h.Fatalf("%d requests but GET reached the backend, want one: %q", len(all), targets(h.pharmacy))
	}
	got := all[0]
	if got.Method != "POST" || got.Target != target || got.Header.Get("X-Remote-User") != username {
		h.Errorf("%s %s of %q arrived, want POST %s of %q", got.Method, got.Target, got.Header.Get("X-Remote-User"), target, username)
	}
	if !bytes.Equal(got.Body, want.Body) || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
		h.Errorf("the form arrived changed:\n%s %s\nwant\n%s %s", got.Header.Get("Content-Type"), got.Body, want.Header.Get("Content-Type"), want.Body)
	}
	if origin := got.Header.Get("Origin"); origin != h.rx {
		h.Errorf("the form arrived with Origin %q", origin)
	}
}

// nothingSent fails when anything but GET has reached a backend.
func nothingSent(h *hospital, when string) {
	h.Helper()
	for _, b := range []*anteroomtest.Backend{h.pharmacy, h.imaging} {
		if all := sent(b); len(all) != 0 || strings.Contains(b.Raw(), "VIEWSTATE") {
			h.Errorf("%s, the backend got %q:\n%s", when, targets(b), b.Raw())
		}
	}
}

// A nurse reads orders without a further prompt, however old her sign-in; to
// amend one she signs in afresh, and what she typed arrives once, unchanged.
func TestAmendWithAnOldSignIn(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		if n := utf8.RuneCountInString(note); n != 2000 {
			h.Fatalf("the note has %d characters", n)
		}
		b := h.browser(compliant())
		p := b.tab()
		p.enter("nora", h.rx+"/orders")
		signedIn := p.session().AuthTime
		plain := direct(p, h.rx+"/notes/7")
		if f, err := fields(plain.Header.Get("Content-Type"), plain.Body); err != nil || f.Get("note") != latin(note) {
			h.Fatalf("the form itself sends %q, %v", f, err)
		}

		eventually(h, "the sign-in is too old for the rule", func() bool { return time.Since(signedIn) > 8*time.Second })
		p.open(h.rx + "/orders")
		p.follow("#order-7")
		p.at(h.rx + "/orders/7")
		if n := p.prompts(); n != 1 {
			h.Errorf("reading, the provider showed %d pages, want one", n)
		}

		p.fill("#note", note)
		p.follow("#save")
		p.asked("old_login")
		p.picture("step-up")
		p.says("amend an order", "What you entered is kept", "Service desk, extension 4000")
		nothingSent(h, "before the step-up")
		p.follow("#anteroom-continue")
		p.atLogin()
		nothingSent(h, "at the provider")
		p.signIn("nora")
		p.see("#saved")

		if at := eval[string](p, `location.href`); at != h.rx+"/orders/7" {
			h.Errorf("the answer is shown at %s", at)
		}
		arrivedOnce(h, "/orders/7", "nora", plain)
		if s := p.session(); !s.AuthTime.After(signedIn) {
			h.Errorf("after the step-up auth_time is %s, before it was %s", s.AuthTime, signedIn)
		}

		// Whatever is pressed now, it is not sent a second time.
		if err := chromedp.Do(p.ctx, chromedp.Reload()); err != nil {
			h.Fatalf("reload: %v", err)
		}
		p.asked("once_used")
		p.picture("already-sent")
		arrivedOnce(h, "/orders/7", "nora", plain)
		p.follow("#anteroom-continue")
		p.at(h.rx + "/")
		back(p)
		arrivedOnce(h, "/orders/7", "nora", plain)

		// Elsewhere there is no prompt.
		n := p.prompts()
		p.open(h.rx + "/orders")
		p.see("#order-7")
		p.open(h.img + "/")
		p.until("both frames are there", `frames.length == 2`)
		if p.prompts() != n {
			h.Errorf("other places asked for a sign-in:\n%s", p.now())
		}
	})
}

// back presses the browser's button until there is nothing to go back to.
func back(p *tab) {
	p.h.Helper()
	history, err := chromedp.Run(p.ctx, chromedp.NavigationEntries())
	if err != nil {
		p.h.Fatal(err)
	}
	for i := int(history.CurrentIndex) - 1; i > 0; i-- {
		e := history.Entries[i]
		if _, err := chromedp.Call(p.ctx, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: e.ID}); err != nil {
			p.h.Fatalf("go back to %s: %v", e.URL, err)
		}
		p.until("the page before is there", `document.readyState == "complete"`)
	}
}

// Without script the held request waits for a button.
func TestReleaseWithoutScript(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders")
		plain := direct(p, h.rx+"/notes/7?from=list&x=%2F")
		p.open(h.rx + "/prescriptions/7?from=list&x=%2F")
		p.fill("#note", note)
		p.follow("#save")
		p.asked("weak_login")
		p.picture("step-up-weak")
		p.follow("#anteroom-continue")
		p.atLogin()
		p.withoutScript(true)
		p.signIn("nora")
		p.see("#anteroom-release")
		p.picture("release")
		nothingSent(h, "before the button")
		p.follow("#anteroom-release button")
		p.withoutScript(false)
		p.at(h.rx + "/prescriptions/7?from=list&x=%2F")
		p.see("#saved")
		arrivedOnce(h, "/prescriptions/7?from=list&x=%2F", "nora", plain)
	})
}

// Whoever changes their mind, on the gateway's page or at the provider, has
// sent nothing, and is still signed in as before.
func TestCancelTheStepUp(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders")
		before := p.session()
		ask := func() {
			h.Helper()
			p.open(h.rx + "/prescriptions/7")
			p.fill("#note", note)
			p.follow("#save")
			p.asked("weak_login")
		}
		ask()
		p.follow("a.quiet") // Cancel
		p.at(h.rx + "/")
		nothingSent(h, "cancelled on the gateway's page")

		ask()
		p.follow("#anteroom-continue")
		p.atLogin()
		p.follow("#cancel")
		p.asked("access_denied")
		p.picture("cancelled")
		p.says("Nothing was sent. What you entered wasn't kept.")
		nothingSent(h, "cancelled at the provider")
		p.follow("#anteroom-continue")
		p.at(h.rx + "/")
		if after := p.session(); after != before {
			h.Errorf("cancelling changed the session from %+v to %+v", before, after)
		}
		// A step-up for something else does not bring it back.
		p.open(h.rx + "/export/orders.csv")
		p.signIn("nora")
		p.see("#rows")
		nothingSent(h, "after another step-up")
	})
}

// Another person at the step-up gets no part of the first one's session: that
// ends, its request is dropped, and the new person begins at the front page.
func TestAnotherPersonAtTheStepUp(t *testing.T) {
	atEach(t, change{"within: 6s", "within: 1s"}, func(h *hospital) {
		b := h.browser(compliant())
		p, other := b.tab(), b.tab()
		p.enter("nora", h.rx+"/orders")
		signedIn := p.session().AuthTime
		other.open(h.img + "/study.html")
		other.see("#number")

		p.open(h.rx + "/orders/7")
		p.fill("#note", note)
		noras := cookies(h)
		eventually(h, "the sign-in is too old for the rule", func() bool { return time.Since(signedIn) > 3*time.Second })
		p.follow("#save")
		p.asked("old_login")
		p.follow("#anteroom-continue")
		h.pharmacy.Forget()
		h.imaging.Forget()
		p.signIn("piet")
		p.at(h.rx + "/")
		p.see("#orders")
		if s := p.session(); s.Username != "piet" {
			h.Errorf("signed in as %q", s.Username)
		}
		// The other tab belongs to the new person too.
		other.open(h.img + "/study.html?n=3")
		other.see("#number")
		if s := other.session(); s.Username != "piet" {
			h.Errorf("on the other host signed in as %q", s.Username)
		}
		nothingSent(h, "another person stepped up")
		onlyOf(h, "piet", noras)
	})
}

// cookies returns the values of the applications' cookies that browsers have sent.
func cookies(h *hospital) []string {
	var all []string
	for _, b := range []*anteroomtest.Backend{h.pharmacy, h.imaging} {
		for _, r := range b.Requests() {
			if c := r.Header.Get("Cookie"); c != "" {
				all = append(all, c)
			}
		}
	}
	if len(all) == 0 {
		h.Fatal("no application was sent its cookie")
	}
	return all
}

// onlyOf fails unless all that the applications got is of one person, without
// the cookies of the one before.
func onlyOf(h *hospital, username string, before []string) {
	h.Helper()
	for _, b := range []*anteroomtest.Backend{h.pharmacy, h.imaging} {
		for _, r := range b.Requests() {
			if r.Header.Get("X-Remote-User") != username {
				h.Errorf("%s %s reached a backend as %q, want %q", r.Method, r.Target, r.Header.Get("X-Remote-User"), username)
			}
			for _, c := range before {
				if strings.Contains(r.Header.Get("Cookie"), c) {
					h.Errorf("%s %s of %q carries the cookie of the person before: %s", r.Method, r.Target, username, c)
				}
			}
		}
	}
}

// Multipart forms have a boundary of their own each time, so that fields are compared.
func sameFields(h *hospital, got anteroomtest.Recorded) {
	h.Helper()
	f, err := fields(got.Header.Get("Content-Type"), got.Body)
	want := url.Values{"VIEWSTATE": {"dDwtMTA4+/=="}, "note": {latin(note)}, "go": {"Save & close"}}
	if err != nil || f.Encode() != want.Encode() {
		h.Errorf("the form arrived changed (%v):\n%s", err, got.Body)
	}
}
