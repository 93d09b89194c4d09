package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/config"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/config.md")

func schema(t *testing.T) (text []byte, compiled *jsonschema.Schema) {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("anteroom.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err = c.Compile("anteroom.json")
	if err != nil {
		t.Fatal(err)
	}
	return text, compiled
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var n yaml.Node
	if err := yaml.Load(text, &n); err != nil {
		t.Fatal(err)
	}
	return s.Validate(jsonValue(t, &n))
}

// jsonValue returns what an editor makes of YAML before it validates: dates stay text.
func jsonValue(t *testing.T, n *yaml.Node) any {
	t.Helper()
	switch n.Kind {
	case yaml.DocumentNode:
		return jsonValue(t, n.Content[0])
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = jsonValue(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, jsonValue(t, c))
		}
		return l
	}
	if n.Tag == "!!timestamp" {
		return n.Value
	}
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchema(t *testing.T) {
	_, s := schema(t)
	good := map[string][]byte{"example.yaml": read(t, "example.yaml"), "the smallest file": []byte(small("", ""))}
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("examples: %v, %v", examples, err)
	}
	for _, file := range examples {
		if good[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range good {
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	for _, name := range []string{
		"unknown_keys", "unknown_key_in_rule", "missing_sections", "missing_keys", "wrong_kinds", "wrong_types", "nothing", "durations",
		"sizes", "unbuilt", "secret_literal", "words", "hosts", "allow", "telemetry", "posture_checks", "logins", "limits",
	} {
		if validate(t, s, read(t, "broken/"+name+".yaml")) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// A key is one row of the reference.
type key struct {
	path, doc, fallback string
	built               bool
}

// keysOf walks a schema and returns its keys in order.
func keysOf(t *testing.T, n *yaml.Node, path string) []key {
	t.Helper()
	get := func(n *yaml.Node, name string) *yaml.Node {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
		return nil
	}
	var all []key
	if one := get(n, "oneOf"); one != nil {
		for _, s := range one.Content {
			all = append(all, keysOf(t, s, path)...)
		}
	}
	if items := get(n, "items"); items != nil {
		all = append(all, keysOf(t, items, path+"[]")...)
	}
	if values := get(n, "additionalProperties"); values != nil && values.Kind == yaml.MappingNode {
		all = append(all, keysOf(t, values, path+".<name>")...)
	}
	props := get(n, "properties")
	if props == nil {
		return all
	}
	for i := 0; i+1 < len(props.Content); i += 2 {
		name, value := props.Content[i].Value, props.Content[i+1]
		k := key{path: strings.TrimPrefix(path+"."+name, "."), doc: get(value, "description").Value, fallback: "–", built: get(value, "not") == nil}
		if d := get(value, "default"); d != nil {
			var v any
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			k.fallback = fmt.Sprintf("`%v`", v)
			if l, ok := v.([]any); ok {
				k.fallback = "`[" + strings.Trim(strings.ReplaceAll(fmt.Sprint(l), " ", ", "), "[]") + "]`"
			}
		}
		if required := get(n, "required"); required != nil {
			for _, r := range required.Content {
				if r.Value == name {
					k.fallback = "required"
				}
			}
		}
		all = append(all, k)
		if k.built {
			all = append(all, keysOf(t, value, k.path)...)
		}
	}
	return all
}

func reference(t *testing.T) []key {
	t.Helper()
	text, _ := schema(t)
	var n yaml.Node
	if err := yaml.Load(text, &n); err != nil { // JSON is YAML, and a node keeps the order
		t.Fatal(err)
	}
	return keysOf(t, n.Content[0], "")
}

const docs = "../docs/config.md"

var table = regexp.MustCompile(`(?s)(<!-- keys (\w+) -->\n).*?(<!-- end -->)`)

// TestDocs holds docs/config.md against the keys: each section's table is what
// the types say, so that no key is missing and none is made up.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	keys := reference(t)
	shown := map[string]bool{}
	want := table.ReplaceAllStringFunc(string(text), func(block string) string {
		m := table.FindStringSubmatch(block)
		var b strings.Builder
		b.WriteString("\n| Key | Meaning | Default |\n|---|---|---|\n")
		for _, k := range keys {
			if k.path == m[2] || strings.HasPrefix(k.path, m[2]+".") || strings.HasPrefix(k.path, m[2]+"[") {
				shown[k.path] = true
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.path, strings.ReplaceAll(k.doc, "|", "\\|"), k.fallback)
			}
		}
		return m[1] + b.String() + "\n" + m[3]
	})
	for _, k := range keys {
		if !shown[k.path] {
			t.Errorf("%s is in no section of %s", k.path, docs)
		}
	}
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s differs from the types; go test ./config -run TestDocs -update (-want +got):\n%s", docs, diff)
	}
}

// The examples of docs/config.md are one good file together, and example.yaml
// and they use every key. A block that begins with "# or" stands in the place
// of the one above it, and example.or.yaml in that of example.yaml.
func TestDocsExample(t *testing.T) {
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	var whole, other strings.Builder
	last := ""
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if !strings.HasPrefix(m[1], "# or") {
			other.WriteString(last)
			whole.WriteString(m[1])
		}
		last = m[1]
	}
	other.WriteString(last)
	for name, files := range map[string][]string{
		docs:           {whole.String(), other.String()},
		"example.yaml": {string(read(t, "example.yaml")), string(read(t, "example.or.yaml"))},
	} {
		used := map[string]bool{}
		for _, file := range files {
			parse(t, file)
			var n yaml.Node
			if err := yaml.Load([]byte(file), &n); err != nil {
				t.Fatal(err)
			}
			usedKeys(n.Content[0], "", used)
		}
		for _, k := range reference(t) {
			path := strings.NewReplacer("[]", "", ".<name>", "").Replace(k.path)
			if k.built && !used[path] {
				t.Errorf("%s does not show %s", name, k.path)
			}
		}
	}
}

// usedKeys collects the paths of n's keys, with and without each level of
// keys, since names that an operator chooses are not part of a key's path.
func usedKeys(n *yaml.Node, path string, used map[string]bool) {
	for i, c := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			usedKeys(c, path, used)
		case i%2 == 1:
			named := strings.TrimPrefix(path+"."+n.Content[i-1].Value, ".")
			used[named] = true
			usedKeys(c, named, used)
			if slices.Contains([]string{"logins", "roles", "logins.providers", "roles.providers", "posture.checks", "posture.profiles", "posture.checks.platforms"}, path) {
				usedKeys(c, path, used)
			}
		}
	}
}
