package attack_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// A judgement is one of the catalogue's words for the expected answer, made a
// check: it returns what is wrong.
type judgement func(w *world, c *attempt) error

// An attempt is one sending of a case.
type attempt struct {
	row
	req request
	*answer
}

// bones is the catalogue's skeleton of a header name, and what CGI would call it.
func bones(name string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		}
	}
	return strings.TrimPrefix(b.String(), "http")
}

// Names that reach no backend unless the gateway sets them: those that are
// protected, by skeleton, and those that are between two ends of one connection
// or were read by the gateway alone.
var (
	protected = regexp.MustCompile(`^(xanteroom.*|xforwarded.*|forwarded|xrealip|trueclientip|xoriginal.*|xrewrite.*|xrequestid|` +
		`xhttpmethod(override)?|xmethod(override)?|proxy|xremote(user|name|roles)|xmdm(deviceid|platform|osversion|managed|compromised|lost|checkedinat|assertedat))$`)
	unsent = regexp.MustCompile(`^(http-)?(te|trailer|upgrade|http2-settings|keep-alive|proxy-connection|proxy-authorization|expect|baggage|authorization|cookie)$`)
)

// forbidden reports whether a header's or a variable's name is one of those.
func forbidden(name string) bool {
	return protected.MatchString(bones(name)) || unsent.MatchString(strings.ReplaceAll(strings.ToLower(name), "_", "-"))
}

