package faults_test

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// A tab is one of many that share a browser's cookies. Unlike the fixture's
// browser it tells what went wrong instead of ending the test, so that two
// hundred may act at once.
type tab struct {
	g      *process
	client *http.Client
	widest *widest
}

// widest notes the longest Cookie header that a browser sent to the gateway.
type widest struct {
	mu    sync.Mutex
	bytes int
}

// maxRedirects is where Chromium gives up on a page.
const maxRedirects = 20

// visit navigates as a person does and follows redirects, keeping what parallel
// answers set. It returns the last answer, where that is, and how many redirects
// led there.
func (b *tab) visit(method, address, body string) (answer, *url.URL, int, error) {
	for hops := 0; ; hops++ {
		if hops > maxRedirects {
			return answer{}, nil, hops, fmt.Errorf("a loop of redirects ends at %s", address)
		}
		r, err := http.NewRequest(method, address, strings.NewReader(body))
		if err != nil {
			return answer{}, nil, hops, err
		}
		r.Header = http.Header{
			"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-User": {"?1"}, "Sec-Fetch-Site": {"same-origin"},
		}
		if method == http.MethodPost {
			r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
			r.Header.Set("Content-Type", formType)
		}
		b.note(r.URL)
		resp, err := b.client.Do(r)
		if err != nil {
			return answer{}, nil, hops, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return answer{}, nil, hops, err
		}
		to := resp.Header.Get("Location")
		if resp.StatusCode < 300 || resp.StatusCode > 399 || to == "" {
			return answer{resp.StatusCode, resp.Header, string(text)}, r.URL, hops, nil
		}
		next, err := r.URL.Parse(to)
		if err != nil {
			return answer{}, nil, hops, err
		}
		method, address, body = http.MethodGet, next.String(), ""
	}
}

func (b *tab) note(u *url.URL) {
	n := 0
	for _, c := range b.client.Jar.Cookies(u) {
		n += len(c.Name) + len(c.Value) + len("=; ")
	}
	b.widest.mu.Lock()
	defer b.widest.mu.Unlock()
	b.widest.bytes = max(b.widest.bytes, n)
}

var (
	onwards      = regexp.MustCompile(`<a[^>]*id="anteroom-continue"[^>]*>`)
	hrefValue    = regexp.MustCompile(`href="([^"]*)"`)
	releaseToken = regexp.MustCompile(`<input[^>]*name="anteroom_release"[^>]*>`)
	valueValue   = regexp.MustCompile(`value="([^"]*)"`)
	reasonWord   = regexp.MustCompile(`id="anteroom-code"[^>]*>([^<]*)<`)
)

