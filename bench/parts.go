package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// field is who takes turns: the gateway with everything on, another gateway
// that it is measured against if there is one, and last the bare proxy.
func (w *world) field() (all []contender, stop func(), err error) {
	var running []*process
	stop = func() {
		for _, p := range running {
			p.stop()
		}
	}
	for _, one := range []struct{ name, binary string }{{"gateway", w.gateway}, {"gateway before", w.before}} {
		if one.binary == "" {
			continue
		}
		g, err := w.startProgram(one.binary, one.name, nil)
		if err != nil {
			stop()
			return nil, nil, err
		}
		running = append(running, g.process)
		if err := g.signIn(); err != nil {
			stop()
			return nil, nil, err
		}
		all = append(all, contender{name: one.name, p: g.process, at: g.at})
	}
	bare, at, err := w.startBare()
	if err != nil {
		stop()
		return nil, nil, err
	}
	running = append(running, bare)
	at.Header = all[0].at.Header // the very same request
	return append(all, contender{name: "bare proxy", p: bare, at: at}), stop, nil
}

// asks returns contenders that are asked for so many bytes.
func asks(all []contender, bytes int64, http2 bool) []contender {
	var out []contender
	for _, c := range all {
		c.at.Path, c.at.Body, c.at.HTTP2 = fmt.Sprintf("/fhir/Observation?size=%d", bytes), bytes, http2
		out = append(out, c)
	}
	return out
}

var protocols = []struct {
	name  string
	http2 bool
}{{"HTTP/1.1", false}, {"HTTP/2", true}}

// requests compares answers of three sizes, and the other proxies at the smallest.
func requests(_ context.Context, w *world, p pace, r *report) error {
	ours, stop, err := w.field()
	if err != nil {
		return err
	}
	defer stop()
	var others []contender
	if w.before == "" {
		others, r.Missing = w.peers()
	}
	defer func() {
		for _, o := range others {
			o.p.stop()
		}
	}()
	for i := range others {
		if others[i].at.Header == nil { // it asks nobody who they are, and gets the very same request
			others[i].at.Header = ours[0].at.Header
		}
	}
	for _, size := range []struct {
		name  string
		bytes int64
	}{{"1 KiB", 1 << 10}, {"100 KiB", 100 << 10}, {"5 MiB", 5 << 20}} {
		for _, proto := range protocols {
			all, inFlight, rounds := ours, 32, p.rounds
			if last := len(ours) - 1; size.bytes == 1<<10 {
				all = slices.Concat(ours[:last], others, ours[last:])
			} else {
				rounds = p.fewer
			}
			if size.bytes > 1<<20 {
				inFlight = 8
			}
			c, err := compare(fmt.Sprintf("%s, %s, %d in flight", size.name, proto.name, inFlight), asks(all, size.bytes, proto.http2), inFlight, rounds, p.round)
			if err != nil {
				return err
			}
			r.add("Requests", c)
		}
	}
	r.memory("gateway, after the load", ours[0].p)
	r.memory("bare proxy, after the load", ours[len(ours)-1].p)
	return nil
}

// latency compares how long one client waits that asks for one thing at a time.
func latency(_ context.Context, w *world, p pace, r *report) error {
	all, stop, err := w.field()
	if err != nil {
		return err
	}
	defer stop()
	r.memory("gateway, idle", all[0].p)
	r.memory("bare proxy, idle", all[len(all)-1].p)
	for _, proto := range protocols {
		c, err := compare("1 KiB, "+proto.name+", one at a time", asks(all, 1<<10, proto.http2), 1, p.rounds, p.short)
		if err != nil {
			return err
		}
		r.add("Latency", c)
	}
	return nil
}

