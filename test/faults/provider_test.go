package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// TestR5ProviderDown starts a gateway before its provider, and takes the
// provider away from under live sessions.
func TestR5ProviderDown(t *testing.T) {
	e := begin(t, "R5")
	g := start(t, setup{edit: func(s string) string {
		return strings.Replace(s, "lock_after: 5m, end_after: 30m", "lock_after: 25m, end_after: 30m", 1) // nobody is active meanwhile
	}})
	living := cookieOf(g.signedIn(t), "ehr.test")
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []struct {
		name  string
		begin func()
	}{{"down", g.Provider.Down}, {"hanging", g.Provider.Hang}} {
		fault.begin()
		g.alone = true
		cold := g.launch()
		client := g.client(t, false, 4)
		e.figure("%s at the start: ready after %v", fault.name, round(cold))
		served := g.status(t, client, "/chart", living)
		e.must(served == http.StatusOK, "a session from before the restart is answered %d with the provider %s", served, fault.name)

		first := signInPage(t, g)
		e.figure("sign-in page at once after the start: %v", round(first))
		e.within(first, 300*time.Millisecond, "at once after a start with the provider "+fault.name+" a sign-in page took")
		var pages []time.Duration
		for range 10 {
			pages = append(pages, signInPage(t, g))
		}
		e.figure("further ones after %v", round(quantile(pages, .9)))
		e.within(quantile(pages, .9), 300*time.Millisecond, "a sign-in page with the provider "+fault.name+" took")

		spell := choose(time.Second, 10*time.Minute)
		y := during(t, spell, choose(200, 50), g.get(t, client, "ehr.test", "/chart", living))
		wrong := len(y.failed)
		e.figure("%d of %d requests of live sessions unharmed", y.total()-wrong, y.total())
		e.must(wrong == 0, "%d requests of a live session failed with the provider %s: %s", wrong, fault.name, y.first())

		g.Provider.Up()
		back := eventually(t, 20*time.Second, "the sign-in to work again", func() bool { return g.Browser(t).Get(g.URL("ehr.test", "/")).Status == http.StatusOK })
		e.figure("signed in %v after it was back", round(back))
		e.within(back, 5*time.Second, "recovery took")
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// signInPage opens a page as a stranger and returns how long it took until the
// browser showed an honest page instead of the provider's.
func signInPage(t *testing.T, g *process) time.Duration {
	t.Helper()
	b := g.Browser(t)
	b.Get(g.URL("ehr.test", "/.anteroom/assets/none")) // the handshakes are not what is measured
	b.Get(g.URL("gate.test", "/.anteroom/assets/none"))
	began := time.Now()
	p := b.Get(g.URL("ehr.test", "/"))
	took := time.Since(began)
	if p.Status != http.StatusServiceUnavailable || p.Link("anteroom-continue") == "" {
		t.Errorf("without a provider: %d %s at %s", p.Status, p.Code(), p.URL)
	}
	return took
}

// TestR6Keys takes the provider's key endpoint away, offers tokens with keys
// that nobody has heard of, and rotates the key in the middle of a sign-in.
func TestR6Keys(t *testing.T) {
	e := begin(t, "R6")
	g := start(t, setup{})
	g.signedIn(t)
	broken := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"answers 503", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }},
		{"is an empty set", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) }},
		{"is no JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) }},
	}
	good := 0
	for _, b := range broken {
		g.Provider.Handle(anteroomtest.KeysPath, b.answer)
		if p := g.Browser(t).Get(g.URL("ehr.test", "/")); p.Status == http.StatusOK {
			good++
		} else {
			t.Errorf("a sign-in while the key set %s: %d %s", b.name, p.Status, p.Code())
		}
	}
	g.Provider.Handle(anteroomtest.KeysPath, nil)
	e.figure("%d of %d sign-ins by cached keys while their endpoint failed", good, len(broken))
	e.must(good == len(broken), "sign-ins need the key endpoint")

	before := g.Provider.Calls(anteroomtest.KeysPath)
	unknown := anteroomtest.NewKey("nobody-knows", "ES256")
	genuine := g.Provider.Key()
	g.Provider.SignWith(unknown)
	client := g.client(t, false, 8)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				resp, err := client.PostForm(g.URL("gate.test", "/.anteroom/backchannel-logout"), url.Values{"logout_token": {g.Provider.LogoutToken("nora-sub", "", nil)}})
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					t.Error("a logout token by an unknown key was taken")
				}
			}
		})
	}
	all.Wait()
	fetched := g.Provider.Calls(anteroomtest.KeysPath) - before
	g.Provider.SignWith(genuine)
	e.figure("80 tokens with an unknown key caused %d fetches", fetched)
	e.must(fetched <= 1, "%d fetches for unknown keys", fetched)

	// The person is at the provider when its key changes.
	b := g.Browser(t)
	address := g.URL("ehr.test", "/")
	for range 10 {
		p := b.Hop(http.MethodGet, address, "", "", nil)
		address = p.Header.Get("Location")
		if strings.HasPrefix(address, g.Provider.URL) {
			g.Provider.Rotate()
			break
		}
	}
	p := b.Get(address)
	e.must(p.Status == http.StatusOK, "a sign-in during which the key was rotated: %d %s", p.Status, p.Code())
	e.figure("a rotation in mid-login ended in %d", p.Status)
	e.figure("that cached keys end after 24 h is held by the authn package, whose clock a test can turn")
}

