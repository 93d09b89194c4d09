package config

import (
	"slices"
	"strings"

	"github.com/anteroom/anteroom/access"
)

func (d *decoder) providers(l list[provider]) []Provider {
	if l.given() && len(l.Items) == 0 && !l.Bad {
		d.mistake(l.where(), "providers lists none: nobody could sign in")
	}
	names := map[string]place{}
	var all []Provider
	for i := range l.Items {
		p := &l.Items[i]
		d.unique(names, "provider", p.Name.V, p.Name.where())
		if i == 1 {
			d.mistake(p.where(), "a second provider is not built yet: list one")
		}
		out := Provider{
			Name: p.Name.V, ClientID: p.ClientID.V, ClientSecret: p.ClientSecret.V,
			Claims: Claims{p.Claims.Username.V, p.Claims.Name.V, p.Claims.Groups.V},
			Scopes: texts(p.Scopes),
		}
		if u := p.Issuer.V; u != nil {
			switch {
			case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
				out.Issuer = p.Issuer.Written
			default:
				d.mistake(p.Issuer.where(), "an issuer is https, or http on a loopback address: whoever stands between could sign anybody in")
			}
		}
		for _, s := range p.Scopes.Items {
			// RFC 6749, section 3.3
			if strings.ContainsFunc(s.V, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '"' || r == '\\' }) {
				d.mistake(s.where(), "%s is not one scope", quoted(s.V))
			}
		}
		if p.Scopes.given() && !p.Scopes.Bad && !slices.Contains(out.Scopes, "openid") {
			d.mistake(p.Scopes.where(), "scopes lack openid, without which nobody is identified")
		}
		all = append(all, out)
	}
	return all
}

func (d *decoder) logins(t table[name, login]) []access.Login {
	var all []access.Login
	for i := range t.Entries {
		e := &t.Entries[i]
		l := access.Login{Name: e.Key.V, ACR: texts(e.Value.ACR), AMR: texts(e.Value.AMR)}
		if len(l.ACR) == 0 && len(l.AMR) == 0 && !e.Value.ACR.Bad && !e.Value.AMR.Bad && !d.reported(e.Value.where()) {
			d.mistake(e.Value.where(), "login %s lists neither acr nor amr: nothing could prove it", quoted(e.Key.V))
		}
		all = append(all, l)
	}
	return all
}

func (d *decoder) roles(t table[name, role]) ([]Role, map[string][]int) {
	var all []Role
	of := map[string][]int{}
	for i := range t.Entries {
		e := &t.Entries[i]
		r := Role{Name: e.Key.V, Groups: texts(e.Value.Groups)}
		if e.Value.Groups.given() && len(r.Groups) == 0 && !e.Value.Groups.Bad {
			d.mistake(e.Value.Groups.where(), "role %s lists no group: nobody could hold it", quoted(r.Name))
		}
		for _, g := range r.Groups {
			of[g] = append(of[g], i)
		}
		all = append(all, r)
	}
	return all, of
}

// unique reports a name that stands twice in the file.
func (d *decoder) unique(seen map[string]place, what, name string, at place) {
	if name == "" {
		return
	}
	if first, again := seen[name]; again {
		d.mistake(at, "%s %s stands twice: first in line %d", what, quoted(name), first.line)
		return
	}
	seen[name] = at
}

// texts returns the values of a list; none is nil.
func texts(l list[text]) []string {
	var all []string
	for _, t := range l.Items {
		all = append(all, t.V)
	}
	return all
}

func wordsOf[S vocabulary](l list[word[S]]) []string {
	var all []string
	for _, w := range l.Items {
		if w.V != "" {
			all = append(all, w.V)
		}
	}
	return all
}
