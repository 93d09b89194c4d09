package authn_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

const redirectURL = "https://gate.test/.anteroom/callback"

// configured returns a relying party's configuration for op.
func configured(op *anteroomtest.Provider) authn.Config {
	return authn.Config{
		Name: "hospital", Issuer: op.URL, ClientID: op.ClientID, ClientSecret: op.ClientSecret,
		Scopes:      []string{"openid", "profile", "groups"},
		Claims:      authn.Claims{Username: "preferred_username", Name: "name", Groups: "groups"},
		RedirectURL: redirectURL,
	}
}

// parties returns a provider and its relying party.
func parties(t testing.TB) (*anteroomtest.Provider, *authn.Provider) {
	t.Helper()
	op := anteroomtest.NewProvider(t)
	return op, authn.NewProvider(configured(op))
}

// begun begins a sign-in.
func begun(t testing.TB, rp *authn.Provider, ask authn.Ask) (string, authn.Attempt) {
	t.Helper()
	authURL, a, err := rp.Begin(t.Context(), "state-1", ask)
	for range 100 { // a slow machine may take its time over the first answer
		if err == nil || !strings.Contains(err.Error(), "no answer in time") {
			break
		}
		authURL, a, err = rp.Begin(t.Context(), "state-1", ask)
	}
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return authURL, a
}

// signIn goes all the way round.
func signIn(t testing.TB, op *anteroomtest.Provider, rp *authn.Provider, jar http.CookieJar, ask authn.Ask) (authn.Proof, error) {
	t.Helper()
	authURL, a := begun(t, rp, ask)
	return rp.Finish(t.Context(), a, op.Visit(t, jar, authURL))
}

func mustSignIn(t testing.TB, op *anteroomtest.Provider, rp *authn.Provider) authn.Proof {
	t.Helper()
	proof, err := signIn(t, op, rp, nil, authn.Ask{})
	if err != nil {
		t.Fatalf("sign in: %v", err)
	}
	return proof
}

// A refusal says which error a case wants; the zero refusal wants none.
type refusal struct {
	claim  string // of a ClaimError
	code   string // of a RefusedError
	state  bool
	skew   bool
	down   bool // an UnavailableError
	other  bool // any other error
	replay bool
}

func (want refusal) check(t testing.TB, err error) {
	t.Helper()
	if got := kind(err); got != want {
		t.Fatalf("err = %v (%+v), want %+v", err, got, want)
	}
}

func kind(err error) refusal {
	if err == nil {
		return refusal{}
	}
	if e, ok := errors.AsType[*authn.ClaimError](err); ok {
		return refusal{claim: e.Claim}
	}
	if e, ok := errors.AsType[*authn.RefusedError](err); ok {
		return refusal{code: e.Code}
	}
	if _, ok := errors.AsType[*authn.SkewError](err); ok {
		return refusal{skew: true}
	}
	if _, ok := errors.AsType[*authn.UnavailableError](err); ok {
		return refusal{down: true}
	}
	if errors.Is(err, authn.ErrReplay) {
		return refusal{replay: true}
	}
	return refusal{state: errors.Is(err, authn.ErrState), other: !errors.Is(err, authn.ErrState)}
}

// inMemory carries requests to h without sockets, for synctest. A handler that
// waits is left when the request's context ends.
type inMemory struct{ h http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	served := make(chan struct{})
	go func() {
		defer close(served)
		m.h.ServeHTTP(w, r)
	}()
	<-served
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// callback returns the parameters that the provider sends back, in memory.
func callback(t testing.TB, op http.Handler, authURL string) url.Values {
	t.Helper()
	w := httptest.NewRecorder()
	op.ServeHTTP(w, httptest.NewRequest(http.MethodGet, authURL, nil))
	back, err := w.Result().Location()
	if err != nil {
		t.Fatalf("the provider answered %d, not a redirect", w.Code)
	}
	return back.Query()
}
