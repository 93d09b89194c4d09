package signin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
	"github.com/anteroom/anteroom/pages"
	"github.com/anteroom/anteroom/session"
	"github.com/anteroom/anteroom/store"
)

// callback takes the provider's answer to an attempt, judges it, and sends the
// browser on to the application's host with a one-time code. What changes a
// session that the browser has over there waits until it has arrived and shown
// the cookie it was bound to: whoever lures another into finishing an attempt
// gains nothing by it.
func (d *Desk) callback(w http.ResponseWriter, r *http.Request, at Place) {
	now := d.Now()
	q := r.URL.Query()
	var st state
	if !d.seal.open(forState, q.Get("state"), &st) || !d.Known(st.Back.Journey.Host) {
		d.note(r.Context(), r, at, entry{kind: access.EventSecurity, verdict: access.Deny.String(), reason: access.BadRequest, detail: "callback with an unknown state"})
		d.page(w, at, pages.Page{Kind: pages.SignInExpired})
		return
	}
	s, ok := d.readSlot(r, st.Slot, now)
	if !ok || s.Attempt == nil || s.Attempt.ID != st.ID {
		d.stray(w, r, at, st)
		return
	}
	l := s.Attempt.Link
	j := l.journey()
	ctx, done := d.span(r.Context(), "callback", j.Traceparent)
	defer done()

	// The attempt is spent whatever comes of it. The mark catches a second
	// delivery that still carries the cookie, so that no code is redeemed twice.
	switch _, err := d.Codes.Create(ctx, "attempt "+digest(st.ID), []byte("spent"), slotLife+time.Minute); {
	case errors.Is(err, store.ErrExists):
		d.stray(w, r, at, st)
		return
	case err != nil:
		d.unavailable(w, at, "mark a sign-in as spent", err)
		return
	}
	d.spend(w, st.Slot, s)

	p := d.provider(s.Attempt.Begun.Provider)
	if p == nil {
		d.unavailable(w, at, "finish a sign-in", errors.New("the attempt's provider is not configured any more"))
		return
	}
	begun := s.Attempt.Begun
	begun.State = q.Get("state")
	proof, err := p.Finish(ctx, begun, q)
	if err != nil {
		d.unfinished(ctx, w, r, at, p, l, err)
		return
	}
	d.judged(ctx, w, r, at, p, l, proof, d.Now().Sub(now))
}

// spend takes the attempt out of its slot; on a host that is the application's
// too, the binding stays for the way back.
func (d *Desk) spend(w http.ResponseWriter, i int, s slot) {
	s.Attempt = nil
	if value, ok := d.sealSlot(i, s); ok && s.Binding != "" {
		setSlot(w, i, value)
		return
	}
	clearSlot(w, i)
}

// stray answers a callback whose attempt this browser does not hold. One that
// came twice finds its person signed in, and goes where it was to go. One that
// came late goes there too, and is refused and sent on anew; that cannot go
// round in circles, since each round takes as long as an attempt lives. One
// that lost its cookie to other tabs begins once more. Else it may be somebody
// else's, and ends here. A held request is no page to be led to: its journey
// begins again a few times, which mostly ends at once since another tab has
// proven what it needs, and else the person is told that it was not sent.
func (d *Desk) stray(w http.ResponseWriter, r *http.Request, at Place, st state) {
	now := d.Now()
	l, j := st.Back, st.Back.journey()
	h := d.Sessions.Find(r, d.host, now).Handle
	switch {
	case d.value(h, now) != nil:
		d.await(r.Context(), h, st.Issued)
		if j.Held == "" {
			redirect(w, d.back(j))
			return
		}
		d.again(w, r, at, l)
	case j.Held != "" && d.anyBegun(r, now):
		d.again(w, r, at, l)
	case j.Held != "" && expired(st.Issued, slotLife, now):
		d.notSent(r.Context(), w, r, at, j)
	case expired(st.Issued, slotLife, now):
		redirect(w, d.back(j))
	case l.Tries == 0 && d.anyBegun(r, now):
		l.Tries++
		redirect(w, d.startURL(l))
	default:
		d.note(r.Context(), r, at, entry{kind: access.EventSecurity, verdict: access.Deny.String(), reason: access.BadRequest, journey: j, detail: "callback matches no sign-in in progress"})
		d.page(w, at, pages.Page{Kind: pages.SignInExpired, Continue: d.back(j), Host: j.Host})
	}
}

// maxTries is how often a journey with a held request begins anew by itself.
const maxTries = 3

// again begins l anew, which a held request waits for. It stays bound to the
// browser that it was bound to: whoever is lured here sends nothing.
func (d *Desk) again(w http.ResponseWriter, r *http.Request, at Place, l link) {
	if l.Tries >= maxTries || d.stale(l, d.Now()) {
		d.notSent(r.Context(), w, r, at, l.journey())
		return
	}
	l.Tries++
	redirect(w, d.startURL(l))
}

