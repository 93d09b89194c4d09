package authn

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxSub   = 255  // bytes of a sub (Core, section 2)
	maxWord  = 256  // bytes of a user name, a group, an acr, an amr
	maxWords = 1000 // groups of one person
)

// claims are the members of a JSON object by their exact names. Decoding into
// a struct would also take members whose names differ in case.
type claims map[string]json.RawMessage

// has reports whether there is a claim of this name; null is none.
func (c claims) has(name string) bool { return !isNull(c[name]) }

// text returns the string claim of this name; "" for none and for other types.
func (c claims) text(name string) string {
	s, _ := asText(c[name])
	return s
}

// word is text, without what is too long to be one.
func (c claims) word(name string) string {
	if s := c.text(name); isIdentifier(s, maxWord) {
		return s
	}
	return ""
}

// when returns the NumericDate claim of this name (RFC 7519, section 2), the
// zero time when there is none, and a [*ClaimError] when it is not a moment
// between 1970 and 9999.
func (c claims) when(name string) (time.Time, error) {
	if !c.has(name) {
		return time.Time{}, nil
	}
	const year10000 = 253402300800
	seconds, err := strconv.ParseFloat(string(bytes.TrimSpace(c[name])), 64)
	if err != nil || !(seconds > 0 && seconds < year10000) {
		return time.Time{}, &ClaimError{Claim: name, Want: "a number of seconds since 1970"}
	}
	return time.Unix(int64(seconds), 0), nil
}

// at returns what path leads to, nil when nothing: the claim of that very name,
// which may have dots of its own, or else the member of nested objects.
func (c claims) at(path string) json.RawMessage {
	if path == "" {
		return nil
	}
	if c.has(path) {
		return c[path]
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		var inner claims
		if json.Unmarshal(c[path[:i]], &inner) != nil {
			continue
		}
		if found := inner.at(path[i+1:]); found != nil {
			return found
		}
	}
	return nil
}

// words reads groups and amr: an array of strings, or one string. Anything
// else, also an array with one thing in it that is not a string, is none at
// all. Words that are empty or too long are left out, as is all after the
// first thousand: a word only ever grants, so leaving one out is safe.
func words(raw json.RawMessage) []string {
	var found []string
	if s, ok := asText(raw); ok {
		found = []string{s}
	} else {
		var all []json.RawMessage
		if isNull(raw) || json.Unmarshal(raw, &all) != nil {
			return nil
		}
		for _, one := range all {
			s, ok := asText(one)
			if !ok {
				return nil
			}
			found = append(found, s)
		}
	}
	var kept []string
	for _, s := range found {
		if isIdentifier(s, maxWord) && len(kept) < maxWords {
			kept = append(kept, s)
		}
	}
	return kept
}

// acr returns what the claim of this name says of the strength of the sign-in:
// one word, or those of an array apart by blanks; the claim acr is always one
// word (Core, section 2). A word with a blank in it is
// none, since it would pass for several.
func (c claims) acr(name string) string {
	const most = 1024 // bytes in all: it goes into records and headers
	if _, one := asText(c.at(name)); name == "acr" && !one {
		return ""
	}
	var all string
	for _, one := range words(c.at(name)) {
		if strings.ContainsFunc(one, unicode.IsSpace) || len(all)+1+len(one) > most {
			continue
		}
		all = strings.TrimPrefix(all+" "+one, " ")
	}
	return all
}

// A pick is a path that picks from an array of objects by another claim:
// array[member=claim].rest.
type pick struct{ array, member, claim, rest string }

func parsePick(path string) (pick, bool) {
	array, more, ok := strings.Cut(path, "[")
	inner, rest, closed := strings.Cut(more, "].")
	member, claim, named := strings.Cut(inner, "=")
	k := pick{array, member, claim, rest}
	return k, ok && closed && named && array != "" && member != "" && claim != "" && rest != ""
}

// from gathers the words of what k picks in c, where chosen holds the claim
// that it picks by. An object that does not match exactly is left out.
func (k pick) from(c, chosen claims) []string {
	wanted, ok := asText(chosen.at(k.claim))
	var all []json.RawMessage
	if !ok || wanted == "" || json.Unmarshal(c.at(k.array), &all) != nil {
		return nil
	}
	var found []string
	for _, raw := range all {
		var one claims
		if json.Unmarshal(raw, &one) != nil || one.text(k.member) != wanted {
			continue
		}
		found = append(found, words(one.at(k.rest))...)
	}
	return found[:min(len(found), maxWords)]
}

// leavesOut reports whether the provider says that it left the claim at path
// out, and where else to ask for it (Core, section 5.6.2; Microsoft Entra also
// says hasgroups).
func (c claims) leavesOut(path string) bool {
	var elsewhere claims
	top, _, _ := strings.Cut(path, ".")
	if json.Unmarshal(c["_claim_names"], &elsewhere) == nil && (elsewhere.has(path) || elsewhere.has(top)) {
		return true
	}
	return path == "groups" && strings.Trim(string(bytes.TrimSpace(c["hasgroups"])), `"`) == "true"
}

// audience reads aud: one string, or an array of them. It leaves nothing out,
// since each audience counts.
func audience(raw json.RawMessage) []string {
	if s, ok := asText(raw); ok {
		return []string{s}
	}
	var all []string
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	return all
}

// isIdentifier reports whether s can name something: neither empty nor longer
// than most bytes, and without the mark that stands for characters JSON could
// not hold, by which two names would become one.
func isIdentifier(s string, most int) bool {
	return s != "" && len(s) <= most && !strings.ContainsRune(s, utf8.RuneError)
}

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null"
}

// asText reads a JSON string.
func asText(raw json.RawMessage) (string, bool) {
	if isNull(raw) {
		return "", false
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}
