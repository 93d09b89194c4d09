package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

// A client with a key pushes its request and redeems its code by assertions
// that are for the issuer alone, and each of them for one use.
func TestClientKeyAndPushedRequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	op := anteroomtest.NewProvider(t)
	op.Discovery(func(m map[string]any) {
		m["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
		m["token_endpoint_auth_signing_alg_values_supported"] = []string{"ES256"}
		m["pushed_authorization_request_endpoint"] = op.URL + "/par"
		m["require_pushed_authorization_requests"] = true
	})
	seen := map[string]bool{}
	check := func(r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		jws, err := jose.ParseSignedCompact(r.Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
			return
		}
		text, err := jws.Verify(key.Public())
		var c struct {
			Iss, Sub, Aud, JTI string
			Iat, Exp           int64
		}
		if err != nil || json.Unmarshal(text, &c) != nil || c.Iss != op.ClientID || c.Sub != op.ClientID || c.Aud != op.URL || c.Exp-c.Iat > 120 || seen[c.JTI] {
			t.Errorf("%s: assertion %s, %v", r.URL.Path, text, err)
		}
		seen[c.JTI] = true
		if _, _, basic := r.BasicAuth(); basic || r.Form.Has("client_secret") {
			t.Errorf("%s: a secret beside the assertion", r.URL.Path)
		}
	}
	var pushed url.Values
	op.Handle("/par", func(w http.ResponseWriter, r *http.Request) {
		check(r)
		pushed = r.Form
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte(`{"request_uri":"urn:ietf:params:oauth:request_uri:1","expires_in":60}`))
	})
	op.Handle(anteroomtest.TokenPath, func(w http.ResponseWriter, r *http.Request) {
		check(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant"}`))
	})
	rp := authn.NewProvider(authn.Config{Name: "nhs", Issuer: op.URL, ClientID: op.ClientID, RedirectURL: "https://gate.test/.anteroom/callback",
		ClientKey: authn.ClientKey{Private: key}, ACRValues: []string{"AAL2_ANY"}})
	to, a, err := rp.Begin(t.Context(), "state-1", authn.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil || len(u.Query()) != 2 || u.Query().Get("request_uri") == "" || u.Query().Get("client_id") != op.ClientID {
		t.Errorf("the address says %s, %v", to, err)
	}
	if pushed.Get("state") != "state-1" || pushed.Get("acr_values") != "AAL2_ANY" || pushed.Get("code_challenge") == "" {
		t.Errorf("pushed %v", pushed)
	}
	_, err = rp.Finish(t.Context(), a, url.Values{"state": {"state-1"}, "code": {"c"}, "iss": {op.URL}})
	if refused, ok := errors.AsType[*authn.RefusedError](err); !ok || refused.Code != "invalid_grant" || len(seen) != 2 {
		t.Errorf("redeeming: %v; %d assertions", err, len(seen))
	}
}

// What a provider says of groups, in the shapes of several products.
func TestGroupsOfProducts(t *testing.T) {
	for _, tt := range []struct {
		name, groups, acr string
		claims            map[string]any
		want, wantACR     string
		err               error
	}{
		{"entra, too many", "groups", "acrs", map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.test"}}}, "", "", authn.ErrGroups},
		{"entra, hasgroups", "groups", "acrs", map[string]any{"groups": nil, "hasgroups": "true"}, "", "", authn.ErrGroups},
		{"entra, contexts", "groups", "acrs", map[string]any{"groups": []string{"g1"}, "acrs": []string{"p1", "c1"}}, "g1", "p1 c1", nil},
		{"keycloak", "realm_access.roles", "", map[string]any{"realm_access": map[string]any{"roles": []string{"nurse"}}, "acr": "gold"}, "nurse", "gold", nil},
		{"okta", "groups", "", map[string]any{"groups": []string{"ehr"}, "acr": "urn:okta:loa:2fa:any"}, "ehr", "urn:okta:loa:2fa:any", nil},
		{"cis2, the selected role alone", "nhsid_nrbac_roles[person_roleid=selected_roleid].role_code", "", map[string]any{
			"acr": "AAL3_ANY", "selected_roleid": "2",
			"nhsid_nrbac_roles": []map[string]any{{"person_roleid": "1", "role_code": "R0001"}, {"person_roleid": "2", "role_code": "R8001"}},
		}, "R8001", "AAL3_ANY", nil},
		{"cis2, none selected", "nhsid_nrbac_roles[person_roleid=selected_roleid].role_code", "", map[string]any{
			"acr": "AAL3_ANY", "nhsid_nrbac_roles": []map[string]any{{"role_code": "R0001"}},
		}, "", "AAL3_ANY", nil},
		{"an acr that would pass for two", "groups", "", map[string]any{"groups": nil, "acr": "pwd mfa"}, "", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op := anteroomtest.NewProvider(t)
			op.EditIDToken(func(c map[string]any) {
				for name, value := range tt.claims {
					if c[name] = value; value == nil {
						delete(c, name)
					}
				}
			})
			op.EditUserInfo(func(c map[string]any) { delete(c, "groups") })
			rp := authn.NewProvider(authn.Config{Name: "p", Issuer: op.URL, ClientID: op.ClientID, ClientSecret: op.ClientSecret,
				RedirectURL: "https://gate.test/.anteroom/callback", Claims: authn.Claims{Groups: tt.groups, ACR: tt.acr}})
			to, a := begun(t, rp, authn.Ask{})
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := client.Get(to)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			back, err := resp.Location()
			if err != nil {
				t.Fatal(err)
			}
			proof, err := rp.Finish(t.Context(), a, back.Query())
			if !errors.Is(err, tt.err) || err == nil && (strings.Join(proof.Groups, " ") != tt.want || proof.ACR != tt.wantACR) {
				t.Errorf("groups %q, acr %q, %v", proof.Groups, proof.ACR, err)
			}
		})
	}
}