func inTag(tag *regexp.Regexp, value *regexp.Regexp, page string) string {
	if m := value.FindStringSubmatch(tag.FindString(page)); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

func codeOn(page string) string {
	if m := reasonWord.FindStringSubmatch(page); m != nil {
		return strings.TrimSpace(m[1])
	}
	return ""
}

// TestStepUpBoundary has one browser send two hundred requests at the moment
// when its sign-in has become too old: calls, links and forms at once.
func TestStepUpBoundary(t *testing.T) {
	e := begin(t, "step-up boundary")
	g := start(t, setup{edit: func(s string) string {
		return strings.Replace(s, "      - name: watched\n", `      - name: read a summary
        when: {path: /summary/**}
        require: {within: 2m}
      - name: watched
`, 1)
	}})
	g.Provider.EditIDToken(func(c map[string]any) { c["auth_time"] = c["auth_time"].(int64) - 1200 })
	b := g.signedIn(t)
	g.Provider.EditIDToken(nil)
	jar, ok := b.Jar.(*cookiejar.Jar)
	if !ok {
		t.Fatal("the browser has no jar of net/http's")
	}
	transport := g.Transport(true)
	transport.Protocols.SetHTTP1(true) // the provider's
	t.Cleanup(transport.CloseIdleConnections)
	one := &tab{g: g, widest: &widest{}, client: &http.Client{
		Transport: transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	g.Backend.Forget()
	const each = 67 // of three kinds: two hundred and one
	var (
		all              sync.WaitGroup
		mu               sync.Mutex
		outcomes         = make(map[string]int)
		errs             []error
		longest          int
		starters         = make(chan struct{})
		released, heldUp = 0, 0
	)
	tell := func(kind, what string, hops int, err error) {
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, hops)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind, err))
			return
		}
		outcomes[kind+" "+what]++
	}
	for i := range each {
		all.Go(func() {
			<-starters
			a, err := one.fetch(g.URL("ehr.test", fmt.Sprintf("/summary/call-%d", i)))
			if err == nil && a.status == http.StatusUnauthorized && !strings.Contains(a.body, `"step_up_required"`) {
				err = fmt.Errorf("401 without step_up_required: %s", a.body)
			}
			tell("call", fmt.Sprint(a.status), 0, err)
		})
		all.Go(func() {
			<-starters
			target := fmt.Sprintf("/summary/link-%d", i)
			a, at, hops, err := one.visit(http.MethodGet, g.URL("ehr.test", target), "")
			if err == nil && a.status == http.StatusOK && at.RequestURI() != target {
				err = fmt.Errorf("%s ended at %s: %s", target, at, codeOn(a.body))
			}
			tell("link", fmt.Sprint(a.status, " ", codeOn(a.body)), hops, err)
		})
		all.Go(func() {
			<-starters
			what, hops, err := one.amend(g.URL("ehr.test", fmt.Sprintf("/orders/%d", i)), fmt.Sprintf("order=form-%d", i))
			mu.Lock()
			switch {
			case err == nil && what == "sent":
				released++
			case err == nil && strings.HasPrefix(what, "429"):
				heldUp++
			}
			mu.Unlock()
			tell("form", what, hops, err)
		})
	}
	close(starters)
	all.Wait()
	sent, twice := make(map[string]int), 0
	for _, r := range g.Backend.Requests() {
		if r.Method == http.MethodPost {
			if sent[string(r.Body)]++; sent[string(r.Body)] == 2 {
				twice++
			}
			if !strings.HasPrefix(string(r.Body), "order=form-") {
				t.Errorf("the backend got %q", r.Body)
			}
		}
	}
	e.figure("%d requests: %v", 3*each, outcomes)
	e.figure("at most %d redirects for one, %d sign-outs, %d of %d forms sent twice", longest, signOuts(t, g, one), twice, len(sent))
	strangers := 0 // decisions that took the signed-in person for nobody
	for line, err := range audit.Search(g.auditDir(), audit.Query{Event: access.EventAccess}) {
		if err != nil {
			t.Fatal(err)
		}
		if line.Record.Reason == access.NoSession {
			strangers++
		}
	}
	strangers-- // the first request of all
	e.figure("%d requests taken for a stranger's", strangers)
	e.must(strangers == 0, "%d requests of a signed-in browser were taken for a stranger's", strangers)
	e.figure("longest Cookie header %d bytes of 32 KiB", one.widest.bytes)
	for _, err := range errs {
		t.Error(err)
	}
	e.must(len(errs) == 0, "%d requests went wrong", len(errs))
	e.must(twice == 0 && len(sent) == released, "%d forms reached the backend, %d were told so, %d twice", len(sent), released, twice)
	e.must(outcomes["form dropped"] == 0, "%d held forms dropped without a word", outcomes["form dropped"])
	e.must(outcomes["form 409 not_sent"] == 0, "%d held forms lost though their session was alive", outcomes["form 409 not_sent"])
	e.must(one.widest.bytes < 16<<10, "a Cookie header of %d bytes", one.widest.bytes)
	e.must(outcomes["link 200 "] == each, "%d of %d links led to their pages", outcomes["link 200 "], each)
	if long() { // by when every id that was replaced has ended
		time.Sleep(61 * time.Second)
		e.must(signOuts(t, g, one) == 0, "the browser is signed out a minute later")
	}
	// And the browser is well: what was refused goes through now.
	if a, err := one.fetch(g.URL("ehr.test", "/summary/after")); err != nil || a.status != http.StatusOK {
		t.Errorf("a call afterwards: %d %v", a.status, err)
	}
	what, _, err := one.amend(g.URL("ehr.test", "/orders/after"), "order=form-after")
	e.must(err == nil && what == "sent", "a form afterwards: %s %v", what, err)
	if heldUp > 0 {
		e.figure("%d forms told to wait: five at once are held", heldUp)
	}
}

// signOuts returns 1 when the tab's person is signed in no more.
func signOuts(t *testing.T, g *process, b *tab) int {
	t.Helper()
	a, err := b.fetch(g.URL("ehr.test", "/.anteroom/session"))
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK {
		t.Errorf("the person is signed out: %d", a.status)
		return 1
	}
	return 0
}

// fetch sends what a script does.
func (b *tab) fetch(address string) (answer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return answer{}, err
	}
	b.note(u)
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	r.Header = http.Header{"Accept": {"application/json"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"}}
	resp, err := b.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		err = fmt.Errorf("a call was redirected to %s", resp.Header.Get("Location"))
	}
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// amend sends a form, and on its page goes on as a person does: proves who they
// are, and lets the page send what was held. It returns what became of it.
func (b *tab) amend(address, body string) (what string, hops int, err error) {
	a, at, hops, err := b.visit(http.MethodPost, address, body)
	for step := 0; err == nil; step++ {
		if step > 6 {
			return "", hops, fmt.Errorf("%s: pages without end, the last %d %s", address, a.status, codeOn(a.body))
		}
		token, link := inTag(releaseToken, valueValue, a.body), inTag(onwards, hrefValue, a.body)
		var more int
		switch {
		case a.status == http.StatusOK && a.body == "backend\n" && at.String() == address:
			return "sent", hops, nil
		case a.status == http.StatusOK && a.body == "backend\n":
			return "dropped", hops, nil // the person is led to a page of the application instead
		case token != "":
			a, at, more, err = b.visit(http.MethodPost, address, url.Values{"anteroom_release": {token}}.Encode())
		case a.status == http.StatusOK && link != "":
			next, perr := at.Parse(link)
			if perr != nil {
				return "", hops, perr
			}
			a, at, more, err = b.visit(http.MethodGet, next.String(), "")
		default:
			return fmt.Sprint(a.status, " ", codeOn(a.body)), hops, nil
		}
		hops = max(hops, more)
	}
	return "", hops, err
}
