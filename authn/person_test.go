package authn_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/authn"
)

// Groups as providers send them, and as they should not (H13).
func TestGroups(t *testing.T) {
	many := make([]string, 3000)
	for i := range many {
		many[i] = "g"
	}
	deep := any("x")
	for range 500 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		name  string
		path  string
		claim string
		value any
		want  []string
	}{
		{"array", "groups", "groups", []string{"a", "b"}, []string{"a", "b"}},
		{"one string", "groups", "groups", "a", []string{"a"}},
		{"one string with commas is one group", "groups", "groups", "a,b", []string{"a,b"}},
		{"empty", "groups", "groups", []string{}, nil},
		{"object", "groups", "groups", map[string]any{"a": true}, nil},
		{"number", "groups", "groups", 17, nil},
		{"true", "groups", "groups", true, nil},
		{"nested array", "groups", "groups", []any{"a", []string{"b"}}, nil},
		{"deeply nested", "groups", "groups", deep, nil},
		{"a number among strings", "groups", "groups", []any{"a", 1}, nil},
		{"null among strings", "groups", "groups", []any{"a", nil}, nil},
		{"empty and long ones", "groups", "groups", []string{"", "a", strings.Repeat("b", 257)}, []string{"a"}},
		{"more than a thousand", "groups", "groups", many, many[:1000]},
		{"path", "realm_access.roles", "realm_access", map[string]any{"roles": []string{"a"}}, []string{"a"}},
		{"path to nothing", "realm_access.roles", "realm_access", "roles", nil},
		{"name with dots", "https://hospital.test/groups", "https://hospital.test/groups", []string{"a"}, []string{"a"}},
		{"name with dots, path after it", "https://hospital.test/x.groups", "https://hospital.test/x", map[string]any{"groups": "a"}, []string{"a"}},
		{"not asked for", "", "groups", []string{"a"}, nil},
		{"spelled otherwise", "groups", "Groups", []string{"a"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			op := anteroomtest.NewProvider(t)
			op.EditIDToken(func(m map[string]any) {
				delete(m, "groups")
				m[c.claim] = c.value
			})
			op.EditUserInfo(func(m map[string]any) { delete(m, "groups") })
			config := configured(op)
			config.Claims.Groups = c.path
			if got := mustSignIn(t, op, authn.NewProvider(config)).Groups; !slices.Equal(got, c.want) {
				t.Errorf("groups = %.100q, want %.100q", got, c.want)
			}
		})
	}
}

func TestStrength(t *testing.T) {
	for _, c := range []struct {
		name     string
		acr, amr any
		wantACR  string
		wantAMR  []string
	}{
		{"as specified", "phr", []string{"hwk", "pin"}, "phr", []string{"hwk", "pin"}},
		{"a lone method", "phr", "hwk", "phr", []string{"hwk"}},
		{"numbers", 2, []any{1}, "", nil},
		{"objects", map[string]any{"phr": 1}, map[string]any{"hwk": true}, "", nil},
		{"array for acr", []string{"phr"}, []any{"hwk", 1}, "", nil},
		{"not said", nil, nil, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			op, rp := parties(t)
			op.EditIDToken(func(m map[string]any) { set("acr", c.acr)(m); set("amr", c.amr)(m) })
			proof := mustSignIn(t, op, rp)
			if proof.ACR != c.wantACR || !slices.Equal(proof.AMR, c.wantAMR) {
				t.Errorf("acr %q, amr %q", proof.ACR, proof.AMR)
			}
		})
	}
}

