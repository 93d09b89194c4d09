package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/access"
)

// forward sends the request on and the answer back. It takes a grant, and only
// a decision makes one; without it nothing leaves.
func (x *exchange) forward(grant access.Grant) {
	if !grant.Allowed() {
		x.say(answers[notAllowed], "", nil)
		return
	}
	c := &x.carriage
	c.x, c.grant, c.pool = x, grant, x.state.Backends.of[x.route.Backend]
	c.proxy = httputil.ReverseProxy{
		Transport: c, BufferPool: buffers, Rewrite: c.header, ErrorHandler: report, ErrorLog: quiet,
	}
	defer c.unwatch()
	r := x.r
	if grant.Session() != nil && (r.ContentLength < 0 || r.ContentLength > longBody) {
		ctx, stop := context.WithCancelCause(r.Context())
		defer stop(nil)
		c.watch(stop, false)
		r = r.WithContext(ctx)
	}
	if len(r.Header["Upgrade"]) == 0 {
		// Nobody else wants the header, so that ReverseProxy need not copy it.
		c.lent, r.Header = r.Header, nil
		removeHopByHop(c.lent)
	}
	c.proxy.ServeHTTP(x.w, r)
}

// A carriage is an exchange on its way to the backend and back. It is the
// transport of its own ReverseProxy, which all lies in the exchange: what every
// request needs is made once.
type carriage struct {
	x     *exchange
	grant access.Grant
	pool  *http.Transport
	proxy httputil.ReverseProxy
	began time.Time
	lines [12]string  // values of header fields that are set
	open  *stream     // nil: not watched
	lent  http.Header // the request's own, on its way to be the outgoing one's
}

// header gives back what forward took. All else is left to
// [carriage.RoundTrip], when ReverseProxy has done what it does.
func (c *carriage) header(pr *httputil.ProxyRequest) {
	if c.lent != nil {
		pr.In.Header, pr.Out.Header, c.x.r.Header = c.lent, c.lent, c.lent
	}
}

// hopByHop are the fields that are about one connection (RFC 9110, section
// 7.6.1), as ReverseProxy knows them, beside those that Connection names.
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.Trim(name, " \t"); name != "" {
				delete(h, http.CanonicalHeaderKey(name))
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// report answers in the place of a backend that did not.
func report(w http.ResponseWriter, _ *http.Request, err error) { w.(*answered).x.failed(err) }

// RoundTrip writes the outgoing request, sends it, and looks at the answer
// before anything of it goes on.
func (c *carriage) RoundTrip(out *http.Request) (*http.Response, error) {
	c.x.rewrite(out, c.grant)
	c.began = time.Now()
	answer, err := c.pool.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	if err := c.arrived(answer); err != nil {
		answer.Body.Close()
		return nil, err
	}
	return answer, nil
}

func (c *carriage) arrived(answer *http.Response) error {
	x := c.x
	x.backend = time.Since(c.began)
	if err := x.checkAnswer(answer); err != nil {
		return err
	}
	x.trace.BackendDone(answer.StatusCode, nil)
	upgraded := answer.StatusCode == http.StatusSwitchingProtocols
	var through *tunnel
	if upgraded {
		x.w.status = answer.StatusCode // written past WriteHeader, on the hijacked connection
		if both, ok := answer.Body.(io.ReadWriteCloser); ok {
			through = &tunnel{ReadWriteCloser: both}
			answer.Body = through
		}
	}
	stream := goesOn(answer)
	if stream {
		x.settle()
	}
	if c.grant.Session() != nil && isLong(answer) {
		// Without its body, or its connection once upgraded, ReverseProxy ends.
		// Closing may wait for a backend that does not listen.
		body := answer.Body
		stop := sync.OnceFunc(func() { go body.Close() })
		c.watch(func(why error) {
			if through != nil {
				through.end(closeCode(why))
			}
			stop()
		}, upgraded)
	}
	if !upgraded && !stream { // ReverseProxy flushes what it sees to be an event stream
		handOver(x.w.Header(), answer.Header)
	}
	return nil
}

// handOver moves the fields of an answer, which ReverseProxy would copy value
// by value.
func handOver(to, from http.Header) {
	removeHopByHop(from)
	for name, lines := range from {
		if have := to[name]; len(have) > 0 {
			lines = append(have, lines...)
		}
		to[name] = lines
		delete(from, name)
	}
}

// longBody is the size from which a transfer is watched like a stream.
const longBody = 1 << 20

func isLong(answer *http.Response) bool {
	return answer.StatusCode == http.StatusSwitchingProtocols || answer.ContentLength < 0 || answer.ContentLength > longBody
}

// goesOn reports whether an answer is meant to go on: a WebSocket, or an event
// stream (HTML standard, section 9.2).
func goesOn(answer *http.Response) bool {
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return true
	}
	media, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "text/event-stream")
}

