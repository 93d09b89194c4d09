package access

import (
	"slices"
	"time"
)

// Example returns the posture of a device that meets p at now, as plainly as
// it can; for tests and explanations. Of a profile that no device can meet it
// returns the closest. The profile `none` has a device of which nothing is known.
func (p Profile) Example(now time.Time) Posture {
	if p.Any {
		return Posture{}
	}
	at := Posture{
		Source: "example", Assurance: A4, DeviceID: "example:device", AssertedAt: now, CheckedInAt: now,
		Platform: p.examplePlatform(), SecurityPatch: now.UTC().Truncate(24 * time.Hour), Ownership: "corporate",
	}
	for _, c := range p.Checks {
		for _, f := range c.Require {
			at.set(f.Field, TriOf(f.Value))
		}
		for _, f := range c.Deny {
			if at.Fact(f.Field) == Unknown {
				at.set(f.Field, TriOf(!f.Value))
			}
		}
		for _, m := range c.Platforms {
			if m.Platform != at.Platform {
				continue
			}
			for _, v := range m.Min {
				if v.Compare(at.OSVersion) > 0 {
					at.OSVersion = v
				}
			}
			if major := (OSVersion{parts: [4]uint32{uint32(m.MinMajor)}, known: true}); m.MinMajor > 0 && major.Compare(at.OSVersion) > 0 {
				at.OSVersion = major
			}
		}
	}
	return at
}

// examplePlatform returns a platform that every check with platforms lists.
func (p Profile) examplePlatform() Platform {
	for _, candidate := range Platforms() {
		if !slices.ContainsFunc(p.Checks, func(c Check) bool {
			return len(c.Platforms) > 0 && !slices.ContainsFunc(c.Platforms, func(m PlatformMin) bool { return m.Platform == candidate })
		}) {
			return candidate
		}
	}
	return ""
}

func (p *Posture) set(field Field, to Tri) {
	switch field {
	case Managed:
		p.Managed = to
	case Compliant:
		p.Compliant = to
	case Compromised:
		p.Compromised = to
	case Encrypted:
		p.Encrypted = to
	case Passcode:
		p.Passcode = to
	case Lost:
		p.Lost = to
	}
}
