package demo

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// How long things are kept.
const (
	requestLife = 10 * time.Minute // a sign-in in progress
	tokenLife   = 5 * time.Minute  // an access token, for userinfo
	sessionLife = 12 * time.Hour   // the provider's own session
)

// A session is a browser's sign-in at the provider. One that is kept is not changed, but replaced.
type session struct {
	SID      string // names it in ID tokens and logout tokens
	Person   Person
	AuthTime time.Time
	ACR      string
	AMR      []string

	began time.Time
}

// An authRequest is one authorization request on its way to a code. Once
// finished it is not changed.
type authRequest struct {
	*oidc.AuthRequest
	id      string
	created time.Time
	hint    string // the sub of id_token_hint; "" when none was sent

	proved *Person // whose password was right, while the code is still asked

	finished bool
	session  session // as it was when it answered
}

var _ op.AuthRequest = (*authRequest)(nil)

func (r *authRequest) GetID() string          { return r.id }
func (r *authRequest) GetACR() string         { return r.session.ACR }
func (r *authRequest) GetAMR() []string       { return r.session.AMR }
func (r *authRequest) GetAudience() []string  { return []string{r.ClientID} }
func (r *authRequest) GetAuthTime() time.Time { return r.session.AuthTime }
func (r *authRequest) GetClientID() string    { return r.ClientID }
func (r *authRequest) GetNonce() string       { return r.Nonce }
func (r *authRequest) GetScopes() []string    { return r.Scopes }
func (r *authRequest) GetSubject() string     { return r.session.Person.Sub() }
func (r *authRequest) Done() bool             { return r.finished }

