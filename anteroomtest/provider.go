// Package anteroomtest has what tests of the gateway need around it: an
// OpenID provider that can be told to misbehave.
package anteroomtest

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// The paths of a [Provider]'s endpoints, for [Provider.Handle] and [Provider.Calls].
const (
	DiscoveryPath  = "/.well-known/openid-configuration"
	AuthorizePath  = "/authorize"
	TokenPath      = "/token"
	UserInfoPath   = "/userinfo"
	KeysPath       = "/keys"
	EndSessionPath = "/end_session"
)

// A Person is who signs in at a [Provider]. Nobody is asked anything.
type Person struct {
	Sub, Username, Name string
	Groups              []string
	ACR                 string   // of an ordinary sign-in; "" says none
	AMR                 []string // of an ordinary sign-in
	CanACR              []string // proven as well, when acr_values asks for one of them
	CanAMR              []string // the methods of that stronger sign-in
}

// A Provider is an OpenID provider on a loopback address with one client. It
// behaves until it is told otherwise, and every answer can be made wrong,
// late, huge or missing. All methods are safe for concurrent use; what is set
// holds for the answers that begin afterwards.
//
// A browser that has signed in keeps a session by cookie: it comes back with
// the same person and the same auth_time, unless prompt, max_age or acr_values
// ask for more.
type Provider struct {
	URL          string // the issuer
	ClientID     string
	ClientSecret string

	server *httptest.Server
	addr   string
	sign   *signing

	mu        sync.Mutex
	person    Person
	skew      time.Duration
	noAuth    bool
	handlers  map[string]http.HandlerFunc
	calls     map[string]int
	authorize url.Values
	codes     map[string]*grant
	tokens    map[string]*grant
	sessions  map[string]*session
	last      *session
	hang      chan struct{} // closed to let go; nil when answering
	hooks     hooks
}

type hooks struct {
	discovery, idToken, answer, userInfo, keys func(map[string]any)
	callback                                   func(url.Values)
}

// A session is one sign-in at the provider.
type session struct {
	id     string
	person Person
	at     time.Time // auth_time
	acr    string
	amr    []string
}

// A grant is what a code or an access token stands for.
type grant struct {
	session   session
	nonce     string
	challenge string
	redirect  string
	scope     string
	until     time.Time
}

// NewProvider returns a provider that runs until t ends. Its person is nora, a
// nurse, who signs in by password.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{
		ClientID:     "anteroom",
		ClientSecret: "client-secret+/=&%",
		sign:         newSigning(),
		handlers:     make(map[string]http.HandlerFunc),
		calls:        make(map[string]int),
		codes:        make(map[string]*grant),
		tokens:       make(map[string]*grant),
		sessions:     make(map[string]*session),
		person: Person{
			Sub: "u-nora", Username: "nora", Name: "Nora Nurse", Groups: []string{"ehr-nurses"},
			ACR: "pwd", AMR: []string{"pwd"},
		},
	}
	p.start(nil)
	p.addr = p.server.Listener.Addr().String()
	p.URL = "http://" + p.addr
	t.Cleanup(func() {
		p.Up()
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

func (p *Provider) start(l net.Listener) {
	p.server = httptest.NewUnstartedServer(p)
	if l != nil {
		p.server.Listener.Close()
		p.server.Listener = l
	}
	p.server.Start()
}

// ServeHTTP answers as the server at URL does. Tests under testing/synctest,
// where there are no sockets, ask it in memory.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.calls[r.URL.Path]++
	handler, hang := p.handlers[r.URL.Path], p.hang
	p.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return
		}
	}
	if handler == nil {
		handler = map[string]http.HandlerFunc{
			DiscoveryPath:  p.serveDiscovery,
			AuthorizePath:  p.serveAuthorize,
			TokenPath:      p.serveToken,
			UserInfoPath:   p.serveUserInfo,
			KeysPath:       p.serveKeys,
			EndSessionPath: p.serveEndSession,
		}[r.URL.Path]
	}
	if handler == nil {
		http.NotFound(w, r)
		return
	}
	handler(w, r)
}

