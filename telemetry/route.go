package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anteroom/anteroom/access"
)

// noRoute is the label of requests that no route governs.
const noRoute = "(none)"

// maxSeries bounds what one route's counters can grow to, should a caller ever
// pass a word that is not a fixed one.
const maxSeries = 500

// A Route counts the requests of one route. It is safe for concurrent use, and
// made to be kept: counting looks no labels up.
type Route struct {
	name     string
	latency  prometheus.Observer
	backend  prometheus.Observer
	requests family[outcome]
	observed family[observation]
}

type outcome struct {
	verdict access.Verdict
	reason  access.Reason
	class   uint8 // the first digit of the status
}

type observation struct {
	rule    string
	verdict access.Verdict
}

// Route returns the counters of the route of this name, the same each time;
// "" for requests that no route governs.
func (m *Metrics) Route(name string) *Route {
	if name == "" {
		name = noRoute
	}
	if r, ok := m.routes.Load(name); ok {
		return r.(*Route)
	}
	r := &Route{name: name, latency: m.latency.WithLabelValues(name), backend: m.backend.WithLabelValues(name)}
	r.requests.make = func(o outcome) prometheus.Counter {
		return m.requests.WithLabelValues(name, o.verdict.String(), string(o.reason), class(o.class))
	}
	r.requests.rest = outcome{reason: "other"}
	r.observed.make = func(o observation) prometheus.Counter {
		return m.observed.WithLabelValues(name, o.rule, o.verdict.String())
	}
	r.observed.rest = observation{rule: "other"}
	kept, _ := m.routes.LoadOrStore(name, r)
	return kept.(*Route)
}

// Done counts a request that was answered with status (0: with nothing) after
// d. A sampled trace stands for the time that it took (an exemplar); "" for none.
func (r *Route) Done(v access.Verdict, reason access.Reason, status int, d time.Duration, trace string) {
	r.requests.get(outcome{v, reason, uint8(max(0, min(status/100, 9)))}).Inc()
	observe(r.latency, d, trace)
}

// Answered counts the time that the backend took to the first byte of its
// answer, with a sampled trace as Done does.
func (r *Route) Answered(d time.Duration, trace string) { observe(r.backend, d, trace) }

// observe makes no garbage but for an exemplar, which is the few's.
func observe(h prometheus.Observer, d time.Duration, trace string) {
	if trace == "" {
		h.Observe(d.Seconds())
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": trace})
}

// Observed counts what a rule under observe would have decided.
func (r *Route) Observed(rule string, v access.Verdict) { r.observed.get(observation{rule, v}).Inc() }

func class(digit uint8) string {
	if digit < 1 || digit > 5 {
		return "none"
	}
	return string('0'+rune(digit)) + "xx"
}

// A family holds counters by key. Reading takes no lock and makes no garbage;
// the map is copied when a counter is new, which soon stops happening.
type family[K comparable] struct {
	mu   sync.Mutex
	all  atomic.Pointer[map[K]prometheus.Counter]
	make func(K) prometheus.Counter
	rest K // counts what comes when the family is full
}

func (f *family[K]) get(k K) prometheus.Counter {
	if all := f.all.Load(); all != nil {
		if c, ok := (*all)[k]; ok {
			return c
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[K]prometheus.Counter{}
	if old := f.all.Load(); old != nil {
		if c, ok := (*old)[k]; ok {
			return c
		}
		if len(*old) >= maxSeries {
			return f.make(f.rest)
		}
		all = maps.Clone(*old)
	}
	all[k] = f.make(k)
	f.all.Store(&all)
	return all[k]
}
