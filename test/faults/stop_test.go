package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestR3Stop asks a busy gateway to end: it must be unready first, serve on for
// its grace, let what is under way finish, and tell WebSockets.
func TestR3Stop(t *testing.T) {
	e := begin(t, "R3")
	inFlight := choose(7*time.Second, 28*time.Second) // ends after the grace
	g := start(t, setup{args: []string{"--grace", "5s"}, edit: patient("timeout: 5s", "timeout: 60s")})
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			echo(w, r)
		case r.URL.Path == "/slow":
			time.Sleep(inFlight)
			fmt.Fprint(w, "whole")
		default:
			fmt.Fprint(w, "quick")
		}
	})
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	client := g.client(t, false, 16)
	var open []*websocket.Conn
	for range 20 {
		open = append(open, dialEcho(t, g, cookie))
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		whole  int
		codes  = make(map[websocket.StatusCode]int)
		closed []time.Duration
	)
	for range 5 {
		all.Go(func() {
			a, err := call(t.Context(), client, http.MethodGet, g.URL("ehr.test", "/slow"), cookie, nil)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && a.body == "whole" {
				whole++
			} else {
				t.Errorf("a request under way: %d %v", a.status, err)
			}
		})
	}
	eventually(t, 5*time.Second, "the slow requests to be under way", func() bool {
		n := 0
		for _, r := range g.Backend.Requests() {
			if r.Target == "/slow" {
				n++
			}
		}
		return n == 5
	})
	asked := time.Now()
	for _, c := range open {
		all.Go(func() {
			_, _, err := c.Read(t.Context())
			mu.Lock()
			defer mu.Unlock()
			closed = append(closed, time.Since(asked))
			var told websocket.CloseError
			if errors.As(err, &told) {
				codes[told.Code]++
			} else {
				codes[websocket.StatusAbnormalClosure]++
			}
		})
	}
	g.signal(syscall.SIGTERM)
	unready := eventually(t, 5*time.Second, "the gateway to be unready", func() bool { return g.ready() == http.StatusServiceUnavailable })
	y := during(t, 4*time.Second-time.Since(asked), 100, g.get(t, client, "ehr.test", "/quick", cookie))
	all.Wait()
	<-g.exited
	ended := time.Since(asked)
	e.figure("unready %v after SIGTERM", round(unready))
	e.figure("%d of %d new requests served in the grace", y.total()-len(y.failed), y.total())
	e.figure("%d of 5 requests under way for %v finished", whole, inFlight)
	e.figure("%d of 20 WebSockets closed by 1001, the first after %v, the last after %v", codes[websocket.StatusGoingAway], round(quantile(closed, 0)), round(quantile(closed, 1)))
	e.figure("ended after %v by itself: %v", round(ended), g.ended == nil)
	e.must(len(y.failed) == 0, "%d requests were refused in the grace: %s", len(y.failed), y.first())
	e.must(whole == 5, "%d of 5 requests under way were cut", 5-whole)
	e.must(g.ended == nil, "ended by %v", g.ended)
	e.within(unready, 500*time.Millisecond, "to be unready took")
	e.must(codes[websocket.StatusGoingAway] == 20, "WebSockets were told %v", codes)
	e.must(quantile(closed, 1)-quantile(closed, 0) > 20*time.Millisecond, "all WebSockets close in the same moment")
}

// TestR3HandOver replaces the gateway again and again under load, with a
// listening socket that outlives it as a supervisor's does. Every request has
// a connection of its own: none may be refused.
func TestR3HandOver(t *testing.T) {
	e := begin(t, "R3, socket hand-over")
	g := start(t, setup{socket: true})
	g.Backend.Handle(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond) // so that requests are under way, and not only come and gone
		fmt.Fprint(w, "done")
	})
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	client := g.client(t, false, 0)
	client.Transport.(*http.Transport).DisableKeepAlives = true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := make(chan *tally, 1)
	go func() { load <- atRate(ctx, 40, g.get(t, client, "ehr.test", "/chart", cookie)) }()
	const replaced = 20
	var gaps []time.Duration
	for range replaced {
		time.Sleep(100 * time.Millisecond)
		asked := time.Now()
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		g.launch()
		gaps = append(gaps, time.Since(asked))
	}
	time.Sleep(200 * time.Millisecond)
	cancel()
	y := <-load
	e.figure("%d processes, each in the place of the one before, which took %v, %v at worst", replaced, round(quantile(gaps, .5)), round(quantile(gaps, 1)))
	e.figure("%d of %d requests, each on a new connection, refused or failed", len(y.failed), y.total())
	e.must(len(y.failed) == 0, "%d requests failed: %s", len(y.failed), y.first())
}
