package audit_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/google/go-cmp/cmp"
)

// table returns the words in the first column of the tables under a heading of
// docs/audit.md.
func table(t *testing.T, heading string) []string {
	t.Helper()
	b, err := os.ReadFile("../docs/audit.md")
	must(t, err)
	_, section, ok := strings.Cut(string(b), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("docs/audit.md has no section %q", heading)
	}
	if next := regexp.MustCompile(`(?m)^#`).FindStringIndex(section); next != nil {
		section = section[:next[0]]
	}
	var words []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\|").FindAllStringSubmatch(section, -1) {
		words = append(words, m[1])
	}
	slices.Sort(words)
	return words
}

// names adds the field names of v to seen, those of objects within as outer.inner.
func names(seen map[string]bool, prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			seen[prefix+name] = true
			names(seen, prefix+name+".", value)
		}
	case []any:
		for _, value := range v {
			names(seen, prefix, value)
		}
	}
}

func sorted(seen map[string]bool) []string {
	var all []string
	for name := range seen {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestDocumentNamesEveryField(t *testing.T) {
	seen := map[string]bool{}
	b, err := os.ReadFile("testdata/every_kind.ndjson")
	must(t, err)
	for line := range strings.Lines(string(b)) {
		var v any
		must(t, json.Unmarshal([]byte(line), &v))
		names(seen, "", v)
	}
	full, err := json.Marshal(audit.Gap{Kind: "k", File: "f", Aside: "a", From: 1, To: 1, Offset: 1, Bytes: 1, Records: 1, Since: noon})
	must(t, err)
	var v any
	must(t, json.Unmarshal(full, &v))
	seen["gaps"] = true
	names(seen, "gaps.", v)
	if diff := cmp.Diff(sorted(seen), table(t, "## Fields")); diff != "" {
		t.Errorf("fields of records (-) and of docs/audit.md (+):\n%s", diff)
	}
}

func TestDocumentNamesEveryEvent(t *testing.T) {
	seen := map[string]bool{string(access.EventCheckpoint): true}
	for _, e := range everyKind() {
		seen[string(e.Kind)] = true
	}
	if diff := cmp.Diff(sorted(seen), table(t, "## Events")); diff != "" {
		t.Errorf("events recorded (-) and in docs/audit.md (+):\n%s", diff)
	}
}

func TestDocumentNamesEveryGap(t *testing.T) {
	words := table(t, "### Gaps")
	for _, word := range words {
		if strings.HasPrefix(audit.Gap{Kind: audit.GapKind(word)}.String(), "unknown") {
			t.Errorf("docs/audit.md names the gap %s, which there is not", word)
		}
	}
	if len(words) != 10 {
		t.Errorf("%d gaps in docs/audit.md, want 10", len(words))
	}
}

// The example in the document is a record that the golden file holds.
func TestDocumentExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/audit.md")
	must(t, err)
	_, example, _ := strings.Cut(string(doc), "```json\n")
	example, _, _ = strings.Cut(example, "\n```")
	golden, err := os.ReadFile("testdata/every_kind.ndjson")
	must(t, err)
	if !slices.Contains(strings.Split(string(golden), "\n"), example) {
		t.Errorf("the example is no line of testdata/every_kind.ndjson:\n%s", example)
	}
}
