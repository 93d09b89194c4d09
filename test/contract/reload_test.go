package contract_test

import (
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// A file whose routes' own tests fail is refused like one that cannot be read.
func TestReloadThatFailsItsTests(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	const grant = "allow: {roles: [nurse, physician, admin]}"
	const tested = grant + "\n    tests:\n      - {as: [nurse], request: GET /chart/1, expect: allow}"
	g.WriteConfig(strings.Replace(anteroomtest.Fixture, grant, strings.Replace(tested, "[nurse, physician, admin]", "[physician, admin]", 1), 1))
	wait(t, "the refusal", func() bool { return g.Metric("anteroom_config_reload_success") == 0 })
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 {
		t.Errorf("a file that fails its own tests took effect: %d", p.Status)
	}
	if !strings.Contains(g.Log(), "expected allow, the verdict is deny") {
		t.Error("the log does not say which test failed")
	}
	g.WriteConfig(strings.Replace(anteroomtest.Fixture, grant, tested, 1))
	wait(t, "the good file", func() bool { return g.Metric("anteroom_config_reload_success") == 1 })
	var reasons []string
	for _, r := range g.Audit(audit.Query{Event: access.EventConfig}) {
		reasons = append(reasons, string(r.Reason))
	}
	if got := strings.Join(reasons, " "); got != "refused loaded" {
		t.Errorf("the trail has %q of it", got)
	}
}

// What only a restart can change says so, and the rest of the file takes effect.
func TestReloadThatNeedsARestart(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	g.WriteConfig(strings.NewReplacer("listen: 127.0.0.1:0\n  redirect", "listen: 127.0.0.1:1\n  redirect", "data_dir: {dir}/data", "data_dir: {dir}/other",
		"allow: {roles: [nurse, physician, admin]}", "allow: {roles: [admin]}").Replace(anteroomtest.Fixture))
	wait(t, "the reload", func() bool { return g.Metric("anteroom_config_reloads_total") == 1 })
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 403 {
		t.Errorf("the part that needs no restart: %d", p.Status)
	}
	for _, key := range []string{"gateway.listen", "gateway.data_dir"} {
		if !strings.Contains(g.Log(), `"this change needs a restart","key":"`+key+`"`) {
			t.Errorf("the log does not say that %s needs a restart", key)
		}
	}
}