// watch has the exchange judged again while it goes on, and stop called when
// it may not.
func (c *carriage) watch(stop context.CancelCauseFunc, upgraded bool) {
	if c.open == nil {
		x := c.x
		c.open = &stream{route: x.route.Name, person: x.found.Person, device: c.grant.Session().Device, posture: x.posture, last: x.last, stop: stop}
		x.g.streams.add(c.open)
		x.g.Meter.Streams(1)
	}
	c.open.upgraded.Store(upgraded)
}

func (c *carriage) unwatch() {
	if c.open != nil {
		c.x.g.streams.remove(c.open)
		c.x.g.Meter.Streams(-1)
	}
}

// rewrite writes the outgoing request from what was judged. ReverseProxy has
// removed the hop-by-hop headers by now, so none that is set here can be lost.
func (x *exchange) rewrite(out *http.Request, grant access.Grant) {
	b := x.route.Backend
	path, err := url.PathUnescape(x.req.Path.Escaped)
	if err != nil {
		panic("proxy: a judged path does not unescape") // ParsePath refuses those
	}
	*out.URL = url.URL{ // ReverseProxy's own copy
		Scheme: b.URL.Scheme, Host: b.URL.Host,
		Path: path, RawPath: x.req.Path.Escaped,
		RawQuery: x.req.RawQuery, ForceQuery: x.req.HasQuery,
	}
	out.Host = x.state.authority(x.req.Host)
	if b.HostHeader != "" {
		out.Host = b.HostHeader
	}
	out.Trailer = nil
	h := out.Header
	lines := x.carriage.lines[:0]
	set := func(name, value string) { // name is canonical
		lines = append(lines, value)
		h[name] = lines[len(lines)-1 : len(lines) : len(lines)]
	}
	delete(h, "Te")
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
			set(http.CanonicalHeaderKey(id.Header), v)
		}
	}
	if b.Assertion.Header != "" {
		token, err := x.g.Signer.Assertion(grant, x.posture, x.route.Name, b.Assertion.Audience, b.Assertion.TTL, x.now)
		if err != nil {
			panic(fmt.Errorf("sign an assertion for route %s: %w", x.route.Name, err))
		}
		set(http.CanonicalHeaderKey(b.Assertion.Header), token)
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

// checkAnswer makes a backend's answer fit for the browser, or refuses it.
func (x *exchange) checkAnswer(answer *http.Response) error {
	h := answer.Header
	if answer.StatusCode == http.StatusSwitchingProtocols {
		if !strings.EqualFold(h.Get("Upgrade"), "websocket") || h.Get("Sec-Websocket-Accept") != acceptKey(x.r.Header.Get("Sec-Websocket-Key")) {
			return errBadUpgrade
		}
	}
	if answer.StatusCode == http.StatusUnauthorized {
		for _, challenge := range h["Www-Authenticate"] {
			scheme, _, _ := strings.Cut(challenge, " ")
			if strings.EqualFold(scheme, "ntlm") || strings.EqualFold(scheme, "negotiate") {
				return errBackendAuth
			}
		}
	}
	for name := range h {
		if isOwnHeader(name) {
			delete(h, name)
		}
	}
	if a := x.route.Backend.Assertion.Header; a != "" {
		h.Del(a)
	}
	h.Del("X-Request-Id")
	h.Del("Strict-Transport-Security")
	h.Del("Alt-Svc")
	if !x.route.ServiceWorkers {
		h.Del("Service-Worker-Allowed")
	}
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		out, set := setCookies(lines)
		h["Set-Cookie"] = out
		if p := x.present(); p != nil {
			x.g.Sessions.Remember(p, x.realm(), set)
		}
	}
	x.rewriteLocation(h)
	privateCache(h)
	if listed(x.r.Header.Get("Origin"), x.route.Origins) {
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(h, name)
			}
		}
		x.allowOrigin()
	}
	return nil
}