// notSent tells a person, and the trail, that what j held will not be sent.
func (d *Desk) notSent(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, j access.Journey) {
	d.note(ctx, r, at, entry{kind: kindOf(j), verdict: access.Deny.String(), reason: j.Reason, journey: j,
		session: d.alive(j.Session, d.Now()), detail: "held request was not sent"})
	d.page(w, at, pages.Page{Kind: pages.NotSent, Rule: j.Rule, Host: j.Host, Continue: d.front(j)})
}

// tabWait is how long a lost attempt waits for the one that took its place.
const tabWait = 2 * time.Second

// await gives another tab of this browser, which took the place of an attempt
// begun at since, a moment to finish its own. Until it has, the person would be
// sent round and round, and browsers give up after twenty redirects.
func (d *Desk) await(ctx context.Context, h *session.Handle, since time.Time) {
	ctx, cancel := context.WithTimeout(ctx, tabWait)
	defer cancel()
	for h.Proven(d.Now()).Before(since) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// unfinished answers an attempt at p that brought no proof. The log says which
// provider it was; the person need not care.
func (d *Desk) unfinished(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, p *authn.Provider, l link, err error) {
	j := l.journey()
	log := d.Log.With("provider", p.String())
	e := entry{kind: kindOf(j), verdict: access.Deny.String(), reason: j.Reason, journey: j, session: d.alive(j.Session, d.Now())}
	page := pages.Page{Kind: pages.SignInFailed, Continue: d.front(j), Cancel: d.front(j), Rule: j.Rule, Host: j.Host, Held: j.Held != ""}
	if down, ok := errors.AsType[*authn.UnavailableError](err); ok {
		log.Warn("finish a sign-in", "error", down, "request_id", at.RequestID)
		d.down(w, at, l)
		return
	}
	if refused, ok := errors.AsType[*authn.RefusedError](err); ok {
		switch refused.Code {
		case "access_denied":
			page.Code, e.detail = refused.Code, "cancelled at the provider"
			d.drop(ctx, j)
		case "server_error", "temporarily_unavailable":
			d.down(w, at, l)
			return
		case "interaction_required", "unmet_authentication_requirements", "login_required",
			"account_selection_required", "consent_required":
			e.detail = "provider cannot prove what is asked"
			page.Kind, page.Continue = pages.StepUpFailed, d.startURL(l)
		default:
			e.detail = "provider refused"
			d.drop(ctx, j)
		}
		log.Info("finish a sign-in", "error", refused, "request_id", at.RequestID)
		d.note(ctx, r, at, e)
		d.page(w, at, page)
		return
	}
	if errors.Is(err, authn.ErrGroups) {
		e.reason, e.detail, page.Code, page.Cancel = access.GroupsLeftOut, "provider left the groups out", string(access.GroupsLeftOut), ""
		log.Error("finish a sign-in: have the provider send only the groups that roles name", "error", err, "request_id", at.RequestID)
		d.drop(ctx, j)
		d.note(ctx, r, at, e)
		d.page(w, at, page)
		return
	}
	e.kind, e.reason, e.detail = access.EventSecurity, access.BadRequest, "callback failed its checks"
	if skew, ok := errors.AsType[*authn.SkewError](err); ok {
		e.detail = "clocks of provider and gateway differ"
		log.Error("finish a sign-in: set the clocks right", "error", skew, "by", skew.By, "request_id", at.RequestID)
	} else {
		log.Warn("finish a sign-in", "error", err, "request_id", at.RequestID)
	}
	d.drop(ctx, j)
	d.note(ctx, r, at, e)
	d.page(w, at, page)
}

// down answers an attempt that the provider was not there to finish: the same
// journey may begin again.
func (d *Desk) down(w http.ResponseWriter, at Place, l link) {
	d.page(w, at, pages.Page{Kind: pages.ProviderDown, Continue: d.startURL(l), Cancel: d.front(l.journey()),
		Held: l.Journey.Held != "", Host: l.Journey.Host, RetryAfter: 5})
}

// drop forgets what j holds: nobody will come back for it.
func (d *Desk) drop(ctx context.Context, j access.Journey) {
	if j.Held == "" {
		return
	}
	if err := d.Held.Drop(ctx, j.Held); err != nil {
		d.Log.Error("drop a held request", "error", err) // it expires by itself
	}
}

// kindOf returns the kind of record that a journey ends in.
func kindOf(j access.Journey) access.EventKind {
	switch j.Reason {
	case access.SessionLocked:
		return access.EventUnlock
	case access.WeakLogin, access.OldLogin, access.OnceUsed:
		return access.EventStepUp
	}
	return access.EventSignIn
}

// judged goes on with what a provider proved, which took it so long to answer:
// by as much the sign-in may be newer than its FreshAt says, which errs to the
// old. A person who is quick at a slow provider is not sent round for that.
func (d *Desk) judged(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, p *authn.Provider, l link, proof authn.Proof, took time.Duration) {
	now := d.Now()
	j := l.journey()
	if !j.NotBefore.IsZero() {
		j.NotBefore = j.NotBefore.Add(-took)
	}
	asked := d.alive(j.Session, now)
	stranger := j.Subject != (access.Subject{}) && proof.Subject != j.Subject

	lack := proven
	switch {
	case stranger, asked == nil && j.Held == "":
		// A session of its own begins: what a rule asks, the application's host
		// asks then. What ended or locked before it still counts.
		if !fresh(proof.Authentication, j.NotBefore) {
			lack = notFresh
		}
	default:
		lack = judge(j, proof.Authentication, now)
	}
	if (lack == tooWeak || lack == tooOld) && !l.Insist {
		// To many providers acr_values and max_age are wishes: they answer from
		// the sign-in that they have. The person is asked anew, once.
		l.Insist = true
		redirect(w, d.startURL(l))
		return
	}
	if lack != proven {
		who := &access.Session{Authentication: proof.Authentication, Roles: d.RolesOf(proof.Subject.Issuer, proof.Groups)}
		if asked != nil && !stranger {
			who.ID, who.Device = asked.ID, asked.Device
		}
		d.note(ctx, r, at, entry{kind: kindOf(j), verdict: access.Deny.String(), reason: j.Reason, session: who, journey: j, detail: string(lack)})
		d.page(w, at, pages.Page{Kind: pages.StepUpFailed, Rule: j.Rule, Host: j.Host, Continue: d.startURL(l), Cancel: d.front(j)})
		return
	}

	b := session.Begin{Authn: proof.Authentication, Provider: p.String(), ProviderSID: proof.SID, IDToken: proof.IDToken}
	e := effect{Link: l, Judged: now, Stranger: stranger}
	if asked != nil && !stranger {
		d.leaveOthers(ctx, w, r, at, proof.Subject, j)
		e.Session, e.Renew = j.Session, &b
		d.send(w, r, at, e)
		return
	}
	id, ok := d.signIn(ctx, w, r, at, b, j)
	if !ok {
		return
	}
	e.Session = id
	if j.EachTime && !stranger && judge(j, proof.Authentication, now) == proven {
		e.Renew, e.Begun = &b, true
	}
	d.send(w, r, at, e)
}

// leaveOthers ends the session that another person has in this browser on the
// sign-in host.
func (d *Desk) leaveOthers(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, who access.Subject, j access.Journey) {
	now := d.Now()
	own := d.value(d.Sessions.Find(r, d.host, now).Handle, now)
	if own == nil || own.Subject == who {
		return
	}
	d.end(ctx, r, at, own, access.SubjectChanged, j)
	// The person of now has proven themselves after it, so it need not make
	// their next sign-in ask again.
	http.SetCookie(w, session.Expire(session.CookieName))
}

// signIn gives this browser a session of b's person on the sign-in host, under
// a new id: a new session, or their own that is alive there already. It returns
// the session's name, or has answered.
func (d *Desk) signIn(ctx context.Context, w http.ResponseWriter, r *http.Request, at Place, b session.Begin, j access.Journey) (string, bool) {
	now := d.Now()
	own := d.value(d.Sessions.Find(r, d.host, now).Handle, now)
	if own != nil && own.Subject == b.Authn.Subject {
		kind, why := access.EventSignIn, j.Reason
		if own.Locked {
			kind, why = access.EventUnlock, access.SessionLocked
		}
		renewed := *own
		renewed.Authentication, renewed.Roles, renewed.Locked = b.Authn, d.RolesOf(b.Authn.Subject.Issuer, b.Authn.Groups), false
		if err := d.record(ctx, r, at, entry{kind: kind, verdict: access.Allow.String(), reason: why, session: &renewed, journey: j}); err != nil {
			d.cannotRecord(w, at, err)
			return "", false
		}
		err := d.Sessions.Renew(ctx, own.ID, b, nil)
		if err == nil {
			var c *http.Cookie
			if c, err = d.Sessions.Join(ctx, own.ID, d.host); err == nil {
				d.welcome(w, c)
				return own.ID, true
			}
		}
		if !errors.Is(err, session.ErrEnded) {
			d.unavailable(w, at, "renew a session", err)
			return "", false
		}
		own = nil // it ended this moment
	}
	if own != nil {
		d.end(ctx, r, at, own, access.SubjectChanged, j)
	}
	h, c, err := d.Sessions.Begin(ctx, b, d.host)
	if err != nil {
		d.unavailable(w, at, "begin a session", err)
		return "", false
	}
	if err := d.record(ctx, r, at, entry{kind: access.EventSignIn, verdict: access.Allow.String(), reason: j.Reason, session: d.value(h, now), journey: j}); err != nil {
		if err := d.Sessions.End(ctx, h.ID(), access.SessionEnded); err != nil {
			d.Log.Error("end a session that could not be recorded", "error", err) // no browser was given its id
		}
		d.cannotRecord(w, at, err)
		return "", false
	}
	d.welcome(w, c)
	return h.ID(), true
}

// welcome sets the session's cookie; the sign-out before it is past.
func (d *Desk) welcome(w http.ResponseWriter, c *http.Cookie) {
	http.SetCookie(w, c)
	http.SetCookie(w, cookie(endedName, "", 0))
}
