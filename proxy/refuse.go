package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/limit"
	"github.com/anteroom/anteroom/pages"
)

// A kind of answer that the gateway gives in place of a backend's.
type kind uint8

const (
	badRequest kind = iota
	wrongHost
	noRoute
	methodNotAllowed
	tooLarge
	tooLargeToHold
	headersTooLarge
	tooMany
	busy
	tooSlow
	notAllowed
	foreign // from a page or a script that may not ask this
	upgradeRequired
	alreadySent
	cannotRecord
	backendDown
	backendSlow
	backendAuth
	unavailable
)

// An answer is a row of the contract's table of answers.
type answer struct {
	status int
	code   string
	page   pages.Kind
}

var answers = map[kind]answer{
	badRequest:       {http.StatusBadRequest, "bad_request", pages.BadRequest},
	wrongHost:        {http.StatusMisdirectedRequest, "wrong_host", pages.WrongHost},
	noRoute:          {http.StatusNotFound, "no_route", pages.NoRoute},
	methodNotAllowed: {http.StatusMethodNotAllowed, "method_not_allowed", pages.MethodNotAllowed},
	tooLarge:         {http.StatusRequestEntityTooLarge, "too_large", pages.TooLarge},
	tooLargeToHold:   {http.StatusRequestEntityTooLarge, "too_large", pages.TooLargeToHold},
	headersTooLarge:  {http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", pages.HeadersTooLarge},
	tooMany:          {http.StatusTooManyRequests, "too_many", pages.TooMany},
	busy:             {http.StatusServiceUnavailable, "too_many", pages.Busy},
	tooSlow:          {http.StatusRequestTimeout, "request_timeout", pages.BadRequest},
	notAllowed:       {http.StatusForbidden, "not_allowed", pages.NotAllowed},
	foreign:          {http.StatusForbidden, "not_allowed", pages.Foreign},
	upgradeRequired:  {http.StatusUpgradeRequired, "bad_request", pages.BadRequest},
	alreadySent:      {http.StatusConflict, "once_used", pages.AlreadySent},
	cannotRecord:     {http.StatusServiceUnavailable, "cannot_record", pages.CannotRecord},
	backendDown:      {http.StatusBadGateway, "backend_unreachable", pages.BackendDown},
	backendSlow:      {http.StatusGatewayTimeout, "backend_timeout", pages.BackendSlow},
	backendAuth:      {http.StatusBadGateway, "backend_auth_unsupported", pages.BackendAuth},
	unavailable:      {http.StatusInternalServerError, "unavailable", pages.Unavailable},
}

// A refusal is an answer that no sign-in can mend, given before a decision was
// reached. Its detail says for the log what was wrong, in fixed words.
type refusal struct {
	kind   kind
	detail string
}

func refuse(k kind, detail string) *refusal { return &refusal{k, detail} }

// refuse records the refusal as a decision to deny, and answers.
func (x *exchange) refuse(no *refusal) {
	a := answers[no.kind]
	x.decision = access.Decision{Verdict: access.Deny, Reason: access.BadRequest}
	switch no.kind {
	case alreadySent:
		x.decision.Reason = access.OnceUsed
	case wrongHost, noRoute, methodNotAllowed, tooLarge, tooLargeToHold, headersTooLarge, tooMany, tooSlow, notAllowed, foreign, unavailable:
		x.decision.Reason = access.Reason(a.code)
	}
	switch no.kind {
	case tooLarge:
		x.g.Meter.Limited("max_body")
	case headersTooLarge:
		x.g.Meter.Limited("header_bytes")
	}
	x.g.Log.Debug("refused", "code", a.code, "detail", no.detail, "request_id", x.id)
	if err := x.record(x.decision); err != nil && x.route != nil && x.route.AuditDeny {
		// Nothing is forwarded either way; the record is what is missing, and
		// the failure is logged and counted.
		x.w.Header().Set("Retry-After", "5")
	}
	if no.kind == methodNotAllowed && x.route != nil {
		x.w.Header().Set("Allow", joinMethods(x.route.Methods))
	}
	if no.kind == upgradeRequired {
		x.w.Header().Set("Sec-Websocket-Version", "13")
		x.w.Header().Set("Upgrade", "websocket")
	}
	if x.r.ProtoMajor == 1 {
		x.w.Header().Set("Connection", "close") // what else is on this connection is in doubt
	}
	x.say(a, "", nil)
}

// say answers with a page or a problem.
func (x *exchange) say(a answer, rule string, more func(*pages.Page)) {
	if !x.navigation {
		x.allowOrigin()
		pages.WriteProblem(x.w, pages.Problem{Status: a.status, Code: a.code, Rule: rule, RequestID: x.id})
		return
	}
	p := pages.Page{Kind: a.page, Status: a.status, Code: a.code, RequestID: x.id, Rule: rule}
	if x.route != nil {
		p.Host = x.route.Host
		p.Continue, p.Cancel = x.ways(a.page)
	}
	if more != nil {
		more(&p)
	}
	x.g.Words.Write(x.w, p)
}

// ways returns where the links of a page of kind k lead, onward and back: to
// the same address where asking again may help and does nothing twice, and to
// the route's front page; never from a page to itself by the name of another.
func (x *exchange) ways(k pages.Kind) (onward, back string) {
	front := x.state.origin(x.req.Host) + x.front()
	if x.req.Target() == x.front() && x.r.Method == http.MethodGet {
		front = ""
	}
	switch k {
	case pages.TooMany, pages.Busy, pages.CannotRecord, pages.BackendDown, pages.BackendSlow, pages.Unavailable:
		if x.r.Method == http.MethodGet {
			return pages.Here, front
		}
		return "", front
	}
	return front, ""
}

// front returns the path of the route's front page.
func (x *exchange) front() string {
	if x.route.Prefix == "" {
		return "/"
	}
	return x.route.Prefix
}

// answer tells the person or the script what a decision that does not allow
// asks of them (CONTRACT, "Answers").
func (x *exchange) answer(d access.Decision) {
	switch {
	case d.Verdict == access.Deny && len(d.Failed) > 0:
		x.deviceBlocked(d)
	case d.Verdict == access.Deny:
		a := answers[notAllowed]
		x.say(a, d.Rule, func(p *pages.Page) { p.Code = string(d.Reason) })
	case !x.navigation:
		x.challenge(d)
	case isFramed(x.r) && (d.Verdict == access.Locked || d.Verdict == access.StepUp || d.Reason != access.NoSession):
		x.frameNotice(d)
	case d.Reason == access.DeviceChanged:
		j := x.journey(d)
		x.page(pages.Page{Kind: pages.DeviceChanged, Status: http.StatusForbidden, Code: string(d.Reason), Continue: x.g.Desk.Link(x.w, x.r, j)})
	case x.r.Method == http.MethodPost && d.Reason != access.NoSession && x.returns():
		x.hold(d)
	default:
		j := x.journey(d)
		j.Frame = isFramed(x.r)
		x.redirect(x.g.Desk.Link(x.w, x.r, j))
	}
}

func (x *exchange) page(p pages.Page) {
	p.RequestID, p.Host = x.id, x.route.Host
	x.g.Words.Write(x.w, p)
}

// redirect sends the browser on with a GET, whatever it came with.
func (x *exchange) redirect(to string) {
	h := x.w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address may name a patient
	x.w.WriteHeader(http.StatusSeeOther)
}

func (x *exchange) deviceBlocked(d access.Decision) {
	names := make([]string, len(d.Failed))
	for i, f := range d.Failed {
		names[i] = f.Check
	}
	if !x.navigation {
		x.allowOrigin()
		pages.WriteProblem(x.w, pages.Problem{Status: http.StatusForbidden, Code: "device_not_allowed", Rule: d.Rule, RequestID: x.id, Checks: names})
		return
	}
	p := pages.Page{Kind: pages.DeviceBlocked, Status: http.StatusForbidden, Code: string(d.Reason), Failed: d.Failed, Platform: x.posture.Platform}
	if x.r.Method == http.MethodGet {
		p.Continue = pages.Here
		p.RetryAfter = x.recheckIn()
	}
	x.page(p)
}

// recheckIn counts that a device was looked at for the page that says no, and
// returns for how many seconds its people need not ask again; zero: they may.
// Whoever asks regardless is judged all the same: a device that is fit by now is
// let in.
func (x *exchange) recheckIn() int {
	if x.posture.DeviceID == "" {
		return 0
	}
	wait := x.g.taken.rechecks.Take(x.posture.DeviceID, rechecks, x.now)
	return int((wait + time.Second - 1) / time.Second)
}

// rechecks are what people who are doing something about their device need.
var rechecks = limit.Rate{PerSecond: 1.0 / 15, Burst: 4}

// challenge answers a call with 401 and what would mend it (RFC 9470, section 3).
func (x *exchange) challenge(d access.Decision) {
	p := pages.Problem{Status: http.StatusUnauthorized, Rule: d.Rule, RequestID: x.id}
	auth := "Bearer"
	switch {
	case d.Verdict == access.StepUp:
		p.Code = "step_up_required"
		auth = x.insufficient()
	case d.Verdict == access.Locked:
		p.Code = "locked"
	default:
		p.Code = "login_required"
	}
	j := x.journey(d)
	j.Window, j.Held = true, ""
	p.LoginURL = x.g.Desk.Link(x.w, x.r, j)
	x.w.Header().Set("WWW-Authenticate", auth)
	x.allowOrigin()
	if len(x.route.Origins) > 0 {
		x.w.Header().Add("Access-Control-Expose-Headers", "WWW-Authenticate")
	}
	pages.WriteProblem(x.w, p)
}

func (x *exchange) insufficient() string {
	var b strings.Builder
	b.WriteString(`Bearer error="insufficient_user_authentication", error_description="a stronger or newer sign-in is required"`)
	var acrs []string
	for _, l := range x.need.LoginsOf(x.session.Subject.Issuer) {
		acrs = append(acrs, l.Asks()...)
	}
	if len(acrs) > 0 {
		b.WriteString(`, acr_values=` + strconv.Quote(strings.Join(acrs, " ")))
	}
	switch within := x.need.Within(); {
	case x.need.EachTime():
		b.WriteString(`, max_age="0"`)
	case within > 0:
		b.WriteString(`, max_age="` + strconv.Itoa(int(within.Seconds())) + `"`)
	}
	return b.String()
}

// frameNotice answers inside a frame, where no provider would let its pages be
// shown, with a link that leaves the frame.
func (x *exchange) frameNotice(d access.Decision) {
	j := x.journey(d)
	if x.r.Method != http.MethodGet {
		j.Return = j.Front
	}
	x.page(pages.Page{
		Kind: pages.FrameNotice, Status: http.StatusForbidden, Code: string(d.Reason), Rule: d.Rule,
		Continue: x.g.Desk.Link(x.w, x.r, j), Frame: x.state.origin(x.req.Host),
	})
}

// journey says what sign-in would settle d, and where it comes back to.
func (x *exchange) journey(d access.Decision) access.Journey {
	j := access.Journey{
		Host: x.req.Host, Return: x.req.Target(), Front: x.front(), Providers: x.route.Providers,
		Reason: d.Reason, Route: x.route.Name, Rule: d.Rule, Method: x.req.Judged(), RequestID: x.id,
	}
	if x.trace != nil {
		j.Traceparent = x.trace.Traceparent()
	}
	switch d.Verdict {
	case access.StepUp:
		j.Session, j.Subject = x.session.ID, x.session.Subject
		j.Logins, j.Within, j.EachTime = x.need.LoginsOf(j.Subject.Issuer), x.need.Within(), x.need.EachTime()
	case access.Locked:
		j.Session, j.Subject = x.session.ID, x.session.Subject
		j.NotBefore = x.found.Person.LockedSince(x.now)
	case access.SignIn:
		j.NotBefore = x.found.EndedAt
		if d.Reason == access.DeviceChanged || d.Reason == access.OtherProvider {
			// The provider's own session may be of whoever was here before.
			j.NotBefore = x.now
		}
	}
	return j
}

func joinMethods(methods []string) string { return strings.Join(methods, ", ") }

// cleanTokens reports whether s is a list of header names and nothing else.
func cleanTokens(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '-' && c != ',' && c != ' ' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) <= 1024
}

// fault answers a request that the gateway itself broke.
func (g *Gateway) fault(x *exchange) { x.say(answers[unavailable], "", nil) }
