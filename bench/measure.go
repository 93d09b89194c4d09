package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// A contender is a server in a comparison, with the request that it is sent.
type contender struct {
	name string
	p    *process
	at   target
	mix  []target // when set, what its connections ask for, in turn; in the place of at
}

// A round is what one server did in one interval.
type round struct {
	CPU     float64 `json:"cpu_us"`  // of the server, for each request
	Rate    float64 `json:"rate"`    // requests in a second
	P50     float64 `json:"p50_us"`  // of the client's waiting
	P99     float64 `json:"p99_us"`  //
	Objects float64 `json:"objects"` // heap objects for each request; 0: it cannot say
	Calls   float64 `json:"calls"`   // reads and writes for each request, of sockets and files
}

// A comparison is rounds of several servers that took turns.
type comparison struct {
	Name    string             `json:"name"`
	Rounds  map[string][]round `json:"rounds"`
	Order   []string           `json:"order"` // the last is what the others are compared with
	Explain string             `json:"explain,omitempty"`
}

func (c *contender) targets() []target {
	if len(c.mix) > 0 {
		return c.mix
	}
	return []target{c.at}
}

// compare has all contenders answer in turn, rounds times d, with inFlight
// requests at once. Who goes first changes from round to round.
func compare(name string, all []contender, inFlight, rounds int, d time.Duration) (*comparison, error) {
	c := &comparison{Name: name, Rounds: make(map[string][]round)}
	crowds := make([]*crowd, len(all))
	for i := range all {
		c.Order = append(c.Order, all[i].name)
		var err error
		if crowds[i], err = gather(all[i].targets(), inFlight); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, all[i].name, err)
		}
		defer crowds[i].close()
		if _, err := crowds[i].load(d / 3); err != nil { // warms up
			return nil, fmt.Errorf("%s: %s: %w", name, all[i].name, err)
		}
	}
	for n := range rounds {
		for i := range all {
			i = (i + n) % len(all)
			r, err := once(all[i].p, crowds[i], d)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, all[i].name, err)
			}
			c.Rounds[all[i].name] = append(c.Rounds[all[i].name], r)
		}
	}
	return c, nil
}

func once(p *process, on *crowd, d time.Duration) (round, error) {
	first := p.objects()
	objects := p.objects()
	asking := objects - first // objects that the question itself makes
	before, err := p.cpu()
	if err != nil {
		return round{}, err
	}
	calls := p.calls()
	began := time.Now()
	took, err := on.load(d)
	if err != nil {
		return round{}, err
	}
	elapsed := time.Since(began)
	after, err := p.cpu()
	if err != nil {
		return round{}, err
	}
	n := float64(len(took))
	r := round{CPU: micros(after-before) / n, Rate: n / elapsed.Seconds(), P50: micros(at(took, .5)), P99: micros(at(took, .99))}
	r.Calls = (p.calls() - calls) / n
	if objects > 0 {
		r.Objects = (p.objects() - objects - asking) / n
	}
	return r, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// at returns the value below which the share q of sorted values lies.
func at[T cmp.Ordered](sorted []T, q float64) (v T) {
	if len(sorted) == 0 {
		return v
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// A spread is a median with the values between which the middle half lies.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func spreadOf(values []float64) spread {
	v := slices.Clone(values)
	slices.Sort(v)
	return spread{at(v, .5), at(v, .25), at(v, .75)}
}

// of returns the spread of one figure of a server.
func (c *comparison) of(name string, figure func(round) float64) spread {
	var all []float64
	for _, r := range c.Rounds[name] {
		all = append(all, figure(r))
	}
	return spreadOf(all)
}

// ratio returns the spread of a figure divided by the reference's in the same
// round: what disturbs the machine for longer than a round disturbs both.
func (c *comparison) ratio(name string, figure func(round) float64) spread {
	base := c.Rounds[c.Order[len(c.Order)-1]]
	var all []float64
	for i, r := range c.Rounds[name] {
		if b := figure(base[i]); b > 0 && !math.IsNaN(b) {
			all = append(all, figure(r)/b)
		}
	}
	return spreadOf(all)
}

func cpuOf(r round) float64     { return r.CPU }
func rateOf(r round) float64    { return r.Rate }
func p50Of(r round) float64     { return r.P50 }
func p99Of(r round) float64     { return r.P99 }
func objectsOf(r round) float64 { return r.Objects }
func callsOf(r round) float64   { return r.Calls }