// features switches one feature off after another.
func features(_ context.Context, w *world, p pace, r *report) error {
	all, stop, err := w.field()
	if err != nil {
		return err
	}
	defer stop()
	signedIn, bare := all[0].at.Header, all[len(all)-1]
	without := func(lines ...string) func(string) string {
		return func(text string) string {
			for _, from := range lines {
				text = strings.Replace(text, from, "", 1)
			}
			return text
		}
	}
	rules, _, _ := strings.Cut(everyFeature[strings.Index(everyFeature, "    rules:"):], "audit:")
	for i, v := range []struct {
		name string
		edit func(string) string
		path string
	}{
		{"everything on", nil, ""},
		{"a rule applies, its record on disk first", nil, "/notes/1"},
		{"no rules", without(rules), ""},
		{"no device", func(text string) string { return strings.Replace(text, "device: clinical", "device: none", 1) }, ""},
		{"no assertion", without(`        assertion: {header: X-Anteroom-Assertion, audience: ehr, ttl: 60s}`), ""},
		{"no identity headers", without(`        headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}`), ""},
		{"no tracing", without(`, otlp: "{otlp}"`), ""},
		{"a public route: no session, still recorded", func(text string) string {
			text = without(rules, `        headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}`,
				`        assertion: {header: X-Anteroom-Assertion, audience: ehr, ttl: 60s}`, "      identity:\n", "    background: [/poll]\n", "    patient: {query: patient}\n")(text)
			return strings.Replace(strings.Replace(text, "allow: {roles: [nurse, physician]}", "allow: public", 1), "device: clinical", "device: none", 1)
		}, ""},
	} {
		g, err := w.startGateway(fmt.Sprintf("feature-%d", i), v.edit)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		if strings.HasPrefix(v.name, "a public") {
			g.at.Header = signedIn
		} else if err := g.signIn(); err != nil {
			g.stop()
			return fmt.Errorf("%s: %w", v.name, err)
		}
		bare.at.Header = g.at.Header
		all := asks([]contender{{name: "gateway", p: g.process, at: g.at}, bare}, 1<<10, false)
		if v.path != "" {
			all[0].at.Path = v.path + "?size=1024"
		}
		c, err := compare(v.name, all, 32, p.fewer, p.short)
		g.stop()
		if err != nil {
			return err
		}
		r.add("Features, 1 KiB, HTTP/1.1, 32 in flight", c)
	}
	r.Notes = append(r.Notes, "The audit trail cannot be switched off: audit.on_failure says only what happens when it cannot be written.")
	return nil
}

