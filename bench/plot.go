package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// plot draws the ratios of CPU to the bare proxy as bars, with the middle half of
// the rounds as a line across each: one file that every browser shows, by day
// and by night.
func (r *report) plot(w io.Writer) error {
	const left, width, height, most = 330, 430, 22, 3.0
	type bar struct {
		label string
		s     spread
		other bool // neither the gateway nor the reference
	}
	var bars []bar
	for _, s := range r.Sections {
		if s.Name != "Requests" && s.Name != "Many at once" && s.Name != "A mix" {
			continue
		}
		for _, c := range s.Comparisons {
			for _, name := range c.Order[:len(c.Order)-1] {
				bars = append(bars, bar{c.Name + ": " + name, c.ratio(name, cpuOf), name != "gateway"})
			}
		}
	}
	at := func(ratio float64) float64 { return left + min(ratio, most)/most*width }
	var b strings.Builder
	total := len(bars)*height + 60
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" role="img">`+"\n", left+width+60, total)
	b.WriteString("<title>CPU for each request, as a ratio to a bare Go proxy</title>\n")
	b.WriteString("<style>text{fill:#1c2733}.g{fill:#1f6f8b}.o{fill:#9aa7b2}.r{stroke:#1c2733;stroke-width:1.5}.t{stroke:#c8d0d8}" +
		"@media (prefers-color-scheme:dark){text{fill:#e4ebf1}.g{fill:#58b3d1}.o{fill:#62707c}.r{stroke:#e4ebf1}.t{stroke:#3a4650}}</style>\n")
	for _, tick := range []float64{0, 0.5, 1, 1.5, 2, 2.5, 3} {
		fmt.Fprintf(&b, `<line class="t" x1="%.1f" y1="20" x2="%.1f" y2="%d"/><text x="%.1f" y="14" text-anchor="middle">%.1f</text>`+"\n", at(tick), at(tick), total-30, at(tick), tick)
	}
	for i, x := range bars {
		y := 26 + i*height
		class := "g"
		if x.other {
			class = "o"
		}
		var label strings.Builder
		xml.EscapeText(&label, []byte(x.label)) //nolint:errcheck // a Builder takes everything
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="14"/>`+
			`<line class="r" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/><text x="%.1f" y="%d">%.2f</text>`+"\n",
			left-8, y+11, &label, class, left, y, at(x.s.Median)-left, at(x.s.Low), y+7, at(x.s.High), y+7, max(at(x.s.Median), at(x.s.High))+6, y+11, x.s.Median)
	}
	fmt.Fprintf(&b, `<line class="r" x1="%.1f" y1="20" x2="%.1f" y2="%d"/><text x="%d" y="%d">CPU a request, bare Go ReverseProxy = 1; %s, load average %s to %s</text>`+"\n</svg>\n",
		at(1), at(1), total-30, left-200, total-10, r.Go, r.LoadBefore, r.LoadAfter)
	_, err := io.WriteString(w, b.String())
	return err
}
