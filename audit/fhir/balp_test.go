package fhir_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/audit/fhir"
)

// A profile is what IHE BALP 1.1.3 demands of one kind of event, written down
// from the published profiles: https://profiles.ihe.net/ITI/BALP/artifacts.html.
type profile struct {
	action         string
	subtypes       []string // any of these
	onlySubtype    bool     // and no other
	client, server string   // agent types, exactly one agent of each
	user           []string // agent types, at most one agent of any
	bare           bool     // client and server have no role, name or purpose
	object         string   // role of the one entity of type 2
	query          bool     // that entity has a query and nothing that it is about
}

const (
	codesDCM = "http://dicom.nema.org/resources/ontology/DCM#"
	codesV3  = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType#"
)

var (
	recipients = []string{codesV3 + "IRCP"}
	sources    = []string{codesV3 + "AUT", codesV3 + "INF", codesV3 + "CST"}
	profiles   = map[string]profile{
		"Read":   {"R", []string{"read", "vread"}, false, codesDCM + "110152", codesDCM + "110153", recipients, false, "4", false},
		"Create": {"C", []string{"create"}, false, codesDCM + "110153", codesDCM + "110152", sources, false, "4", false},
		"Update": {"U", []string{"update", "patch"}, false, codesDCM + "110153", codesDCM + "110152", sources, false, "4", false},
		"Query":  {"E", []string{"search", "search-type", "search-system"}, false, codesDCM + "110153", codesDCM + "110152", recipients, false, "24", true},
		"Delete": {"D", []string{"delete"}, true, codesDCM + "110150", "http://terminology.hl7.org/CodeSystem/provenance-participant-type#custodian", sources, true, "4", false},
	}
)

type object = map[string]any

func list(o object, key string) []object {
	all, _ := o[key].([]any)
	var out []object
	for _, v := range all {
		out = append(out, v.(object))
	}
	return out
}

func coding(o any) string {
	c, _ := o.(object)
	return fmt.Sprint(c["system"], "#", c["code"])
}

// typed returns the agents that have one of types among their codings, as a
// pattern of a CodeableConcept matches.
func typed(agents []object, types ...string) []object {
	var found []object
	for _, a := range agents {
		kind, _ := a["type"].(object)
		for _, c := range list(kind, "coding") {
			if slices.Contains(types, coding(c)) {
				found = append(found, a)
				break
			}
		}
	}
	return found
}

// obeys returns what of the profile that e claims does not hold.
func obeys(e object) []string {
	var wrong []string
	demand := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	meta, _ := e["meta"].(object)
	claimed, _ := meta["profile"].([]any)
	demand(len(claimed) == 1, "claims one profile")
	if len(claimed) != 1 {
		return wrong
	}
	name, ok := strings.CutPrefix(claimed[0].(string), "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.")
	name, ofPatient := strings.CutPrefix(name, "Patient")
	p, known := profiles[name]
	demand(ok && known, "names a published profile")

	agents, entities := list(e, "agent"), list(e, "entity")
	demand(coding(e["type"]) == "http://terminology.hl7.org/CodeSystem/audit-event-type#rest", "type")
	demand(e["action"] == p.action, "action")
	demand(e["outcome"] == "0", "outcome")
	demand(e["recorded"] != nil, "recorded")
	subtypes := list(e, "subtype")
	demand(slices.ContainsFunc(subtypes, func(c object) bool {
		return c["system"] == "http://hl7.org/fhir/restful-interaction" && slices.Contains(p.subtypes, c["code"].(string))
	}), "subtype")
	demand(!p.onlySubtype || len(subtypes) == 1, "one subtype")

	for which, of := range map[string][]object{"client": typed(agents, p.client), "server": typed(agents, p.server)} {
		demand(len(of) == 1, "one "+which)
		for _, a := range of {
			demand(a["who"] != nil && a["network"] != nil && a["media"] == nil, which+" has who and network")
			for _, key := range []string{"role", "altId", "name", "location", "policy", "purposeOfUse"} {
				demand(!p.bare || a[key] == nil, which+" has no "+key)
			}
		}
	}
	users := typed(agents, p.user...)
	demand(len(users) <= 1, "at most one user")
	for _, a := range users {
		demand(a["who"] != nil && a["requestor"] == true && a["network"] == nil && a["media"] == nil && a["altId"] == nil, "user")
	}

	const entityTypes = "http://terminology.hl7.org/CodeSystem/audit-entity-type#"
	const roles = "http://terminology.hl7.org/CodeSystem/object-role#"
	counts := map[string]int{}
	for _, n := range entities {
		kind := coding(n["type"])
		counts[kind]++
		what, _ := n["what"].(object)
		bare := n["lifecycle"] == nil && n["name"] == nil && n["detail"] == nil
		switch kind {
		case entityTypes + "1":
			demand(coding(n["role"]) == roles+"1", "patient's role")
			demand(what["type"] == "Patient", "patient is a reference to a Patient")
			demand(bare && n["query"] == nil, "patient has nothing more")
		case entityTypes + "2":
			demand(coding(n["role"]) == roles+p.object, "object's role")
			demand(bare, "object has nothing more")
			demand(p.query == (n["query"] != nil) && p.query == (what == nil), "object has what, or a query")
		case "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType#XrequestId":
			id, _ := what["identifier"].(object)
			demand(id["value"] != nil && bare && n["query"] == nil, "transaction is a request id and nothing more")
		}
	}
	demand(counts[entityTypes+"2"] == 1, "one object")
	demand(counts[entityTypes+"1"] == map[bool]int{true: 1}[ofPatient], "one patient, where the profile is of patients")
	return wrong
}

