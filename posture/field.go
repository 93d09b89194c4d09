package posture

import (
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
)

// reader returns what puts a header's value into a record, for the posture
// field that word names. A value that means nothing leaves the fact unknown.
func reader(word string) (func(*access.Posture, string), bool) {
	switch word {
	case "platform":
		return func(p *access.Posture, v string) {
			if slices.Contains(access.Platforms(), access.Platform(v)) {
				p.Platform = access.Platform(v)
			}
		}, true
	case "os_version":
		return func(p *access.Posture, v string) { p.OSVersion, _ = access.ParseOSVersion(v) }, true
	case "security_patch":
		return func(p *access.Posture, v string) { p.SecurityPatch = patchLevel(v) }, true
	case "managed":
		return func(p *access.Posture, v string) { p.Managed = tri(v) }, true
	case "compliant":
		return func(p *access.Posture, v string) { p.Compliant = tri(v) }, true
	case "compromised":
		return func(p *access.Posture, v string) { p.Compromised = tri(v) }, true
	case "encrypted":
		return func(p *access.Posture, v string) { p.Encrypted = tri(v) }, true
	case "passcode":
		return func(p *access.Posture, v string) { p.Passcode = tri(v) }, true
	case "lost":
		return func(p *access.Posture, v string) { p.Lost = tri(v) }, true
	case "ownership":
		return func(p *access.Posture, v string) {
			switch v {
			case "corporate", "personal", "shared":
				p.Ownership = v
			}
		}, true
	case "owner":
		return func(p *access.Posture, v string) { p.Owner = v }, true
	case "checked_in_at":
		return func(p *access.Posture, v string) { p.CheckedInAt = moment(v) }, true
	case "asserted_at":
		return func(p *access.Posture, v string) { p.AssertedAt = moment(v) }, true
	}
	return nil, false
}

// tri reads exactly true and false; TRUE, 1 and yes are not known.
func tri(v string) access.Tri {
	switch v {
	case "true":
		return access.Yes
	case "false":
		return access.No
	}
	return access.Unknown
}

// moment reads RFC 3339; zero for anything else.
func moment(v string) time.Time {
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// patchLevel reads YYYY-MM-DD, YYYYMMDD, or YYYYMM, which is its first day, as
// midnight UTC; zero for anything else.
func patchLevel(v string) time.Time {
	layout := ""
	switch len(v) {
	case len(time.DateOnly):
		layout = time.DateOnly
	case len("20060102"):
		layout = "20060102"
	case len("200601"):
		layout = "200601"
	}
	t, err := time.Parse(layout, v)
	if err != nil || layout == "" {
		return time.Time{}
	}
	return t
}
