package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

const formType = "application/x-www-form-urlencoded"

// signedIn returns a browser whose person is signed in on hosts, ehr.test when
// none is named. It uses a tablet of its own.
func (g *process) signedIn(t testing.TB, hosts ...string) *anteroomtest.Browser {
	t.Helper()
	b := g.Browser(t)
	if len(hosts) == 0 {
		hosts = []string{"ehr.test"}
	}
	for _, host := range hosts {
		if host == "img.test" && len(b.Device) == 0 {
			b.Device = anteroomtest.Compliant("ipad-1")
		}
		if p := b.Get(g.URL(host, "/")); p.Status != http.StatusOK || b.Cookie(host, "__Host-anteroom") == "" {
			t.Fatalf("sign in on %s: %d %s at %s", host, p.Status, p.Code(), p.URL)
		}
	}
	return b
}

func cookieOf(b *anteroomtest.Browser, host string) string {
	return "__Host-anteroom=" + b.Cookie(host, "__Host-anteroom")
}

// signOut signs b out as its person does, and returns when the gateway had
// acknowledged that.
func (g *process) signOut(t testing.TB, b *anteroomtest.Browser) {
	t.Helper()
	p := b.Hop(http.MethodPost, g.URL("ehr.test", "/.anteroom/logout"), formType, "", nil)
	if p.Status != http.StatusSeeOther {
		t.Fatalf("sign out: %d", p.Status)
	}
}

// client returns a client that keeps no cookies, follows nothing and keeps up
// to n connections.
func (g *process) client(t testing.TB, http2 bool, n int) *http.Client {
	transport := g.Transport(http2)
	transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = n, n
	if http2 {
		transport.MaxConnsPerHost = 0
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An answer is what a call got.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends what a script of ehr.test sends.
func call(ctx context.Context, c *http.Client, method, address, cookie string, body io.Reader) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return answer{}, err
	}
	origin, _ := url.Parse(address)
	r.Header = http.Header{
		"Accept": {"application/json"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Site": {"same-origin"},
		"Origin": {origin.Scheme + "://" + origin.Host},
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	if body != nil {
		r.Header.Set("Content-Type", formType)
	}
	resp, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// status is what a GET of target by the owner of cookie is answered with.
func (g *process) status(t testing.TB, c *http.Client, target, cookie string) int {
	t.Helper()
	a, err := call(t.Context(), c, http.MethodGet, g.URL("ehr.test", target), cookie, nil)
	if err != nil {
		t.Fatalf("GET %s: %v", target, err)
	}
	return a.status
}

// A tally is what became of the requests of a load.
type tally struct {
	mu     sync.Mutex
	took   []time.Duration
	failed []error
	codes  map[int]int
}

func (y *tally) add(took time.Duration, status int, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if err != nil {
		y.failed = append(y.failed, err)
		return
	}
	if y.codes == nil {
		y.codes = make(map[int]int)
	}
	y.took = append(y.took, took)
	y.codes[status]++
}

func (y *tally) total() int { return len(y.took) + len(y.failed) }

// p99 returns the time that one in a hundred answers exceeded.
func (y *tally) p99() time.Duration { return quantile(y.took, .99) }

// first returns the first failure, for messages.
func (y *tally) first() string {
	if len(y.failed) == 0 {
		return "none"
	}
	return y.failed[0].Error()
}

// atRate calls send rate times a second until ctx ends, whatever has become of
// the calls before, and returns once all have ended. A request is timed from
// when it was due, so that one that could not be sent in time counts as slow.
func atRate(ctx context.Context, rate int, send func(i int) (status int, err error)) *tally {
	y := &tally{}
	var all sync.WaitGroup
	defer all.Wait()
	began := time.Now()
	room := make(chan struct{}, 5000)
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		select {
		case <-ctx.Done():
			return y
		case <-time.After(time.Until(due)):
		}
		select {
		case room <- struct{}{}:
		default:
			y.add(0, 0, errors.New("5,000 requests were under way already"))
			continue
		}
		all.Go(func() {
			defer func() { <-room }()
			status, err := send(i)
			y.add(time.Since(due), status, err)
		})
	}
}

// during runs a load for a while.
func during(t testing.TB, d time.Duration, rate int, send func(i int) (int, error)) *tally {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return atRate(ctx, rate, send)
}

// get returns a sender of GETs of one target for [atRate].
func (g *process) get(t testing.TB, c *http.Client, host, target, cookie string) func(int) (int, error) {
	return func(int) (int, error) {
		a, err := call(t.Context(), c, http.MethodGet, g.URL(host, target), cookie, nil)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", a.status, strings.TrimSpace(tail(a.body, 200)))
		}
		return a.status, err
	}
}

// disturbance measures how much longer one in a hundred requests takes while
// something is wrong elsewhere. Quiet and disturbed spells take turns, a few
// times or until the difference is under limit, and the least counts: a
// neighbour on this machine makes it greater, and nothing makes it less.
func disturbance(t testing.TB, limit time.Duration, rate int, send func(int) (int, error), disturb func() (settle func())) (more, p99 time.Duration, failed int, first string) {
	t.Helper()
	more, first = time.Hour, "none"
	spell := choose(time.Second, 5*time.Second)
	for range 3 {
		quiet := during(t, spell, rate, send)
		settle := disturb()
		under := during(t, spell, rate, send)
		settle()
		for _, y := range []*tally{quiet, under} {
			if len(y.failed) > 0 {
				failed, first = failed+len(y.failed), y.first()
			}
		}
		if d := under.p99() - quiet.p99(); d < more {
			more, p99 = d, under.p99()
		}
		if more < limit {
			break
		}
	}
	return max(more, 0), p99, failed, first
}
