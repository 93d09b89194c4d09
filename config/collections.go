package config

import (
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// A list is a sequence of T, in the order of the file.
type list[T any] struct {
	place
	Items []T
	Bad   bool // an item was refused, so that not every one is here as meant
}

func (l *list[T]) read(d *decoder, n *yaml.Node) {
	before := len(d.mistakes)
	if !d.isKind(n, yaml.SequenceNode, "a list") {
		l.Bad = true
		return
	}
	l.Items = make([]T, len(n.Content))
	var seen map[string]int
	for i, c := range n.Content {
		d.value(&l.Items[i], c)
		s, ok := any(&l.Items[i]).(interface{ spelling() string })
		if !ok || s.spelling() == "" || c.Line == 0 {
			continue
		}
		if seen == nil {
			seen = make(map[string]int, len(n.Content))
		}
		if line, again := seen[s.spelling()]; again {
			d.mistake(placeOf(c), "%s stands twice in %s: first in line %d", quoted(s.spelling()), d.name(), line)
			continue
		}
		seen[s.spelling()] = c.Line
	}
	l.Bad = len(d.mistakes) > before
}

func (*list[T]) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: schemaOf(reflect.TypeFor[T]())}
}

// spelling makes text and words comparable: a list names each of them once.
func (t text) spelling() string { return t.V }

// A table is a mapping whose keys the operator chooses, in the order of the file.
type table[K, V any] struct {
	place
	Entries []entry[K, V]
	Bad     bool // an entry was refused
}

type entry[K, V any] struct {
	Key   K
	Value V
}

func (t *table[K, V]) read(d *decoder, n *yaml.Node) {
	before := len(d.mistakes)
	if !d.isMapping(n) {
		t.Bad = true
		return
	}
	for key, value := range d.pairs(n) {
		if key.Tag == mergeTag {
			continue // reported by plain
		}
		t.Entries = append(t.Entries, entry[K, V]{})
		e := &t.Entries[len(t.Entries)-1]
		d.value(&e.Key, key)
		d.path = append(d.path, key.Value)
		d.value(&e.Value, value)
		d.path = d.path[:len(d.path)-1]
	}
	t.Bad = len(d.mistakes) > before
}

func (*table[K, V]) schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", AdditionalProperties: schemaOf(reflect.TypeFor[V]())}
	if keys := schemaOf(reflect.TypeFor[K]()); len(keys.Enum) > 0 || keys.Pattern != "" {
		s.PropertyNames = keys
	}
	return s
}

// A secret is a reference to a file or an environment variable, read at once.
type secret struct {
	place
	V     Secret
	lines bool // more than one line is good
}

const maxSecret = 64 << 10 // bytes

func (s *secret) read(d *decoder, n *yaml.Node) {
	const want = "${file:PATH} or ${env:NAME}"
	if !d.isKind(n, yaml.ScalarNode, want) {
		return
	}
	inner, ok := strings.CutPrefix(n.Value, "${")
	inner, closed := strings.CutSuffix(inner, "}")
	how, name, named := strings.Cut(inner, ":")
	at := placeOf(n)
	switch { // no message repeats the value: it may be the secret itself
	case n.Value == "" || n.Tag == "!!null":
		d.mistake(at, "%s has no value; it wants %s", d.name(), want)
	case !ok || !closed:
		d.mistake(at, "%s holds a secret, and secrets are never written here: name a file or a variable with %s", d.name(), want)
	case !named || name == "" || how != "file" && how != "env" || strings.ContainsAny(name, "${}"):
		d.mistake(at, "%s is not of the form %s", d.name(), want)
	case how == "env":
		value, set := d.from.Getenv(name)
		if !set {
			d.mistake(at, "environment variable %s is not set", quoted(name))
			return
		}
		s.keep(d, at, "environment variable "+quoted(name), value)
	default:
		if value, ok := d.readFile(at, name); ok {
			s.keep(d, at, "file "+quoted(name), string(value))
		}
	}
}

func (s *secret) keep(d *decoder, at place, what, value string) {
	value = strings.TrimRight(value, "\r\n") // editors end files with a line break
	switch {
	case value == "":
		d.mistake(at, "%s is empty", what)
	case len(value) > maxSecret:
		d.mistake(at, "%s is larger than 64 KiB", what)
	case !s.lines && strings.ContainsFunc(value, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		d.mistake(at, "%s holds more than one line, or a control character", what)
	default:
		s.V = Secret{value}
	}
}

func (*secret) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^\$\{(file|env):[^${}]+\}$`}
}
