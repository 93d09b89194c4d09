package config

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
)

// A Test is one case of a route: who asks for what, and the verdict.
type Test struct {
	Route    *routes.Route
	SignedIn bool // false: nobody is signed in
	As       []string
	Device   string // the profile that the device meets; "none": nothing is known of it
	LoginAge time.Duration
	Issuer   string // of the provider that signed them in
	ACR      string
	Method   string
	Path     string // with the query, when there is one
	Expect   access.Verdict
	Rule     string // the rule that settles it; "" for any

	file string
	at   place
}

// Position returns where the test stands in its file.
func (t Test) Position() (file string, line, column int) { return t.file, t.at.line, t.at.column }

// Mistake returns message as a mistake at the test's position.
func (t Test) Mistake(message string) Mistake {
	return Mistake{t.file, t.at.line, t.at.column, message}
}

func (r *resolver) rules(in *route, route *routes.Route) []routes.Rule {
	names := map[string]place{}
	var all []routes.Rule
	for i := range in.Rules.Items {
		rule := &in.Rules.Items[i]
		r.unique(names, "rule", rule.Name.V, rule.Name.where())
		all = append(all, routes.Rule{
			When:        r.when(rule, route),
			Demand:      r.demand(rule, route),
			KeepRequest: rule.KeepRequest.V,
			Observe:     rule.Observe.V,
		})
	}
	return all
}

func (r *resolver) when(rule *rule, route *routes.Route) routes.When {
	w := &rule.When
	out := routes.When{Methods: wordsOf(w.Methods)}
	if w.given() && !w.Methods.given() && !w.Path.given() && !w.Query.given() && !w.Fields.given() && !r.reported(w.where()) {
		r.mistake(w.where(), "when says nothing: for every request write {path: /**}")
	}
	for _, k := range []struct {
		name  string
		at    place
		empty bool
	}{
		{"methods", w.Methods.where(), len(w.Methods.Items) == 0 && !w.Methods.Bad},
		{"query", w.Query.where(), len(w.Query.Entries) == 0 && !w.Query.Bad},
		{"fields", w.Fields.where(), len(w.Fields.Items) == 0 && !w.Fields.Bad},
	} {
		if k.at.given() && k.empty {
			r.mistake(k.at, "%s lists none", k.name)
		}
	}
	if len(out.Methods) > 0 && !w.Methods.Bad && len(route.Methods) > 0 && !overlapping(out.Methods, route.Methods) {
		r.mistake(w.Methods.where(), "the route lets none of these methods through: the rule would never match")
	}
	overridable := slices.Contains(out.Methods, http.MethodPut) || slices.Contains(out.Methods, http.MethodDelete)
	if overridable && !slices.Contains(out.Methods, http.MethodPost) {
		r.warn(w.Methods.where(), "rule %s names PUT or DELETE without POST: many applications take a POST for either", quoted(rule.Name.V))
	}
	if w.Path.V != nil && r.reaches(w.Path, route.Prefix) && r.plainPattern(w.Path) {
		out.Path = w.Path.V
	}
	for _, e := range w.Query.Entries {
		if out.Query == nil {
			out.Query = map[string]string{}
		}
		out.Query[e.Key.V] = e.Value.V
	}
	for _, f := range w.Fields.Items {
		if f.V != "" && r.pointer(f) {
			out.Fields = append(out.Fields, f.V)
		}
	}
	return out
}

// overlapping reports whether a rule's methods meet a route's; HEAD is judged as GET.
func overlapping(rule, route []string) bool {
	for _, m := range rule {
		if slices.Contains(route, m) ||
			m == http.MethodGet && slices.Contains(route, http.MethodHead) ||
			m == http.MethodHead && slices.Contains(route, http.MethodGet) {
			return true
		}
	}
	return false
}

// pointer checks a JSON pointer (RFC 6901, section 3).
func (r *resolver) pointer(f text) bool {
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(f.V)
	switch {
	case f.V[0] != '/' || f.V == "/":
		r.mistake(f.where(), "%s is not a JSON pointer or a form name with a slash before it, such as /billing", quoted(f.V))
	case strings.Contains(rest, "~"):
		r.mistake(f.where(), "%s: in a JSON pointer ~ is written ~0, and / within a name ~1", quoted(f.V))
	default:
		return true
	}
	return false
}

func (r *resolver) demand(rule *rule, route *routes.Route) access.Demand {
	q := &rule.Require
	out := access.Demand{Rule: rule.Name.V, Within: q.Within.V, EachTime: q.EachTime.V, Roles: r.roleNames(q.Roles)}
	asks := q.Login.given() || q.Within.given() || q.EachTime.V || q.Roles.given() && (len(q.Roles.Items) > 0 || q.Roles.Bad)
	if q.given() && !asks && !r.reported(q.where()) {
		r.mistake(q.where(), "require asks for nothing: want login, within, each_time: true or roles")
	}
	if q.Login.V != "" {
		out.Login = r.logins[q.Login.V]
		if out.Login == nil {
			r.mistake(q.Login.where(), "unknown login %s%s", quoted(q.Login.V), nearest(q.Login.V, namesOf(r.config.Logins, func(l access.Login) string { return l.Name })))
			return out
		}
		for i, issuer := range route.Issuers {
			if there := out.Login.Of(issuer); issuer != "" && len(there.ACR)+len(there.AMR) == 0 && !r.badLogins {
				r.mistake(q.Login.where(), "login %s says nothing of provider %s, which signs people in here: nothing could prove it", quoted(q.Login.V), quoted(route.Providers[i]))
			}
		}
	}
	return out
}

