package anteroomtest

import (
	"crypto/rand"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// SID returns the provider's name for the newest session; "" before any.
func (p *Provider) SID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		return ""
	}
	return p.last.id
}

// LogoutToken returns a back-channel logout token for the session sid of sub,
// either of which may be empty; edit changes header and claims before signing.
func (p *Provider) LogoutToken(sub, sid string, edit func(header, claims map[string]any)) string {
	now := p.now()
	header := map[string]any{"typ": "logout+jwt"}
	claims := map[string]any{
		"iss": p.URL, "aud": p.ClientID, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	if sub != "" {
		claims["sub"] = sub
	}
	if sid != "" {
		claims["sid"] = sid
	}
	if edit != nil {
		edit(header, claims)
	}
	return p.Key().Token(header, claims)
}

// SendLogout posts token to the back-channel logout endpoint at to, whatever
// certificate that has, and returns the status of the answer.
func (p *Provider) SendLogout(t testing.TB, to, token string) int {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // tests serve under certificates of their own
		DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := client.PostForm(to, url.Values{"logout_token": {token}})
	if err != nil {
		t.Fatalf("send logout token: %v", err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
