package inject_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/inject"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte("a key for tests"))
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signer(t testing.TB) *inject.Signer {
	t.Helper()
	s, err := inject.NewSigner(key(t), "https://gate.test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func nora() access.Session {
	return access.Session{
		ID: "s-17",
		Authentication: access.Authentication{
			Subject:  access.Subject{Issuer: "https://login.test", Sub: "a81f"},
			Username: "nora", Name: "Nora Åsen", ACR: "phr", AMR: []string{"pwd", "hwk"},
			AuthTime: noon.Add(-10 * time.Minute), FreshAt: noon.Add(-10*time.Minute - time.Second),
		},
		Roles:   []string{"nurse", "charge"},
		LocksAt: noon.Add(24 * time.Hour), EndsAt: noon.Add(24 * time.Hour),
	}
}

func tablet() access.Posture {
	return access.Posture{Source: "mdm", Assurance: access.A1, DeviceID: "mdm:7F-1", AssertedAt: noon, Expires: noon.Add(24 * time.Hour)}
}

// granted returns the right that who is given.
func granted(t testing.TB, who access.Session) access.Grant {
	t.Helper()
	need := access.Requirement{Issuers: []string{who.Subject.Issuer}, Allow: who.Roles, Device: access.Profile{Any: true}}
	g, ok := access.Decide(access.Question{Require: need, Session: &who, Now: noon}).Grant()
	if !ok {
		t.Fatal("not granted")
	}
	return g
}

var rx = inject.Audience{Route: "pharmacy", Audience: "rx", TTL: time.Minute}

// verified checks a token with another implementation, by the published keys.
func verified(t testing.TB, s *inject.Signer, token string) map[string]any {
	t.Helper()
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS(), &keys); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	head := jws.Signatures[0].Header
	if typ := head.ExtraHeaders["typ"]; typ != "JWT" {
		t.Errorf("typ %v", typ)
	}
	found := keys.Key(head.KeyID)
	if len(found) != 1 {
		t.Fatalf("%d published keys are called %q", len(found), head.KeyID)
	}
	payload, err := jws.Verify(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func assertion(t testing.TB, s *inject.Signer, who access.Session, p access.Posture, a inject.Audience, now time.Time) string {
	t.Helper()
	token, err := s.Assertion(granted(t, who), p, a, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAssertionClaims(t *testing.T) {
	s := signer(t)
	bare := access.Session{ID: "s-18", Authentication: access.Authentication{Subject: access.Subject{Issuer: "https://login.test", Sub: "b"}}, Roles: []string{"nurse"}, LocksAt: nora().LocksAt, EndsAt: nora().EndsAt}
	stale := tablet()
	stale.Expires = noon.Add(-time.Second)
	for _, c := range []struct {
		name string
		who  access.Session
		p    access.Posture
		a    inject.Audience
	}{
		{"full", nora(), tablet(), rx},
		{"bare", bare, access.Posture{}, inject.Audience{Route: "r", Audience: "a"}},
		{"stale-device", nora(), stale, inject.Audience{Route: "pharmacy", Audience: "rx", TTL: 5 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := assertion(t, s, c.who, c.p, c.a, noon)
			claims := verified(t, s, token)
			if jti, _ := claims["jti"].(string); len(jti) < 20 {
				t.Errorf("jti %q", jti)
			}
			// The order of the claims is kept, for readers and for the golden file.
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(string(payload), fmt.Sprint(claims["jti"]), "JTI", 1) + "\n"
			golden := "testdata/claims-" + c.name + ".json"
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSignatureLength(t *testing.T) {
	s := signer(t)
	for i := range 2000 { // one in 128 has an R or S with a leading zero
		who := nora()
		who.ID = fmt.Sprint(i)
		token := assertion(t, s, who, tablet(), rx, noon)
		if n := len(token) - strings.LastIndexByte(token, '.') - 1; n != 86 {
			t.Fatalf("signature of %d characters, want 86", n)
		}
		verified(t, s, token)
	}
}

func TestKeyID(t *testing.T) {
	s := signer(t)
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS(), &keys); err != nil {
		t.Fatal(err)
	}
	if len(keys.Keys) != 1 {
		t.Fatalf("%d keys", len(keys.Keys))
	}
	k := keys.Keys[0]
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if want := base64.RawURLEncoding.EncodeToString(sum); k.KeyID != want {
		t.Errorf("kid %s, want its thumbprint %s", k.KeyID, want)
	}
	if k.Use != "sig" || k.Algorithm != "ES256" || !k.IsPublic() || !k.Valid() {
		t.Errorf("key for %q by %q, public %v", k.Use, k.Algorithm, k.IsPublic())
	}
	s.JWKS()[0] = 'x'
	if s.JWKS()[0] != '{' {
		t.Error("the key set can be changed from outside")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); text != "[secret] [secret] [secret] [secret]" {
		t.Errorf("a signer prints as %s", text)
	}
}

// One assertion serves for half its life, and for nothing but the same.
func TestAssertionReuse(t *testing.T) {
	s := signer(t)
	first := assertion(t, s, nora(), tablet(), rx, noon)
	again := func(change func(*access.Session, *access.Posture, *inject.Audience, *time.Time)) string {
		who, p, a, now := nora(), tablet(), rx, noon
		change(&who, &p, &a, &now)
		return assertion(t, s, who, p, a, now)
	}
	type args = func(*access.Session, *access.Posture, *inject.Audience, *time.Time)
	for _, c := range []struct {
		name   string
		reused bool
		change args
	}{
		{"the same", true, func(*access.Session, *access.Posture, *inject.Audience, *time.Time) {}},
		{"before half its life", true, func(_ *access.Session, _ *access.Posture, _ *inject.Audience, now *time.Time) {
			*now = noon.Add(30*time.Second - 1)
		}},
		{"a device that reports anew", true, func(_ *access.Session, p *access.Posture, _ *inject.Audience, _ *time.Time) {
			p.AssertedAt = noon.Add(time.Second)
		}},
		{"half its life", false, func(_ *access.Session, _ *access.Posture, _ *inject.Audience, now *time.Time) {
			*now = noon.Add(30 * time.Second)
		}},
		{"a clock that went back", false, func(_ *access.Session, _ *access.Posture, _ *inject.Audience, now *time.Time) {
			*now = noon.Add(-time.Minute) // not so far that the device is unknown
		}},
		{"another session", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.ID = "s-18" }},
		{"another subject", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.Subject.Sub = "x" }},
		{"another issuer", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.Subject.Issuer = "x" }},
		{"another username", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.Username = "x" }},
		{"another name", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.Name = "x" }},
		{"a role less", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.Roles = s.Roles[:1] }},
		{"another role", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.Roles[1] = "x" }},
		{"roles that join alike", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) {
			s.Roles = []string{"nurse,charge"}
		}},
		{"another acr", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.ACR = "x" }},
		{"another amr", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.AMR = []string{"pwd"} }},
		{"a new sign-in", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) { s.AuthTime = noon }},
		{"a step-up in the same second", false, func(s *access.Session, _ *access.Posture, _ *inject.Audience, _ *time.Time) {
			s.FreshAt = s.FreshAt.Add(1)
		}},
		{"another device", false, func(_ *access.Session, p *access.Posture, _ *inject.Audience, _ *time.Time) { p.DeviceID = "mdm:8" }},
		{"a device believed more", false, func(_ *access.Session, p *access.Posture, _ *inject.Audience, _ *time.Time) { p.Assurance = access.A2 }},
		{"a device no longer known", false, func(_ *access.Session, p *access.Posture, _ *inject.Audience, _ *time.Time) {
			p.Expires = noon.Add(-1)
		}},
		{"another route", false, func(_ *access.Session, _ *access.Posture, a *inject.Audience, _ *time.Time) { a.Route = "x" }},
		{"another audience", false, func(_ *access.Session, _ *access.Posture, a *inject.Audience, _ *time.Time) { a.Audience = "x" }},
		{"another life", false, func(_ *access.Session, _ *access.Posture, a *inject.Audience, _ *time.Time) { a.TTL = time.Hour }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s = signer(t)
			first = assertion(t, s, nora(), tablet(), rx, noon)
			second := again(c.change)
			if (first == second) != c.reused {
				t.Errorf("reused: %v, want %v", first == second, c.reused)
			}
			claims := verified(t, s, second)
			if c.reused && claims["iat"] != float64(noon.Unix()) {
				t.Errorf("iat %v", claims["iat"])
			}
		})
	}
}

