package config

import (
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// Schema returns the JSON Schema (draft 2020-12) of the configuration file,
// made from the same description of its keys that reading it uses. A file that
// it refuses is wrong; one that it accepts may still be, since references,
// files and bounds are checked when it is read.
func Schema() ([]byte, error) {
	s := schemaFor[file]()
	s.Version = jsonschema.Version
	s.Title = "Anteroom configuration"
	return json.MarshalIndent(s, "", "  ")
}

func schemaFor[T any]() *jsonschema.Schema { return schemaOf(reflect.TypeFor[T]()) }

func schemaOf(t reflect.Type) *jsonschema.Schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if r, ok := reflect.New(t).Interface().(reader); ok {
		return r.schema()
	}
	s := &jsonschema.Schema{
		Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema,
	}
	keys := shapeOf(t)
	for i := range keys.fields {
		f := &keys.fields[i]
		p := schemaOf(t.FieldByIndex(f.at).Type)
		if f.unbuilt != "" {
			p = &jsonschema.Schema{Not: &jsonschema.Schema{}, Description: f.doc + "; not built yet: " + f.unbuilt}
			s.Properties.Set(f.name, p)
			continue
		}
		p.Description = f.doc
		if f.leastText != "" {
			p.Description += "; at least " + f.leastText
		}
		if f.mostText != "" {
			p.Description += "; at most " + f.mostText
		}
		p.Default = plainValue(f.initial)
		s.Properties.Set(f.name, p)
		if f.required {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

// plainValue returns a default as JSON has it; nil when there is none.
func plainValue(n *yaml.Node) any {
	if n == nil {
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		panic("config: a default is not a value: " + err.Error()) // the tags of this package are at fault
	}
	return v
}
