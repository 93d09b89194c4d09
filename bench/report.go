package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A report is everything that a run found.
type report struct {
	Load       string        `json:"load_cores"` // the cores of load and backend
	Go         string        `json:"go"`
	Kernel     string        `json:"kernel"`
	Pinned     bool          `json:"pinned"` // the proxies had a core of their own
	LoadBefore string        `json:"load_before"`
	LoadAfter  string        `json:"load_after"`
	Took       string        `json:"took"`
	Sections   []section     `json:"sections"`
	Memory     []memory      `json:"memory"`
	Idle       []idling      `json:"idle"`
	Sockets    []parked      `json:"websockets"`
	Shift      []shiftChange `json:"change_of_shifts"`
	Start      []started     `json:"start"`
	Sizes      []size        `json:"sizes"`
	Missing    []string      `json:"missing"` // other proxies that were not there
	Notes      []string      `json:"notes"`
}

type section struct {
	Name        string        `json:"name"`
	Comparisons []*comparison `json:"comparisons"`
}

type memory struct {
	What string  `json:"what"`
	MiB  float64 `json:"mib"`
}

type idling struct {
	Name        string  `json:"name"`
	Connections int     `json:"connections"`
	Bytes       float64 `json:"bytes_each"`
	Handshake   float64 `json:"handshake_cpu_us"`
}

type started struct {
	Sessions int     `json:"sessions"`
	Seconds  float64 `json:"seconds"`
	CPU      float64 `json:"cpu_seconds"`
}

type size struct {
	Name string  `json:"name"`
	MiB  float64 `json:"mib"`
}

func (r *report) add(name string, c *comparison) {
	if n := len(r.Sections); n == 0 || r.Sections[n-1].Name != name {
		r.Sections = append(r.Sections, section{Name: name})
	}
	s := &r.Sections[len(r.Sections)-1]
	s.Comparisons = append(s.Comparisons, c)
}

func (r *report) memory(what string, p *process) {
	if n, err := p.memory(); err == nil {
		r.Memory = append(r.Memory, memory{what, float64(n) / (1 << 20)})
	}
}

func (r *report) size(name string, bytes int64) {
	r.Sizes = append(r.Sizes, size{name, float64(bytes) / (1 << 20)})
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s, Linux %s, load average before %s, after %s, took %s\n", r.Go, r.Kernel, r.LoadBefore, r.LoadAfter, r.Took)
	if r.Pinned {
		fmt.Fprintf(w, "The proxies had core %s, load and backend cores %s.\n", proxyCore, r.Load)
	} else {
		fmt.Fprintln(w, "The proxies shared their cores with the load: there is no taskset, or one core only.")
	}
	fmt.Fprintln(w, "Medians of rounds that took turns, and in brackets the middle half of them. Ratios are of pairs of rounds.")
	for _, s := range r.Sections {
		fmt.Fprintf(w, "\n%s\n", s.Name)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "what\twho\tCPU us/request\tratio\trequests/s\tp50 us\tp99 us\tadded p50\tobjects\treads+writes")
		for _, c := range s.Comparisons {
			what := c.Name
			for _, name := range c.Order {
				base := c.of(c.Order[len(c.Order)-1], p50Of)
				objects := "-"
				if n := c.of(name, objectsOf).Median; n > 0 {
					objects = fmt.Sprintf("%.0f", n)
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.0f\t%.0f\t%.0f\t%+.0f\t%s\t%.2f\n", what, name,
					c.of(name, cpuOf).text("%.1f"), c.ratio(name, cpuOf).text("%.2f"), c.of(name, rateOf).Median,
					c.of(name, p50Of).Median, c.of(name, p99Of).Median, c.of(name, p50Of).Median-base.Median, objects, c.of(name, callsOf).Median)
				what = ""
			}
		}
		t.Flush()
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range r.Memory {
		fmt.Fprintf(t, "\nmemory\t%s\t%.1f MiB", m.What, m.MiB)
	}
	for _, i := range r.Idle {
		fmt.Fprintf(t, "\nidle\t%s, %d connections\t%.1f KiB each, a handshake %.0f us", i.Name, i.Connections, i.Bytes/1024, i.Handshake)
	}
	for _, s := range r.Sockets {
		fmt.Fprintf(t, "\nWebSockets\t%s, %d open\t%.1f KiB each, %.0f MiB in all", s.Name, s.Open, s.Bytes/1024, s.MiB)
	}
	for _, s := range r.Shift {
		fmt.Fprintf(t, "\nchange of shifts\t%d people, %.1f a second, %d requests each\t%s ms until they are in, p99 %.0f; %.1f ms CPU each, %.2f of a core; %d failed",
			s.People, s.PerSec, s.Requests, s.SignIn.text("%.0f"), s.SignIn99, s.CPU, s.Busy, s.Failed)
	}
	for _, s := range r.Start {
		fmt.Fprintf(t, "\nstart\t%d sessions\tready after %.2f s, %.2f s of CPU", s.Sessions, s.Seconds, s.CPU)
	}
	for _, s := range r.Sizes {
		fmt.Fprintf(t, "\nbinary\t%s\t%.1f MiB", s.Name, s.MiB)
	}
	fmt.Fprintln(t)
	t.Flush()
	if len(r.Missing) > 0 {
		fmt.Fprintf(w, "Not compared, being not there: %s.\n", strings.Join(r.Missing, ", "))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, n)
	}
}

func (s spread) text(format string) string {
	return fmt.Sprintf(format+" ["+format+", "+format+"]", s.Median, s.Low, s.High)
}
