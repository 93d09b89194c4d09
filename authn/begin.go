package authn

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// An Ask is what a sign-in is asked to prove. Asking proves nothing: a person
// can edit it on its way, so the caller judges what [Provider.Finish] returns.
// The zero Ask takes any sign-in, an old one too.
type Ask struct {
	ACRValues []string      // acceptable acr values, the most wanted first
	MaxAge    time.Duration // greatest age of the sign-in, in whole seconds; zero asks nothing
	Login     bool          // the person signs in anew, whatever session the provider has
}

// An Attempt is one sign-in on its way, and what its callback is checked
// against. It is good for one browser and belongs sealed in a cookie of that
// browser: whoever reads it could finish the sign-in. It prints as its provider.
type Attempt struct {
	Provider string    `json:"provider"`
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // RFC 7636
	Began    time.Time `json:"began"`
}

// String keeps the secrets of a out of logs.
func (a Attempt) String() string { return "sign-in at " + a.Provider }

// GoString keeps the secrets of a out of logs.
func (a Attempt) GoString() string { return a.String() }

// LogValue keeps the secrets of a out of logs.
func (a Attempt) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Begin returns the address to send a browser to, and what to keep until it
// comes back with state, which must be hard to guess. Where the provider takes
// the request itself (RFC 9126), it is handed over first and the address holds
// none of it. Begin returns an [*UnavailableError] when the provider does not
// answer just now: within 300 ms once that is known, within 3.2 s the first
// time; and a [*RefusedError] when it takes no such request.
func (p *Provider) Begin(ctx context.Context, state string, ask Ask) (authURL string, a Attempt, err error) {
	if state == "" {
		return "", Attempt{}, errors.New("authn: begin a sign-in without a state")
	}
	doc, err := p.discovery.living(ctx)
	if err != nil {
		return "", Attempt{}, err
	}
	a = Attempt{
		Provider: p.cfg.Name,
		State:    state,
		Nonce:    rand.Text(),
		Verifier: oauth2.GenerateVerifier(),
		Began:    p.now(),
	}
	options := []oauth2.AuthCodeOption{
		oidc.Nonce(a.Nonce),
		// PKCE whatever the provider says of it: one that knows none ignores it.
		oauth2.S256ChallengeOption(a.Verifier),
		oauth2.SetAuthURLParam("response_mode", "query"),
	}
	if len(ask.ACRValues) == 0 {
		ask.ACRValues = p.cfg.ACRValues
	}
	switch {
	case len(ask.ACRValues) == 0:
	case p.cfg.AskByClaims:
		options = append(options, oauth2.SetAuthURLParam("claims", p.claimsParameter(ask.ACRValues)))
	default:
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(ask.ACRValues, " ")))
	}
	if ask.Login {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	if ask.MaxAge > 0 || ask.Login {
		// max_age also obliges the provider to say auth_time (Core, section 2),
		// without which a new sign-in could not be told from an old one.
		seconds := strconv.FormatInt(int64(ask.MaxAge/time.Second), 10)
		options = append(options, oauth2.SetAuthURLParam("max_age", seconds))
	}
	authURL = p.oauth(doc).AuthCodeURL(state, options...)
	if doc.Pushed == "" {
		return authURL, a, nil
	}
	u, err := url.Parse(authURL)
	if err != nil {
		return "", Attempt{}, &UnavailableError{Issuer: p.cfg.Issuer, Err: errors.New("its authorization_endpoint cannot be used")}
	}
	short, err := p.push(ctx, doc, u.Query())
	if err != nil {
		return "", Attempt{}, err
	}
	u.RawQuery = short.Encode()
	return u.String(), a, nil
}

// claimsParameter asks for one of values as an essential claim (Core, section
// 5.5.1.1). One value alone is asked for by that name: there are providers that
// know only that.
func (p *Provider) claimsParameter(values []string) string {
	want := map[string]any{"essential": true, "values": values}
	if len(values) == 1 {
		want = map[string]any{"essential": true, "value": values[0]}
	}
	text, err := json.Marshal(map[string]any{"id_token": map[string]any{cmp.Or(p.cfg.Claims.ACR, "acr"): want}})
	if err != nil {
		return "{}" // text and true can always be written
	}
	return string(text)
}

func (p *Provider) oauth(doc *document) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.cfg.ClientID,
		ClientSecret: p.cfg.ClientSecret,
		Endpoint: oauth2.Endpoint{
			AuthURL:   doc.Authorization,
			TokenURL:  doc.Token,
			AuthStyle: doc.authStyle, // said, so that a refusal is never tried again the other way
		},
		RedirectURL: p.cfg.RedirectURL,
		Scopes:      p.cfg.Scopes,
	}
}
