package stories_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/anteroom/anteroom/access"
)

// patience is how long a page may take. It is long, since it only ends stories
// that went wrong.
const patience = 40 * time.Second

// A device is what a tunnel before the gateway says of the one in hand.
type device map[string]string

// compliant returns a managed and current tablet, changed by pairs of header
// and value.
func compliant(changes ...string) device {
	d := device{
		"X-Mdm-Device-Id": "ward4-ipad-01", "X-Mdm-Platform": "ipados", "X-Mdm-Os-Version": "26.3",
		"X-Mdm-Managed": "true", "X-Mdm-Compromised": "false", "X-Mdm-Lost": "false",
		"X-Mdm-Checked-In-At": time.Now().UTC().Format(time.RFC3339),
	}
	for i := 0; i < len(changes); i += 2 {
		d[changes[i]] = changes[i+1]
	}
	return d
}

// A browser has cookies of its own.
type browser struct {
	h      *hospital
	ctx    context.Context
	device device
}

// browser returns a browser on d without cookies or tabs.
func (h *hospital) browser(d device) *browser {
	h.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	h.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		h.Fatalf("open a browser: %v", err)
	}
	return &browser{h: h, ctx: ctx, device: d}
}

// A tab is one window of a browser.
type tab struct {
	*browser
	ctx context.Context

	mu   sync.Mutex
	seen []string // the documents that its top frame has shown
}

// tab opens a window in b.
func (b *browser) tab() *tab {
	b.h.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.h.Cleanup(cancel)
	p := &tab{browser: b, ctx: ctx}
	if err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*page.EventFrameNavigated); ok && e.Frame.ParentID == "" {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen = append(p.seen, e.Frame.URL)
		}
	}); err != nil {
		b.h.Fatalf("open a tab: %v", err)
	}
	p.hold(b.device)
	return p
}

// hold makes d the device in hand, for this tab.
func (p *tab) hold(d device) {
	p.h.Helper()
	headers := network.Headers{}
	for name, value := range d {
		headers[name] = value
	}
	if _, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: headers}); err != nil {
		p.h.Fatalf("hold a device: %v", err)
	}
}

// tryEval evaluates an expression that may meet a page on its way out.
func tryEval[T any](p *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// eval returns the value of an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.h.Helper()
	v, err := tryEval[T](p, expression)
	if err != nil {
		p.h.Fatalf("evaluate %s: %v\n%s", expression, err, p.now())
	}
	return v
}

// is reports whether a condition holds in the page that is there, or in the next
// when that one is on its way out.
func (p *tab) is(condition string) bool {
	p.h.Helper()
	var ok bool
	eventually(p.h, "the page answers", func() (answered bool) {
		var err error
		ok, err = tryEval[bool](p, "Boolean("+condition+")")
		return err == nil
	})
	return ok
}

// until waits until the condition, in script, holds in the page.
func (p *tab) until(what, condition string) {
	p.h.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		ok, err := tryEval[bool](p, "Boolean("+condition+")")
		if ok && err == nil {
			return
		}
		last = err
	}
	p.h.Fatalf("waited in vain until %s (%v)\n%s", what, last, p.now())
}

// now describes what the tab shows.
func (p *tab) now() string {
	text, err := tryEval[string](p, `location.href + "\n" + document.title + "\n" + (document.body ? document.body.innerText.slice(0, 1500) : "")`)
	if err != nil {
		text = err.Error()
	}
	return "the tab is at " + text + "\nit has shown\n  " + strings.Join(p.shown(), "\n  ")
}

// shown returns the documents that the top frame has shown so far.
func (p *tab) shown() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// prompts counts the provider's pages that the tab has shown.
func (p *tab) prompts() int {
	n := 0
	for _, at := range p.shown() {
		if strings.HasPrefix(at, p.h.issuer) {
			n++
		}
	}
	return n
}

// open goes to an address, as a person who types it.
func (p *tab) open(at string) {
	p.h.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: at, TransitionType: page.TransitionTypeTyped})
	if err != nil || r.ErrorText != "" {
		p.h.Fatalf("open %s: %v %s", at, err, r.ErrorText)
	}
	p.until("the page is there", `document.readyState == "complete"`)
}

// see waits until the page is complete and has an element for the selector.
func (p *tab) see(selector string) {
	p.h.Helper()
	p.until("there is "+selector, fmt.Sprintf(`document.readyState == "complete" && document.querySelector(%s)`, quote(selector)))
}

// at waits until the tab is at an address, with its page complete.
func (p *tab) at(address string) {
	p.h.Helper()
	p.until("the address is "+address, fmt.Sprintf(`document.readyState == "complete" && location.href == %s`, quote(address)))
}

