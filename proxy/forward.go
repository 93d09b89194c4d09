package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/carry"
)

// forward sends the request on and the answer back. It takes a grant, and only
// a decision makes one; without it nothing leaves.
func (x *exchange) forward(grant access.Grant) {
	if !grant.Allowed() {
		x.say(answers[notAllowed], "", nil)
		return
	}
	c, ctx := &x.carriage, x.r.Context()
	c.x, c.grant = x, grant
	defer c.unwatch()
	if grant.Session() != nil && (x.r.ContentLength < 0 || x.r.ContentLength > longBody) {
		cut, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		c.watch(stop, false)
		ctx = cut
	}
	defer c.unread()
	x.rewrite(grant)
	c.began = time.Now()
	answer, err := x.state.Backends.of[x.route.Backend].Send(ctx, &c.out)
	if err != nil {
		x.failed(err)
		return
	}
	defer answer.Close()
	x.backend = time.Since(c.began)
	if err := x.checkAnswer(answer); err != nil {
		answer.Close() // before anybody reads why not
		x.failed(err)
		return
	}
	x.trace.BackendDone(answer.Status, nil)
	if answer.Status == http.StatusSwitchingProtocols {
		c.switchProtocols(answer)
		return
	}
	c.passOn(answer)
}

// A carriage is an exchange on its way to the backend and back. It lies in the
// exchange, so that what every request needs is made once.
type carriage struct {
	x     *exchange
	grant access.Grant
	out   carry.Request
	began time.Time
	lines [12]string // values of header fields that are set
	open  *stream    // nil: not watched
}

// unread waits until nothing reads the request's body any more, which net/http
// must not see after the handler. What nobody wants of it need not come.
func (c *carriage) unread() {
	if !c.out.Uploading() {
		return
	}
	conn := http.NewResponseController(c.x.w)
	conn.Flush() // what was answered is not to wait for it
	conn.SetReadDeadline(time.Now().Add(bodyRest))
	c.out.Wait()
}

// rewrite writes the outgoing request from what was judged. Of the header it
// takes over what was admitted, without what is about the client's connection,
// so that nothing that is set here can be lost.
func (x *exchange) rewrite(grant access.Grant) {
	b, h := x.route.Backend, x.r.Header
	out := &x.carriage.out
	*out = carry.Request{Method: x.req.Method, Target: x.req.Target(), Host: x.state.authority(x.req.Host), Header: h}
	if b.HostHeader != "" {
		out.Host = b.HostHeader
	}
	if x.r.ContentLength != 0 {
		out.Body, out.Length = x.r.Body, x.r.ContentLength
	}
	if len(h["Upgrade"]) > 0 { // checkUpgrade left only one kind
		out.Upgrade = "websocket"
	}
	removeHopByHop(h)
	lines := x.carriage.lines[:0]
	set := func(name, value string) { // name is canonical
		lines = append(lines, value)
		h[name] = lines[len(lines)-1 : len(lines) : len(lines)]
	}
	cookies := h["Cookie"] // as they came
	delete(h, "Cookie")
	if c := cookiesFor(cookies, x.present(), x.realm()); c != "" {
		set("Cookie", c)
	}
	if !b.ForwardAuthorization {
		delete(h, "Authorization")
	}
	h["X-Request-Id"] = x.shown[:]
	set("X-Forwarded-Proto", "https")
	set("X-Forwarded-Host", x.state.authority(x.req.Host))
	if x.from.IsValid() {
		set("X-Forwarded-For", x.sourceIP())
	}
	x.trace.Backend(h)
	if grant.Session() == nil {
		return
	}
	for _, id := range b.Headers {
		if v := x.g.Signer.Value(id.Value, grant, x.posture); v != "" {
			set(id.Header, v)
		}
	}
	if b.Assertion.Header != "" {
		token, err := x.g.Signer.Assertion(grant, x.posture, x.route.Name, b.Assertion.Audience, b.Assertion.TTL, x.now)
		if err != nil {
			panic(fmt.Errorf("sign an assertion for route %s: %w", x.route.Name, err))
		}
		set(b.Assertion.Header, token)
	}
}

// present returns the person whose cookies may pass: also on a public route,
// but not while their session is locked.
func (x *exchange) present() Person {
	if x.session == nil || x.session.Locked || !x.now.Before(x.session.LocksAt) {
		return nil
	}
	return x.found.Person
}

// realm names the jar that a backend's cookies belong to.
func (x *exchange) realm() string { return x.route.Backend.URL.Host }

var (
	errBadUpgrade  = errors.New("the backend's answer to a WebSocket handshake is wrong")
	errBackendAuth = errors.New("the backend asks for NTLM or Negotiate")
)

// failed answers a request whose backend could not.
func (x *exchange) failed(err error) {
	x.trace.BackendDone(0, err)
	if context.Cause(x.r.Context()) != nil || errors.Is(err, context.Canceled) || errors.Is(err, errStreamEnded) {
		// The client has gone, or its stream was cut: there is nobody to tell.
		x.w.status = statusClientGone
		panic(http.ErrAbortHandler)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		x.g.Meter.Limited("max_body")
		x.say(answers[tooLarge], "", nil)
		return
	}
	if x.stalled() { // its timeout is not the backend's
		if x.r.ProtoMajor == 1 {
			x.w.Header().Set("Connection", "close")
		}
		x.say(answers[tooSlow], "", nil)
		return
	}
	if _, ok := errors.AsType[*carry.BodyError](err); ok {
		if x.r.ProtoMajor == 1 {
			x.w.Header().Set("Connection", "close") // where the next request would begin, nobody knows
		}
		x.say(answers[badRequest], "", nil)
		return
	}
	k := backendDown
	var timeout net.Error
	dial, isDial := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, errBackendAuth):
		k = backendAuth
	case isDial && dial.Op == "dial": // also one that swallows packets: it was never there to be slow
	case errors.As(err, &timeout) && timeout.Timeout():
		k = backendSlow
	}
	x.g.Log.Warn("forward", "route", x.route.Name, "error", unquoted(err), "request_id", x.id, "trace_id", x.trace.TraceID())
	x.say(answers[k], "", nil)
}

// unquoted returns the text of err up to its first quotation mark. Libraries
// quote what they could not read, which may be about a patient.
func unquoted(err error) string {
	text, _, cut := strings.Cut(err.Error(), `"`)
	if cut {
		text += "…"
	}
	return text
}

// statusClientGone stands in records for an answer that nobody waited for.
const statusClientGone = 499

// watch has the exchange judged again while it goes on, and stop called when
// it may not.
func (c *carriage) watch(stop func(why error), upgraded bool) {
	if c.open == nil {
		x := c.x
		c.open = &stream{route: x.route.Name, person: x.found.Person, device: c.grant.Session().Device, posture: x.posture, last: x.last, stop: stop}
		x.g.streams.add(c.open)
		x.g.Meter.Streams(1)
	}
	c.open.upgraded.Store(upgraded)
}

func (c *carriage) unwatch() {
	if c.open != nil && c.x.after == nil {
		c.x.g.streams.remove(c.open)
		c.x.g.Meter.Streams(-1)
	}
}
