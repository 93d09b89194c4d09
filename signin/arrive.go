package signin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/held"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/store"
)

const (
	codeLife = 30 * time.Second
	onceLife = 60 * time.Second // of evidence for one method and URL
)

// A code brings a browser from the sign-in host back to the application's.
// The effect under its ID waits in the store; the rest is for a code that comes
// too late for it.
type code struct {
	ID      string    `json:"i"`
	Issued  time.Time `json:"t"`
	Back    link      `json:"b"`
	Session string    `json:"s,omitzero"` // whose cookie, on the way back, also shows that it is the same browser
}

// An effect is what happens when its browser has come back.
type effect struct {
	Link     link
	Session  string         // to be joined
	Renew    *session.Begin // what a step-up or unlock of it proved; nil: nothing new
	Begun    bool           // Renew was recorded as a sign-in already
	Stranger bool           // another person than the one asked for
	Judged   time.Time
}

// send keeps e under a one-time code and sends the browser off with that.
func (d *Desk) send(w http.ResponseWriter, r *http.Request, at Place, e effect) {
	l := e.Link
	c := code{ID: secret(), Issued: d.Now(), Back: l.short()}
	// Only where that very session was asked: what another one of the same
	// person holds was perhaps entered by somebody else, on another device.
	if e.Session == l.Journey.Session {
		c.Session = e.Session
	}
	text, err := d.seal.seal(forCode, c)
	if err == nil {
		err = d.keep(r.Context(), "return "+digest(c.ID), forEffect, e)
	}
	if err != nil {
		d.unavailable(w, at, "make a return code", err)
		return
	}
	redirect(w, d.origin(l.Journey.Host)+Prefix+"return?code="+url.QueryEscape(text))
}

// keep stores v, sealed, for one taking within codeLife.
func (d *Desk) keep(ctx context.Context, key, purpose string, v any) error {
	sealed, err := d.seal.seal(purpose, v)
	if err != nil {
		return err
	}
	_, err = d.Codes.Create(ctx, key, []byte(sealed), codeLife)
	return err
}

