package authn

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrState means a callback matches no sign-in this browser began
// (RFC 6749, section 10.12), or is not one answer but several.
var ErrState = errors.New("authn: callback matches no sign-in in progress")

// ErrReplay means that a logout token has been used before (OpenID Connect
// Back-Channel Logout 1.0, section 2.6).
var ErrReplay = errors.New("authn: logout token was used before")

// ErrGroups means that the provider left out a person's groups since they are
// too many, and said where to ask for them instead (Core, section 5.6.2). The
// gateway does not ask: it would take rights of its own at another service.
var ErrGroups = errors.New("authn: the provider left out the groups of a person who is in too many")

// A ClaimError is a claim that failed its check (OpenID Connect Core 1.0,
// section 3.1.3.7), or the iss parameter of a callback (RFC 9207). Other
// claims may be wrong too.
type ClaimError struct {
	Claim     string // "iss", "aud", "nonce", "auth_time" ...
	Got, Want string // Got is shortened, and empty for what is missing, secret or a person
}

func (e *ClaimError) Error() string {
	switch {
	case e.Got == "" && e.Want == "":
		return fmt.Sprintf("authn: claim %s is missing or wrong", e.Claim)
	case e.Got == "":
		return fmt.Sprintf("authn: claim %s: want %s", e.Claim, e.Want)
	}
	return fmt.Sprintf("authn: claim %s is %q: want %s", e.Claim, e.Got, e.Want)
}

// A RefusedError is the provider's own no, from its authorization or its
// token endpoint (RFC 6749, sections 4.1.2.1 and 5.2; OpenID Connect Core 1.0,
// section 3.1.2.6).
type RefusedError struct {
	Endpoint string // "authorization" or "token"
	Code     string // one of the codes those specifications list, or "other"
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("authn: the %s endpoint refused: %s", e.Endpoint, e.Code)
}

// An UnavailableError means that the provider could not be asked, or that what
// it published cannot be used. Trying later may help.
type UnavailableError struct {
	Issuer string
	Err    error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("authn: provider %s is unavailable: %v", e.Issuer, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// A SkewError means that the provider's clock and this machine's differ by
// more than 60 s.
type SkewError struct {
	By time.Duration // as far as the token shows; positive when the provider is ahead
}

func (e *SkewError) Error() string {
	way := "ahead of"
	if e.By < 0 {
		way = "behind"
	}
	return fmt.Sprintf("authn: the provider's clock is %s %s this machine's", e.By.Abs().Round(time.Second), way)
}

// knownCode keeps a provider's error code when a specification lists it.
// Anything else may be text that somebody wrote into the callback's address.
func knownCode(code string) string {
	switch code {
	case "access_denied", "invalid_request", "invalid_scope", "server_error",
		"temporarily_unavailable", "unauthorized_client", "unsupported_response_type", // RFC 6749, 4.1.2.1
		"invalid_client", "invalid_grant", "unsupported_grant_type", // RFC 6749, 5.2
		"account_selection_required", "consent_required", "interaction_required",
		"invalid_request_object", "invalid_request_uri", "login_required",
		"registration_not_supported", "request_not_supported", "request_uri_not_supported", // Core, 3.1.2.6
		"unmet_authentication_requirements": // its own specification of that name
		return code
	}
	return "other"
}

// said returns the text of err without what encoding/json quotes of a token.
func said(err error) string {
	text, _, _ := strings.Cut(err.Error(), ", trying to unmarshal")
	return clip(text)
}

// clip shortens what a stranger wrote, for errors and logs.
func clip(s string) string {
	const most = 128
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
