package proxy

import (
	"errors"
	"net/http"
	"slices"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

// heldHeaders are what of a held request's header goes with its body; the rest
// is taken from the request that releases it.
var heldHeaders = []string{"Content-Type", "Content-Encoding", "Content-Language", "Accept", "Accept-Language", "Origin", "Referer"}

// hold keeps a POST while its person proves themselves, and answers with a page
// that leads on. It is a page and a link, since the form-action policy of an
// application would stop a redirect.
func (x *exchange) hold(d access.Decision) {
	if !fromOrigin(x.r, x.state.origin(x.req.Host), x.route.Origins) {
		x.security("hold_foreign_origin")
		x.say(answers[foreign], d.Rule, nil)
		return
	}
	if no := x.readBody(x.need.KeepRequest); no != nil {
		x.say(answers[no.kind], d.Rule, nil)
		return
	}
	empty := x.r.ContentLength == 0
	if x.need.KeepRequest == 0 || !x.whole && !empty || int64(len(x.fullBody)) > x.need.KeepRequest {
		x.tooLargeToHold(d)
		return
	}
	h := HeldRequest{
		Session: x.heldSession(), Host: x.req.Host, Route: x.route.Name, Rule: d.Rule,
		Origin: x.r.Header.Get("Origin"), Method: x.req.Method, Target: x.req.Target(),
		Subject: x.heldSubject(), Header: http.Header{}, Body: x.fullBody,
	}
	for _, name := range heldHeaders {
		if v, ok := x.r.Header[name]; ok {
			h.Header[name] = v
		}
	}
	id, err := x.g.Held.Hold(x.background(), h)
	switch {
	case errors.Is(err, ErrHeldTooLarge):
		x.tooLargeToHold(d)
		return
	case errors.Is(err, ErrHeldFull):
		x.g.Meter.Limited("held_requests")
		x.w.Header().Set("Retry-After", "30")
		x.say(answers[tooMany], d.Rule, func(p *pages.Page) { p.RetryAfter = 30 })
		return
	case err != nil:
		x.g.Log.Error("hold a request", "error", err, "route", x.route.Name, "request_id", x.id)
		x.say(answers[unavailable], d.Rule, nil)
		return
	}
	j := x.journey(d)
	j.Held, j.Subject = id, h.Subject
	x.page(pages.Page{
		Kind: holdPage(d.Verdict), Status: http.StatusOK, Code: string(d.Reason), Rule: d.Rule, Held: true,
		Who: x.who(), Continue: x.g.Desk.Link(x.w, x.r, j), Cancel: j.Front,
	})
}

// tooLargeToHold says, before any prompt, that the request must be sent again
// after signing in, and leads there.
func (x *exchange) tooLargeToHold(d access.Decision) {
	j := x.journey(d)
	j.Return = j.Front
	x.say(answers[tooLargeToHold], d.Rule, func(p *pages.Page) {
		p.Continue = x.g.Desk.Link(x.w, x.r, j)
		p.Cancel = j.Front
	})
}

func holdPage(v access.Verdict) pages.Kind {
	switch v {
	case access.Locked:
		return pages.Locked
	case access.SignIn:
		return pages.SessionEnded
	}
	return pages.StepUp
}

func (x *exchange) heldSubject() access.Subject {
	if x.session != nil {
		return x.session.Subject
	}
	return x.found.EndedOf
}

// returns reports whether the person whose request it is can come back for it:
// not when their provider does not count on this route.
func (x *exchange) returns() bool { return slices.Contains(x.route.Issuers, x.heldSubject().Issuer) }

func (x *exchange) heldSession() string {
	if x.session != nil {
		return x.session.ID
	}
	return x.found.EndedID
}

func (x *exchange) who() string {
	if x.session == nil {
		return ""
	}
	return x.session.Display()
}
