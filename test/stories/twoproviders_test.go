package stories_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
)

// twoProviders is the hospital with a second provider: the hospital's own signs
// people in at the pharmacy, the national one at imaging, and at the laboratory
// they choose.
var twoProviders = change{
	"logins:\n  strong: {acr: [\"urn:hospital:mfa\"]}\n", `  - name: national
    label: National smartcard
    issuer: {national}
    client_id: anteroom
    client_key: ${file:national.pem}
    client_key_id: gateway-2026
    scopes: [openid, profile, email, groups]
logins:
  strong: {providers: {hospital: {acr: ["urn:hospital:mfa"]}, national: {acr: ["urn:hospital:mfa"]}}}
`,
	"nurse:       {groups: [ehr-nurses]}", "nurse:       {providers: {hospital: {groups: [ehr-nurses]}, national: {groups: [ehr-nurses]}}}",
	"    device: clinical\naudit:", `    device: clinical
    provider: national
  - name: laboratory
    host: lab.anteroom.localhost
    path: /
    backend:
      url: {pharmacy}
      identity: {headers: {X-Remote-User: username}}
    allow: {roles: [nurse]}
    device: clinical
    provider: [hospital, national]
    rules:
      - name: export results
        when: {path: /export/**}
        require: {login: strong}
audit:`,
}

// openTwo starts a hospital with two real providers: the demo's, whose client
// has a secret, and the certified one, whose client has a key and pushes its
// requests. It returns the issuers, in this order. A nurse is staff-nora at both.
func (h *hospital) openTwo() (own, national string) {
	h.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.Fatal(err)
	}
	h.open(twoProviders, func(t testing.TB, r registration) string {
		h.write("national.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		withKey := r
		withKey.key, withKey.subjects = &jose.JSONWebKey{Key: key.Public(), KeyID: "gateway-2026", Use: "sig", Algorithm: "ES256"}, "staff-"
		h.national = startCertified(t, withKey)
		return startDemo(t, r)
	})
	return h.issuer, h.national
}

// Two providers beside one another: each signs in its own people on its own
// routes, steps them up and signs them out; who is whom at the one is nobody at
// the other.
func TestTwoProviders(t *testing.T) {
	t.Parallel()
	h := &hospital{TB: t, provider: "both", pharmacy: anteroomtest.NewBackend(t), imaging: anteroomtest.NewBackend(t)}
	h.pharmacy.Handle(pharmacy().ServeHTTP)
	h.imaging.Handle(imaging().ServeHTTP)
	own, national := h.openTwo()
	lab := strings.Replace(h.rx, "rx.", "lab.", 1)

	t.Run("each has its routes", func(t *testing.T) {
		p := h.browser(compliant()).tab()
		p.enter("nora", h.rx+"/orders")
		is(p, own)

		p.open(h.img + "/study.html")
		p.asked("other_provider")
		p.says("National smartcard", "Nora Lind")
		if raw := h.imaging.Raw(); raw != "" {
			t.Errorf("signed in elsewhere, she reached imaging:\n%s", raw)
		}
		h.issuer = national
		p.follow("#anteroom-continue")
		p.signIn("nora")
		p.at(h.img + "/study.html")
		is(p, national)
		if r, _ := h.imaging.Last(); r.Header.Get("X-Remote-User") != "nora" {
			t.Errorf("imaging was told of %q", r.Header.Get("X-Remote-User"))
		}

		// The same sub of another issuer is another person: the first is signed out.
		h.pharmacy.Forget()
		p.open(h.rx + "/orders")
		p.asked("other_provider")
		if raw := h.pharmacy.Raw(); raw != "" {
			t.Errorf("the other provider's nora reached the pharmacy:\n%s", raw)
		}

		p.open(h.img + "/study.html")
		p.signOut()
		p.open(h.img + "/study.html")
		p.atLogin() // and at the provider, too
	})

	for _, at := range []struct{ name, issuer string }{{"national", national}, {"hospital", own}} {
		t.Run("chosen: "+at.name, func(t *testing.T) {
			h.issuer = at.issuer
			p := h.browser(compliant()).tab()
			p.open(lab + "/orders")
			p.asked("choose")
			p.says("hospital", "National smartcard")
			p.follow("#anteroom-provider-" + at.name)
			p.signIn("nora")
			p.at(lab + "/orders")
			is(p, at.issuer)

			// A step-up asks the session's own provider, and no choice.
			p.open(lab + "/export/results.csv")
			p.signIn("nora")
			p.at(lab + "/export/results.csv")
			if s := p.session(); s.ACR != "urn:hospital:mfa" || s.Subject != (access.Subject{Issuer: at.issuer, Sub: "staff-nora"}) {
				t.Errorf("after the step-up: %+v", s)
			}

			p.signOut()
			p.open(lab + "/orders")
			p.asked("choose")
			if first := eval[string](p, `document.querySelector("a[id^=anteroom-provider-]").id`); first != "anteroom-provider-"+at.name {
				t.Errorf("first is %s, not the one used last", first)
			}
			p.follow("#anteroom-provider-" + at.name)
			p.atLogin() // signed out there as well
			other := own
			if at.issuer == own {
				other = national
			}
			if slices.ContainsFunc(p.shown(), func(page string) bool { return strings.HasPrefix(page, other) }) {
				t.Errorf("the other provider was shown:\n%s", p.now())
			}
		})
	}
}

// is fails unless the tab's host knows nora of this issuer.
func is(p *tab, issuer string) {
	p.h.Helper()
	if s, want := p.session(), (access.Subject{Issuer: issuer, Sub: "staff-nora"}); s.Subject != want || s.Username != "nora" {
		p.h.Errorf("signed in is %+v, want %v", s, want)
	}
}
