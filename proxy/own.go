package proxy

import (
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/access"
)

// serveOwn answers under /.anteroom/, which is never forwarded. A path that
// only decodes or folds to that place is nothing.
func (x *exchange) serveOwn() {
	host := x.req.Host
	if !x.state.Table.Host(host) && host != x.state.SignInHost {
		x.refuse(refuse(wrongHost, "no such host"))
		return
	}
	x.decision = access.Decision{Verdict: access.Allow, Reason: access.Public} // for the numbers: it grants nothing
	path := x.req.Path.Escaped
	switch {
	case path == "/.anteroom/jwks.json":
		x.serveKeys()
	case strings.HasPrefix(path, "/.anteroom/assets/"):
		x.g.Words.Assets().ServeHTTP(x.w, x.r)
	case strings.HasPrefix(path, "/.anteroom/"):
		if no := x.readDevice(); no != nil {
			x.refuse(no)
			return
		}
		x.state.protection.strip(x.r.Header)
		x.pace()
		place := Place{Host: host, RequestID: x.id, Device: x.posture}
		if x.from.IsValid() {
			place.SourceIP = x.from.String()
		}
		if path == "/.anteroom/session" {
			place.Warnings = x.warnings()
			x.shareSession()
		}
		x.g.Desk.Serve(x.w, x.r, place)
	default:
		x.refuse(refuse(noRoute, "reserved path"))
	}
}

// shareSession lets the scripts of origins that may call a route of this host
// ask who is signed in: they poll it while a small window is open.
func (x *exchange) shareSession() {
	for _, r := range x.state.Table.Routes() {
		if r.Host == x.req.Host && listed(x.r.Header.Get("Origin"), r.Origins) {
			x.route = r
			x.allowOrigin()
			x.route = nil
			return
		}
	}
}

// serveKeys publishes the keys of the identity assertion (RFC 7517).
func (x *exchange) serveKeys() {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.w.Header().Set("Allow", "GET, HEAD")
		x.say(answers[methodNotAllowed], "", nil)
		return
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.Write(x.g.Signer.JWKS())
}
