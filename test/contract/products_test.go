package contract_test

import (
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// A nurse signs in and steps up at providers that say what several products say,
// configured as the examples are. The provider is scripted: the products
// themselves cannot be had here.
func TestProducts(t *testing.T) {
	nrbac := []map[string]any{{"person_roleid": "1", "role_code": "admins"}, {"person_roleid": "2", "role_code": "ehr-nurses"}}
	for _, tt := range []struct {
		name, provider, strong string
		usual, better          map[string]any    // what the ID token says at a sign-in, and when more is asked for
		first, then            map[string]string // what is asked for at the sign-in, and at the step-up
		acr                    string            // of the session in the end
	}{
		{
			name: "entra", provider: "ask_by_claims: true\n    claims: {groups: roles, acr: acrs}", strong: "{acr: [c1]}",
			usual: map[string]any{"roles": []string{"ehr-nurses"}}, better: map[string]any{"roles": []string{"ehr-nurses"}, "acrs": []string{"c1", "p1"}},
			first: map[string]string{"acr_values": "", "claims": ""},
			then:  map[string]string{"acr_values": "", "claims": `{"id_token":{"acrs":{"essential":true,"value":"c1"}}}`},
			acr:   "c1 p1",
		},
		{
			name: "keycloak", provider: "claims: {groups: realm_access.roles}", strong: "{acr: [gold]}",
			usual:  map[string]any{"realm_access": map[string]any{"roles": []string{"ehr-nurses"}}, "acr": "1"},
			better: map[string]any{"realm_access": map[string]any{"roles": []string{"ehr-nurses"}}, "acr": "gold"},
			first:  map[string]string{"acr_values": "", "claims": ""}, then: map[string]string{"acr_values": "gold", "claims": ""},
			acr: "gold",
		},
		{
			name: "okta", provider: "claims: {groups: groups}", strong: `{acr: [phr, "urn:okta:loa:2fa:any"], ask: ["urn:okta:loa:2fa:any"]}`,
			usual: map[string]any{"groups": []string{"ehr-nurses"}}, better: map[string]any{"groups": []string{"ehr-nurses"}, "acr": "urn:okta:loa:2fa:any"},
			first: map[string]string{"acr_values": "", "claims": ""}, then: map[string]string{"acr_values": "urn:okta:loa:2fa:any", "claims": ""},
			acr: "urn:okta:loa:2fa:any",
		},
		{
			name:     "cis2",
			provider: "acr_values: [AAL2_OR_AAL3_ANY]\n    claims: {groups: \"nhsid_nrbac_roles[person_roleid=selected_roleid].role_code\"}", strong: "{acr: [AAL3_ANY]}",
			usual:  map[string]any{"acr": "AAL2_ANY", "selected_roleid": "2", "nhsid_nrbac_roles": nrbac},
			better: map[string]any{"acr": "AAL3_ANY", "selected_roleid": "2", "nhsid_nrbac_roles": nrbac},
			first:  map[string]string{"acr_values": "AAL2_OR_AAL3_ANY", "claims": ""}, then: map[string]string{"acr_values": "AAL3_ANY", "claims": ""},
			acr: "AAL3_ANY",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string {
				return strings.NewReplacer("claims: {username: preferred_username, name: name, groups: groups}", tt.provider,
					"strong: {acr: [mfa], amr: [hwk]}", "strong: "+tt.strong).Replace(text)
			}})
			g.Provider.EditIDToken(func(c map[string]any) {
				for _, name := range []string{"groups", "acr", "amr"} {
					delete(c, name)
				}
				q, says := g.Provider.LastAuthorize(), tt.better
				if q.Get("acr_values") == tt.first["acr_values"] && q.Get("claims") == tt.first["claims"] {
					says = tt.usual
				}
				for name, value := range says {
					c[name] = value
				}
			})
			g.Provider.EditUserInfo(func(c map[string]any) { delete(c, "groups") })
			asked := func(when string, want map[string]string) {
				t.Helper()
				for name, value := range want {
					if got := g.Provider.LastAuthorize().Get(name); got != value {
						t.Errorf("%s asks with %s=%q, want %q", when, name, got, value)
					}
				}
			}

			b := g.Browser(t)
			if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 || p.URL.Path != "/chart/1" {
				t.Fatalf("sign-in: %d %s", p.Status, p.Code())
			}
			asked("the sign-in", tt.first)
			if r, _ := g.Backend.Last(); r.Header.Get("X-Remote-User") != "nora" || r.Header.Get("X-Remote-Roles") != "nurse" {
				t.Errorf("the backend was told of %q, %q", r.Header.Get("X-Remote-User"), r.Header.Get("X-Remote-Roles"))
			}

			g.Backend.Forget()
			p := b.Post(g.URL("ehr.test", "/results/3"), form, "ok=1")
			if p.Code() != "weak_login" {
				t.Fatalf("before the step-up: %d %s", p.Status, p.Code())
			}
			if p = b.Release(b.Continue(p)); p.Status != 200 || len(g.Backend.Requests()) != 1 {
				t.Fatalf("after the step-up: %d %s, %d requests at the backend", p.Status, p.Code(), len(g.Backend.Requests()))
			}
			asked("the step-up", tt.then)
			if answer := b.Call("GET", g.URL("ehr.test", "/.anteroom/session"), "", "", nil); !strings.Contains(answer.Body, `"acr":"`+tt.acr+`"`) {
				t.Errorf("the session is %s, want acr %q", answer.Body, tt.acr)
			}
		})
	}
}

// With several providers, one that does not name itself in callbacks is told of:
// a mix-up with it is found later, or not at all.
func TestProviderThatDoesNotNameItself(t *testing.T) {
	nhs := anteroomtest.NewProvider(t)
	nhs.Discovery(func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") })
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string { return withNHS(text, nhs) }})
	told := func(name string) int {
		n := 0
		for line := range strings.Lines(g.Log()) {
			if strings.Contains(line, "does not name itself in callbacks") && strings.Contains(line, `"provider":"`+name+`"`) {
				n++
			}
		}
		return n
	}
	wait(t, "the warning", func() bool { return told("nhs") > 0 })
	wait(t, "both were asked", func() bool { return g.Metric("anteroom_provider_up") == 2 })
	if told("nhs") != 1 || told("hospital") != 0 {
		t.Errorf("told %d times of nhs, %d of hospital", told("nhs"), told("hospital"))
	}
	if n := len(g.Audit(audit.Query{Event: access.EventSecurity})); n != 0 {
		t.Errorf("%d security records of what is only a warning", n)
	}
}
