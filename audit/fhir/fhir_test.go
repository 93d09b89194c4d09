package fhir_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/fhir"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// nora is a record of hers with everything a record can hold of a person.
func nora(e access.EventKind, more func(*audit.Record)) audit.Record {
	r := audit.Record{
		Time: noon, Event: e,
		Subject:  audit.Subject{Issuer: "https://login.hospital.example", Sub: "248289761001", Username: "nora", Roles: []string{"nurse", "charge nurse"}},
		Session:  "s-41f0",
		Device:   audit.Device{ID: "tab-0042", Assurance: "A2"},
		Login:    audit.Login{ACR: "phr", AMR: []string{"hwk", "pin"}, AuthTime: noon.Add(-5 * time.Minute)},
		SourceIP: "10.20.0.7", RequestID: "01JD7Q", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Prev: strings.Repeat("ab", 32),
	}
	if more != nil {
		more(&r)
	}
	return r
}

// asked is a request of hers and its outcome.
func asked(method, verdict string, reason access.Reason, status int, more func(*audit.Record)) []audit.Record {
	r := nora(access.EventAccess, func(r *audit.Record) {
		r.Verdict, r.Reason, r.Method, r.Host, r.Path, r.Route = verdict, reason, method, "rx.hospital.example", "/patients/P-17/orders/7", "pharmacy"
		r.Patient, r.SpanID, r.TraceFlags, r.PurposeOfUse = "P-17", "00f067aa0ba902b7", "01", "TREAT"
		if more != nil {
			more(r)
		}
	})
	if status == 0 {
		return []audit.Record{r}
	}
	o := r
	o.Event, o.Status, o.Observed, o.SpanID, o.TraceFlags, o.PurposeOfUse = access.EventOutcome, status, nil, "", "", ""
	o.Disclosure, o.Time = access.Disclosure{}, r.Time.Add(120*time.Millisecond)
	return []audit.Record{r, o}
}

// trail is one of everything.
func trail() []audit.Record {
	noPatient := func(r *audit.Record) { r.Patient, r.Path = "", "/orders/7" }
	nobody := func(r *audit.Record) {
		r.Subject, r.Session, r.Login, r.Device, r.Patient = audit.Subject{}, "", audit.Login{}, audit.Device{}, ""
	}
	var all []audit.Record
	add := func(records ...audit.Record) { all = append(all, records...) }
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "SEARCH", "OPTIONS"} {
		add(asked(method, "allow", access.AllMet, 200, nil)...)
		add(asked(method, "allow", access.AllMet, 204, noPatient)...)
	}
	add(asked("GET", "allow", access.AllMet, 404, nil)...)
	add(asked("POST", "allow", access.AllMet, 502, func(r *audit.Record) { r.Rule = "amend an order" })...)
	add(asked("GET", "allow", access.AllMet, 0, func(r *audit.Record) { r.RequestID = "01JD7R" })...)
	add(asked("POST", "step_up", access.OldLogin, 401, func(r *audit.Record) { r.Rule = "amend an order" })...)
	add(asked("GET", "deny", access.DeviceFailed("managed"), 403, func(r *audit.Record) { r.Device.Failed = []string{"managed", "fresh_os"} })...)
	add(asked("GET", "sign_in", access.NoSession, 303, nobody)...)
	add(asked("GET", "deny", access.BadRequest, 404, func(r *audit.Record) { nobody(r); r.Route, r.Host = "", "" })...)
	add(asked("GET", "allow", access.Public, 200, func(r *audit.Record) { nobody(r); r.Path = "/status" })...)
	add(asked("POST", "allow", access.AllMet, 201, func(r *audit.Record) { nobody(r); r.Client, r.Patient = "lab-robot", "P-17" })...)
	add(asked("DELETE", "allow", access.AllMet, 204, func(r *audit.Record) { nobody(r); r.Client = "lab-robot" })...)
	told := func(r *audit.Record) {
		r.Disclosure = access.Disclosure{Recipient: "Apotek Ullevål, Oslo", Purpose: "dispensing"}
		r.Observed = []access.Observation{{Rule: "old dispatcher amends", Verdict: "step_up", Reason: access.OldLogin}}
	}
	add(asked("GET", "allow", access.AllMet, 200, told)...)
	add(asked("DELETE", "allow", access.AllMet, 200, told)...)
	add(nora(access.EventOutcome, func(r *audit.Record) {
		r.Verdict, r.Method, r.Host, r.Path, r.Status = "allow", "GET", "rx.hospital.example", "/", 200
	}))
	add(nora(access.EventAccess, func(r *audit.Record) { // what a terminal and an XML parser would choke on
		r.Verdict, r.Method, r.Host, r.RequestID = "allow", "GET", "rx.hospital.example", "01JD7S"
		r.Path, r.Subject.Username, r.Subject.Roles = "/\x1b[2J\u202e<b>&", " \t ", []string{"", "\x00"}
	}))
	add(
		nora(access.EventSignIn, func(r *audit.Record) { r.Verdict, r.Reason = "allow", access.AllMet }),
		nora(access.EventSignIn, func(r *audit.Record) { r.Verdict, r.Reason, r.Detail = "deny", access.BadRequest, "nonce" }),
		nora(access.EventStepUp, func(r *audit.Record) { r.Verdict, r.Reason, r.Rule = "allow", access.WeakLogin, "amend an order" }),
		nora(access.EventLock, func(r *audit.Record) { r.SourceIP, r.RequestID, r.Device = "", "", audit.Device{} }),
		nora(access.EventUnlock, nil),
		nora(access.EventSecurity, func(r *audit.Record) { r.Reason = access.DeviceChanged }),
		nora(access.EventSessionEnded, func(r *audit.Record) { r.Reason = access.DeviceChanged }),
		nora(access.EventSignOut, nil),
		nora("emergency_start", nil),
		nora("emergency_end", nil),
		audit.Record{Time: noon, Event: access.EventStart, Reason: "started", Detail: "anteroom 1.0.0"},
		audit.Record{Time: noon, Event: access.EventConfig, Reason: "loaded"},
		audit.Record{Time: noon, Event: access.EventConfig, Reason: "refused"},
		audit.Record{Time: noon, Event: access.EventStop, Reason: "stopped"},
		audit.Record{Time: noon, Event: access.EventCheckpoint, Reason: "opened", Key: "k", Sig: "c2ln"},
		audit.Record{Time: noon, Event: access.EventCheckpoint, Reason: "closed", Sig: "c2ln"},
		audit.Record{Time: noon, Event: access.EventCheckpoint, Reason: "cut_tail", Sig: "c2ln", Gaps: []audit.Gap{{Kind: audit.CutTail, From: 7, To: 9}}},
		audit.Record{Time: noon, Event: "not_known_yet"},
	)
	for i := range all {
		all[i].Seq = uint64(i + 1)
	}
	return all
}