// Person sets who signs in next. A browser with a session keeps its person.
func (p *Provider) Person(who Person) { p.set(func() { p.person = who }) }

// Skew sets the provider's clock d ahead of this machine's.
func (p *Provider) Skew(d time.Duration) { p.set(func() { p.skew = d }) }

// OmitAuthTime has ID tokens say auth_time only when max_age asks for it.
func (p *Provider) OmitAuthTime() { p.set(func() { p.noAuth = true }) }

// Handle answers path, with or without an endpoint of the provider's, by h; nil
// gives the endpoint back.
func (p *Provider) Handle(path string, h http.HandlerFunc) { p.set(func() { p.handlers[path] = h }) }

// Discovery edits the discovery document; nil stops editing, here and below.
func (p *Provider) Discovery(edit func(map[string]any)) { p.set(func() { p.hooks.discovery = edit }) }

// EditIDToken edits the claims of ID tokens before they are signed.
func (p *Provider) EditIDToken(edit func(claims map[string]any)) {
	p.set(func() { p.hooks.idToken = edit })
}

// EditTokenAnswer edits the token endpoint's answer.
func (p *Provider) EditTokenAnswer(edit func(map[string]any)) {
	p.set(func() { p.hooks.answer = edit })
}

// EditUserInfo edits what userinfo says.
func (p *Provider) EditUserInfo(edit func(map[string]any)) { p.set(func() { p.hooks.userInfo = edit }) }

// EditKeys edits the key set.
func (p *Provider) EditKeys(edit func(map[string]any)) { p.set(func() { p.hooks.keys = edit }) }

// EditCallback edits the parameters that a browser brings back.
func (p *Provider) EditCallback(edit func(url.Values)) { p.set(func() { p.hooks.callback = edit }) }

// Refuse has the authorization endpoint send browsers back with an error.
func (p *Provider) Refuse(code, description string) {
	p.EditCallback(func(q url.Values) {
		q.Del("code")
		q.Set("error", code)
		q.Set("error_description", description)
	})
}

// Calls returns how many requests path has had.
func (p *Provider) Calls(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[path]
}

// LastAuthorize returns the parameters of the newest authorization request.
func (p *Provider) LastAuthorize() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.authorize)
}

// Hang has every request wait until [Provider.Up].
func (p *Provider) Hang() {
	p.set(func() {
		if p.hang == nil {
			p.hang = make(chan struct{})
		}
	})
}

// Down closes the provider's port and every connection to it, until [Provider.Up].
func (p *Provider) Down() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// Up answers again after [Provider.Hang], and at the same address after [Provider.Down].
func (p *Provider) Up() {
	p.set(func() {
		if p.hang != nil {
			close(p.hang)
			p.hang = nil
		}
	})
	if l, err := net.Listen("tcp", p.addr); err == nil { // fails while it is up
		p.start(l)
	}
}

func (p *Provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// hook returns the hook that pick names.
func (p *Provider) hook(pick func(hooks) func(map[string]any)) func(map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if edit := pick(p.hooks); edit != nil {
		return edit
	}
	return func(map[string]any) {}
}

func (p *Provider) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Add(p.skew)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (p *Provider) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer":                                         p.URL,
		"authorization_endpoint":                         p.URL + AuthorizePath,
		"token_endpoint":                                 p.URL + TokenPath,
		"userinfo_endpoint":                              p.URL + UserInfoPath,
		"jwks_uri":                                       p.URL + KeysPath,
		"end_session_endpoint":                           p.URL + EndSessionPath,
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256", "ES256", "PS256", "EdDSA"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
	}
	p.hook(func(h hooks) func(map[string]any) { return h.discovery })(m)
	writeJSON(w, http.StatusOK, m)
}

func (p *Provider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{"keys": slices.Clone(p.sign.published())}
	p.hook(func(h hooks) func(map[string]any) { return h.keys })(m)
	writeJSON(w, http.StatusOK, m)
}
