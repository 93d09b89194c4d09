package faults_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestR15Overload offers a gateway twice what gets through it. By default the
// backend is what sets the peak, so that the load fits on this machine beside
// the gateway; the longer form also lets one processor of the gateway be it.
func TestR15Overload(t *testing.T) {
	e := begin(t, "R15")
	const atOnce, each = 20, 50 * time.Millisecond // 400 a second
	room := make(chan struct{}, atOnce)
	overload(e, "a backend for 400/s, in_flight 100", 100, func(w http.ResponseWriter, r *http.Request) {
		room <- struct{}{}
		defer func() { <-room }()
		time.Sleep(each)
		fmt.Fprint(w, "done")
	})
	if long() {
		overload(e, "one processor, in_flight 256", 256, nil)
	}
}

func overload(e *experiment, name string, inFlight int, backend http.HandlerFunc) {
	t := e.t
	const limit = 256 << 20
	spell := choose(3*time.Second, 30*time.Second)
	g := start(t, setup{env: []string{"GOMAXPROCS=1", fmt.Sprintf("GOMEMLIMIT=%d", limit)},
		edit: patient("limits:\n", fmt.Sprintf("limits:\n  in_flight: %d\n", inFlight))})
	g.Backend.Handle(backend)
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	// Streams on a few connections, so that what is refused is refused by the
	// gateway and not by the number of connections from one address.
	var clients []*http.Client
	for range 16 {
		clients = append(clients, g.client(t, true, 0))
	}
	one := func(i int) (int, error) {
		a, err := call(t.Context(), clients[i%len(clients)], http.MethodGet, g.URL("ehr.test", "/chart"), cookie, nil)
		if err == nil && a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
			err = errors.New("503 without Retry-After")
		}
		return a.status, err
	}
	// The peak: as many at once as keep it busy, each waiting for its answer.
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for w := range 64 {
		all.Go(func() {
			for time.Since(began) < spell {
				if status, err := one(w); err == nil && status == http.StatusOK {
					done.Add(1)
				}
			}
		})
	}
	all.Wait()
	peak := float64(done.Load()) / time.Since(began).Seconds()

	stop := make(chan struct{})
	var health []time.Duration
	var most int64
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			asked := time.Now()
			if resp, err := prompt.Get("http://" + g.admin + "/healthz"); err == nil {
				resp.Body.Close()
			}
			health = append(health, time.Since(asked))
			most = max(most, g.memory())
		}
	})
	began = time.Now()
	y := during(t, spell, int(2*peak), one)
	took := time.Since(began)
	close(stop)
	watching.Wait()
	goodput := float64(y.codes[http.StatusOK]) / took.Seconds()
	e.figure("%s: peak %.0f/s, offered %.0f/s, goodput %.0f/s (%.0f %%), p99 %v", name, peak, 2*peak, goodput, 100*goodput/peak, round(y.p99()))
	e.figure("%d told 503 and when to come again, %d of %d lost", y.codes[http.StatusServiceUnavailable], len(y.failed), y.total())
	e.figure("health after %v, memory %d MiB of %d", round(quantile(health, .98)), most>>20, limit>>20)
	if backend == nil && goodput < .8*peak {
		e.unkept("%s: goodput fell to %.0f %% of the peak, but load, provider and backend are on the same machine", name, 100*goodput/peak)
	}
	e.must(most < limit+limit/4, "memory grew to %d MiB with a limit of %d", most>>20, limit>>20)
	if backend != nil {
		e.must(y.codes[http.StatusServiceUnavailable] > 0, "nobody is told 503: all of them queue")
		e.must(len(y.failed) == 0, "%d requests got no answer: %s", len(y.failed), y.first())
		e.rate(goodput/peak, .8, "goodput as a share of the peak")
		e.within(quantile(health, .98), 100*time.Millisecond, "health took")
	}
	calm := during(t, time.Second, 50, one)
	e.must(len(calm.failed) == 0 && calm.codes[http.StatusOK] == calm.total(), "after the overload: %v, %s", calm.codes, calm.first())
}
