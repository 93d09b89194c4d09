package anteroomtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const providerCookie = "provider-session"

// serveAuthorize signs the scripted person in and sends the browser straight
// back (OpenID Connect Core 1.0, section 3.1.2).
func (p *Provider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	q := r.Form
	p.set(func() { p.authorize = q })
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || back.Host == "" || q.Get("client_id") != p.ClientID {
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if s, code := p.signIn(w, r, q); s != nil {
		answer.Set("code", p.newCode(s, q))
	} else {
		answer.Set("error", code)
	}
	p.mu.Lock()
	edit := p.hooks.callback
	p.mu.Unlock()
	if edit != nil {
		edit(answer)
	}
	query := back.Query()
	for name, values := range answer {
		query[name] = values
	}
	back.RawQuery = query.Encode()
	w.Header().Set("Location", back.String())
	w.WriteHeader(http.StatusFound)
}

// signIn returns the browser's session when it is enough, a new one when it is
// not, or an error code.
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request, q url.Values) (*session, string) {
	if q.Get("response_type") != "code" || !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		return nil, "invalid_request"
	}
	now := p.now()
	asked := strings.Fields(q.Get("acr_values"))
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, err := r.Cookie(providerCookie); err == nil {
		s := p.sessions[c.Value]
		maxAge, limited := strconv.Atoi(q.Get("max_age"))
		switch {
		case s == nil, q.Get("prompt") == "login":
		case limited == nil && now.Sub(s.at) > time.Duration(maxAge)*time.Second:
		case len(asked) > 0 && !slices.Contains(asked, s.acr) && canAny(s.person, asked):
		default:
			return s, ""
		}
	}
	if q.Get("prompt") == "none" {
		return nil, "login_required"
	}
	s := &session{id: "sid-" + rand.Text(), person: p.person, at: now, acr: p.person.ACR, amr: p.person.AMR}
	if !slices.Contains(asked, s.acr) {
		for _, acr := range asked {
			if slices.Contains(p.person.CanACR, acr) {
				s.acr, s.amr = acr, p.person.CanAMR
				break
			}
		}
	}
	p.sessions[s.id], p.last = s, s
	http.SetCookie(w, &http.Cookie{Name: providerCookie, Value: s.id, Path: "/", HttpOnly: true})
	return s, ""
}

func canAny(who Person, acr []string) bool {
	return slices.ContainsFunc(acr, func(a string) bool { return slices.Contains(who.CanACR, a) })
}

func (p *Provider) newCode(s *session, q url.Values) string {
	code := "code-" + rand.Text()
	g := &grant{
		session: *s, nonce: q.Get("nonce"), redirect: q.Get("redirect_uri"), scope: q.Get("scope"),
		until: time.Now().Add(time.Minute),
	}
	if q.Get("code_challenge_method") == "S256" {
		g.challenge = q.Get("code_challenge")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.noAuth && !q.Has("max_age") {
		g.session.at = time.Time{}
	}
	p.codes[code] = g
	return code
}

// serveToken redeems a code, once (section 3.1.3, and RFC 7636).
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	id, secret, basic := r.BasicAuth()
	if basic { // RFC 6749, section 2.3.1: form-encoded within
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if id != p.ClientID || secret != p.ClientSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	code := r.PostForm.Get("code")
	p.mu.Lock()
	g := p.codes[code]
	delete(p.codes, code)
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if g == nil || time.Now().After(g.until) || g.redirect != r.PostForm.Get("redirect_uri") ||
		g.challenge == "" || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "code " + code})
		return
	}
	access := "access-" + rand.Text()
	p.set(func() { p.tokens[access] = g })
	answer := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 300, "scope": g.scope,
		"id_token": p.idToken(g, access),
	}
	p.hook(func(h hooks) func(map[string]any) { return h.answer })(answer)
	writeJSON(w, http.StatusOK, answer)
}

func (p *Provider) idToken(g *grant, access string) string {
	now := p.now()
	s := g.session
	claims := map[string]any{
		"iss": p.URL, "sub": s.person.Sub, "aud": p.ClientID, "nonce": g.nonce, "sid": s.id,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"preferred_username": s.person.Username, "name": s.person.Name, "groups": s.person.Groups,
	}
	if hash := p.sign.atHash(access); hash != "" {
		claims["at_hash"] = hash
	}
	if !s.at.IsZero() {
		claims["auth_time"] = s.at.Unix()
	}
	if s.acr != "" {
		claims["acr"] = s.acr
	}
	if len(s.amr) > 0 {
		claims["amr"] = s.amr
	}
	p.hook(func(h hooks) func(map[string]any) { return h.idToken })(claims)
	return p.sign.token("JWT", claims)
}

func (p *Provider) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	g := p.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	p.mu.Unlock()
	if g == nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	who := g.session.person
	m := map[string]any{"sub": who.Sub, "preferred_username": who.Username, "name": who.Name, "groups": who.Groups}
	p.hook(func(h hooks) func(map[string]any) { return h.userInfo })(m)
	writeJSON(w, http.StatusOK, m)
}

// serveEndSession forgets the browser and sends it on (RP-Initiated Logout 1.0).
func (p *Provider) serveEndSession(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	if c, err := r.Cookie(providerCookie); err == nil {
		p.set(func() { delete(p.sessions, c.Value) })
	}
	http.SetCookie(w, &http.Cookie{Name: providerCookie, Path: "/", MaxAge: -1})
	back, err := url.Parse(r.Form.Get("post_logout_redirect_uri"))
	if err != nil || back.Host == "" {
		w.Write([]byte("signed out"))
		return
	}
	if state := r.Form.Get("state"); state != "" {
		q := back.Query()
		q.Set("state", state)
		back.RawQuery = q.Encode()
	}
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// Visit opens authURL as a browser with the cookies of jar (nil: none, once)
// and returns the parameters that the browser is sent back with.
func (p *Provider) Visit(t testing.TB, jar http.CookieJar, authURL string) url.Values {
	t.Helper()
	if jar == nil {
		jar, _ = cookiejar.New(nil)
	}
	browser := &http.Client{
		// Of its own: a test server that closes also closes what idles in the default one.
		Transport: &http.Transport{DisableKeepAlives: true},
		Jar:       jar, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := browser.Get(authURL)
	if err != nil {
		t.Fatalf("visit the provider: %v", err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatalf("the provider answered %s, not a redirect", resp.Status)
	}
	return back.Query()
}