// reaches reports whether a pattern can match a path of a route at prefix. One
// that cannot would protect nothing.
func (r *resolver) reaches(p pattern, prefix string) bool {
	if prefix == "" || prefix == "/" {
		return true
	}
	have := strings.Split(p.V.String()[1:], "/")
	for i, segment := range strings.Split(prefix[1:], "/") {
		switch {
		case i < len(have) && have[i] == "**":
			return true
		case i < len(have) && (have[i] == "*" || strings.HasPrefix(have[i], "{") || strings.EqualFold(have[i], segment)):
			continue
		}
		r.mistake(p.where(), "%s matches nothing under the route's path %s: patterns are of the whole path", quoted(p.V.String()), quoted(prefix))
		return false
	}
	return true
}

// plainPattern refuses captures where nothing reads them.
func (r *resolver) plainPattern(p pattern) bool {
	if len(p.V.Captures()) == 0 {
		return true
	}
	r.mistake(p.where(), "%s: only patient.path has a {patient}; write * for any segment", quoted(p.V.String()))
	return false
}

func (r *resolver) patient(in *patient, prefix string) routes.Patient {
	var out routes.Patient
	if !in.given() {
		return out
	}
	given := 0
	for _, at := range []place{in.Path.where(), in.Query.where(), in.Form.where()} {
		if at.given() {
			if given++; given == 2 {
				r.mistake(at, "patient is one of path, query and form")
			}
		}
	}
	if given == 0 && !r.reported(in.where()) {
		r.mistake(in.where(), "patient wants one of path, query and form")
	}
	if p := in.Path; p.V != nil && r.reaches(p, prefix) {
		if c := p.V.Captures(); len(c) != 1 || c[0] != "patient" {
			r.mistake(p.where(), "%s wants exactly one segment {patient}", quoted(p.V.String()))
		} else {
			out.Path = p.V
		}
	}
	out.Query, out.Form = in.Query.V, in.Form.V
	return out
}

func (r *resolver) tests(in *route, route *routes.Route) {
	for i := range in.Tests.Items {
		t := &in.Tests.Items[i]
		out := Test{
			Route: route, SignedIn: t.As.given(), As: r.roleNames(t.As),
			Device: t.Device.V, LoginAge: t.LoginAge.V, ACR: t.ACR.V, Rule: t.Rule.V,
			file: r.file, at: t.where(),
		}
		if t.Provider.V != "" {
			out.Issuer = r.issuerOf(name{t.Provider.where(), t.Provider.V}, r.config.Providers)
		}
		if _, ok := r.profiles[t.Device.V]; t.Device.V != "" && !ok {
			r.mistake(t.Device.where(), "unknown profile %s%s", quoted(t.Device.V), nearest(t.Device.V, r.profileNames()))
		}
		if t.Request.V != "" {
			out.Method, out.Path = r.request(t.Request, route)
		}
		out.Expect, _ = access.ParseVerdict(t.Expect.V)
		if t.Rule.V != "" && !in.Rules.Bad {
			names := namesOf(in.Rules.Items, func(r rule) string { return r.Name.V })
			if !slices.Contains(names, t.Rule.V) {
				r.mistake(t.Rule.where(), "unknown rule %s%s", quoted(t.Rule.V), nearest(t.Rule.V, names))
			}
		}
		r.config.Tests = append(r.config.Tests, out)
	}
}

func (r *resolver) request(t text, route *routes.Route) (method, path string) {
	method, path, ok := strings.Cut(t.V, " ")
	known := methods{}.words()
	switch {
	case !ok || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " #"):
		r.mistake(t.where(), "%s is not a method and a path, such as POST /orders/7", quoted(t.V))
	case !slices.Contains(known, method):
		r.mistake(t.where(), "unknown method %s%s", quoted(method), nearest(method, known))
	case !under(path, route.Prefix):
		r.mistake(t.where(), "%s is not under the route's path %s", quoted(path), quoted(route.Prefix))
	default:
		return method, path
	}
	return "", ""
}

// under reports whether the path of a test belongs to a route at prefix, as
// far as the text shows.
func under(target, prefix string) bool {
	path, _, _ := strings.Cut(target, "?")
	rest, ok := strings.CutPrefix(path, prefix)
	return prefix == "" || prefix == "/" || ok && (rest == "" || rest[0] == '/' || rest[0] == ';')
}
