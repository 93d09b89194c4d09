package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/keys"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/store"
)

// TestR4Kill kills a loaded gateway again and again, half the time within 5 ms
// of a sign-out. Nothing acknowledged may be lost, nothing that ended may come
// back, and nothing may have reached the backend that the trail does not hold.
func TestR4Kill(t *testing.T) {
	e := begin(t, "R4")
	kills, seeded, budget := 50, choose(500, 50_000), choose(30*time.Second, time.Hour)
	var planted []string
	g := start(t, setup{
		before: func(g *process) { planted = plant(t, g, seeded) },
		edit:   patient("lock_after: 5m, end_after: 30m", "lock_after: 11h, end_after: 12h"), // nobody is active meanwhile
	})
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Millisecond) // so that requests are under way, and not only come and gone
		w.Write([]byte("done\n"))
	})
	const workers = 24
	var (
		client = g.client(t, false, workers+8)
		alive  []*anteroomtest.Browser
		ended  []string
		up     atomic.Bool
		flying atomic.Int32
		all    sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(t.Context())
	defer all.Wait()
	defer cancel()
	for i := range workers {
		g.Provider.Person(nurse(i))
		b := g.signedIn(t)
		alive = append(alive, b)
		cookie := cookieOf(b, "ehr.test")
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if !up.Load() {
					time.Sleep(time.Millisecond)
					continue
				}
				flying.Add(1)
				if n%2 == 0 {
					call(ctx, client, http.MethodGet, g.URL("ehr.test", fmt.Sprintf("/patients/%d/chart", i)), cookie, nil)
				} else {
					call(ctx, client, http.MethodPost, g.URL("ehr.test", "/notes/1"), cookie, strings.NewReader("text=n"))
				}
				flying.Add(-1)
			}
		})
	}
	checker := g.client(t, false, 1)
	var worst time.Duration
	var ready, busied []time.Duration
	var most int64
	fewest := int32(workers)
	lost, revived := make(map[string]bool), make(map[string]bool) // by cookie
	began := time.Now()
	for round := range kills {
		if round >= 10 && time.Since(began) > budget { // on a slow machine the short form has fewer
			kills = round
			break
		}
		up.Store(true)
		time.Sleep(20*time.Millisecond + rand.N(60*time.Millisecond))
		g.Provider.Person(nurse(workers + round))
		alive = append(alive, g.signedIn(t))
		if round%2 == 0 {
			leaver := alive[workers+rand.IntN(len(alive)-workers)]
			cookie := cookieOf(leaver, "ehr.test")
			g.signOut(t, leaver)
			time.Sleep(rand.N(5 * time.Millisecond))
			fewest = min(fewest, flying.Load())
			g.kill()
			ended = append(ended, cookie)
			alive = deleteBrowser(alive, leaver)
		} else {
			fewest = min(fewest, flying.Load())
			g.kill()
		}
		up.Store(false)
		took := g.launch()
		ready, worst = append(ready, took), max(worst, took)
		busied, most = append(busied, g.cpu()), max(most, g.memory())
		checker.CloseIdleConnections()
		for _, b := range alive {
			if cookie := cookieOf(b, "ehr.test"); g.status(t, checker, "/chart", cookie) != http.StatusOK {
				lost[cookie] = true
			}
		}
		for _, cookie := range ended {
			if g.status(t, checker, "/chart", cookie) != http.StatusUnauthorized {
				revived[cookie] = true
			}
		}
		for range 10 {
			if cookie := planted[rand.IntN(len(planted))]; g.status(t, checker, "/chart", cookie) != http.StatusOK {
				lost[cookie] = true
			}
		}
	}
	cancel()
	all.Wait()
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(g.auditDir())
	if err != nil {
		t.Fatal(err)
	}
	recorded := make(map[string]bool)
	for line, err := range audit.Search(g.auditDir(), audit.Query{Event: access.EventAccess}) {
		if err != nil {
			t.Fatal(err)
		}
		recorded[line.Record.RequestID] = true
	}
	reached, unrecorded := 0, 0
	for _, r := range g.Backend.Requests() {
		reached++
		if id := r.Header.Get("X-Request-Id"); !recorded[id] {
			unrecorded++
		}
	}
	e.figure("%d kills with at least %d requests in flight", kills, fewest)
	e.figure("ready again after %v, %v at worst, with %d sessions", round(quantile(ready, .5)), round(worst), seeded+len(alive))
	e.figure("%v of processor time to get there, and at most %d MiB of memory", quantile(busied, .5), most>>20)
	e.figure("%d of %d live sessions lost, %d of %d ended ones revived", len(lost), len(alive), len(revived), len(ended))
	e.figure("%d of %d requests at the backend missing in a trail of %d records", unrecorded, reached, report.Records)
	e.must(fewest >= 20, "only %d requests were in flight at a kill", fewest)
	e.must(len(lost) == 0, "%d acknowledged sessions were lost", len(lost))
	e.must(len(revived) == 0, "%d ended sessions came back", len(revived))
	e.must(report.Problem == nil, "the trail is broken: %v", report.Problem)
	e.must(unrecorded == 0 && reached > 0, "%d of %d requests reached the backend without a record", unrecorded, reached)
	e.within(quantile(ready, .5), 2*time.Second, "ready again after")
}

// nurse returns a nurse like nora, but of her own number: one person has only
// so many sessions.
func nurse(n int) anteroomtest.Person {
	p := anteroomtest.Nora
	p.Sub, p.Username = fmt.Sprint("nurse-", n), fmt.Sprint("nurse", n)
	return p
}

func deleteBrowser(from []*anteroomtest.Browser, b *anteroomtest.Browser) []*anteroomtest.Browser {
	var rest []*anteroomtest.Browser
	for _, x := range from {
		if x != b {
			rest = append(rest, x)
		}
	}
	return rest
}

// plant puts sessions of n people into the store of a gateway that does not run
// yet, and returns the cookies of some of them for ehr.test.
func plant(t testing.TB, g *process, n int) []string {
	t.Helper()
	data := filepath.Join(g.Dir, "data")
	root, err := keys.Open(filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(data, "store"), Key: root.Derive("store", 32)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	bucket, err := s.Bucket(t.Context(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	k, err := session.Open(t.Context(), session.Config{
		Bucket: bucket, Keys: []session.CookieKey{{Hash: root.Derive("cookie hash", 32), Block: root.Derive("cookie block", 32)}},
		Limits: func() access.Limits {
			return access.Limits{LockAfter: 11 * time.Hour, EndAfter: 12 * time.Hour, Max: 13 * time.Hour}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	now := time.Now()
	begun := session.Begin{Provider: "hospital", ProviderSID: "planted", IDToken: strings.Repeat("t", 900), Authn: access.Authentication{
		Subject: access.Subject{Issuer: g.Provider.URL, Sub: anteroomtest.Nora.Sub}, Username: "nora", Name: "Nora Lind",
		Groups: anteroomtest.Nora.Groups, ACR: "pwd", AMR: []string{"pwd"}, AuthTime: now, FreshAt: now,
	}}
	var (
		mu      sync.Mutex
		cookies []string
		all     sync.WaitGroup
		next    atomic.Int64
	)
	for range 64 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				one := begun
				one.Authn.Subject.Sub = fmt.Sprint("planted-", i)
				_, c, err := k.Begin(t.Context(), one, "ehr.test")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if len(cookies) < 1000 {
					cookies = append(cookies, c.Name+"="+c.Value)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return cookies
}