func decoded(t *testing.T, e fhir.AuditEvent) object {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		method, profile string
		patient         bool
	}{
		{"GET", "PatientRead", true}, {"GET", "Read", false}, {"HEAD", "PatientRead", true},
		{"POST", "PatientCreate", true}, {"POST", "Create", false},
		{"PUT", "PatientUpdate", true}, {"PATCH", "Update", false},
		{"DELETE", "PatientDelete", true}, {"DELETE", "Delete", false},
		{"SEARCH", "PatientQuery", true}, {"REPORT", "Query", false},
		{"OPTIONS", "", true},
	} {
		records := asked(c.method, "allow", "all_met", 200, nil)
		if !c.patient {
			records[0].Patient, records[1].Patient = "", ""
		}
		e := events(records, hospital)
		if len(e) != 1 {
			t.Fatalf("%s: %d events, want the request and its outcome in one", c.method, len(e))
		}
		want := "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit." + c.profile
		switch {
		case c.profile == "" && e[0].Meta != nil:
			t.Errorf("%s: claims %v", c.method, e[0].Meta)
		case c.profile != "" && (e[0].Meta == nil || e[0].Meta.Profile[0] != want):
			t.Errorf("%s, of a patient %v: claims %v, want %s", c.method, c.patient, e[0].Meta, c.profile)
		}
	}
	claims := 0
	for _, e := range events(trail(), hospital) {
		if e.Outcome != "0" && e.Meta != nil {
			t.Errorf("%s claims a profile of successes with outcome %q", e.ID, e.Outcome)
		}
		if e.Meta == nil {
			continue
		}
		claims++
		for _, a := range list(decoded(t, e), "agent") { // the profiles cannot tell the two apart
			n, _ := a["network"].(object)
			p := profiles[strings.TrimPrefix(strings.TrimPrefix(e.Meta.Profile[0], "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."), "Patient")]
			if len(typed([]object{a}, p.client)) == 1 && n["address"] != "10.20.0.7" || len(typed([]object{a}, p.server)) == 1 && n["address"] != "rx.hospital.example" {
				t.Errorf("%s: client and server are swapped", e.ID)
			}
		}
		for _, wrong := range obeys(decoded(t, e)) {
			t.Errorf("%s (%s): %s", e.ID, e.Meta.Profile[0], wrong)
		}
	}
	if claims < 15 {
		t.Errorf("only %d events claim a profile", claims)
	}
}

// The check of profiles sees what is wrong.
func TestProfilesCheck(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(*fhir.AuditEvent)
	}{
		{"client and server swapped", func(e *fhir.AuditEvent) { e.Agent[0].Type, e.Agent[1].Type = e.Agent[1].Type, nil }},
		{"another action", func(e *fhir.AuditEvent) { e.Action = "C" }},
		{"a failure", func(e *fhir.AuditEvent) { e.Outcome = "4" }},
		{"no network", func(e *fhir.AuditEvent) { e.Agent[0].Network = nil }},
		{"a user with a network", func(e *fhir.AuditEvent) { e.Agent[2].Network = e.Agent[0].Network }},
		{"no patient", func(e *fhir.AuditEvent) { e.Entity = e.Entity[1:] }},
		{"two objects", func(e *fhir.AuditEvent) { e.Entity = append(e.Entity, e.Entity[1]) }},
		{"no data", func(e *fhir.AuditEvent) { e.Entity = slices.Delete(e.Entity, 1, 2) }},
	} {
		e := events(asked("GET", "allow", "all_met", 200, nil), hospital)[0]
		if wrong := obeys(decoded(t, e)); len(wrong) > 0 {
			t.Fatalf("unspoilt: %v", wrong)
		}
		c.spoil(&e)
		if len(obeys(decoded(t, e))) == 0 {
			t.Errorf("%s: nothing is wrong with it", c.what)
		}
	}
}
