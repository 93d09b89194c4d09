package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A shiftChange is a change of shifts, scaled: people come at a rate, whoever is
// still in the door, and each signs in and asks for some things.
type shiftChange struct {
	People   int     `json:"people"`
	PerSec   float64 `json:"people_per_second"`
	Requests int     `json:"requests_each"`
	Failed   int     `json:"failed"`
	SignIn   spread  `json:"sign_in_ms"` // from the first request to the application's page
	SignIn99 float64 `json:"sign_in_p99_ms"`
	CPU      float64 `json:"cpu_ms_each"` // of the gateway, a person
	Busy     float64 `json:"core_share"`  // of one core, while they came
}

// The whole one is 20,000 people in ten minutes.
const (
	shiftRate     = 20_000.0 / 600
	shiftRequests = 30
)

// shift has people come as they do at the change of shifts, for as long as the
// pace says, and measures what that takes.
func shift(ctx context.Context, w *world, p pace, r *report) error {
	g, err := w.startGateway("shift", func(text string) string {
		return strings.Replace(text, "{more}", "\n  trusted_proxies: [127.0.0.1/32]", 1) // whose people are not one address's
	})
	if err != nil {
		return err
	}
	defer g.stop()
	var born atomic.Int64 // everybody who signs in is another person
	w.provider.EditIDToken(func(claims map[string]any) {
		n := born.Add(1)
		claims["sub"], claims["preferred_username"] = fmt.Sprintf("u-%d", n), fmt.Sprintf("person%d", n)
	})
	defer w.provider.EditIDToken(nil)

	s := shiftChange{People: int(shiftRate * p.shift.Seconds()), PerSec: shiftRate, Requests: shiftRequests}
	before, err := g.cpu()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var took []float64
	var failures []error
	var wg sync.WaitGroup
	began := time.Now()
	for i := range s.People {
		due := began.Add(time.Duration(float64(i) / shiftRate * float64(time.Second)))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(due)):
		}
		wg.Go(func() {
			wait, err := g.person(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, err)
				return
			}
			took = append(took, micros(wait)/1000)
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	after, err := g.cpu()
	if err != nil {
		return err
	}
	s.Failed = len(failures)
	slices.Sort(took)
	s.SignIn, s.SignIn99 = spreadOf(took), at(took, .99)
	s.CPU = micros(after-before) / 1000 / float64(max(1, len(took)))
	s.Busy = (after - before).Seconds() / elapsed.Seconds()
	r.Shift = append(r.Shift, s)
	if len(failures) > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("Change of shifts: %d of %d did not get in, the first because of: %v", len(failures), s.People, cmp.Or(failures[0], errors.New("nothing"))))
	}
	return nil
}

// person signs in and asks for some things, and returns how long it took from
// when they came until they were in.
func (g *gatewayRun) person(came time.Time) (time.Duration, error) {
	me := *g // with a cookie of its own
	me.at.Header = slices.Clone(g.at.Header)
	if err := me.signIn(); err != nil {
		return 0, err
	}
	in := time.Since(came)
	me.at.Path, me.at.Body = "/fhir/Observation?size=1024", 1<<10
	l, err := connect(&me.at)
	if err != nil {
		return 0, err
	}
	defer l.close()
	for range shiftRequests {
		if err := l.once(); err != nil {
			return 0, err
		}
	}
	return in, nil
}