// TestR7SlowProvider has the provider hang while people want to sign in, and
// measures whether anybody else notices.
func TestR7SlowProvider(t *testing.T) {
	e := begin(t, "R7")
	g := start(t, setup{})
	client := g.client(t, true, 0)
	var all sync.WaitGroup
	atOnce := make(chan struct{})
	for range 200 {
		link := startLink(t, g, client)
		all.Go(func() {
			<-atOnce
			if resp, err := client.Get(link); err == nil {
				resp.Body.Close()
			}
		})
	}
	time.Sleep(1100 * time.Millisecond) // by when the gateway asks anew whether the provider lives
	asked := g.Provider.Calls(anteroomtest.DiscoveryPath)
	began := time.Now()
	close(atOnce)
	all.Wait()
	seconds := int(time.Since(began).Seconds())
	calls := g.Provider.Calls(anteroomtest.DiscoveryPath) - asked
	e.figure("200 sign-ins at once asked for the discovery document %d times", calls)
	e.must(calls >= 1 && calls <= 2+seconds, "%d fetches of the discovery document in %d s", calls, seconds) // what was heard is fresh for one

	cookie := cookieOf(g.signedIn(t), "ehr.test")
	steady := g.client(t, false, 16)
	for _, fault := range []struct {
		name  string
		begin func() (end func())
	}{
		{"hanging", func() func() { g.Provider.Hang(); return g.Provider.Up }},
		{"dripping", func() func() {
			g.Provider.Handle(anteroomtest.DiscoveryPath, func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					fmt.Fprint(w, " ")
					w.(http.Flusher).Flush()
					time.Sleep(50 * time.Millisecond)
				}
			})
			return func() { g.Provider.Handle(anteroomtest.DiscoveryPath, nil) }
		}},
	} {
		more, p99, failed, first := disturbance(t, 5*time.Millisecond, 200, g.get(t, steady, "ehr.test", "/chart", cookie), func() func() {
			end := fault.begin()
			ctx, cancel := context.WithCancel(t.Context())
			var people sync.WaitGroup
			for range 20 {
				link := startLink(t, g, client)
				people.Go(func() {
					for ctx.Err() == nil {
						r, _ := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
						if resp, err := client.Do(r); err == nil {
							resp.Body.Close()
						}
						select {
						case <-ctx.Done():
						case <-time.After(100 * time.Millisecond): // nobody clicks faster
						}
					}
				})
			}
			return func() { cancel(); people.Wait(); end() }
		})
		e.figure("%s: other requests' p99 +%v to %v", fault.name, round(more), round(p99))
		e.must(failed == 0, "%d other requests failed with the provider %s: %s", failed, fault.name, first)
		e.within(more, 5*time.Millisecond, "with the provider "+fault.name+" other requests' p99 rose by")
	}
}

// startLink returns where a stranger is sent to sign in, on the sign-in host.
func startLink(t *testing.T, g *process, c *http.Client) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL("ehr.test", "/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to := resp.Header.Get("Location")
	if !strings.HasPrefix(to, g.Origin("gate.test")) {
		t.Fatalf("a stranger is sent to %q", to)
	}
	return to
}

// TestR8Clock turns the provider's clock.
func TestR8Clock(t *testing.T) {
	e := begin(t, "R8")
	g := start(t, setup{})
	for _, skew := range []time.Duration{60 * time.Second, -60 * time.Second} {
		g.Provider.Skew(skew)
		p := g.Browser(t).Get(g.URL("ehr.test", "/"))
		e.must(p.Status == http.StatusOK, "a provider %v off: %d %s", skew, p.Status, p.Code())
		e.figure("%+v: %d", skew, p.Status)
	}
	for _, skew := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		from := len(g.log.String())
		g.Provider.Skew(skew)
		p := g.Browser(t).Get(g.URL("ehr.test", "/"))
		hint := strings.Contains(g.log.String()[from:], "set the clocks right")
		e.must(p.Status >= 400 && hint, "a provider %v off: %d, the operator told: %v", skew, p.Status, hint)
		e.figure("%+v: %d, the operator told", skew, p.Status)
	}
	g.Provider.Skew(0)
	e.figure("that timeouts follow the monotonic clock is held by the session package, whose clock a test can turn")
}
