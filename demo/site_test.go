package demo_test

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/anteroom/anteroom/demo"
)

var quiet = slog.New(slog.DiscardHandler)

// testKey makes one key for all tests: RSA keys are slow to find.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

const clientURL = "http://client.test"

// A site is a provider with one relying party, and the clock they share.
type site struct {
	*testing.T
	server   *httptest.Server
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	discover *oidc.Provider
	logouts  chan string

	mu  sync.Mutex
	now time.Time
}

func newSite(t *testing.T) *site {
	s := &site{T: t, now: time.Now().Add(-time.Hour), logouts: make(chan string, 10)}
	backchannel := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.logouts <- r.PostFormValue("logout_token")
	}))
	t.Cleanup(backchannel.Close)

	s.server = httptest.NewUnstartedServer(nil)
	issuer := "http://" + s.server.Listener.Addr().String()
	p, err := demo.NewProvider(demo.ProviderConfig{
		Issuer: issuer, ClientID: "gate", ClientSecret: "s3cret",
		RedirectURI: clientURL + "/callback", PostLogoutURI: clientURL + "/bye", BackchannelURI: backchannel.URL,
		Key: testKey(), Now: s.clock, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server.Config.Handler = p
	s.server.Start()
	t.Cleanup(s.server.Close)

	s.discover, err = oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	s.verifier = s.discover.Verifier(&oidc.Config{ClientID: "gate"})
	s.oauth = oauth2.Config{
		ClientID: "gate", ClientSecret: "s3cret", Endpoint: s.discover.Endpoint(),
		RedirectURL: clientURL + "/callback", Scopes: []string{"openid", "profile", "email", "groups"},
	}
	return s
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// A browser follows redirects until one leads to the client.
type browser struct {
	*site
	*http.Client
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "client.test" {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// A page is where a browser stands: a form of the provider, or back at the client.
type page struct {
	*browser
	status int
	body   string
	back   url.Values // the query at the client; nil while at the provider
	at     *url.URL   // at the client
	verify string     // PKCE
	id     string     // of the sign-in in progress
}

var formID = regexp.MustCompile(`name="id" value="([^"]+)"`)

func (b *browser) read(resp *http.Response, err error) page {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	p := page{browser: b, status: resp.StatusCode, body: string(body)}
	if to, err := resp.Location(); err == nil && to.Host == "client.test" {
		p.at, p.back = to, to.Query()
	}
	if m := formID.FindStringSubmatch(p.body); m != nil {
		p.id = m[1]
	}
	return p
}

// ask begins a sign-in.
func (b *browser) ask(opts ...oauth2.AuthCodeOption) page {
	b.Helper()
	verify := oauth2.GenerateVerifier()
	opts = append(opts, oauth2.S256ChallengeOption(verify), oidc.Nonce("n1"))
	p := b.read(b.Get(b.oauth.AuthCodeURL("st", opts...)))
	p.verify = verify
	return p
}

// fill posts the form that the page shows.
func (p page) fill(pairs ...string) page {
	p.Helper()
	form := url.Values{"id": {p.id}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	next := p.read(p.PostForm(p.server.URL+"/login", form))
	next.verify = p.verify
	return next
}

type claims struct {
	Sub, ACR, SID, Name, Nonce, Email string
	AMR, Groups                       []string
	Username                          string `json:"preferred_username"`
	AuthTime                          int64  `json:"auth_time"`

	raw, access string
}

// tokens exchanges the code and checks the ID token.
func (p page) tokens() claims {
	p.Helper()
	if p.back == nil {
		p.Fatalf("the sign-in is not finished; status %d, page:\n%s", p.status, p.body)
	}
	if e := p.back.Get("error"); e != "" || p.back.Get("state") != "st" {
		p.Fatalf("the client got error %q, state %q", e, p.back.Get("state"))
	}

	tok, err := p.oauth.Exchange(p.Context(), p.back.Get("code"), oauth2.VerifierOption(p.verify))
	if err != nil {
		p.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	id, err := p.verifier.Verify(p.Context(), raw)
	if err != nil {
		p.Fatal(err)
	}
	if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
		p.Errorf("at_hash: %v", err)
	}
	c := claims{raw: raw, access: tok.AccessToken}
	if err := id.Claims(&c); err != nil {
		p.Fatal(err)
	}
	if c.Nonce != "n1" {
		p.Errorf("nonce = %q, want n1", c.Nonce)
	}
	return c
}

func acr(v string) oauth2.AuthCodeOption    { return oauth2.SetAuthURLParam("acr_values", v) }
func maxAge(v string) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam("max_age", v) }
func prompt(v string) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam("prompt", v) }
func (b *browser) signIn(who string) claims {
	b.Helper()
	return b.ask().fill("person", who, "password", "demo").tokens()
}