// take returns in v what [Desk.keep] stored, and whether it was there. An error
// means that the store could not answer.
func (d *Desk) take(ctx context.Context, key, purpose string, v any) (bool, error) {
	sealed, err := d.Codes.Take(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return d.seal.open(purpose, string(sealed), v), nil
}

// arrive takes a browser back on the application's host.
func (d *Desk) arrive(w http.ResponseWriter, r *http.Request, at Place) {
	now := d.Now()
	ctx := r.Context()
	var c code
	if !d.seal.open(forCode, r.URL.Query().Get("code"), &c) || c.Back.Journey.Host != at.Host {
		d.lost(w, r, at, nil)
		return
	}
	h := d.Sessions.Find(r, at.Host, now).Handle
	same := c.Session != "" && h != nil && h.ID() == c.Session
	if !same && !d.bound(r, c.Back, now) || expired(c.Issued, codeLife, now) {
		d.lost(w, r, at, &c)
		return
	}
	var e effect
	switch ok, err := d.take(ctx, "return "+digest(c.ID), forEffect, &e); {
	case err != nil:
		d.unavailable(w, at, "take a return code", err)
		return
	case !ok:
		d.lost(w, r, at, &c)
		return
	}
	j := e.Link.journey()
	ctx, done := d.span(ctx, "return", j.Traceparent)
	defer done()
	clearSlot(w, c.Back.Slot)
	if e.Stranger {
		d.replace(ctx, r, at, j)
	}
	if e.Renew != nil && !d.renew(ctx, w, r, at, e) {
		return
	}
	s, ok := d.join(ctx, w, r, at, e)
	if !ok {
		return
	}
	switch {
	case e.Stranger && j.Window:
		redirect(w, d.origin(j.Host)+Prefix+"done")
	case e.Stranger:
		redirect(w, d.front(j))
	case j.Held != "":
		d.release(ctx, w, at, e, s.Subject)
	case j.Window:
		redirect(w, d.origin(j.Host)+Prefix+"done")
	default:
		redirect(w, d.back(j))
	}
}

// lost answers a code that opens nothing, as [Desk.stray] answers a callback.
// c is nil when it is no code of this host. A held request is not bound anew to
// the browser that comes: it may be another than the one it was entered in.
func (d *Desk) lost(w http.ResponseWriter, r *http.Request, at Place, c *code) {
	now := d.Now()
	j := access.Journey{Host: at.Host, Return: "/", Front: "/"}
	if c != nil {
		j = c.Back.journey()
	}
	h := d.Sessions.Find(r, at.Host, now).Handle
	switch {
	case j.Held != "" && h != nil && h.ID() == j.Session: // it came late, or twice
		d.again(w, r, at, c.Back)
	case j.Held != "":
		d.notSent(r.Context(), w, r, at, j)
	case d.value(h, now) != nil, c != nil && expired(c.Issued, codeLife, now):
		redirect(w, d.back(j))
	case c != nil && c.Back.Tries <= 1 && d.anyBegun(r, now): // the callback may have begun once more, too
		redirect(w, d.begin(w, r, j, 2))
	default:
		d.note(r.Context(), r, at, entry{kind: access.EventSecurity, verdict: access.Deny.String(), reason: access.BadRequest, journey: j, detail: "return matches no sign-in in progress"})
		d.page(w, at, pages.Page{Kind: pages.SignInExpired, Continue: d.back(j), Host: at.Host})
	}
}

// replace ends what the person asked for leaves behind when another came.
func (d *Desk) replace(ctx context.Context, r *http.Request, at Place, j access.Journey) {
	d.drop(ctx, j)
	if s := d.alive(j.Session, d.Now()); s != nil {
		d.end(ctx, r, at, s, access.SubjectChanged, j)
	}
}

// renew puts what was proven on the session. It reports false when it has
// answered instead.
func (d *Desk) renew(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, e effect) bool {
	j := e.Link.journey()
	s := d.alive(e.Session, d.Now())
	if s == nil {
		d.over(ctx, w, r, at, j)
		return false
	}
	var once *session.Once
	if j.EachTime && j.Held == "" {
		once = &session.Once{Method: j.Method, Host: j.Host, Target: j.Return, Until: e.Judged.Add(onceLife)}
	}
	if !e.Begun {
		s.Authentication, s.Roles, s.Locked = e.Renew.Authn, d.RolesOf(e.Renew.Authn.Subject.Issuer, e.Renew.Authn.Groups), false
		if err := d.record(ctx, r, at, entry{kind: kindOf(j), verdict: access.Allow.String(), reason: j.Reason, session: s, journey: j}); err != nil {
			d.cannotRecord(w, at, err)
			return false
		}
	}
	switch err := d.Sessions.Renew(ctx, e.Session, *e.Renew, once); {
	case errors.Is(err, session.ErrEnded):
		d.over(ctx, w, r, at, j)
		return false
	case err != nil:
		d.unavailable(w, at, "renew a session", err)
		return false
	}
	return true
}

// over answers for a session that ended while its person was on the way back.
func (d *Desk) over(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, j access.Journey) {
	if j.Held != "" {
		d.drop(ctx, j)
		d.notSent(ctx, w, r, at, j)
		return
	}
	d.page(w, at, pages.Page{Kind: pages.SessionEnded, Continue: d.back(j), Host: j.Host})
}

// join gives this browser an id of e's session on this host. One that it has
// already stays, unless more was proven: an id that was known before a step-up
// must not be worth more after it. It returns the session, or has answered.
func (d *Desk) join(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, e effect) (*access.Session, bool) {
	j := e.Link.journey()
	now := d.Now()
	s := d.alive(e.Session, now)
	if s == nil {
		d.over(ctx, w, r, at, j)
		return nil, false
	}
	found := d.Sessions.Find(r, at.Host, now)
	had := d.value(found.Handle, now)
	if had != nil && had.ID == e.Session && e.Renew == nil {
		return s, true
	}
	if had != nil && had.Subject != s.Subject {
		d.end(ctx, r, at, had, access.SubjectChanged, j)
	}
	before := had != nil && had.Subject != s.Subject || found.Tombstone != nil && found.Tombstone.Subject != s.Subject
	if e.Stranger || before {
		w.Header().Set("Clear-Site-Data", clearSiteData)
	}
	c, err := d.Sessions.Join(ctx, e.Session, at.Host)
	switch {
	case errors.Is(err, session.ErrEnded):
		d.over(ctx, w, r, at, j)
		return nil, false
	case err != nil:
		d.unavailable(w, at, "join a session", err)
		return nil, false
	}
	http.SetCookie(w, c)
	return s, true
}

// release hands the browser the form that sends its held request.
func (d *Desk) release(ctx context.Context, w http.ResponseWriter, at Place, e effect, who access.Subject) {
	j := e.Link.journey()
	gone := pages.Page{Kind: pages.AlreadySent, Continue: d.front(j), Rule: j.Rule, Host: j.Host}
	req, err := d.Held.Peek(ctx, j.Held)
	if err == nil && (req.Host != at.Host || req.Subject != who) {
		err = held.ErrGone // another person's, whatever the journey says
	}
	var token string
	if err == nil {
		token, err = d.Held.Release(ctx, j.Held, held.Proof{Session: e.Session, Judged: e.Judged, Once: j.EachTime})
	}
	switch {
	case errors.Is(err, held.ErrGone):
		d.page(w, at, gone)
	case err != nil:
		d.unavailable(w, at, "release a held request", err)
	default:
		d.page(w, at, pages.Page{Kind: pages.Release, Rule: j.Rule, Host: j.Host,
			Release: &pages.ReleaseForm{Action: d.origin(at.Host) + req.Target, Token: token}})
	}
}
