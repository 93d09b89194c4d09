package signin

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/pages"
)

const (
	// chosenName is the cookie by which the sign-in host remembers where a
	// browser last signed in, to offer that first. It names no person.
	chosenName = "__Host-anteroom-login-chosen"
	chosenLife = 90 * 24 * time.Hour
)

// able returns the providers that can settle j: the one whose subject it is
// about, else those that it names, else the first of all. It returns none when
// a reload has removed them.
func (d *Desk) able(j access.Journey) []*authn.Provider {
	all := d.Providers()
	if j.Subject != (access.Subject{}) {
		all = slices.DeleteFunc(slices.Clone(all), func(p *authn.Provider) bool { return p.Issuer() != j.Subject.Issuer })
		return all[:min(1, len(all))]
	}
	if len(j.Providers) == 0 {
		return all[:min(1, len(all))]
	}
	var able []*authn.Provider
	for _, name := range j.Providers {
		if p := d.provider(name); p != nil {
			able = append(able, p)
		}
	}
	return able
}

// has reports whether one of all is the provider of issuer.
func has(all []*authn.Provider, issuer string) bool {
	return slices.ContainsFunc(all, func(p *authn.Provider) bool { return p.Issuer() == issuer })
}

// chosen returns the one of able that name names, or the only one there is; nil
// when the person has to choose.
func chosen(able []*authn.Provider, name string) *authn.Provider {
	for _, p := range able {
		if len(able) == 1 || p.String() == name {
			return p
		}
	}
	return nil
}

// offer has the person choose one of able, the one of last time first.
func (d *Desk) offer(w http.ResponseWriter, r *http.Request, at Place, able []*authn.Provider, j access.Journey, again string) {
	last := d.lastChoice(r)
	able = slices.Clone(able)
	slices.SortStableFunc(able, func(a, b *authn.Provider) int {
		switch {
		case a.String() == last:
			return -1
		case b.String() == last:
			return 1
		}
		return 0
	})
	p := pages.Page{Kind: pages.Choose, Host: j.Host}
	for _, one := range able {
		p.Choices = append(p.Choices, pages.Choice{
			Name: one.String(), Label: one.Label(), Link: again + "&at=" + url.QueryEscape(one.String()), Last: one.String() == last,
		})
	}
	d.page(w, at, p)
}

func labels(all []*authn.Provider) []string {
	var names []string
	for _, p := range all {
		names = append(names, p.Label())
	}
	return names
}

// lastChoice returns the name of the provider that this browser chose last; ""
// when it chose none.
func (d *Desk) lastChoice(r *http.Request) string {
	var name string
	if cookies := r.CookiesNamed(chosenName); len(cookies) == 1 {
		d.seal.open(forChoice, cookies[0].Value, &name)
	}
	return name
}

func (d *Desk) rememberChoice(w http.ResponseWriter, p *authn.Provider) {
	if value, err := d.seal.seal(forChoice, p.String()); err == nil {
		http.SetCookie(w, cookie(chosenName, value, chosenLife))
	}
}
