package config

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
	"golang.org/x/net/publicsuffix"
)

// A resolver resolves the words of routes: it knows what the rest of the file names.
type resolver struct {
	*decoder
	config    *Config
	roles     map[string]bool
	logins    map[string]*access.Login
	profiles  map[string]access.Profile
	badLogins bool            // a mistake among them has been told
	caFiles   map[string]bool // those that were read, and whether they are good
	domain    string          // registrable domain of the sign-in host
}

func (d *decoder) routes(c *Config, f *file) {
	r := &resolver{
		decoder: d, config: c,
		roles: map[string]bool{}, logins: map[string]*access.Login{}, caFiles: map[string]bool{},
		profiles:  map[string]access.Profile{none: {Name: none, Any: true}},
		badLogins: f.Logins.Bad || f.Providers.Bad,
	}
	for _, role := range c.Roles {
		r.roles[role.Name] = true
	}
	for i := range c.Logins {
		r.logins[c.Logins[i].Name] = &c.Logins[i]
	}
	for _, p := range c.Posture.Profiles {
		r.profiles[p.Name] = p
	}
	if c.Gateway.URL != nil {
		r.domain = registrable(c.Gateway.URL.Hostname())
	}
	if f.Routes.given() && len(f.Routes.Items) == 0 && !f.Routes.Bad {
		d.mistake(f.Routes.where(), "routes lists none")
	}
	names, places := map[string]place{}, map[string]place{}
	posture := map[string]place{}
	for i := range f.Posture.Sources.Items {
		for _, e := range f.Posture.Sources.Items[i].Map.Entries {
			posture[skeleton(e.Value.V)] = e.Value.where()
		}
	}
	for i := range f.Routes.Items {
		in := &f.Routes.Items[i]
		d.unique(names, "route", in.Name.V, in.Name.where())
		out := r.route(in, f, posture)
		if out.Host != "" && out.Prefix != "" {
			r.uniquePlace(places, in, out)
		}
		c.Routes = append(c.Routes, out)
	}
}

// uniquePlace reports two routes for one host and path. Paths that differ in
// case only are one: a backend that ignores case would serve both alike.
func (r *resolver) uniquePlace(seen map[string]place, in *route, out *routes.Route) {
	key := out.Host + strings.ToLower(out.Prefix)
	at := in.Path.where()
	if !at.given() {
		at = in.Host.where()
	}
	if first, again := seen[key]; again {
		r.mistake(at, "%s%s is already the place of the route in line %d (paths are compared without regard to case)", out.Host, out.Prefix, first.line)
		return
	}
	seen[key] = at
}

func (r *resolver) route(in *route, f *file, posture map[string]place) *routes.Route {
	out := &routes.Route{
		Name: in.Name.V, Host: in.Host.V, Prefix: r.prefix(in.Path),
		Public: in.Allow.Public, Allow: r.roleNames(in.Allow.Roles),
		Methods: wordsOf(in.Methods), ServiceWorkers: in.ServiceWorkers.V,
		AuditDeny: r.config.Audit.Deny,
	}
	if out.Host != "" && r.domain != "" && registrable(out.Host) != r.domain {
		r.warn(in.Host.where(), "%s is not under %s, the domain of the sign-in host: browsers treat the two as different sites", quoted(out.Host), quoted(r.domain))
	}
	if in.Methods.given() && len(in.Methods.Items) == 0 && !in.Methods.Bad {
		r.mistake(in.Methods.where(), "methods lists none")
	}
	if in.Audit.OnFailure.V != "" {
		out.AuditDeny = in.Audit.OnFailure.V == failDeny
	}
	out.PurposeOfUse = in.Audit.PurposeOfUse.V
	if d := in.Disclosure; d != nil {
		out.Disclosure = &access.Disclosure{Recipient: d.Recipient.V, Purpose: d.Purpose.V}
		if !in.Patient.given() {
			r.warn(d.where(), "the route does not say where a request names the patient: its disclosures are in nobody's accounting")
		}
	}
	out.Backend = r.backend(&in.Backend, out, posture)
	r.providers(&in.Provider, f, out)
	out.Device = r.device(in)
	out.Session = r.session(in.Session)
	for _, o := range in.Origins.Items {
		if o.V != "" && r.origin(o) {
			out.Origins = append(out.Origins, o.V)
		}
	}
	for _, p := range in.Background.Items {
		if p.V != nil && r.reaches(p, out.Prefix) && r.plainPattern(p) {
			out.Background = append(out.Background, *p.V)
		}
	}
	out.Patient = r.patient(&in.Patient, out.Prefix)
	if in.Allow.Public {
		r.public(in)
	}
	out.Rules = r.rules(in, out)
	r.tests(in, out)
	return out
}

