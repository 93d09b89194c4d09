package pages

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// permissions turns every feature of the browser off for a page that needs none.
const permissions = "accelerometer=(), autoplay=(), bluetooth=(), browsing-topics=(), camera=(), clipboard-read=(), clipboard-write=(), " +
	"display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), identity-credentials-get=(), " +
	"idle-detection=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), otp-credentials=(), payment=(), picture-in-picture=(), " +
	"publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), storage-access=(), usb=(), " +
	"web-share=(), window-management=(), xr-spatial-tracking=()"

// setHeaders writes the headers of a page. The page's own rules hold whatever a
// backend or an earlier handler set.
func setHeaders(h http.Header, p Page) {
	ancestors := "'none'"
	if p.Kind == FrameNotice || p.Kind == DeviceWarning {
		if o, ok := origin(p.Frame); ok {
			ancestors = o
		}
	}
	forms := "'self'"
	for _, f := range p.FormAction {
		if o, ok := origin(f); ok {
			forms += " " + o
		}
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action "+forms+
		"; frame-ancestors "+ancestors+"; base-uri 'none'")
	if ancestors == "'none'" {
		h.Set("X-Frame-Options", "DENY")
	} else {
		h.Del("X-Frame-Options") // it cannot name an origin
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", "en")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", referrer(p.Kind))
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
}

// referrer returns what a page of kind k tells of its own address: nothing, or
// its origin where a form must be known to come from here. Under no-referrer a
// browser sends even a form of the same origin with "Origin: null" (Fetch,
// "append a request Origin header").
func referrer(k Kind) string {
	if k == Release || k == ConfirmSignOut {
		return "strict-origin"
	}
	return "no-referrer"
}

// origin returns scheme://host[:port] of s, and whether s is just that: a
// semicolon or a blank would begin another directive.
func origin(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", false
	}
	if strings.Trim(strings.ToLower(u.Host), "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "" {
		return "", false
	}
	o := u.Scheme + "://" + u.Host
	return o, s == o || s == o+"/"
}
