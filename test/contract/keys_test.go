package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// TestAssertionKeysTurn moves the schedule of a gateway to where keys change
// hands: what was published before verifies what is signed after.
func TestAssertionKeysTurn(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(g.Dir, "data", "keys", "assertions.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		Number int       `json:"number"`
		Root   string    `json:"root"`
		From   time.Time `json:"from"`
	}
	var schedule struct {
		Keys []key `json:"keys"`
	}
	if err := json.Unmarshal(text, &schedule); err != nil || len(schedule.Keys) != 1 {
		t.Fatalf("the schedule of a new gateway: %s, %v", text, err)
	}
	// The key before the one that signs has rested for its day but for 4 s, and
	// the next one is to sign in 2 s.
	now, root := time.Now(), schedule.Keys[0].Root
	turn := now.Add(2 * time.Second)
	schedule.Keys = []key{{0, root, now.Add(-40 * 24 * time.Hour)}, {1, root, now.Add(-24*time.Hour + 4*time.Second)}, {2, root, turn}}
	if text, err = json.Marshal(schedule); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	g = anteroomtest.Start(t, anteroomtest.Setup{Dir: g.Dir, Provider: g.Provider, Backend: g.Backend})
	b := signedIn(t, g)
	before := keysOf(t, g, b, "ehr.test")
	kid := func(target string) string {
		t.Helper()
		b.Get(g.URL("ehr.test", target))
		r, _ := g.Backend.Last()
		token, err := jose.ParseSignedCompact(r.Header.Get("X-Anteroom-Assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		id := token.Signatures[0].Protected.KeyID
		found := before.Key(id)
		if len(found) != 1 {
			t.Fatalf("key %s signs, and the set from before does not hold it", id)
		}
		if _, err := token.Verify(found[0]); err != nil {
			t.Fatal(err)
		}
		return id
	}
	if len(before.Keys) != 3 {
		t.Fatalf("%d keys are published, want the one before, the one that signs and the next", len(before.Keys))
	}
	first := kid("/chart/1")
	wait(t, "the next key signs", func() bool { // another person each time, as an assertion serves for half a minute
		b = signedIn(t, g)
		return kid("/chart/1") != first
	})
	wait(t, "the oldest is taken out", func() bool { return len(keysOf(t, g, b, "ehr.test").Keys) == 2 })
	after := keysOf(t, g, b, "ehr.test")
	for _, k := range after.Keys {
		if len(before.Key(k.KeyID)) != 1 {
			t.Error("a key is published that was not before")
		}
	}
	if len(after.Key(first)) != 1 {
		t.Error("the key that signed until just now is no longer published")
	}
	var told []string
	for _, r := range g.Audit(audit.Query{Event: access.EventConfig}) {
		told = append(told, string(r.Reason)+" "+r.Detail)
	}
	if want := []string{"key_signs assertion key 2", "key_retired assertion key 0"}; !slices.Equal(told, want) {
		t.Errorf("the trail tells %q, want %q", told, want)
	}
	if age := g.Metric("anteroom_assertion_key_age_seconds"); age < 0 || age > time.Since(turn).Seconds()+1 {
		t.Errorf("the metric has the key sign for %v s", age)
	}
}