func (r *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if r.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

// wantsMFA reports whether the first acr that the provider knows, in the
// order of preference that the client gave, is the strong one.
func (r *authRequest) wantsMFA() bool {
	for _, acr := range r.ACRValues {
		switch acr {
		case ACRMFA:
			return true
		case ACRPassword:
			return false
		}
	}
	return false
}

// A step is what a browser must still do before its request can be answered.
type step string

const (
	stepNone     step = ""
	stepPassword step = "password"
	stepCode     step = "code"
)

// missing returns the next step of r in a browser whose session is s, or nil.
func (r *authRequest) missing(s *session, now time.Time) step {
	switch {
	case r.finished:
		return stepNone
	case r.proved != nil:
		return stepCode
	case s == nil,
		slices.Contains(r.Prompt, oidc.PromptLogin), slices.Contains(r.Prompt, oidc.PromptSelectAccount),
		r.hint != "" && r.hint != s.Person.Sub(),
		r.MaxAge != nil && (*r.MaxAge == 0 || now.Sub(s.AuthTime) > time.Duration(*r.MaxAge)*time.Second):
		return stepPassword
	case r.wantsMFA() && s.ACR != ACRMFA:
		return stepCode
	}
	return stepNone
}

type accessToken struct {
	sub     string
	scopes  []string
	expires time.Time
}

// storage keeps everything in memory: requests, codes, tokens and sessions.
type storage struct {
	config ProviderConfig
	ended  func(context.Context, session) // told of a session that a client must forget

	mu       sync.Mutex
	requests map[string]*authRequest
	codes    map[string]string // code to request id; each works once
	tokens   map[string]accessToken
	sessions map[string]*session // by the browser's cookie
}

var (
	_ op.Storage                        = (*storage)(nil)
	_ op.CanSetUserinfoFromRequest      = (*storage)(nil)
	_ op.CanTerminateSessionFromRequest = (*storage)(nil)
)

func newStorage(c ProviderConfig) *storage {
	return &storage{
		config:   c,
		requests: map[string]*authRequest{},
		codes:    map[string]string{},
		tokens:   map[string]accessToken{},
		sessions: map[string]*session{},
	}
}

var errUnknown = errors.New("unknown or expired")

// prune forgets what has expired; mu is held.
func (s *storage) prune(now time.Time) {
	for id, r := range s.requests {
		if now.Sub(r.created) > requestLife {
			delete(s.requests, id)
		}
	}
	for code, id := range s.codes {
		if s.requests[id] == nil {
			delete(s.codes, code)
		}
	}
	for id, t := range s.tokens {
		if time.Now().After(t.expires) {
			delete(s.tokens, id)
		}
	}
	for id, b := range s.sessions {
		if now.Sub(b.began) > sessionLife {
			delete(s.sessions, id)
		}
	}
}

// CreateAuthRequest keeps a request that the library has checked. With
// prompt=none it is answered from the browser's session or not at all.
func (s *storage) CreateAuthRequest(ctx context.Context, ask *oidc.AuthRequest, hint string) (op.AuthRequest, error) {
	if ask.CodeChallenge == "" {
		return nil, oidc.ErrInvalidRequest().WithDescription("this provider asks for PKCE (RFC 7636)")
	}
	now := s.config.Now()
	r := &authRequest{AuthRequest: ask, id: rand.Text(), created: now, hint: hint}
	have := s.sessionOf(ctx)
	if slices.Contains(ask.Prompt, oidc.PromptNone) {
		switch r.missing(have, now) {
		case stepPassword:
			return nil, oidc.ErrLoginRequired()
		case stepCode:
			return nil, oidc.ErrInteractionRequired()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(now)
	s.requests[r.id] = r
	return r, nil
}

// request returns a copy of a sign-in in progress.
func (s *storage) request(id string) (authRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(s.config.Now())
	r, ok := s.requests[id]
	if !ok {
		return authRequest{}, false
	}
	return *r, true
}

// proved notes that the password of p was right and that the code comes next.
func (s *storage) proved(id string, p Person) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.requests[id]; ok && !r.finished {
		changed := *r
		changed.proved = &p
		s.requests[id] = &changed
	}
}

// finish answers the request from a session, and reports whether it still waited for that.
func (s *storage) finish(id string, from session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[id]
	if !ok || r.finished {
		return false
	}
	changed := *r
	changed.finished, changed.session = true, from
	s.requests[id] = &changed
	return true
}

// keep puts a session under a new cookie, in place of what was under the old one.
func (s *storage) keep(cookie, old string, from session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, old)
	s.sessions[cookie] = &from
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	r, ok := s.request(id)
	if !ok {
		return nil, errUnknown
	}
	return &r, nil
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id, ok := s.codes[code]
	delete(s.codes, code) // works once, whatever comes of it
	s.mu.Unlock()
	if !ok {
		return nil, errUnknown
	}
	return s.AuthRequestByID(ctx, id)
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

func (s *storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := rand.Text()
	// By the machine's clock, as the library counts expires_in.
	t := accessToken{sub: r.GetSubject(), scopes: r.GetScopes(), expires: time.Now().Add(tokenLife)}
	s.tokens[id] = t
	return id, t.expires, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.config.ClientID {
		return nil, errUnknown
	}
	return client{s.config}, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != s.config.ClientID || subtle.ConstantTimeCompare([]byte(secret), []byte(s.config.ClientSecret)) != 1 {
		return errors.New("client_id or client_secret is wrong")
	}
	return nil
}

// SetUserinfoFromRequest fills the ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	if req, ok := r.(*authRequest); ok {
		info.AppendClaims("sid", req.session.SID)
	}
	return describe(info, r.GetSubject(), scopes)
}

// SetUserinfoFromToken fills the answer of the userinfo endpoint.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, sub, _ string) error {
	s.mu.Lock()
	t, ok := s.tokens[id]
	s.mu.Unlock()
	if !ok || t.sub != sub || time.Now().After(t.expires) {
		return errUnknown
	}
	return describe(info, sub, t.scopes)
}

func describe(info *oidc.UserInfo, sub string, scopes []string) error {
	p, ok := personWithSub(sub)
	if !ok {
		return errUnknown
	}
	info.Subject = sub
	for _, scope := range scopes {
		switch scope {
		case oidc.ScopeProfile:
			info.PreferredUsername, info.Name = p.Username, p.Name
		case oidc.ScopeEmail:
			info.Email, info.EmailVerified = p.Username+"@hospital.example", true
		case "groups":
			info.AppendClaims("groups", append([]string{}, p.Groups...)) // [] rather than null
		}
	}
	return nil
}

// A signingKey is the provider's one key in the shape that signs; publicKey is the one that is published.
type signingKey struct{ config ProviderConfig }

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.config.Key }
func (k signingKey) ID() string                                  { return keyID(k.config.Key) }

type publicKey struct{ config ProviderConfig }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.config.Key.PublicKey }
func (k publicKey) ID() string                         { return keyID(k.config.Key) }

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	return signingKey{s.config}, nil
}

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{s.config}}, nil
}

func (s *storage) Health(context.Context) error { return nil }
