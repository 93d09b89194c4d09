package config

import (
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
)

func (d *decoder) posture(p *postureKeys, g *gateway) Posture {
	out := Posture{Sources: d.sources(p.Sources, g)}
	known := map[string]bool{} // fields that some source speaks of
	doubt := p.Sources.Bad     // a source is wrong: what it would map cannot be told
	for i := range p.Sources.Items {
		for _, e := range p.Sources.Items[i].Map.Entries {
			known[e.Key.V] = true
		}
	}
	supplied := func(at place, field string) {
		if !doubt && field != "" && !known[field] {
			d.mistake(at, "no source maps %s: every device would fail", quoted(field))
		}
	}
	for i := range p.Checks.Entries {
		e := &p.Checks.Entries[i]
		c := d.check(e.Key.V, &e.Value, supplied)
		for _, f := range e.Value.Deny.Entries {
			if !doubt && f.Key.V != "" && !known[f.Key.V] {
				d.warn(f.Key.where(), "no source maps %s: this never refuses a device", quoted(f.Key.V))
			}
		}
		out.Checks = append(out.Checks, c)
	}
	for i := range p.Profiles.Entries {
		e := &p.Profiles.Entries[i]
		if e.Key.V == none {
			d.mistake(e.Key.where(), "the profile `none` is reserved: it is any device or no device")
			continue
		}
		if e.Value.Checks.given() && len(e.Value.Checks.Items) == 0 && !e.Value.Checks.Bad {
			d.mistake(e.Value.Checks.where(), "profile %s lists no check", quoted(e.Key.V))
		}
		profile := access.Profile{Name: e.Key.V, LastKnown: e.Value.OnOutage.V, MinAssurance: d.assurance(&e.Value, out.Sources, doubt)}
		for _, c := range e.Value.Checks.Items {
			if c.V == "" {
				continue
			}
			j := slices.IndexFunc(out.Checks, func(k access.Check) bool { return k.Name == c.V })
			if j < 0 {
				d.mistake(c.where(), "unknown check %s%s", quoted(c.V), nearest(c.V, namesOf(out.Checks, func(k access.Check) string { return k.Name })))
				continue
			}
			profile.Checks = append(profile.Checks, out.Checks[j])
		}
		out.Profiles = append(out.Profiles, profile)
	}
	return out
}

// ownHeader refuses a posture header in the gateway's own name space: such
// headers are deleted from every request before anybody reads them.
func (d *decoder) ownHeader(h header) {
	if strings.HasPrefix(skeleton(h.V), "xanteroom") {
		d.mistake(h.where(), "%s: headers that begin with X-Anteroom are the gateway's own", quoted(h.V))
	}
}

// uniqueHeader reports two headers that a CGI-like reader takes for one.
func (d *decoder) uniqueHeader(seen map[string]place, h header) {
	if h.V == "" {
		return
	}
	if first, again := seen[skeleton(h.V)]; again {
		d.mistake(h.where(), "header %s is taken: line %d has a header of the same letters and digits", quoted(h.V), first.line)
		return
	}
	seen[skeleton(h.V)] = h.where()
}

// assurance returns what a profile asks of proof; more than any source gives is a mistake.
func (d *decoder) assurance(p *profile, sources []Source, doubt bool) access.Assurance {
	want := access.A0
	for a := access.A1; a <= access.A4; a++ {
		if a.String() == p.MinAssurance.V {
			want = a
		}
	}
	best := access.A0
	for _, s := range sources {
		for _, one := range s.Senders {
			got := access.A1
			if len(one.Authorities) > 0 {
				got = access.A2
			}
			best = max(best, got)
		}
	}
	if want > best && !doubt {
		d.mistake(p.MinAssurance.where(), "no source proves more than %s: every device would fail", best)
	}
	return want
}

func (d *decoder) check(name string, c *check, supplied func(at place, field string)) access.Check {
	out := access.Check{
		Name: name, Hard: c.Severity.V != "soft", CheckinMaxAge: c.CheckinMaxAge.V,
		Require: factsOf(c.Require), Deny: factsOf(c.Deny),
	}
	empty := len(c.Require.Entries)+len(c.Deny.Entries)+len(c.Platforms.Entries) == 0 && !c.CheckinMaxAge.given()
	if empty && !d.reported(c.where()) && !c.Require.Bad && !c.Deny.Bad && !c.Platforms.Bad {
		d.mistake(c.where(), "check %s asks for nothing", quoted(name))
	}
	for _, e := range c.Require.Entries {
		supplied(e.Key.where(), e.Key.V)
	}
	if len(c.Platforms.Entries) > 0 {
		supplied(c.Platforms.where(), "platform")
	}
	for i := range c.Platforms.Entries {
		e := &c.Platforms.Entries[i]
		out.Platforms = append(out.Platforms, d.platform(e.Key.V, &e.Value, supplied))
	}
	if c.WarnFor.V > 0 {
		if out.Hard {
			d.mistake(c.WarnFor.where(), "warn_for is for soft checks: a hard one holds at once")
		} else {
			out.WarnFor = c.WarnFor.V
		}
	}
	if c.CheckinMaxAge.V > 0 {
		supplied(c.CheckinMaxAge.where(), "checked_in_at")
		if c.CheckinMaxAge.V < 8*time.Hour { // Intune's own cadence is about eight hours
			d.warn(c.CheckinMaxAge.where(), "devices report to their management every 8h or so: a shorter limit locks them out in between")
		}
	}
	return out
}

func (d *decoder) platform(word string, p *platform, supplied func(at place, field string)) access.PlatformMin {
	out := access.PlatformMin{
		Platform: access.Platform(word), MinMajor: p.OSMinMajor.V,
		PatchMin: p.PatchMin.V, PatchMaxAge: p.PatchMaxAge.V,
	}
	branches := map[int]access.OSVersion{}
	for _, v := range p.Min.Items {
		if v.V.IsZero() {
			continue
		}
		if other, again := branches[v.V.Major()]; again {
			d.mistake(v.where(), "%s and %s are of one branch: it has one minimum", v.V, other)
			continue
		}
		branches[v.V.Major()] = v.V
		out.Min = append(out.Min, v.V)
	}
	slices.SortFunc(out.Min, access.OSVersion.Compare)
	if p.Min.given() && len(p.Min.Items) == 0 && !p.Min.Bad {
		d.mistake(p.Min.where(), "min lists no version")
	}
	switch {
	case len(out.Min) > 0:
		supplied(p.Min.where(), "os_version")
	case out.MinMajor > 0:
		supplied(p.OSMinMajor.where(), "os_version")
	}
	switch {
	case !out.PatchMin.IsZero():
		supplied(p.PatchMin.where(), "security_patch")
	case out.PatchMaxAge > 0:
		supplied(p.PatchMaxAge.where(), "security_patch")
	}
	return out
}

func factsOf(t table[word[facts], flag]) []access.FieldIs {
	var all []access.FieldIs
	for _, e := range t.Entries {
		all = append(all, access.FieldIs{Field: access.Field(e.Key.V), Value: e.Value.V})
	}
	return all
}

func namesOf[T any](all []T, name func(T) string) []string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = name(all[i])
	}
	return out
}