// public refuses what has no meaning where nobody is signed in.
func (r *resolver) public(in *route) {
	for _, k := range []struct {
		at   place
		name string
	}{
		{in.Rules.where(), "rules"}, {in.Session.where(), "session"}, {in.Provider.where(), "provider"},
		{in.Background.where(), "background"}, {in.Backend.Identity.where(), "identity"},
	} {
		if k.at.given() {
			r.mistake(k.at, "a public route has no %s: nobody is signed in there", k.name)
		}
	}
	if in.Device.V != "" && in.Device.V != none {
		r.mistake(in.Device.where(), "a public route is open to every device: say `none`")
	}
}

func (r *resolver) prefix(p text) string {
	s := p.V
	why := ""
	switch {
	case s == "" || s == "/":
		return s
	case s[0] != '/':
		why = "it begins with /"
	case s[len(s)-1] == '/':
		why = "write it without the slash at the end"
	case strings.ContainsAny(s, `%;\?#*{}`):
		why = `write the decoded text, without % ; \ ? # * { }`
	}
	for i, segment := range strings.Split(s, "/") {
		switch {
		case why != "":
		case segment == "" && i > 0:
			why = "it has an empty segment"
		case segment == "." || segment == "..":
			why = "it has a dot segment"
		case i == 1 && strings.EqualFold(segment, ".anteroom"):
			why = "everything under /.anteroom is the gateway's own"
		}
	}
	if why != "" {
		r.mistake(p.where(), "path %s: %s", quoted(s), why)
		return ""
	}
	return s
}

func (r *resolver) backend(in *backend, route *routes.Route, posture map[string]place) *routes.Backend {
	out := &routes.Backend{
		Timeout: in.Timeout.V, MaxBody: in.MaxBody.V, HostHeader: in.HostHeader.V,
		ForwardAuthorization: in.Authorization.V == "forward",
	}
	if u := in.URL.V; u != nil && r.isWeb(in.URL) && r.isPlace(in.URL) {
		out.URL = &url.URL{Scheme: u.Scheme, Host: u.Host}
		out.Own = r.config.addresses()
		if at, ok := literal(u); ok {
			if why := routes.Forbidden(at, out.Own); why != "" {
				r.mistake(in.URL.where(), "%s %s", quoted(u.Host), why)
			}
		}
		if in.CAFile.V != "" && u.Scheme != "https" {
			r.warn(in.CAFile.where(), "ca_file is for https, and the backend is reached by http: nothing proves that it is the right one")
		}
	}
	if in.CAFile.V != "" {
		out.CAFile = r.beside(in.CAFile.V)
		r.authorities(in.CAFile)
	}
	if h := in.HostHeader.V; h != "" {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = h, ""
		}
		_, errAddr := netip.ParseAddr(host)
		if hostMistake(host) != "" && errAddr != nil || port != "" && !isPort(port) {
			r.mistake(in.HostHeader.where(), "%s is not a host, or a host and a port", quoted(h))
		}
	}
	for _, t := range in.Tolerate.Items {
		switch t.V {
		case pathParams:
			out.Tolerate.PathParams = true
		case doubleSlash:
			out.Tolerate.DoubleSlash = true
		case encodedSlash:
			out.Tolerate.EncodedSlash = true
		}
	}
	headers := map[string]place{}
	use := func(h header) {
		if first, taken := posture[skeleton(h.V)]; taken && h.V != "" {
			r.mistake(h.where(), "header %s is taken: line %d has it for a statement about a device", quoted(h.V), first.line)
			return
		}
		r.uniqueHeader(headers, h)
	}
	for _, e := range in.Identity.Headers.Entries {
		use(e.Key)
		out.Headers = append(out.Headers, routes.IdentityHeader{Header: e.Key.V, Value: e.Value.V})
	}
	if a := in.Identity.Assertion; a != nil {
		use(a.Header)
		out.Assertion = routes.Assertion{Header: a.Header.V, Audience: a.Audience.V, TTL: a.TTL.V}
		if !a.Audience.given() {
			out.Assertion.Audience = route.Host
		}
	}
	if in.given() && !route.Public && len(out.Headers) == 0 && in.Identity.Assertion == nil && !in.Identity.Headers.Bad {
		r.warn(in.where(), "route %s: the backend is not told who was let through (identity)", quoted(route.Name))
	}
	return out
}

// literal returns the address that u itself names; what a name leads to is
// seen when it is dialled.
func literal(u *url.URL) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return netip.AddrPort{}, false
	}
	port := map[string]uint16{"http": 80, "https": 443}[u.Scheme]
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return netip.AddrPort{}, false
		}
		port = uint16(n)
	}
	return netip.AddrPortFrom(ip, port), true
}

