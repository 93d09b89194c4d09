package demo

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ProviderCookie is the name of the cookie of the provider's own session.
const ProviderCookie = "hospital-login"

// browserKey carries the cookie to the storage, which the library calls with a context and nothing else.
type browserKey struct{}

func (p *Provider) withBrowser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie(ProviderCookie); err == nil {
			r = r.WithContext(context.WithValue(r.Context(), browserKey{}, c.Value))
		}
		next.ServeHTTP(w, r)
	})
}

func cookieOf(ctx context.Context) string {
	v, _ := ctx.Value(browserKey{}).(string)
	return v
}

// sessionOf returns the session of the browser that asks; nil when it has none.
func (s *storage) sessionOf(ctx context.Context) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(s.config.Now())
	return s.sessions[cookieOf(ctx)]
}

// A loginPage is what the form shows.
type loginPage struct {
	ID     string
	Step   step
	Strong bool    // a code is asked as well
	Again  bool    // somebody is signed in and must prove themselves again
	Who    *Person // whose code is asked, or who was here last
	People []Person
	Wrong  string // what was not right
	Hint   string // the code
}

// showLogin shows the step that comes next, or none when the browser's own session will do.
func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request) {
	req, ok := p.storage.request(r.FormValue("id"))
	if !ok {
		write(w, http.StatusBadRequest, "expired.html", nil)
		return
	}
	s := p.storage.sessionOf(r.Context())
	if req.missing(s, p.config.Now()) == stepNone {
		if !req.finished {
			p.storage.finish(req.id, *s)
		}
		p.answer(w, r, req.id)
		return
	}
	p.show(w, http.StatusOK, req, s, "")
}

func (p *Provider) show(w http.ResponseWriter, status int, req authRequest, s *session, wrong string) {
	page := loginPage{ID: req.id, Step: req.missing(s, p.config.Now()), Strong: req.wantsMFA(), People: People(), Wrong: wrong, Hint: Code}
	switch {
	case req.proved != nil:
		page.Who = req.proved
	case s != nil:
		page.Who, page.Again = &s.Person, true
	default:
		if hinted, ok := personNamed(req.LoginHint); ok {
			page.Who = &hinted
		}
	}
	write(w, status, "login.html", page)
}

// login takes one step of the form. Which one is due is known here, and never taken from the form.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	req, ok := p.storage.request(r.PostFormValue("id"))
	if !ok {
		write(w, http.StatusBadRequest, "expired.html", nil)
		return
	}
	if r.PostFormValue("action") == "cancel" {
		p.storage.DeleteAuthRequest(r.Context(), req.id)
		op.AuthRequestError(w, r, req.AuthRequest, oidc.ErrAccessDenied().WithDescription("cancelled at the sign-in form"), p.op)
		return
	}
	s := p.storage.sessionOf(r.Context())
	switch req.missing(s, p.config.Now()) {
	case stepPassword:
		p.passwordStep(w, r, req, s)
	case stepCode:
		who := req.proved
		if who == nil {
			who = &s.Person // signed in already; only the code was missing
		}
		if !same(r.PostFormValue("code"), Code) {
			p.show(w, http.StatusForbidden, req, s, "That code is not right.")
			return
		}
		p.signIn(w, r, req.id, *who, ACRMFA, []string{"pwd", "otp", "mfa"})
	default:
		// Another tab has signed in since the form was shown. Who fills it in is
		// still who they say; a form for the code alone has nothing more to prove.
		switch {
		case req.finished:
		case r.PostForm.Has("password"):
			p.passwordStep(w, r, req, s)
			return
		default:
			p.storage.finish(req.id, *s)
		}
		p.answer(w, r, req.id)
	}
}

func (p *Provider) passwordStep(w http.ResponseWriter, r *http.Request, req authRequest, s *session) {
	username := r.PostFormValue("person") // a tap on one's own name
	if username == "" {
		username = r.PostFormValue("username")
	}
	who, known := personNamed(username)
	if right := same(r.PostFormValue("password"), Password); !known || !right {
		p.show(w, http.StatusForbidden, req, s, "That user name and password do not belong together.")
		return
	}
	if req.wantsMFA() {
		p.storage.proved(req.id, who)
		req.proved = &who
		p.show(w, http.StatusOK, req, s, "")
		return
	}
	p.signIn(w, r, req.id, who, ACRPassword, []string{"pwd"})
}

// signIn begins a session, or renews the one of the same person, and answers
// the request. The cookie is new each time, so that none planted before counts.
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request, id string, who Person, acr string, amr []string) {
	now := p.config.Now()
	next := session{SID: rand.Text(), Person: who, AuthTime: now, ACR: acr, AMR: amr, began: now}
	if old := p.storage.sessionOf(r.Context()); old != nil && old.Person.Username == who.Username {
		next.SID, next.began = old.SID, old.began
	}
	if !p.storage.finish(id, next) {
		write(w, http.StatusBadRequest, "expired.html", nil)
		return
	}
	cookie := rand.Text()
	p.storage.keep(cookie, cookieOf(r.Context()), next)
	http.SetCookie(w, &http.Cookie{Name: ProviderCookie, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	p.answer(w, r, id)
}

// answer sends the browser on to the library, which makes the code.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, id string) {
	ctx := op.ContextWithIssuer(r.Context(), p.config.Issuer)
	http.Redirect(w, r, op.AuthCallbackURL(p.op)(ctx, id), http.StatusSeeOther)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
