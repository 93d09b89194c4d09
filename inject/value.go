package inject

import (
	"strings"

	"github.com/anteroom/anteroom/access"
)

// Value returns what a plain header says of the person that g lets through, on
// a device of which p is known. The word is one of username, name, roles, sub,
// issuer, acr, session and device; it is "" for any other word, when nothing
// is known, and when g names nobody.
//
// Bytes outside visible ASCII are percent-encoded (of UTF-8), and so is the
// percent sign itself, so that the value can be decoded without doubt. Spaces
// between words stay, being legal and readable; one at either end, which the
// backend's parser would cut off, does not. Roles are joined by commas, and a
// comma within a role is percent-encoded.
func Value(word string, g access.Grant, p access.Posture) string {
	who := g.Session()
	if who == nil || !g.Allowed() {
		return ""
	}
	switch word {
	case "username":
		return escape(who.Username, false)
	case "name":
		return escape(who.Name, false)
	case "roles":
		if len(who.Roles) == 1 {
			return escape(who.Roles[0], true)
		}
		all := make([]string, len(who.Roles))
		for i, role := range who.Roles {
			all[i] = escape(role, true)
		}
		return strings.Join(all, ",")
	case "sub":
		return escape(who.Subject.Sub, false)
	case "issuer":
		return escape(who.Subject.Issuer, false)
	case "acr":
		return escape(who.ACR, false)
	case "session":
		return escape(who.ID, false)
	case "device":
		return escape(p.DeviceID, false)
	}
	return ""
}

func escape(s string, commas bool) string {
	n := 0
	for i := range len(s) {
		if special(s, i, commas) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if special(s, i, commas) {
			b = append(b, '%', hex[s[i]>>4], hex[s[i]&15])
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// special reports whether byte i of s is to be encoded.
func special(s string, i int, commas bool) bool {
	switch c := s[i]; c {
	case ' ':
		return i == 0 || i == len(s)-1
	case '%':
		return true
	case ',':
		return commas
	default:
		return c < ' ' || c > '~'
	}
}