func events(records []audit.Record, m fhir.Mapper) []fhir.AuditEvent {
	var join fhir.Join
	var all []fhir.AuditEvent
	for _, r := range records {
		for _, j := range join.Add(r) {
			all = append(all, m.Event(j))
		}
	}
	for _, j := range join.Rest() {
		all = append(all, m.Event(j))
	}
	return all
}

var hospital = fhir.Mapper{Site: "gate.hospital.example", PatientSystem: "urn:oid:2.16.578.1.12.4.1.4.1"}

// The golden file is also what test/formats gives to a validator.
func TestGolden(t *testing.T) {
	got, err := json.MarshalIndent(events(trail(), hospital), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "events.json")
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestJoin(t *testing.T) {
	at := func(seq uint64, e access.EventKind, id string) audit.Record {
		return audit.Record{Seq: seq, Event: e, RequestID: id}
	}
	var j fhir.Join
	var got []string
	note := func(all []fhir.Joined) {
		for _, x := range all {
			s := x.RequestID + string(x.Event[0])
			if x.Outcome != nil {
				s += "+" + string(x.Outcome.Event[0])
			}
			got = append(got, s)
		}
	}
	for _, r := range []audit.Record{
		at(1, access.EventAccess, "a"), at(2, access.EventAccess, "b"), at(3, access.EventLock, "c"),
		at(4, access.EventOutcome, "b"), at(5, access.EventOutcome, "z"), at(6, access.EventAccess, "d"), at(7, access.EventAccess, "d"),
	} {
		note(j.Add(r))
	}
	note(j.Rest())
	want := []string{"cl", "ba+o", "zo", "da", "aa", "da"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("joined (-want +got):\n%s", diff)
	}
	if rest := j.Rest(); len(rest) != 0 {
		t.Errorf("the rest came twice: %v", rest)
	}
}

// What a record does not say of a person is not made up.
func TestZeroMapper(t *testing.T) {
	text, err := json.Marshal(events([]audit.Record{{Seq: 1, Time: noon, Event: access.EventStart}}, fhir.Mapper{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`""`, `null`, `"site"`, `"entity":[]`} {
		if strings.Contains(string(text), bad) {
			t.Errorf("%s stands in %s", bad, text)
		}
	}
}

func TestBatch(t *testing.T) {
	b := fhir.Batch(events(trail(), hospital)[:2])
	if b.Type != "batch" || len(b.Entry) != 2 || b.Entry[1].Request != (fhir.Request{Method: "POST", URL: "AuditEvent"}) || b.Entry[1].Resource.ResourceType != "AuditEvent" {
		t.Errorf("%+v", b)
	}
}
