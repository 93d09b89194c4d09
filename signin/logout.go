package signin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/session"
)

const (
	// clearSiteData never says "cookies", which would clear the whole
	// registrable domain.
	clearSiteData = `"cache", "storage"`

	providerWait = 500 * time.Millisecond // a sign-out is not held up for more

	// endedName is the cookie by which the sign-in host remembers a sign-out,
	// since that expires the session's own. The next person is asked who they
	// are, whoever the provider still thinks is there.
	endedName = "__Host-anteroom-login-ended"
)

// A farewell takes a sign-out from an application's host to the sign-in host.
type farewell struct {
	Session string
	Issuer  string
	IDToken string
	At      time.Time
	Host    string // where the person was
}

type ended struct {
	At time.Time `json:"t"`
}

// endedAt returns when this browser last signed out; zero when it did not, or
// somebody has signed in since.
func (d *Desk) endedAt(r *http.Request) time.Time {
	var at time.Time
	for _, c := range r.CookiesNamed(endedName) {
		var e ended
		if d.seal.open(forEnded, c.Value, &e) {
			at = later(at, e.At)
		}
	}
	return at
}

// sessionLife returns how long an ended session can still be remembered.
func (d *Desk) sessionLife() time.Duration {
	if most := d.Limits().Max; most > 0 {
		return most
	}
	return 24 * time.Hour
}

// askLogout asks before signing out: a GET may come from anywhere. With a
// ticket it is the second half of a sign-out.
func (d *Desk) askLogout(w http.ResponseWriter, r *http.Request, at Place) {
	if ticket := r.URL.Query().Get("ticket"); ticket != "" && at.Host == d.host {
		var f farewell
		ok, err := d.take(r.Context(), "logout "+digest(ticket), forTicket, &f)
		if err != nil {
			d.Log.Error("take a sign-out", "error", err, "request_id", at.RequestID)
		}
		if !ok {
			redirect(w, d.own("signed-out"))
			return
		}
		d.leave(w, r, f)
		return
	}
	now := d.Now()
	h := d.Sessions.Find(r, at.Host, now).Handle
	s := d.value(h, now)
	if s == nil {
		d.page(w, at, pages.Page{Kind: pages.SignedOut, Continue: d.origin(at.Host) + "/", Host: at.Host})
		return
	}
	// A form's redirects, too, may only go where its page's policy says.
	forms := []string{d.origin(d.host)}
	if p := d.providerOf(s.Subject.Issuer); p != nil {
		ctx, cancel := context.WithTimeout(r.Context(), providerWait)
		defer cancel()
		if to, ok := p.LogoutURL(ctx, "", d.own("signed-out"), ""); ok {
			if u, err := url.Parse(to); err == nil {
				forms = append(forms, u.Scheme+"://"+u.Host)
			}
		}
	}
	d.page(w, at, pages.Page{Kind: pages.ConfirmSignOut, Who: s.Display(), Host: at.Host, Cancel: d.origin(at.Host) + "/", FormAction: forms})
}

// logout signs this browser out, here, on the sign-in host, and at the
// provider. Only a page of this host may ask for it.
func (d *Desk) logout(w http.ResponseWriter, r *http.Request, at Place) {
	// CrossOriginProtection lets a request pass that says nothing of where it
	// comes from; no browser of today sends such a POST.
	silent := r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == ""
	if silent || http.NewCrossOriginProtection().Check(r) != nil {
		d.note(r.Context(), r, at, entry{kind: access.EventSecurity, verdict: access.Deny.String(), reason: access.BadRequest, detail: "sign-out asked by another site"})
		d.page(w, at, pages.Page{Kind: pages.BadRequest, Status: http.StatusForbidden})
		return
	}
	ctx := r.Context()
	now := d.Now()
	h := d.Sessions.Find(r, at.Host, now).Handle
	s := d.value(h, now)
	f := farewell{At: now, Host: at.Host}
	if s != nil {
		f.Session, f.Issuer, f.IDToken = s.ID, s.Subject.Issuer, h.IDToken()
		// Whoever signs out walks away: what fails from here on is for the log,
		// and the browser forgets and remembers what it can.
		if err := d.Sessions.End(ctx, s.ID, access.SessionEnded); err != nil {
			d.Log.Error("end a session", "error", err, "session", s.ID, "request_id", at.RequestID)
		}
		d.note(ctx, r, at, entry{kind: access.EventSignOut, reason: access.SessionEnded, session: s})
	}
	d.forget(w)
	if at.Host == d.host {
		d.leave(w, r, f)
		return
	}
	next := d.own("signed-out")
	if s != nil {
		ticket := secret()
		if err := d.keep(ctx, "logout "+digest(ticket), forTicket, f); err != nil {
			d.Log.Error("keep a sign-out", "error", err, "request_id", at.RequestID)
		} else {
			next = d.own("logout") + "?ticket=" + ticket
		}
	}
	redirect(w, next)
}

// forget clears what this host has stored in the browser.
func (d *Desk) forget(w http.ResponseWriter) {
	w.Header().Set("Clear-Site-Data", clearSiteData)
	http.SetCookie(w, session.Expire(session.CookieName))
	for i := range slots {
		clearSlot(w, i)
	}
}

// leave is the sign-in host's part of a sign-out: it forgets the browser,
// remembers that it signed out, and hands it to the provider to do the same.
func (d *Desk) leave(w http.ResponseWriter, r *http.Request, f farewell) {
	now := d.Now()
	out := d.own("signed-out")
	back, err := d.seal.seal(forOut, f.Host)
	if err == nil {
		out += "?state=" + url.QueryEscape(back)
	}
	// A ticket that another browser was lured with must not sign its person out.
	if own := d.value(d.Sessions.Find(r, d.host, now).Handle, now); own != nil && own.ID != f.Session {
		redirect(w, out)
		return
	}
	d.forget(w)
	if value, err := d.seal.seal(forEnded, ended{At: f.At}); err == nil {
		http.SetCookie(w, cookie(endedName, value, d.sessionLife()))
	}
	if p := d.providerOf(f.Issuer); p != nil && f.Session != "" {
		ctx, cancel := context.WithTimeout(r.Context(), providerWait)
		defer cancel()
		if to, ok := p.LogoutURL(ctx, f.IDToken, d.own("signed-out"), back); ok {
			redirect(w, to)
			return
		}
	}
	redirect(w, out)
}

// signedOut is where a sign-out ends.
func (d *Desk) signedOut(w http.ResponseWriter, r *http.Request, at Place) {
	host := d.host
	var was string
	if d.seal.open(forOut, r.URL.Query().Get("state"), &was) && d.Known(was) {
		host = was
	}
	d.page(w, at, pages.Page{Kind: pages.SignedOut, Continue: d.origin(host) + "/", Host: host})
}
