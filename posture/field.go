package posture

import (
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
)

// fields lists the words of a Map that [put] reads.
var fields = []string{
	"platform", "os_version", "security_patch", "managed", "compliant", "compromised", "encrypted", "passcode",
	"lost", "ownership", "owner", "checked_in_at", "asserted_at",
}

// isHealth reports whether word is a field by which a device is judged, rather
// than told apart: what a sender knows of it from elsewhere.
func isHealth(word string) bool {
	switch word {
	case "device_id", "platform", "ownership", "owner", "asserted_at":
		return false
	}
	return true
}

// put puts a header's value into a record, for the posture field that word
// names. A value that means nothing leaves the fact unknown.
func put(p *access.Posture, word, v string) {
	switch word {
	case "platform":
		if slices.Contains(access.Platforms(), access.Platform(v)) {
			p.Platform = access.Platform(v)
		}
	case "os_version":
		p.OSVersion, _ = access.ParseOSVersion(v)
	case "security_patch":
		p.SecurityPatch = patchLevel(v)
	case "managed":
		p.Managed = tri(v)
	case "compliant":
		p.Compliant = tri(v)
	case "compromised":
		p.Compromised = tri(v)
	case "encrypted":
		p.Encrypted = tri(v)
	case "passcode":
		p.Passcode = tri(v)
	case "lost":
		p.Lost = tri(v)
	case "ownership":
		switch v {
		case "corporate", "personal", "shared":
			p.Ownership = v
		}
	case "owner":
		p.Owner = v
	case "checked_in_at":
		p.CheckedInAt = moment(v)
	case "asserted_at":
		p.AssertedAt = moment(v)
	}
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