// What the ID token lacks comes from userinfo of the same sub (H10).
func TestUserInfo(t *testing.T) {
	lacks := func(names ...string) func(map[string]any) {
		return func(m map[string]any) {
			for _, name := range names {
				delete(m, name)
			}
		}
	}
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	type person struct {
		username, name string
		groups         []string
	}
	nora := person{"nora", "Nora Nurse", []string{"ehr-nurses"}}
	for _, c := range []struct {
		name    string
		idToken func(map[string]any)
		info    func(map[string]any)
		handler http.HandlerFunc
		offered bool
		want    person
		refused refusal
	}{
		{"all from userinfo", lacks("preferred_username", "name", "groups"), nil, nil, true, nora, refusal{}},
		{"groups from userinfo", lacks("groups"), nil, nil, true, nora, refusal{}},
		{"the ID token wins", lacks("groups"), set("name", "Eve"), nil, true, nora, refusal{}},
		{"another sub", lacks("groups"), set("sub", "u-adam"), nil, true, person{}, refusal{claim: "sub"}},
		{"no sub", lacks("groups"), set("sub", nil), nil, true, person{}, refusal{claim: "sub"}},
		{"another sub, only the name wanted", lacks("name"), set("sub", "u-adam"), nil, true, person{}, refusal{claim: "sub"}},
		{"nothing there either", lacks("preferred_username", "name", "groups"), lacks("preferred_username", "name", "groups"), nil, true, person{"u-nora", "", nil}, refusal{}},
		{"not offered", lacks("preferred_username", "name", "groups"), nil, nil, false, person{"u-nora", "", nil}, refusal{}},
		{"down, groups wanted", lacks("groups"), nil, down, true, person{}, refusal{down: true}},
		{"down, user name wanted", lacks("preferred_username"), nil, down, true, person{}, refusal{down: true}},
		{"down, only the name wanted", lacks("name"), nil, down, true, person{"nora", "", nora.groups}, refusal{}},
		{"down, nothing wanted", lacks(), nil, down, true, nora, refusal{}},
		{"not JSON", lacks("groups"), nil, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }, true, person{}, refusal{down: true}},
		{"null", lacks("groups"), nil, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("null")) }, true, person{}, refusal{claim: "sub"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			op, rp := parties(t)
			op.EditIDToken(c.idToken)
			op.EditUserInfo(c.info)
			op.Handle(anteroomtest.UserInfoPath, c.handler)
			if !c.offered {
				op.Discovery(set("userinfo_endpoint", nil))
			}
			proof, err := signIn(t, op, rp, nil, authn.Ask{})
			c.refused.check(t, err)
			got := person{proof.Username, proof.Name, proof.Groups}
			if got.username != c.want.username || got.name != c.want.name || !slices.Equal(got.groups, c.want.groups) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// H12: an address that its holder has not proven names nobody.
func TestUsernameByEmail(t *testing.T) {
	for _, c := range []struct {
		name     string
		verified any
		want     string
	}{
		{"verified", true, "nora@hospital.test"},
		{"verified, as text", "true", "nora@hospital.test"},
		{"not verified", false, "u-nora"},
		{"not verified, as text", "false", "u-nora"},
		{"nonsense", map[string]any{"true": true}, "u-nora"},
		{"the provider does not say", nil, "nora@hospital.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := anteroomtest.NewProvider(t)
			op.EditIDToken(func(m map[string]any) {
				m["email"] = "nora@hospital.test"
				set("email_verified", c.verified)(m)
			})
			config := configured(op)
			config.Claims.Username = "email"
			if got := mustSignIn(t, op, authn.NewProvider(config)).Username; got != c.want {
				t.Errorf("user name = %q, want %q", got, c.want)
			}
		})
	}
}

// A11: what a name holds is kept, since it is encoded where it is used; only
// its length is bounded, on a character's edge.
func TestNames(t *testing.T) {
	op, rp := parties(t)
	op.EditIDToken(func(m map[string]any) {
		m["preferred_username"] = "nora\r\nX-Remote-Roles: admins"
		m["name"] = strings.Repeat("å", 200)
	})
	proof := mustSignIn(t, op, rp)
	if proof.Username != "nora\r\nX-Remote-Roles: admins" || proof.Name != strings.Repeat("å", 128) {
		t.Errorf("user name %q, name of %d bytes", proof.Username, len(proof.Name))
	}
}