// sealed checks that of every protected name the backend holds the gateway's
// value exactly once, and nothing that any server could take for it.
func (a arrived) sealed(w *world, c *attempt, who *person, from string) error {
	want := map[string]string{
		"xforwardedfor": from, "xforwardedproto": "https", "xforwardedhost": c.req.host() + ":" + w.Port,
		"xrequestid": c.header.Get("X-Request-Id"), "host": c.req.host() + ":" + w.Port,
	}
	if who.username != "" {
		want["xremoteuser"], want["xremoteroles"] = who.username, who.roles
		if who.name != "" {
			want["xremotename"] = who.name
		}
	}
	seen := map[string]bool{}
	for _, h := range a.header {
		name, value := bones(h[0]), h[1]
		switch wanted, ok := want[name]; {
		case seen[name] && (ok || forbidden(h[0]) || slices.Contains(single, name)):
			return fmt.Errorf("%s twice", h[0]) // a client's own field may be there as often as it was sent
		case strings.Trim(strings.ToLower(h[0]), "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			return fmt.Errorf("name %q", h[0])
		case name == "xanteroomassertion" && who.username != "":
			if err := w.genuine(value, who.sub); err != nil {
				return err
			}
		case ok && value != wanted:
			return fmt.Errorf("%s: %q, want %q", h[0], value, wanted)
		case !ok && forbidden(h[0]):
			return fmt.Errorf("%s: %q", h[0], value)
		}
		seen[name] = true
	}
	for name, value := range want {
		if value != "" && !seen[name] {
			return fmt.Errorf("no %s", name)
		}
	}
	if who.username != "" && !seen["xanteroomassertion"] {
		return errors.New("no assertion")
	}
	if a.trailers > 0 {
		return errors.New("trailers")
	}
	return nil
}

// single are the skeletons of what frames a message or says who sent it, beside
// what the gateway itself sets.
var single = []string{"xanteroomassertion", "contentlength", "transferencoding", "cookie", "authorization"}

// genuine checks that an assertion is for sub and is not the foreign one.
func (w *world) genuine(assertion, sub string) error {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || assertion == w.foreign {
		return fmt.Errorf("assertion %.40q", assertion)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var claims struct{ Sub, Aud string }
	if err := json.Unmarshal(text, &claims); err != nil {
		return err
	}
	if claims.Sub != sub || claims.Aud != "ehr" {
		return fmt.Errorf("assertion for %s at %s", claims.Sub, claims.Aud)
	}
	return nil
}

// untouched checks that nothing at all reached the backend.
func (c *attempt) untouched() error {
	if c.strange != nil {
		return c.strange
	}
	for _, a := range c.got {
		return fmt.Errorf("the backend got\n%s", a.raw)
	}
	return nil
}

// REJ: refused by the gateway with one of these statuses; the backend sees
// nothing, and the connection is over.
func REJ(statuses ...int) judgement {
	return func(_ *world, c *attempt) error {
		switch {
		case c.http2 && c.status == 0 && c.closed: // a stream or connection error
		case !slices.Contains(statuses, c.status):
			return fmt.Errorf("status %d, want %d", c.status, statuses)
		case !c.http2 && !c.closed:
			return errors.New("the connection stays open")
		}
		return c.untouched()
	}
}

// EQ: 400, or the answer that plain, the same in plain spelling, gets; where
// that is a denial the backend sees nothing.
func EQ(plain string, also ...int) judgement {
	return func(w *world, c *attempt) error {
		t := c.t
		w.Backend.Forget()
		twin := w.send(t, h1("GET "+plain).at(c.req.host()), c.as, c.source())
		if twin.status != http.StatusForbidden && twin.status != http.StatusUnauthorized || len(twin.got) > 0 {
			return fmt.Errorf("the plain spelling %q is answered %d", plain, twin.status)
		}
		refused := c.status == 400 || c.http2 && c.status == 0 && c.closed
		if !refused && c.status != twin.status && !slices.Contains(also, c.status) {
			return fmt.Errorf("status %d, and %d for the plain spelling", c.status, twin.status)
		}
		return c.untouched()
	}
}

// STRIP: served, once, with the gateway's own values.
func STRIP(w *world, c *attempt) error {
	if c.status != http.StatusOK {
		return fmt.Errorf("status %d, want 200", c.status)
	}
	return clean(w, c, w.people[c.as])
}

// OPEN: served to anybody, with no identity.
func OPEN(w *world, c *attempt) error {
	if c.status != http.StatusOK {
		return fmt.Errorf("status %d, want 200", c.status)
	}
	return clean(w, c, &person{})
}

func clean(w *world, c *attempt, who *person) error {
	if c.strange != nil {
		return c.strange
	}
	if len(c.got) != 1 || !c.got[0].whole {
		return fmt.Errorf("%d requests at the backend: %+v", len(c.got), c.got)
	}
	from := c.source()
	if c.client != "" {
		from = c.client
	}
	return c.got[0].sealed(w, c, who, from)
}

// either returns a judgement that is content when one of js is.
func either(js ...judgement) judgement {
	return func(w *world, c *attempt) error {
		var all []error
		for _, j := range js {
			err := j(w, c)
			if err == nil {
				return nil
			}
			all = append(all, err)
		}
		return errors.Join(all...)
	}
}

// all returns a judgement that is content when every one of js is.
func all(js ...judgement) judgement {
	return func(w *world, c *attempt) error {
		for _, j := range js {
			if err := j(w, c); err != nil {
				return err
			}
		}
		return nil
	}
}

// STRIPor400: served clean, or refused.
var STRIPor400 = either(STRIP, REJ(400))

// LOGIN: a page load is sent to sign in, a script is answered 401.
func LOGIN(w *world, c *attempt) error {
	to := c.header.Get("Location")
	if c.status != http.StatusUnauthorized && !(c.status == http.StatusSeeOther && strings.HasPrefix(to, w.URL("gate.test", "/.anteroom/start?"))) {
		return fmt.Errorf("status %d to %q", c.status, to)
	}
	return c.untouched()
}

// FORB: 403.
func FORB(_ *world, c *attempt) error { return status(http.StatusForbidden)(nil, c) }

// status: refused so, and the backend sees nothing.
func status(want ...int) judgement {
	return func(_ *world, c *attempt) error {
		if !slices.Contains(want, c.status) {
			return fmt.Errorf("status %d, want %d", c.status, want)
		}
		return c.untouched()
	}
}

// arrivesAs: at the backend the target is this, byte for byte.
func arrivesAs(target string) judgement {
	return func(_ *world, c *attempt) error {
		if c.strange != nil {
			return c.strange
		}
		if len(c.got) != 1 || c.got[0].target != target {
			return fmt.Errorf("the backend got %+v, want %s", c.got, target)
		}
		return nil
	}
}