func isOwnHeader(name string) bool {
	var buf [64]byte
	return hasPrefix(skeleton(buf[:0], name), "xanteroom")
}

// rewriteLocation turns the backend's own origin, where a redirect names it,
// into the one that browsers know. Every other address stays.
func (x *exchange) rewriteLocation(h http.Header) {
	if len(h["Location"]) == 0 && len(h["Refresh"]) == 0 {
		return
	}
	b := x.route.Backend
	origins := []string{b.URL.Scheme + "://" + b.URL.Host}
	if b.HostHeader != "" {
		origins = append(origins, "http://"+b.HostHeader, "https://"+b.HostHeader)
	}
	own := x.state.origin(x.req.Host)
	// A backend that is told the browser's host but speaks no TLS says http.
	origins = append(origins, "http://"+x.state.authority(x.req.Host))
	replace := func(address string) string {
		for _, o := range origins {
			if len(address) < len(o) || !strings.EqualFold(address[:len(o)], o) {
				continue
			}
			if rest := address[len(o):]; rest == "" || strings.ContainsRune("/?#", rune(rest[0])) {
				return own + rest
			}
		}
		return address
	}
	if l := h.Get("Location"); l != "" {
		h.Set("Location", replace(l))
	}
	if refresh := h.Get("Refresh"); refresh != "" {
		if i := strings.Index(strings.ToLower(refresh), "url="); i >= 0 {
			h.Set("Refresh", refresh[:i+4]+replace(refresh[i+4:]))
		}
	}
}

// privateCache keeps answers out of shared caches, and out of the browser's
// too where the backend says nothing.
func privateCache(h http.Header) {
	control := h["Cache-Control"]
	if len(control) == 0 {
		if len(h["Expires"]) == 0 && len(h["Pragma"]) == 0 {
			h.Set("Cache-Control", "private, no-store")
		}
		return
	}
	for i, line := range control {
		if !strings.Contains(strings.ToLower(line), "public") {
			continue
		}
		parts := strings.Split(line, ",")
		changed := false
		for j, p := range parts {
			if strings.EqualFold(strings.TrimSpace(p), "public") {
				parts[j] = strings.Replace(p, strings.TrimSpace(p), "private", 1)
				changed = true
			}
		}
		if changed {
			control[i] = strings.Join(parts, ",")
		}
	}
}

var (
	errBadUpgrade  = errors.New("the backend's answer to a WebSocket handshake is wrong")
	errBackendAuth = errors.New("the backend asks for NTLM or Negotiate")
)

// failed answers a request whose backend could not.
func (x *exchange) failed(err error) {
	x.trace.BackendDone(0, err)
	if cause := context.Cause(x.r.Context()); cause != nil || errors.Is(err, context.Canceled) {
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

// unquoted returns the text of err up to its first quotation mark. net/http
// quotes what it could not read of an answer, which may be about a patient.
func unquoted(err error) string {
	text, _, cut := strings.Cut(err.Error(), `"`)
	if cut {
		text += "…"
	}
	return text
}

// statusClientGone stands in records for an answer that nobody waited for.
const statusClientGone = 499

// buffers are what bodies are copied through.
var buffers = &bufferPool{pool: sync.Pool{New: func() any { return new([32 << 10]byte) }}}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

// quiet is for ReverseProxy's own log, which would name addresses and repeat
// what failed already said.
var quiet = log.New(io.Discard, "", 0)
