package demo_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/anteroom/anteroom/demo"
)

// as asks h for a page on behalf of who.
func as(h http.Handler, who, method, target string, form url.Values, cookies ...*http.Cookie) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if who != "" {
		r.Header.Set("X-Remote-User", who)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(resp *http.Response) string {
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

func TestPharmacyTakesAnAmendmentOnce(t *testing.T) {
	p := demo.NewPharmacy(demo.PharmacyConfig{})
	long := strings.Repeat("Reduce the dose because of <b>nausea</b>. ", 50)[:2000]
	resp := as(p, "nora", http.MethodPost, "/orders/7", url.Values{"text": {long}, "dose": {"half"}})
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "7" {
		t.Fatalf("%s to %q, want a 303 to the relative 7", resp.Status, resp.Header.Get("Location"))
	}
	page := text(as(p, "piet", http.MethodGet, "/orders/7", nil))
	for _, want := range []string{`<b id="sent">1</b>`, "amended by <b>nora</b>", "2000 characters", "Now: <b>half</b>", "77 Greta Example"} {
		if !strings.Contains(page, want) {
			t.Errorf("the order's page does not say %q", want)
		}
	}
	if strings.Contains(page, "<b>nausea</b>") {
		t.Error("what was typed is taken for HTML")
	}
	if other := text(as(p, "piet", http.MethodGet, "/orders/8", nil)); !strings.Contains(other, `<b id="sent">0</b>`) {
		t.Error("another order was amended too")
	}
	if home := text(as(p, "piet", http.MethodGet, "/", nil)); !strings.Contains(home, `<span id="submissions">1</span>`) {
		t.Error("the worklist does not count the amendment")
	}
}

func TestPharmacyPages(t *testing.T) {
	p := demo.NewPharmacy(demo.PharmacyConfig{})
	for _, c := range []struct {
		method, target string
		status         int
		want           string
	}{
		{"GET", "/", 200, "Worklist"},
		{"GET", "/orders", 200, `href="orders/12"`},
		{"GET", "/patients/77/", 200, "Greta Example"},
		{"GET", "/patients/77/labs", 200, "Greta Example"},
		{"GET", "/patients/1/", 404, ""},
		{"GET", "/orders/13", 404, ""},
		{"GET", "/orders/0", 404, ""},
		{"GET", "/orders/seven", 404, ""},
		{"POST", "/orders/13", 404, ""},
		{"POST", "/orders/7", 400, "TEXT is empty"},
		{"GET", "/export/orders.csv", 200, "7,77,Greta Example,"},
		{"GET", "/worklist/poll", 200, `"open":12`},
		{"GET", "/status", 200, "you are: nora"},
		{"GET", "/whoami", 200, "not verified"},
	} {
		resp := as(p, "nora", c.method, c.target, nil)
		if body := text(resp); resp.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d, want %d with %q:\n%s", c.method, c.target, resp.StatusCode, c.status, c.want, body)
		}
		if c.target == "/status" {
			continue
		}
		if resp := as(p, "", c.method, c.target, nil); resp.StatusCode != http.StatusForbidden || strings.Contains(text(resp), "Greta") {
			t.Errorf("%s %s for nobody: %s", c.method, c.target, resp.Status)
		}
	}
	if body := text(as(p, "", http.MethodGet, "/status", nil)); !strings.Contains(body, "you are: nobody") {
		t.Errorf("status for nobody: %s", body)
	}
}

// The application never asks whose session it is; only a gateway can keep one
// person's from the next.
func TestPharmacySessionsAreOld(t *testing.T) {
	p := demo.NewPharmacy(demo.PharmacyConfig{})
	first := as(p, "nora", http.MethodGet, "/", nil)
	cookies := first.Cookies()
	if len(cookies) != 1 || cookies[0].Name != demo.PharmacyCookie || cookies[0].Path != "/" || cookies[0].HttpOnly {
		t.Fatalf("cookies %v", cookies)
	}
	next := as(p, "piet", http.MethodGet, "/orders", nil, cookies[0])
	if body := text(next); !strings.Contains(body, `id="session-foreign"`) {
		t.Errorf("the session of nora is not seen as hers:\n%s", body)
	}
	if len(next.Cookies()) != 0 {
		t.Error("a session is made again at each page")
	}
}

func TestWhoamiVerifiesTheAssertion(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256"}}}
	p := demo.NewPharmacy(demo.PharmacyConfig{
		Keys: func(context.Context) (jose.JSONWebKeySet, error) { return public, nil }, Issuer: "https://gate", Audience: "rx",
	})
	sign := func(key *ecdsa.PrivateKey, c jwt.Claims) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jwt.Signed(s).Claims(c).Claims(map[string]any{"username": "nora"}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := jwt.Claims{Issuer: "https://gate", Audience: jwt.Audience{"rx"}, Subject: "staff-nora", Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute))}
	wrongAudience, wrongIssuer, expired := good, good, good
	wrongAudience.Audience, wrongIssuer.Issuer, expired.Expiry = jwt.Audience{"lab"}, "https://other", jwt.NewNumericDate(time.Now().Add(-time.Minute))
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for _, c := range []struct {
		name, raw string
		verified  bool
	}{
		{"as the gateway signs", sign(key, good), true},
		{"another's signature", sign(stranger, good), false},
		{"for another application", sign(key, wrongAudience), false},
		{"by another gateway", sign(key, wrongIssuer), false},
		{"expired", sign(key, expired), false},
		{"none", "", false},
		{"no token at all", "a.b.c", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/whoami.json", nil)
		r.Header = http.Header{"X-Remote-User": {"nora"}, "X-Anteroom-Assertion": {c.raw}, "Cookie": {"b=1; a=2"}, "X-Request-Id": {"r1"}}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		var got demo.Received
		if err := json.NewDecoder(w.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Verified != c.verified || (got.Claims["username"] == "nora") != c.verified || (got.Problem == "") != c.verified {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got.Request != "r1" || fmt.Sprint(got.Cookies) != "[a b]" || got.Headers["X-Remote-User"][0] != "nora" {
			t.Errorf("%s: received %+v", c.name, got)
		}
	}
}

func TestImaging(t *testing.T) {
	v := demo.NewImaging(demo.ImagingConfig{})
	resp := as(v, "piet", http.MethodGet, "/", nil)
	if body := text(resp); !strings.Contains(body, `<frame src="nav.html" name="nav"`) || len(resp.Cookies()) != 1 || resp.Cookies()[0].Name != demo.ImagingCookie {
		t.Errorf("cookies %v, page:\n%s", resp.Cookies(), body)
	}
	for _, page := range []string{"/nav.html", "/main.html", "/study.html?patient=77"} {
		if resp := as(v, "piet", http.MethodGet, page, nil); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", page, resp.Status)
		}
	}
	for _, page := range []string{"/", "/pictures/chest.bmp", "/live", "/events"} {
		if resp := as(v, "", http.MethodGet, page, nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s for nobody: %s", page, resp.Status)
		}
	}

	picture := as(v, "piet", http.MethodGet, "/pictures/chest.bmp", nil)
	b := []byte(text(picture))
	if picture.Header.Get("Content-Length") != fmt.Sprint(len(b)) || len(b) < 5<<20-100_000 || len(b) > 5<<20+100_000 {
		t.Fatalf("%d bytes, Content-Length %s; want about 5 MiB", len(b), picture.Header.Get("Content-Length"))
	}
	side := int(binary.LittleEndian.Uint32(b[18:]))
	offset := int(binary.LittleEndian.Uint32(b[10:]))
	if string(b[:2]) != "BM" || offset+side*side != len(b) || int(binary.LittleEndian.Uint32(b[2:])) != len(b) {
		t.Errorf("not a bitmap of %d pixels a side", side)
	}
	if again := text(as(demo.NewImaging(demo.ImagingConfig{}), "piet", http.MethodGet, "/pictures/chest.bmp", nil)); again != string(b) {
		t.Error("the picture is another one each time")
	}
}

func TestPharmacyServesManyAtOnce(t *testing.T) {
	p := demo.NewPharmacy(demo.PharmacyConfig{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			as(p, "nora", http.MethodPost, "/orders/7", url.Values{"text": {"x"}})
			as(p, "nora", http.MethodGet, "/orders/7", nil)
			as(p, "nora", http.MethodGet, "/export/orders.csv", nil)
		})
	}
	all.Wait()
	if page := text(as(p, "nora", http.MethodGet, "/orders/7", nil)); !strings.Contains(page, `<b id="sent">20</b>`) {
		t.Error("an amendment was lost")
	}
}
