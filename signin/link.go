package signin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
)

const (
	maxLink   = 6 << 10 // bytes of a sealed journey in a URL
	maxTarget = 8 << 10 // bytes of a return path
	maxShort  = 512     // bytes of a return path that also travels in state and codes
)

// A link is a journey on its way: sealed in the URL that begins a sign-in, and
// bound to the browser that was refused by the cookie whose secret hashes to
// Hash.
type link struct {
	Journey wire      `json:"j"`
	Slot    int       `json:"s"` // the cookie's slot on the application's host
	Hash    string    `json:"h"`
	Issued  time.Time `json:"t"`
	Tries   int       `json:"n,omitzero"` // how often the gateway began anew by itself
	Insist  bool      `json:"p,omitzero"` // a sign-in that the provider had was too weak: this one is made anew
}

func (l link) journey() access.Journey { return access.Journey(l.Journey) }

// A wire is a journey under short names, without what is empty: it has to fit
// into a cookie.
type wire struct {
	Host        string         `json:"h"`
	Return      string         `json:"r"`
	Front       string         `json:"f"`
	Providers   []string       `json:"v,omitempty"`
	Reason      access.Reason  `json:"y,omitzero"`
	Route       string         `json:"o,omitzero"`
	Rule        string         `json:"u,omitzero"`
	Logins      []access.Login `json:"l,omitempty"`
	Within      time.Duration  `json:"w,omitzero"`
	EachTime    bool           `json:"e,omitzero"`
	Method      string         `json:"m,omitzero"`
	Session     string         `json:"s,omitzero"`
	Subject     access.Subject `json:"i,omitzero"`
	NotBefore   time.Time      `json:"b,omitzero"`
	Held        string         `json:"d,omitzero"`
	Window      bool           `json:"k,omitzero"`
	Frame       bool           `json:"a,omitzero"`
	RequestID   string         `json:"q,omitzero"`
	Traceparent string         `json:"t,omitzero"`
}

// Link begins journey j for the browser that sent r: it sets a login cookie of
// j's host on w, and returns the URL on the sign-in host to go to, which
// carries j sealed. A Return that is no plain path, or too long to travel,
// becomes Front.
func (d *Desk) Link(w http.ResponseWriter, r *http.Request, j access.Journey) string {
	return d.begin(w, r, j, 0)
}

func (d *Desk) begin(w http.ResponseWriter, r *http.Request, j access.Journey, tries int) string {
	now := d.Now()
	j.Front = target(j.Front, "/")
	j.Return = target(j.Return, j.Front)
	binding := secret()
	i := d.freeSlot(r, now)
	if value, ok := d.sealSlot(i, slot{Issued: now, Binding: binding}); ok {
		setSlot(w, i, value)
	}
	return d.startURL(link{Journey: wire(j), Slot: i, Hash: digest(binding), Issued: now, Tries: tries})
}

// startURL returns where l begins.
func (d *Desk) startURL(l link) string {
	text, err := d.seal.seal(forLink, l)
	if err == nil && len(text) > maxLink {
		l.Journey.Return = l.Journey.Front
		text, err = d.seal.seal(forLink, l)
	}
	if err != nil {
		d.Log.Error("seal a journey", "error", err) // a link without one ends on a page that says so
	}
	return d.own("start") + "?j=" + url.QueryEscape(text)
}

// short returns what of l a late answer needs to begin once more: where to, and
// what no new sign-in may be older than, but nobody's session. Only a journey
// that a held request waits for stays whole: what a person entered must not be
// lost because an attempt was.
func (l link) short() link {
	j := l.Journey
	to := j.Return
	if j.Held != "" || j.Window || len(to) > maxShort {
		to = j.Front
	}
	if len(to) > maxShort {
		to = "/"
	}
	front := j.Front
	if len(front) > maxShort {
		front = "/"
	}
	if j.Held != "" {
		l.Journey.Return, l.Journey.Front = to, front
		return l
	}
	l.Journey = wire{Host: j.Host, Return: to, Front: front, Providers: j.Providers, Reason: access.NoSession, NotBefore: j.NotBefore}
	return l
}

// own returns the URL of an endpoint on the sign-in host.
func (d *Desk) own(name string) string { return d.origin(d.host) + Prefix + name }

// origin returns the origin of one of our hosts: all share the sign-in host's
// scheme and port.
func (d *Desk) origin(host string) string { return d.URL.Scheme + "://" + host + d.port }

// back returns the absolute URL where j's person goes on by a plain link: the
// page asked for, or the front page when that was no page.
func (d *Desk) back(j access.Journey) string {
	if j.Held != "" || j.Window {
		return d.front(j)
	}
	return d.origin(j.Host) + target(j.Return, target(j.Front, "/"))
}

// front returns the absolute URL of j's front page.
func (d *Desk) front(j access.Journey) string { return d.origin(j.Host) + target(j.Front, "/") }

// target returns s when it is a path with an optional query, and otherwise
// fallback. A browser reads "//" and "/\" as the beginning of another host, and
// drops control characters before it looks.
func target(s, fallback string) string {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.HasPrefix(s, `/\`) {
		return fallback
	}
	path, _, _ := strings.Cut(s, "?")
	if strings.Contains(path, `\`) || strings.Contains(s, "#") || len(s) > maxTarget {
		return fallback
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fallback
		}
	}
	if _, err := url.Parse(s); err != nil {
		return fallback
	}
	return s
}

// openLink reads the journey of a start URL. It fails when it is not ours, or
// leads to a host that is not served any more.
func (d *Desk) openLink(text string) (link, error) {
	var l link
	if !d.seal.open(forLink, text, &l) {
		return link{}, fmt.Errorf("the journey is not sealed by this gateway")
	}
	if !d.Known(l.Journey.Host) {
		return link{}, fmt.Errorf("the journey leads to a host without a route")
	}
	return l, nil
}
