package signin

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/pages"
)

// A state is what the provider hands back with its answer. It leads a late
// answer on, when the cookie of its attempt is gone.
type state struct {
	ID     string    `json:"i"`
	Slot   int       `json:"s"` // the attempt's cookie
	Issued time.Time `json:"t"`
	Back   link      `json:"b"`
}

// start begins a journey on the sign-in host: at once with a code when this
// browser's person has proven all that is asked, else by way of the provider.
func (d *Desk) start(w http.ResponseWriter, r *http.Request, at Place) {
	now := d.Now()
	q := r.URL.Query()
	l, err := d.openLink(q.Get("j"))
	if err != nil {
		d.page(w, at, pages.Page{Kind: pages.SignInExpired})
		return
	}
	j := l.journey()
	able := d.able(j)
	if d.stale(l, now) || len(able) == 0 {
		if j.Held != "" {
			d.notSent(r.Context(), w, r, at, j)
			return
		}
		if j.Window {
			d.page(w, at, pages.Page{Kind: pages.SignInExpired, Continue: d.front(j), Host: j.Host})
			return
		}
		redirect(w, d.back(j)) // the application's host refuses anew, with a link that is fresh
		return
	}
	found := d.Sessions.Find(r, d.host, now)
	own := d.value(found.Handle, now)
	if own == nil && found.Tombstone != nil {
		j.NotBefore = later(j.NotBefore, found.Tombstone.At)
	}
	j.NotBefore = later(j.NotBefore, d.endedAt(r))
	if own != nil && own.Locked {
		j.NotBefore = later(j.NotBefore, found.Handle.LockedSince(now))
	}
	if own != nil && !has(able, own.Subject.Issuer) {
		// The other provider's own session may be of whoever was here before.
		j.NotBefore = later(j.NotBefore, l.Issued)
	}
	l.Journey = wire(j)
	if own != nil && has(able, own.Subject.Issuer) && silent(j, own, now) {
		d.send(w, r, at, effect{Link: l, Session: own.ID, Judged: now})
		return
	}
	d.prompt(w, r, at, able, l, own)
}

// stale reports whether l is too old to begin. A step-up or unlock is bound by
// its session's cookie too, so the page with its link may lie about longer: a
// tablet's lock page does.
func (d *Desk) stale(l link, now time.Time) bool {
	life := slotLife
	if l.Journey.Session != "" && l.Journey.Held == "" {
		life = d.sessionLife()
	}
	return expired(l.Issued, life, now)
}

// prompt has a person prove themselves at one of able: it shows them first why,
// when they are locked out, inside a frame, or signed in at another provider,
// and lets them choose where there is a choice; else it sends them to the
// provider.
func (d *Desk) prompt(w http.ResponseWriter, r *http.Request, at Place, able []*authn.Provider, l link, own *access.Session) {
	now := d.Now()
	j := l.journey()
	again := Prefix + "start?j=" + url.QueryEscape(r.URL.Query().Get("j"))
	step := r.URL.Query().Get("go")
	if own != nil && has(able, own.Subject.Issuer) {
		able = []*authn.Provider{d.providerOf(own.Subject.Issuer)} // the person of a session proves themselves where it began
	}
	p := chosen(able, r.URL.Query().Get("at"))
	if len(able) > 1 && p != nil {
		again += "&at=" + url.QueryEscape(p.String())
	}

	framed := j.Frame && step == ""
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "" {
		framed = dest != "document"
	}
	if framed {
		d.page(w, at, pages.Page{Kind: pages.FrameNotice, Code: string(j.Reason), Host: j.Host,
			Continue: d.URL.Scheme + "://" + d.host + d.port + again + "&go=top", Frame: d.origin(j.Host)})
		return
	}
	if own != nil && !has(able, own.Subject.Issuer) && step != "1" {
		d.page(w, at, pages.Page{Kind: pages.OtherProvider, Code: string(access.OtherProvider), Who: own.Display(), Host: j.Host,
			Providers: labels(able), Continue: again + "&go=1"})
		return
	}
	asked := d.alive(j.Session, now)
	locked := own
	if j.Reason == access.SessionLocked && asked != nil {
		locked = asked
	}
	// A held request's page, on the application's host, has said so already.
	if locked != nil && locked.Locked && j.Held == "" && step != "1" {
		signOut := d.own("logout")
		if own == nil || own.ID != locked.ID {
			signOut = d.origin(j.Host) + Prefix + "logout"
		}
		d.page(w, at, pages.Page{Kind: pages.Locked, Who: locked.Display(), Host: j.Host, Continue: again + "&go=1", SignOut: signOut})
		return
	}

	if p == nil {
		d.offer(w, r, at, able, j, again+"&go="+url.QueryEscape(step))
		return
	}
	if wait := d.Begun(at.SourceIP, now); wait > 0 {
		d.page(w, at, pages.Page{Kind: pages.TooMany, Continue: again + "&go=1", Held: j.Held != "", Host: j.Host,
			RetryAfter: int((wait + time.Second - 1) / time.Second)})
		return
	}
	who := asked
	if who == nil {
		who = own
	}
	i, kept := d.freeSlot(r, now), ""
	if j.Host == d.host { // one host for both halves: the cookie of the link is the attempt's too
		if s, ok := d.readSlot(r, l.Slot, now); ok && s.Binding != "" && digest(s.Binding) == l.Hash {
			i, kept = l.Slot, s.Binding
		}
	}
	id := secret()
	sealed, err := d.seal.seal(forState, state{ID: id, Slot: i, Issued: now, Back: l.short()})
	if err != nil {
		d.unavailable(w, at, "begin a sign-in", err)
		return
	}
	ctx, done := d.span(r.Context(), "start", j.Traceparent)
	defer done()
	to, begun, err := p.Begin(ctx, sealed, askFor(l, who))
	if err != nil {
		d.Log.Warn("begin a sign-in", "provider", p.String(), "error", err, "request_id", at.RequestID)
		d.page(w, at, pages.Page{Kind: pages.ProviderDown, Continue: again + "&go=1", Held: j.Held != "", Host: j.Host, RetryAfter: 5})
		return
	}
	begun.State = ""
	if len(able) > 1 {
		d.rememberChoice(w, p)
	}
	l.Journey.Providers = []string{p.String()} // whoever tries again does so where they were
	if j.EachTime {
		l.Journey.NotBefore = later(j.NotBefore, begun.Began)
	}
	s := slot{Issued: now, Binding: kept, Attempt: &attempt{ID: id, Begun: begun, Link: l}}
	value, ok := d.sealSlot(i, s)
	if !ok { // a long return path is the only part that may grow
		s.Attempt.Link.Journey.Return = j.Front
		value, ok = d.sealSlot(i, s)
	}
	if !ok {
		d.unavailable(w, at, "begin a sign-in", errors.New("the journey does not fit into a cookie: its rule names too many acr values"))
		return
	}
	setSlot(w, i, value)
	redirect(w, to)
}
