package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/access"
)

func (d *decoder) providers(l list[provider]) []Provider {
	if l.given() && len(l.Items) == 0 && !l.Bad {
		d.mistake(l.where(), "providers lists none: nobody could sign in")
	}
	names, issuers := map[string]place{}, map[string]place{}
	var all []Provider
	for i := range l.Items {
		p := &l.Items[i]
		d.unique(names, "provider", p.Name.V, p.Name.where())
		out := Provider{
			Name: p.Name.V, Label: cmp.Or(p.Label.V, p.Name.V), ClientID: p.ClientID.V, ClientSecret: p.ClientSecret.V,
			ClientKey: p.ClientKey.V, ClientKeyID: p.ClientKeyID.V, ACRValues: d.acr(p.ACRValues), AskByClaims: p.AskByClaims.V,
			Claims: Claims{p.Claims.Username.V, p.Claims.Name.V, p.Claims.Groups.V, p.Claims.ACR.V},
			Scopes: texts(p.Scopes),
		}
		switch secret, key := p.ClientSecret.given(), p.ClientKey.given(); {
		case secret && key:
			d.mistake(p.ClientKey.where(), "client_secret and client_key are two ways to prove one thing: give one")
		case !secret && !key && p.given() && !d.reported(p.where()):
			d.mistake(p.where(), "`providers.client_secret` is missing, or `providers.client_key` in its place")
		}
		if u := p.Issuer.V; u != nil {
			switch {
			case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
				out.Issuer = p.Issuer.Written
				if first, again := issuers[out.Issuer]; again {
					d.mistake(p.Issuer.where(), "this is the issuer of the provider in line %d: whose people would they be?", first.line)
				}
				issuers[out.Issuer] = p.where()
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

func (d *decoder) logins(t table[name, login], known []Provider) []access.Login {
	var all []access.Login
	for i := range t.Entries {
		e := &t.Entries[i]
		in, at := &e.Value, e.Value.where()
		l := access.Login{Name: e.Key.V, ACR: d.acr(in.ACR), AMR: texts(in.AMR), Ask: d.acr(in.Ask)}
		own := in.ACR.given() || in.AMR.given() || in.Ask.given()
		switch {
		case in.Providers.given():
			if own {
				d.mistake(in.Providers.where(), "login %s says both for all providers and for each: put all under providers", quoted(e.Key.V))
			}
			l.ACR, l.AMR, l.Ask, l.By = nil, nil, nil, map[string]access.Login{}
			for k := range in.Providers.Entries {
				p := &in.Providers.Entries[k]
				issuer := d.issuerOf(p.Key, known)
				there := access.Login{Name: e.Key.V, ACR: d.acr(p.Value.ACR), AMR: texts(p.Value.AMR), Ask: d.acr(p.Value.Ask)}
				d.provable(there, p.Value.ACR, p.Value.AMR, p.Value.where())
				if issuer != "" {
					l.By[issuer] = there
				}
			}
			if len(in.Providers.Entries) == 0 && !in.Providers.Bad {
				d.mistake(in.Providers.where(), "login %s lists no provider: nothing could prove it", quoted(e.Key.V))
			}
		default:
			if d.provable(l, in.ACR, in.AMR, at) && len(known) > 1 {
				d.warn(at, "login %s is proven by these values from each of %d providers: say under providers what they mean at which", quoted(e.Key.V), len(known))
			}
		}
		all = append(all, l)
	}
	return all
}

// provable reports whether something proves l, and else that nothing does.
func (d *decoder) provable(l access.Login, acr, amr list[text], at place) bool {
	if len(l.ACR) > 0 || len(l.AMR) > 0 {
		return true
	}
	if !acr.Bad && !amr.Bad && !d.reported(at) {
		d.mistake(at, "login %s lists neither acr nor amr: nothing could prove it", quoted(l.Name))
	}
	return false
}

// acr returns acr values. One with a blank in it could not be asked for, since
// acr_values keeps them apart by blanks.
func (d *decoder) acr(l list[text]) []string {
	for _, t := range l.Items {
		if strings.ContainsFunc(t.V, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			d.mistake(t.where(), "%s is not one acr value: they are told apart by blanks", quoted(t.V))
		}
	}
	return texts(l)
}

// issuerOf returns the issuer of the provider that n names; "" when it has none.
func (d *decoder) issuerOf(n name, known []Provider) string {
	i := slices.IndexFunc(known, func(p Provider) bool { return p.Name == n.V })
	if i < 0 {
		if n.V != "" {
			d.mistake(n.where(), "unknown provider %s%s", quoted(n.V), nearest(n.V, namesOf(known, func(p Provider) string { return p.Name })))
		}
		return ""
	}
	return known[i].Issuer
}

// roles returns the roles, and for each issuer which groups give which of them.
func (d *decoder) roles(t table[name, role], known []Provider) ([]Role, map[string]map[string][]int) {
	var all []Role
	of := map[string]map[string][]int{}
	for _, p := range known {
		of[p.Issuer] = map[string][]int{}
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		in := &e.Value
		r := Role{Name: e.Key.V}
		named := func(l list[text]) []string {
			if l.given() && len(l.Items) == 0 && !l.Bad {
				d.mistake(l.where(), "role %s lists no group: nobody could hold it", quoted(r.Name))
			}
			return texts(l)
		}
		give := func(issuer string, groups []string) {
			for _, g := range groups {
				if m := of[issuer]; m != nil {
					m[g] = append(m[g], i)
				}
			}
		}
		switch {
		case in.Providers.given():
			if in.Groups.given() {
				d.mistake(in.Providers.where(), "role %s says both for all providers and for each: put all under providers", quoted(r.Name))
			}
			for k := range in.Providers.Entries {
				p := &in.Providers.Entries[k]
				give(d.issuerOf(p.Key, known), named(p.Value.Groups))
			}
			if len(in.Providers.Entries) == 0 && !in.Providers.Bad {
				d.mistake(in.Providers.where(), "role %s lists no provider: nobody could hold it", quoted(r.Name))
			}
		case in.Groups.given():
			groups := named(in.Groups)
			for _, p := range known {
				give(p.Issuer, groups)
			}
			if len(known) > 1 {
				d.warn(e.Value.where(), "role %s is held by these groups of each of %d providers: say under providers which are whose", quoted(r.Name), len(known))
			}
		case !d.reported(in.where()):
			d.mistake(in.where(), "role %s has neither groups nor providers: nobody could hold it", quoted(r.Name))
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
