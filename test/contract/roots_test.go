package contract_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/keys"
)

// TestRootKeyChanges changes the root key in the middle of a step-up: nobody is
// signed out, the form is still sent, what applications verify stays, and the
// trail follows.
func TestRootKeyChanges(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b, ended := g.Browser(t), signedIn(t, g)
	copied := ended.Cookie("ehr.test", "__Host-anteroom")
	signOut(t, g, ended, "ehr.test")
	aged(t, g, b)
	before := keysOf(t, g, b, "ehr.test")
	asked := b.Post(g.URL("ehr.test", "/orders/7"), form, "dose=2") // held, and on the way to the provider
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := keys.Ask(filepath.Join(g.Dir, "data", "keys")); err != nil {
		t.Fatal(err)
	}

	after := anteroomtest.Start(t, anteroomtest.Setup{Dir: g.Dir, Provider: g.Provider, Backend: g.Backend, Port: g.Port})
	again := after.Browser(t)
	for _, address := range []string{g.Origin("gate.test"), g.Origin("ehr.test"), g.Provider.URL} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		again.Jar.SetCookies(u, b.Jar.Cookies(u))
	}
	if p := again.Get(after.URL("ehr.test", "/chart/1")); p.Status != http.StatusOK || p.URL.Host != "ehr.test:"+after.Port {
		t.Errorf("the session after the change: %d at %s", p.Status, p.URL)
	}
	if p := after.Browser(t).Call("GET", after.URL("ehr.test", "/chart/1"), "", "", http.Header{"Cookie": {"__Host-anteroom=" + copied}}); p.Status != http.StatusUnauthorized {
		t.Errorf("a session that had ended: %d", p.Status)
	}
	after.Backend.Forget()
	if p := again.Release(again.Continue(asked)); p.Status != http.StatusOK {
		t.Errorf("the release: %d\n%s", p.Status, p.Body)
	}
	if all := after.Backend.Requests(); len(all) != 1 || string(all[0].Body) != "dose=2" {
		t.Errorf("the backend got %d requests: %+v", len(all), all)
	}
	set := keysOf(t, after, again, "ehr.test")
	for _, k := range before.Keys {
		if len(set.Key(k.KeyID)) != 1 {
			t.Errorf("%s is gone from the published set", k.KeyID)
		}
	}
	if !slices.ContainsFunc(after.Audit(audit.Query{Event: access.EventConfig}), func(r audit.Record) bool { return r.Reason == "root_key_changed" }) {
		t.Error("the trail does not say that the root key changed")
	}
	if err := after.Stop(); err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(filepath.Join(g.Dir, "data", "audit"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Gaps, func(g audit.Gap) bool { return g.Kind == audit.KeyChanged }) || len(r.Keys) != 2 {
		t.Errorf("gaps %v, keys %d", r.Gaps, len(r.Keys))
	}
}