func TestAssertionForNobody(t *testing.T) {
	s := signer(t)
	if token, err := s.Assertion(access.Grant{}, tablet(), rx, noon); !errors.Is(err, inject.ErrNoGrant) || token != "" {
		t.Errorf("the zero Grant: %q, %v", token, err)
	}
	public, _ := access.Decide(access.Question{Require: access.Requirement{Public: true}, Now: noon}).Grant()
	if token, err := s.Assertion(public, tablet(), rx, noon); err != nil || token != "" {
		t.Errorf("a public route: %q, %v", token, err)
	}
	for _, g := range []access.Grant{{}, public} {
		for _, word := range words {
			if v := inject.Value(word, g, tablet()); v != "" {
				t.Errorf("%s of nobody is %q", word, v)
			}
		}
	}
}

func TestNewSignerRefuses(t *testing.T) {
	p384, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), append(make([]byte, 47), 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() (*inject.Signer, error){
		"no key":        func() (*inject.Signer, error) { return inject.NewSigner(nil, "https://gate.test") },
		"another curve": func() (*inject.Signer, error) { return inject.NewSigner(p384, "https://gate.test") },
		"no issuer":     func() (*inject.Signer, error) { return inject.NewSigner(key(t), "") },
	} {
		if s, err := try(); err == nil || s != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

// More sessions than are remembered, and many at once, still get their own.
func TestAssertionMany(t *testing.T) {
	s := signer(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				who := nora()
				who.ID = fmt.Sprint("s", i)
				token := assertion(t, s, who, tablet(), rx, noon.Add(time.Duration(i)*time.Second))
				if i%40 == 0 && verified(t, s, token)["sid"] != who.ID {
					t.Errorf("session %s got another's", who.ID)
				}
			}
		})
	}
	wg.Wait()
}