// scale asks whether many routes or sessions make a request dearer.
func scale(ctx context.Context, w *world, p pace, r *report) error {
	bare, at, err := w.startBare()
	if err != nil {
		return err
	}
	defer bare.stop()
	one := func(name string, g *gatewayRun) error {
		if err := g.signIn(); err != nil {
			return err
		}
		at.Header = g.at.Header
		c, err := compare(name, asks([]contender{{name: "gateway", p: g.process, at: g.at}, {name: "bare proxy", p: bare, at: at}}, 1<<10, false), 32, p.fewer, p.short)
		if err != nil {
			return err
		}
		r.add("Scale, 1 KiB, HTTP/1.1, 32 in flight", c)
		return nil
	}
	for _, n := range p.routes {
		g, err := w.startGateway(fmt.Sprintf("routes-%d", n), func(text string) string {
			var more strings.Builder
			for i := 1; i < n; i++ {
				fmt.Fprintf(&more, "  - {name: r%d, host: ehr.test, path: /app%d, backend: {url: \"{backend}\"}, allow: {roles: [nurse]}, device: clinical}\n", i, i)
			}
			return strings.Replace(text, "audit: {", more.String()+"audit: {", 1)
		})
		if err != nil {
			return err
		}
		err = one(fmt.Sprintf("%d routes", n), g)
		g.stop()
		if err != nil {
			return err
		}
	}
	for _, n := range []int{10, p.sessions} {
		g, _, err := w.seeded(ctx, n)
		if err != nil {
			return err
		}
		err = one(fmt.Sprintf("%d sessions", n), g)
		r.memory(fmt.Sprintf("gateway, %d sessions", n), g.process)
		g.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// seeded starts a gateway that finds n sessions of an earlier one, and returns
// how long it took from the start of its process until it was ready.
func (w *world) seeded(ctx context.Context, n int) (*gatewayRun, time.Duration, error) {
	name := fmt.Sprintf("sessions-%d", n)
	if _, err := os.Stat(filepath.Join(w.dir, name)); err != nil { // not from another part of this run
		g, err := w.startGateway(name, nil)
		if err != nil {
			return nil, 0, err
		}
		g.stop()
		if got, err := seed(ctx, g.data, w.provider.URL, n, 4*time.Minute); err != nil || got != n {
			return nil, 0, errors.Join(fmt.Errorf("%d of %d sessions were made", got, n), err)
		}
	}
	began := time.Now()
	g, err := w.startGateway(name, nil)
	return g, time.Since(began), err
}

// startUp measures how long a gateway with many sessions takes until it is ready.
func startUp(ctx context.Context, w *world, p pace, r *report) error {
	began := time.Now()
	g, err := w.startGateway("empty", nil)
	for _, n := range []int{0, 50_000, 100_000} {
		took := time.Since(began)
		if n > 0 {
			g, took, err = w.seeded(ctx, n)
		}
		if err != nil {
			return err
		}
		cpu, err := g.cpu()
		if err != nil {
			g.stop()
			return err
		}
		r.Start = append(r.Start, started{n, took.Seconds(), cpu.Seconds()})
		r.memory(fmt.Sprintf("gateway, %d sessions, just started", n), g.process)
		g.stop()
		if n >= p.sessions {
			break
		}
	}
	return nil
}

// idle measures what connections cost that do nothing, and their handshakes.
func idle(_ context.Context, w *world, p pace, r *report) error {
	g, err := w.startGateway("idle", func(text string) string {
		return strings.Replace(text, "{more}", "\n  trusted_proxies: [127.0.0.1/32]", 1) // or 1,000 from one address are enough
	})
	if err != nil {
		return err
	}
	defer g.stop()
	bare, at, err := w.startBare()
	if err != nil {
		return err
	}
	defer bare.stop()
	for _, c := range []contender{{name: "gateway", p: g.process, at: g.at}, {name: "bare proxy", p: bare, at: at}} {
		before, err := c.p.memory()
		if err != nil {
			return err
		}
		cpu, err := c.p.cpu()
		if err != nil {
			return err
		}
		open, err := many(p.idle, func() (*line, error) { return connect(&c.at) })
		handshakes, cerr := c.p.cpu()
		after, merr := c.p.memory()
		for _, one := range open {
			one.close()
		}
		if err := errors.Join(cerr, merr); err != nil {
			return err
		}
		if err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: only %d idle connections: %v", c.name, len(open), err))
		}
		if n := float64(len(open)); n > 0 {
			r.Idle = append(r.Idle, idling{c.name, len(open), float64(after-before) / n, micros(handshakes-cpu) / n})
		}
	}
	return nil
}

// many opens n connections with open, a few at a time. Those that were opened
// before one failed are returned with the error.
func many(n int, open func() (*line, error)) ([]*line, error) {
	var next atomic.Int64
	var mu sync.Mutex
	var all []*line
	var failed error
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				l, err := open()
				mu.Lock()
				if err != nil {
					failed = err
					mu.Unlock()
					return
				}
				all = append(all, l)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all, failed
}

// connect opens an HTTP/1.1 connection to t.
func connect(t *target) (*line, error) {
	plain := *t
	plain.HTTP2 = false
	c, err := dial(&plain)
	if err != nil {
		return nil, err
	}
	return c.(*line), nil
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	f := strings.Fields(string(text))
	return strings.Join(f[:min(3, len(f))], " ")
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(text))
}
