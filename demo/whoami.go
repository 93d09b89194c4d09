package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A Received is what an application was told of who is there. It is shown at
// /whoami and, for scripts, at /whoami.json.
type Received struct {
	Headers   map[string][]string `json:"headers"`             // the identity headers
	Verified  bool                `json:"verified"`            // the assertion's signature, issuer, audience and time are right
	Claims    map[string]any      `json:"claims,omitempty"`    // of the assertion, once verified
	Problem   string              `json:"problem,omitempty"`   // why it is not verified
	Cookies   []string            `json:"cookies"`             // names of the cookies that arrived
	Request   string              `json:"request_id"`          // X-Request-Id
	Trace     string              `json:"traceparent"`         //
	Forwarded map[string][]string `json:"forwarded,omitempty"` // X-Forwarded-*
}

// Pretty returns the claims as indented JSON.
func (r Received) Pretty() string {
	b, err := json.MarshalIndent(r.Claims, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (p *Pharmacy) whoami(r *http.Request) (any, bool) { return p.received(r), true }

func (p *Pharmacy) received(r *http.Request) Received {
	got := Received{Headers: map[string][]string{}, Forwarded: map[string][]string{}, Cookies: []string{}, Request: r.Header.Get("X-Request-Id"), Trace: r.Header.Get("Traceparent")}
	for name, values := range r.Header {
		switch {
		case strings.HasPrefix(name, "X-Remote-"), strings.HasPrefix(name, "X-Anteroom-"), strings.HasPrefix(name, "X-Mdm-"), name == "Authorization":
			got.Headers[name] = values
		case strings.HasPrefix(name, "X-Forwarded-"):
			got.Forwarded[name] = values
		}
	}
	for _, c := range r.Cookies() {
		got.Cookies = append(got.Cookies, c.Name)
	}
	slices.Sort(got.Cookies)
	claims, err := p.verify(r.Context(), r.Header.Get("X-Anteroom-Assertion"))
	if err != nil {
		got.Problem = err.Error()
		return got
	}
	got.Verified, got.Claims = true, claims
	return got
}

// verify checks an assertion as an application should: a fixed algorithm, the
// gateway's published keys, issuer, audience and time. It returns the claims.
func (p *Pharmacy) verify(ctx context.Context, raw string) (map[string]any, error) {
	if raw == "" {
		return nil, errors.New("no assertion was sent")
	}
	if p.config.Keys == nil {
		return nil, errors.New("this application has no keys to check assertions with")
	}
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, fmt.Errorf("read assertion: %w", err)
	}
	keys, err := p.config.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch the gateway's keys: %w", err)
	}
	var known jwt.Claims
	var all map[string]any
	if err := token.Claims(keys, &known, &all); err != nil {
		return nil, fmt.Errorf("check signature of assertion: %w", err)
	}
	want := jwt.Expected{Issuer: p.config.Issuer, AnyAudience: jwt.Audience{p.config.Audience}, Time: time.Now()}
	if err := known.ValidateWithLeeway(want, 5*time.Second); err != nil {
		return nil, fmt.Errorf("check assertion: %w", err)
	}
	return all, nil
}

// fetchKeys returns a function that gets the key set at url each time it is asked.
func fetchKeys(client *http.Client, url string) func(context.Context) (jose.JSONWebKeySet, error) {
	return func(ctx context.Context) (jose.JSONWebKeySet, error) {
		var set jose.JSONWebKeySet
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return set, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return set, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return set, fmt.Errorf("%s answered %s", url, resp.Status)
		}
		if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&set); err != nil {
			return set, fmt.Errorf("read %s: %w", url, err)
		}
		return set, nil
	}
}