var words = []string{"username", "name", "roles", "sub", "issuer", "acr", "session", "device"}

func TestValue(t *testing.T) {
	who := nora()
	who.Roles = []string{"nurse", "charge, ward 4", " x "}
	who.ACR = "100%"
	who.Username = "nora\r\nX-Remote-Roles: admins"
	who.Subject.Sub = "\x00\xff\x7f"
	got := map[string]string{}
	for _, w := range append(words, "password", "") {
		got[w] = inject.Value(w, granted(t, who), tablet())
	}
	want := map[string]string{
		"username": "nora%0D%0AX-Remote-Roles: admins",
		"name":     "Nora %C3%85sen",
		"roles":    "nurse,charge%2C ward 4,%20x%20",
		"sub":      "%00%FF%7F",
		"issuer":   "https://login.test",
		"acr":      "100%25",
		"session":  "s-17",
		"device":   "mdm:7F-1",
		"password": "", "": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func FuzzValue(f *testing.F) {
	for _, s := range []string{"Nora Åsen", "a,b", "100%", "%2C", "x\r\ny: z", " a ", " ", "  ", "\t", "\u202e", "\x80\x00\x7f", ""} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		who := nora()
		who.Name, who.Roles = a, []string{a, b, "last"}
		g := granted(t, who)
		for _, v := range []string{inject.Value("name", g, tablet()), inject.Value("roles", g, tablet())} {
			for i := range len(v) {
				if v[i] < ' ' || v[i] > '~' {
					t.Fatalf("%q holds byte %#x", v, v[i])
				}
			}
			if v != strings.TrimSpace(v) {
				t.Fatalf("%q: a parser would cut it", v)
			}
		}
		if back, err := url.PathUnescape(inject.Value("name", g, tablet())); err != nil || back != a {
			t.Fatalf("%q is read back as %q, %v", a, back, err)
		}
		roles := strings.Split(inject.Value("roles", g, tablet()), ",")
		for i := range roles {
			back, err := url.PathUnescape(roles[i])
			if err != nil {
				t.Fatal(err)
			}
			roles[i] = back
		}
		if diff := cmp.Diff(who.Roles, roles); diff != "" && utf8.ValidString(a+b) {
			t.Fatalf("roles (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkAssertion(b *testing.B) {
	s, g, p := signer(b), granted(b, nora()), tablet()
	b.Run("reused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Assertion(g, p, rx, noon); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signed", func(b *testing.B) {
		b.ReportAllocs()
		now := noon
		for b.Loop() {
			now = now.Add(time.Second * 31)
			if _, err := s.Assertion(g, p, rx, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkValue(b *testing.B) {
	g, p := granted(b, nora()), tablet()
	b.ReportAllocs()
	for b.Loop() {
		inject.Value("username", g, p)
	}
}