// text returns the text of an element that is there.
func (p *tab) text(selector string) string {
	p.h.Helper()
	p.see(selector)
	return eval[string](p, fmt.Sprintf(`document.querySelector(%s).innerText`, quote(selector)))
}

// fill puts text into a field.
func (p *tab) fill(selector, text string) {
	p.h.Helper()
	p.see(selector)
	eval[string](p, fmt.Sprintf(`document.querySelector(%s).value = %s`, quote(selector), quote(text)))
}

// click presses an element with the mouse.
func (p *tab) click(selector string) {
	p.h.Helper()
	p.see(selector)
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		p.h.Fatalf("click %s: %v\n%s", selector, err, p.now())
	}
}

// follow clicks and waits until another document has come.
func (p *tab) follow(selector string) {
	p.h.Helper()
	p.see(selector)
	eval[bool](p, `window.left = true`)
	p.click(selector)
	p.until("another page has come", `!window.left && document.readyState == "complete"`)
}

// asked waits for a page of the gateway with this reason word.
func (p *tab) asked(code string) {
	p.h.Helper()
	p.until("the gateway says "+code, fmt.Sprintf(`document.readyState == "complete" && document.querySelector("#anteroom-code")?.innerText == %s`, quote(code)))
}

// says fails unless the page's text has all of these words.
func (p *tab) says(words ...string) {
	p.h.Helper()
	text := p.text("body")
	for _, w := range words {
		if !strings.Contains(text, w) {
			p.h.Errorf("the page does not say %q:\n%s", w, text)
		}
	}
}

// atLogin waits for the provider's form.
func (p *tab) atLogin() {
	p.h.Helper()
	p.until("the provider asks", fmt.Sprintf(`document.readyState == "complete" && location.href.startsWith(%s) && document.querySelector("#username, #code")`, quote(p.h.issuer)))
}

// signIn proves at the provider to be somebody, with a code where that is asked.
func (p *tab) signIn(username string) {
	p.h.Helper()
	p.atLogin()
	for range 2 {
		if p.is(`document.querySelector("#username")`) {
			p.fill("#username", username)
			p.fill("#password", "demo")
		}
		if p.is(`document.querySelector("#code")`) {
			p.fill("#code", "123456")
		}
		p.follow("#signin")
		if !p.is(fmt.Sprintf(`location.href.startsWith(%s) && document.querySelector("#code")`, quote(p.h.issuer))) {
			return
		}
	}
}

// enter signs in on the way to an address, and waits until the tab is there.
func (p *tab) enter(username, address string) {
	p.h.Helper()
	p.open(address)
	p.signIn(username)
	p.at(address)
}

// A state is what /.anteroom/session answers.
type state struct {
	Status   int
	Subject  access.Subject
	Username string
	ACR      string    `json:"acr"`
	AuthTime time.Time `json:"auth_time"`
	Locked   bool
	Device   string
}

// session asks a host who is signed in. The tab must be on that host.
func (p *tab) session() state {
	p.h.Helper()
	raw := eval[string](p, `fetch("/.anteroom/session").then(async r => JSON.stringify({...(await r.json()), Status: r.status}))`)
	var s state
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		p.h.Fatalf("read %s: %v", raw, err)
	}
	return s
}

// An answer is what a script got.
type answer struct {
	Status int
	Body   string
	Type   string
	Header map[string]string
}

// fetch has the page's script send a request. Options are those of fetch, in script.
func (p *tab) fetch(target, options string) answer {
	p.h.Helper()
	raw := eval[string](p, fmt.Sprintf(`fetch(%s, %s).then(async r => JSON.stringify({Status: r.status, Type: r.headers.get("content-type") || "", Body: await r.text(), Header: Object.fromEntries(r.headers)}))`, quote(target), options))
	var a answer
	if err := json.Unmarshal([]byte(raw), &a); err != nil {
		p.h.Fatalf("read %s: %v", raw, err)
	}
	return a
}

// signOut signs the person out from the page that they are on, and at the provider.
func (p *tab) signOut() {
	p.h.Helper()
	host := eval[string](p, `location.origin`)
	p.open(host + "/.anteroom/logout")
	p.asked("confirm_sign_out")
	p.picture("sign-out")
	p.follow(`form[action="/.anteroom/logout"] button`)
	if p.is(fmt.Sprintf(`location.href.startsWith(%s)`, quote(p.h.issuer))) {
		p.follow(`button[value="yes"]`)
	}
	p.asked("signed_out")
	p.picture("signed-out")
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a form in JSON
	}
	return string(b)
}

// withoutScript turns the page's own scripts off or on; the story's go on.
func (p *tab) withoutScript(off bool) {
	p.h.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off}); err != nil {
		p.h.Fatal(err)
	}
}