// authorities reads a CA file once, however many routes name it.
func (r *resolver) authorities(f text) {
	good, read := r.caFiles[f.V]
	if !read {
		text, ok := r.readFile(f.where(), f.V)
		good = ok && x509.NewCertPool().AppendCertsFromPEM(text)
		r.caFiles[f.V] = good
		if !ok {
			return
		}
	}
	if !good {
		r.mistake(f.where(), "%s holds no certificate that can be read", quoted(f.V))
	}
}

// providers resolves the providers of a route: the first of all unless said.
func (r *resolver) providers(n *names, f *file, out *routes.Route) {
	known := r.config.Providers
	chosen := known[:min(1, len(known))]
	if n.given() {
		chosen = nil
		for _, one := range n.Items {
			i := slices.IndexFunc(known, func(p Provider) bool { return p.Name == one.V })
			switch {
			case i >= 0:
				chosen = append(chosen, known[i])
			case one.V != "" && !f.Providers.Bad:
				r.issuerOf(one, known)
			}
		}
	}
	for _, p := range chosen {
		out.Providers = append(out.Providers, p.Name)
		out.Issuers = append(out.Issuers, p.Issuer)
	}
	if len(out.Providers) < 2 || out.Backend == nil {
		return
	}
	tells := func(word string) bool {
		return slices.ContainsFunc(out.Backend.Headers, func(h routes.IdentityHeader) bool { return h.Value == word })
	}
	if (tells("username") || tells("sub")) && !tells("issuer") && out.Backend.Assertion.Header == "" {
		r.warn(n.where(), "two people of different providers may have one user name: tell the backend the issuer too, in a header or by the assertion")
	}
}

func (r *resolver) device(in *route) access.Profile {
	if in.Device.V == "" {
		return access.Profile{}
	}
	p, ok := r.profiles[in.Device.V]
	switch {
	case !ok:
		r.mistake(in.Device.where(), "unknown profile %s%s", quoted(in.Device.V), nearest(in.Device.V, r.profileNames()))
	case p.Any: // the contract lists every such route, public ones too
		r.warn(in.Device.where(), "route %s is open to any device and to no device", quoted(in.Name.V))
	}
	return p
}

func (r *resolver) profileNames() []string {
	return append(namesOf(r.config.Posture.Profiles, func(p access.Profile) string { return p.Name }), none)
}

// roleNames resolves a list of roles.
func (r *resolver) roleNames(l list[text]) []string {
	var all []string
	for _, t := range l.Items {
		switch {
		case t.V == "":
		case !r.roles[t.V]:
			r.mistake(t.where(), "unknown role %s%s", quoted(t.V), nearest(t.V, namesOf(r.config.Roles, func(r Role) string { return r.Name })))
		default:
			all = append(all, t.V)
		}
	}
	return all
}

// session checks that a route only tightens.
func (r *resolver) session(in tighter) access.Limits {
	all := r.config.Sessions
	for _, k := range []struct {
		name string
		here span
		all  time.Duration
	}{
		{"lock_after", in.LockAfter, all.LockAfter},
		{"end_after", in.EndAfter, all.EndAfter},
		{"max", in.Max, all.Max},
	} {
		if k.all > 0 && k.here.V > k.all {
			r.mistake(k.here.where(), "%s is longer than sessions.%s (%s): a route may only tighten it", k.name, k.name, short(k.all))
			return access.Limits{}
		}
	}
	out := access.Limits{LockAfter: in.LockAfter.V, EndAfter: in.EndAfter.V, Max: in.Max.V}
	if in.EndAfter.V > 0 || in.Max.V > 0 {
		r.ordered(all.Tighten(out), in.EndAfter, in.Max, in.where())
	}
	return out
}

func (r *resolver) origin(t text) bool {
	u, err := url.Parse(t.V)
	why := ""
	switch {
	case t.V == "*" || t.V == "null":
		why = "anybody could be behind it"
	case err != nil || u.Host == "":
		why = "want one such as https://portal.hospital.example"
	case u.Scheme != "https":
		why = "origins are https"
	case t.V != "https://"+u.Host:
		why = "write scheme, host and port only"
	case u.Port() == "443" || strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port()):
		why = "write the port only when it is not 443"
	default:
		why = hostMistake(u.Hostname())
	}
	if why != "" {
		r.mistake(t.where(), "%s is not an origin as browsers send it: %s", quoted(t.V), why)
	}
	return why == ""
}

// registrable returns the domain within which browsers take hosts for one site.
func registrable(host string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}
