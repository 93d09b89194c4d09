package authn

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/anteroom/anteroom/access"
)

const (
	maxCode  = 4 << 10  // bytes of an authorization code
	maxToken = 64 << 10 // bytes of an ID token or logout token
)

// A Proof is what a sign-in proved. It prints as its subject's issuer.
type Proof struct {
	access.Authentication
	SID      string    // the provider's name for its session; "" when not said
	IDToken  string    // as received, for the hint of a later sign-out
	IssuedAt time.Time // the iat claim, by the provider's clock
}

// String keeps the token and the person out of logs.
func (p Proof) String() string { return "proof by " + p.Subject.Issuer }

// GoString keeps the token and the person out of logs.
func (p Proof) GoString() string { return p.String() }

// LogValue keeps the token and the person out of logs.
func (p Proof) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Finish completes the sign-in a with the parameters of its callback. It
// redeems the code, so of two calls with one callback only the first can
// succeed. It returns [ErrState] when the callback does not belong to a or says
// one thing twice, a [*RefusedError] when the provider said no, a
// [*ClaimError] when a token, the iss parameter or userinfo fails a check, a
// [*SkewError] when the clocks are too far apart, [ErrGroups] when the provider
// left out the groups of somebody who is in too many, an [*UnavailableError] when
// the provider could not be asked, and another error when its answer is not
// what the specification says. No error holds a code, a token or a description
// that the provider sent.
//
// Finish does not know what was asked for: whether ACR, AMR and FreshAt are
// enough, and whether the subject is the expected one, the caller decides.
func (p *Provider) Finish(ctx context.Context, a Attempt, q url.Values) (Proof, error) {
	began := p.now()
	if err := p.matches(a, q); err != nil {
		return Proof{}, err
	}
	doc, err := p.discovery.known(ctx)
	if err != nil {
		return Proof{}, err
	}
	if doc.SendsIssuer && !q.Has("iss") {
		return Proof{}, &ClaimError{Claim: "iss", Want: "an iss parameter in the callback"} // RFC 9207, section 2.4
	}
	if q.Has("error") {
		return Proof{}, &RefusedError{Endpoint: "authorization", Code: knownCode(q.Get("error"))}
	}
	code := q.Get("code")
	if code == "" || len(code) > maxCode {
		return Proof{}, fmt.Errorf("callback without a usable code: %w", ErrState)
	}
	token, err := p.redeem(ctx, doc, code, a.Verifier)
	if err != nil {
		return Proof{}, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Proof{}, &ClaimError{Claim: "id_token", Want: "an ID token from the token endpoint"}
	}
	id, err := p.idToken(ctx, doc, raw, token.AccessToken)
	if err != nil {
		return Proof{}, err
	}
	t, err := p.judge(id, a.Nonce)
	if err != nil {
		return Proof{}, err
	}
	proof := Proof{
		Authentication: access.Authentication{
			Subject:  access.Subject{Issuer: doc.Issuer, Sub: id.text("sub")},
			ACR:      id.acr(cmp.Or(p.cfg.Claims.ACR, "acr")),
			AMR:      words(id["amr"]),
			AuthTime: t.auth,
			// From when the callback came, not from when the provider had
			// answered: what it takes to answer makes no sign-in younger.
			FreshAt: t.freshAt(began),
		},
		SID:      id.word("sid"),
		IDToken:  raw,
		IssuedAt: t.issued,
	}
	if err := p.describe(ctx, doc, id, token.AccessToken, &proof.Authentication); err != nil {
		return Proof{}, err
	}
	return proof, nil
}

// matches checks what can be checked without the network.
func (p *Provider) matches(a Attempt, q url.Values) error {
	for _, values := range q {
		if len(values) != 1 { // RFC 6749, section 3.1
			return ErrState
		}
	}
	if a.State == "" || a.Nonce == "" || a.Verifier == "" || a.Provider != p.cfg.Name {
		return ErrState
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(a.State)) != 1 {
		return ErrState
	}
	// Before the code goes anywhere: in a mix-up attack it belongs to another
	// provider, and ours would be handed it (RFC 9207).
	if q.Has("iss") && q.Get("iss") != p.cfg.Issuer {
		return &ClaimError{Claim: "iss", Got: clip(q.Get("iss")), Want: p.cfg.Issuer}
	}
	return nil
}

// redeem exchanges code for tokens (RFC 6749, section 4.1.3).
func (p *Provider) redeem(ctx context.Context, doc *document, code, verifier string) (*oauth2.Token, error) {
	ctx = oidc.ClientContext(ctx, p.client)
	proofs, err := p.proofs(doc)
	if err != nil {
		return nil, err
	}
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	for name := range proofs {
		options = append(options, oauth2.SetAuthURLParam(name, proofs.Get(name)))
	}
	token, err := p.oauth(doc).Exchange(ctx, code, options...)
	if err == nil {
		if token.TokenType != "" && !strings.EqualFold(token.TokenType, "bearer") {
			return nil, errors.New("authn: the token endpoint gave a token that is not of type Bearer")
		}
		return token, nil
	}
	// What x/oauth2 says may quote the answer, and with it a token or the secret.
	refused, isAnswer := errors.AsType[*oauth2.RetrieveError](err)
	_, isNetwork := errors.AsType[*url.Error](err)
	switch {
	case isAnswer && refused.Response != nil && refused.Response.StatusCode >= 500:
		err = fmt.Errorf("the token endpoint's answer has status %d", refused.Response.StatusCode)
	case isAnswer && refused.ErrorCode != "":
		return nil, &RefusedError{Endpoint: "token", Code: knownCode(refused.ErrorCode)}
	case isAnswer:
		err = fmt.Errorf("the token endpoint's answer has status %d and no error code", refused.Response.StatusCode)
	case isNetwork:
		err = fmt.Errorf("redeem the code: %w", bare(err))
	default:
		err = errors.New("the token endpoint's answer cannot be read, or has no access token")
	}
	return nil, &UnavailableError{Issuer: p.cfg.Issuer, Err: err}
}
