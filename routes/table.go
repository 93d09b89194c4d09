package routes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/access"
)

// A Table finds the route of a request: by host, then by the longest path
// prefix on segment boundaries. What it costs does not grow with the number of
// routes. The zero Table has none.
type Table struct {
	hosts map[string]*node
	names map[string]*Route
	all   []*Route
}

// A node stands for a prefix, folded to lower case, on one host.
type node struct {
	children map[string]*node
	route    *Route
}

// NewTable returns a table of routes. Two routes on one host whose prefixes
// differ in nothing but case are an error.
func NewTable(all []*Route) (*Table, error) {
	t := &Table{hosts: make(map[string]*node), names: make(map[string]*Route, len(all)), all: all}
	for _, r := range all {
		t.names[r.Name] = r
		n := t.hosts[r.Host]
		if n == nil {
			n = &node{}
			t.hosts[r.Host] = n
		}
		for _, s := range prefixSegments(r.Prefix) {
			folded := fold(s)
			child := n.children[folded]
			if child == nil {
				child = &node{}
				if n.children == nil {
					n.children = make(map[string]*node)
				}
				n.children[folded] = child
			}
			n = child
		}
		if n.route != nil {
			return nil, fmt.Errorf("routes %q and %q have the same host and path", n.route.Name, r.Name)
		}
		n.route = r
	}
	return t, nil
}

// fold maps spellings that differ only in case to one. By way of upper case,
// since some letters (the long s) have a plain letter's upper case but are lower
// case themselves.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

func prefixSegments(prefix string) []string {
	trimmed := strings.Trim(prefix, "/")
	if trimmed == "" {
		return nil
	}
	return strings.Split(trimmed, "/")
}

// Routes returns every route, in the order of the configuration.
func (t *Table) Routes() []*Route { return t.all }

// Named returns the route of that name; nil when there is none.
func (t *Table) Named(name string) *Route { return t.names[name] }

// Host reports whether any route is on host.
func (t *Table) Host(host string) bool { return t.hosts[host] != nil }

// Errors of [Table.Match].
var (
	ErrHost      = errors.New("no route is on this host")
	ErrNoRoute   = errors.New("no route for this path")
	ErrTolerance = errors.New("the route does not tolerate this spelling of a path")
)

// Match returns the route that governs req. It returns [ErrHost] or
// [ErrNoRoute] when there is none, also when the route would be another if the
// path were written in another case; and [ErrTolerance] when the path has an
// ambiguous spelling that the route does not name, or that leads its two forms
// to different routes.
func (t *Table) Match(req *Request) (*Route, error) {
	top := t.hosts[req.Host]
	if top == nil {
		return nil, ErrHost
	}
	route, err := top.find(req.Path.Segments)
	if req.Path.Uses == (Tolerance{}) {
		return route, err
	}
	resolved, resolvedErr := top.find(req.Path.Resolved)
	if err != nil || resolvedErr != nil || route != resolved || !route.Backend.Tolerate.allows(req.Path.Uses) {
		return nil, ErrTolerance
	}
	return route, nil
}

// find walks down as far as prefixes reach. The walk ignores case; a route
// reached by another spelling than its own is not found, rather than governed
// by whichever route a shorter prefix has.
func (n *node) find(segments []string) (*Route, error) {
	best := n.route
	for _, s := range segments {
		child := n.children[s]
		if child == nil && len(n.children) > 0 {
			child = n.children[fold(s)]
		}
		if child == nil {
			break
		}
		n = child
		if n.route != nil {
			best = n.route
		}
	}
	if best == nil || !spelledAs(best.Prefix, segments) {
		return nil, ErrNoRoute
	}
	return best, nil
}

func spelledAs(prefix string, segments []string) bool {
	for _, s := range segments {
		if prefix == "" || prefix == "/" {
			return true
		}
		rest, ok := strings.CutPrefix(prefix[1:], s)
		if !ok || rest != "" && rest[0] != '/' {
			return false
		}
		prefix = rest
	}
	return prefix == "" || prefix == "/"
}

// A Need is what the rules of a route ask of one request.
type Need struct {
	access.Requirement
	Observed    []access.Demand // of rules under observe, not enforced
	KeepRequest int64           // bytes of body that may be held; the least that a matching rule says
}

// DefaultKeep is how much of a body is held when no rule says.
const DefaultKeep = 64 << 10

// Base returns what r asks of every request.
func (r *Route) Base() access.Requirement {
	return access.Requirement{Public: r.Public, Issuers: r.Issuers, Allow: r.Allow, Device: r.Device}
}

// Need returns what r asks of req: its grant and the demands of every rule
// that matches. Rules with fields read req.Fields.
func (r *Route) Need(req *Request) Need {
	return r.need(req, func(rule *Rule) bool { return rule.When.matches(req, true) })
}

// NeedOf is [Route.Need] of a request whose query and body are not known, as the
// audit trail keeps it. Of each rule that asks by them, and whose methods and path
// fit, met says whether they do too.
func (r *Route) NeedOf(req *Request, met func(*Rule) bool) Need {
	return r.need(req, func(rule *Rule) bool {
		seen := When{Methods: rule.When.Methods, Path: rule.When.Path}
		return seen.matches(req, false) && (len(rule.When.Query) == 0 && len(rule.When.Fields) == 0 || met(rule))
	})
}

func (r *Route) need(req *Request, matches func(*Rule) bool) Need {
	need := Need{Requirement: r.Base(), KeepRequest: DefaultKeep}
	matched := false
	for i := range r.Rules {
		rule := &r.Rules[i]
		if !matches(rule) {
			continue
		}
		if rule.Observe {
			need.Observed = append(need.Observed, rule.Demand)
			continue
		}
		if need.Demands == nil {
			// The common case, one rule, shares the rule's own value; the
			// capacity keeps a second rule from writing into the table.
			need.Demands = rule.demands()
		} else {
			need.Demands = append(slices.Clip(need.Demands), rule.Demand)
		}
		if !matched || rule.KeepRequest < need.KeepRequest {
			need.KeepRequest = rule.KeepRequest
		}
		matched = true
	}
	return need
}

func (r *Rule) demands() []access.Demand { return []access.Demand{r.Demand} }

// WantsFields reports whether the body's fields can change what r asks of req,
// or name its patient.
func (r *Route) WantsFields(req *Request) bool {
	if r.Patient.Form != "" && (req.Method == "POST" || req.Method == "PUT" || req.Method == "PATCH") {
		return true
	}
	for i := range r.Rules {
		if w := &r.Rules[i].When; len(w.Fields) > 0 && w.matches(req, false) {
			return true
		}
	}
	return false
}

// IsBackground reports whether req is one that r does not count as activity.
func (r *Route) IsBackground(req *Request) bool {
	return slices.ContainsFunc(r.Background, func(p Pattern) bool { return p.Match(req.Path.Segments) })
}

// PatientOf returns what the audit record calls the patient of req; "" when
// the request does not say.
func (r *Route) PatientOf(req *Request) string {
	switch p := r.Patient; {
	case p.Path != nil:
		id, _ := p.Path.Capture(req.Path.bare(), "patient")
		return id
	case p.Query != "":
		return req.queryValue(p.Query)
	case p.Form != "":
		return req.Fields.Value(p.Form)
	}
	return ""
}
