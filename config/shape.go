package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// A shape is what the tags of a struct say of the keys of one mapping. The
// decoder, the schema and the reference in docs/config.md all read it:
//
//	yaml     the key
//	doc      its meaning
//	need     "yes": a file without it is wrong
//	default  its value when the file does not give it, as YAML
//	min, max the bounds of an amount, in its own notation
//	unbuilt  what to do instead: the key is known and refused
type shape struct {
	fields []field
	names  []string // of every key, for suggestions
	index  map[string]int
}

type field struct {
	name, doc           string
	at                  []int
	required            bool
	object              bool       // a struct of keys, not a reader
	initial             *yaml.Node // nil: no default
	unbuilt             string
	least, most         *float64
	leastText, mostText string
}

func (d *decoder) shape(t reflect.Type) *shape {
	if s, ok := d.shapes[t]; ok {
		return s
	}
	s := shapeOf(t)
	d.shapes[t] = s
	return s
}

// shapeOf panics when a tag is wrong: the types of this package are at fault then, never a file.
func shapeOf(t reflect.Type) *shape {
	s := &shape{index: map[string]int{}}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, ok := sf.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		typ := sf.Type
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		f := field{
			name: name, doc: sf.Tag.Get("doc"), at: sf.Index,
			required:  sf.Tag.Get("need") == "yes",
			object:    !reflect.PointerTo(typ).Implements(reflect.TypeFor[reader]()),
			unbuilt:   sf.Tag.Get("unbuilt"),
			leastText: sf.Tag.Get("min"), mostText: sf.Tag.Get("max"),
		}
		f.least, f.most = bound(f.leastText), bound(f.mostText)
		if text, ok := sf.Tag.Lookup("default"); ok {
			var doc yaml.Node
			if err := yaml.Load([]byte(text), &doc); err != nil {
				panic(fmt.Sprintf("config: default of %s: %v", name, err))
			}
			f.initial = doc.Content[0]
			nowhere(f.initial)
		}
		s.index[name] = len(s.fields)
		s.fields = append(s.fields, f)
		if f.unbuilt == "" {
			s.names = append(s.names, name)
		}
	}
	return s
}

// nowhere takes n's places away: a default stands in no line.
func nowhere(n *yaml.Node) {
	n.Line, n.Column = 0, 0
	for _, c := range n.Content {
		nowhere(c)
	}
}

// bound reads the min or max of a tag: a plain number, a duration or a size.
func bound(text string) *float64 {
	if text == "" {
		return nil
	}
	var v float64
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		v = f
	} else if strings.HasSuffix(text, "iB") {
		n, err := parseSize(text)
		if err != nil {
			panic("config: bound " + text)
		}
		v = float64(n)
	} else {
		n, err := ParseDuration(text)
		if err != nil {
			panic("config: bound " + text)
		}
		v = float64(n)
	}
	return &v
}
