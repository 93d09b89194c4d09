package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// A decoder reads YAML nodes into the shapes of the file, and collects every
// mistake on the way instead of stopping at the first.
type decoder struct {
	file     string
	from     Surroundings
	mistakes Mistakes
	warnings []Warning
	files    []string // read besides the configuration
	path     []string // of keys, down to the value being read
	shapes   map[reflect.Type]*shape
}

func (d *decoder) mistake(at place, format string, args ...any) {
	d.mistakes = append(d.mistakes, Mistake{d.file, at.line, at.column, fmt.Sprintf(format, args...)})
}

func (d *decoder) warn(at place, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{d.file, at.line, at.column, fmt.Sprintf(format, args...)})
}

// name returns the dotted path of the value being read, between backquotes.
func (d *decoder) name() string { return quoted(strings.Join(d.path, ".")) }

// A reader is a value of the file that is not a mapping with fixed keys. It
// reports what is wrong with n and then stays zero, so that the checks that
// come later pass over it.
type reader interface {
	read(d *decoder, n *yaml.Node)
	schema() *jsonschema.Schema
}

// A placed value keeps where it stands.
type placed interface {
	put(place)
	where() place
}

// value reads n into v, a pointer to a reader or to a struct of keys.
func (d *decoder) value(v any, n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		return // reported by plain
	}
	if p, ok := v.(placed); ok {
		p.put(placeOf(n))
	}
	if r, ok := v.(reader); ok {
		r.read(d, n)
		return
	}
	d.object(reflect.ValueOf(v).Elem(), n)
}

// object reads a mapping with fixed keys into a struct.
func (d *decoder) object(v reflect.Value, n *yaml.Node) {
	keys := d.shape(v.Type())
	if !d.isMapping(n) {
		d.defaults(v)
		return
	}
	seen := make([]bool, len(keys.fields))
	merged := false
	for key, value := range d.pairs(n) {
		if key.Tag == mergeTag {
			merged = true
			continue
		}
		i, ok := keys.index[key.Value]
		if !ok {
			d.mistake(placeOf(key), "unknown key %s%s", quoted(key.Value), nearest(key.Value, keys.names))
			continue
		}
		seen[i] = true
		d.field(v, &keys.fields[i], key, value)
	}
	for i := range keys.fields {
		f := &keys.fields[i]
		if seen[i] {
			continue
		}
		if f.required && !merged {
			d.mistake(placeOf(n), "%s is missing", quoted(strings.Join(append(d.path[:len(d.path):len(d.path)], f.name), ".")))
		}
		d.unsaid(v, f)
	}
}

func (d *decoder) field(v reflect.Value, f *field, key, value *yaml.Node) {
	d.path = append(d.path, f.name)
	defer func() { d.path = d.path[:len(d.path)-1] }()
	target := v.FieldByIndex(f.at)
	if f.unbuilt != "" {
		target.Addr().Interface().(placed).put(placeOf(key))
		d.mistake(placeOf(key), "%s is not built yet: %s", d.name(), f.unbuilt)
		return
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	before := len(d.mistakes)
	d.value(target.Addr().Interface(), value)
	if a, ok := target.Addr().Interface().(amount); ok && len(d.mistakes) == before {
		d.bounds(f, a)
	}
}

// An amount is a value with a least and a greatest.
type amount interface {
	placed
	measure() float64
	clear()
}

func (d *decoder) bounds(f *field, a amount) {
	switch {
	case f.least != nil && a.measure() < *f.least:
		d.mistake(a.where(), "%s is at least %s", d.name(), f.leastText)
	case f.most != nil && a.measure() > *f.most:
		d.mistake(a.where(), "%s is at most %s", d.name(), f.mostText)
	default:
		return
	}
	a.clear()
}

// unsaid gives a key that the file leaves out its default.
func (d *decoder) unsaid(v reflect.Value, f *field) {
	target := v.FieldByIndex(f.at)
	switch {
	case f.initial != nil:
		d.value(target.Addr().Interface(), f.initial)
	case f.object && target.Kind() == reflect.Struct:
		d.defaults(target)
	}
}

func (d *decoder) defaults(v reflect.Value) {
	keys := d.shape(v.Type())
	for i := range keys.fields {
		d.unsaid(v, &keys.fields[i])
	}
}

// pairs yields the keys and values of a mapping, each key once.
func (d *decoder) pairs(n *yaml.Node) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		first := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch line, again := first[key.Value]; {
			case key.Kind == yaml.AliasNode: // reported by plain
			case key.Kind != yaml.ScalarNode:
				d.mistake(placeOf(key), "a key is one plain word")
			case again:
				d.mistake(placeOf(key), "%s stands twice: first in line %d", quoted(key.Value), line)
			default:
				first[key.Value] = key.Line
				if !yield(key, value) {
					return
				}
			}
		}
	}
}

func (d *decoder) isMapping(n *yaml.Node) bool {
	return d.isKind(n, yaml.MappingNode, "keys and values")
}

func (d *decoder) isKind(n *yaml.Node, kind yaml.Kind, want string) bool {
	switch {
	case n.Kind == kind:
		return true
	case len(d.path) == 0:
		d.mistake(placeOf(n), "the file wants %s, not %s", want, whatIs(n))
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		d.mistake(placeOf(n), "%s has no value; it wants %s", d.name(), want)
	default:
		d.mistake(placeOf(n), "%s wants %s, not %s", d.name(), want, whatIs(n))
	}
	return false
}

// whatIs names the kind of n. It never repeats the value: it may be a secret
// that stands in the wrong place.
func whatIs(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!bool":
		return "true or false"
	case n.Tag == "!!int", n.Tag == "!!float":
		return "a number"
	}
	return "text"
}

// scalar returns the one value of n when its tag is among tags; want says in
// the message what would be right.
func (d *decoder) scalar(n *yaml.Node, want string, tags ...string) (string, bool) {
	if !d.isKind(n, yaml.ScalarNode, want) {
		return "", false
	}
	fits := false
	for _, t := range tags {
		fits = fits || t == n.Tag
	}
	switch {
	case n.Tag == "!!null" && !fits:
		d.mistake(placeOf(n), "%s has no value; it wants %s", d.name(), want)
		return "", false
	case !fits && tags[0] == "!!str":
		d.mistake(placeOf(n), "%s wants %s: put it in quotes", d.name(), want)
		return "", false
	case !fits:
		d.mistake(placeOf(n), "%s wants %s, not %s", d.name(), want, whatIs(n))
		return "", false
	case strings.Contains(n.Value, "${"):
		d.mistake(placeOf(n), "%s holds no secret: ${file:…} and ${env:…} are read only where one stands, such as client_secret", d.name())
		return "", false
	}
	return n.Value, true
}
