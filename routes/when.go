package routes

import (
	"net/url"
	"slices"
	"strings"
)

// matches reports whether every part of w that is set fits req; withFields
// false leaves the fields out of it.
func (w *When) matches(req *Request, withFields bool) bool {
	if len(w.Methods) > 0 && !slices.Contains(w.Methods, req.Judged()) && !slices.Contains(w.Methods, req.Method) {
		return false
	}
	if w.Path != nil && !w.Path.Match(req.Path.Segments) && !w.Path.Match(req.Path.Resolved) {
		return false
	}
	for name, value := range w.Query {
		if !req.queryIs(name, value) {
			return false
		}
	}
	if withFields && len(w.Fields) > 0 && !slices.ContainsFunc(w.Fields, req.hasField) {
		return false
	}
	return true
}

// hasField reports whether the body has the field that pointer names, or the
// query has: many backends make one set of parameters of both.
func (r *Request) hasField(pointer string) bool {
	if r.Fields.Has(pointer) {
		return true
	}
	if r.RawQuery == "" {
		return false
	}
	form, err := url.ParseQuery(r.RawQuery)
	return err != nil || Fields{form: form}.Has(pointer)
}

// queryIs reports whether the parameter name has value ("*": any). Names and
// values are compared without regard to case. A query that does not parse, and
// a parameter that comes more than once, count as a match: backends differ in
// what they make of them.
func (r *Request) queryIs(name, value string) bool {
	if r.RawQuery == "" {
		return false
	}
	parsed, err := url.ParseQuery(r.RawQuery)
	if err != nil {
		return true
	}
	var found []string
	for k, v := range parsed {
		if strings.EqualFold(k, name) {
			found = append(found, v...)
		}
	}
	switch {
	case len(found) == 0:
		return false
	case len(found) > 1 || value == "*":
		return true
	}
	return strings.EqualFold(found[0], value)
}

// queryValue returns every value of a parameter, joined by commas. What does
// not parse is left out: this is for the record, not for a decision.
func (r *Request) queryValue(name string) string {
	if strings.ContainsAny(r.RawQuery, "%+;") {
		parsed, _ := url.ParseQuery(r.RawQuery)
		return strings.Join(parsed[name], ",")
	}
	joined, n := "", 0
	for pair := range strings.SplitSeq(r.RawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair == "" || key != name {
			continue
		}
		if n++; n > 1 {
			joined += ","
		}
		joined += value
	}
	return joined
}
