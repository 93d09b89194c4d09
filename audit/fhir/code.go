package fhir

import (
	"net/http"

	"github.com/anteroom/anteroom/access"
)

// Code systems that others publish.
const (
	dcm           = "http://dicom.nema.org/resources/ontology/DCM"
	eventType     = "http://terminology.hl7.org/CodeSystem/audit-event-type"
	entityType    = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	objectRole    = "http://terminology.hl7.org/CodeSystem/object-role"
	interaction   = "http://hl7.org/fhir/restful-interaction"
	participation = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	lifecycle     = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
	provenance    = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
	sourceType    = "http://terminology.hl7.org/CodeSystem/security-source-type"
	actReason     = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
	amrValues     = "https://www.iana.org/assignments/authentication-method-reference-values"
	uris          = "urn:ietf:rfc:3986"

	balp          = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/"
	balpEntity    = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
	assuranceLink = balp + "ihe-assuranceLevel"
)

// The gateway's own words, each system under the field of the record that
// holds them.
const own = "https://github.com/anteroom/anteroom/audit/"

func code(system, code, display string) Coding { return Coding{system, code, display} }

func concept(codings ...Coding) *CodeableConcept { return &CodeableConcept{Coding: codings} }

// Network types: https://hl7.org/fhir/R4/valueset-network-type.html.
const (
	networkName    = "1"
	networkAddress = "2"
)

// Outcomes: https://hl7.org/fhir/R4/valueset-audit-event-outcome.html.
const (
	success = "0"
	minor   = "4" // refused, or not found
	serious = "8" // broken
)

var (
	application = code(dcm, "110150", "Application")
	destination = code(dcm, "110152", "Destination Role ID")
	origin      = code(dcm, "110153", "Source Role ID")
	custodian   = code(provenance, "custodian", "Custodian")
	recipient   = code(participation, "IRCP", "information recipient")
	author      = code(participation, "AUT", "author (originator)")
	device      = code(participation, "DEV", "device")

	person = code(entityType, "1", "Person")
	system = code(entityType, "2", "System Object")
	other  = code(entityType, "4", "Other")

	organization = code(entityType, "3", "Organization")
)

// A class says what kind of event a record is, in the words of DICOM PS3.16.
type class struct {
	kind    Coding
	subtype []Coding
}

var (
	authentication = code(dcm, "110114", "User Authentication")
	activity       = code(dcm, "110100", "Application Activity")
	alert          = code(dcm, "110113", "Security Alert")
	login          = code(dcm, "110122", "Login")
	logout         = code(dcm, "110123", "Logout")
)

// classes has every kind of record but those of requests. The record's own
// word is always a subtype too.
var classes = map[access.EventKind]class{
	access.EventSignIn:       {authentication, []Coding{login}},
	access.EventStepUp:       {authentication, []Coding{login}},
	access.EventUnlock:       {authentication, []Coding{login}},
	access.EventSignOut:      {authentication, []Coding{logout}},
	access.EventSessionEnded: {authentication, []Coding{logout}},
	access.EventLock:         {authentication, nil},
	access.EventStart:        {activity, []Coding{code(dcm, "110120", "Application Start")}},
	access.EventStop:         {activity, []Coding{code(dcm, "110121", "Application Stop")}},
	access.EventCheckpoint:   {activity, nil},
	access.EventConfig:       {alert, []Coding{code(dcm, "110129", "Security Configuration")}},
	access.EventSecurity:     {alert, nil},
	"emergency_start":        {alert, []Coding{code(dcm, "110127", "Emergency Override Started")}},
	"emergency_end":          {alert, []Coding{code(dcm, "110138", "Emergency Override Stopped")}},
	"recovery":               {alert, []Coding{code(dcm, "110127", "Emergency Override Started")}},
}

// Checkpoints that begin and end the recording.
var (
	recordingBegins = code(dcm, "110134", "Audit Recording Started")
	recordingEnds   = code(dcm, "110133", "Audit Recording Stopped")
)

// An act is how IHE BALP profiles what a method does: whether data flows to
// the client or from it, and which part the person has in it.
type act struct {
	profile        string // of BALP, without its prefix
	action         string
	subtype        Coding
	client, server Coding
	user           Coding
}

var (
	read   = act{"Read", "R", code(interaction, "read", "read"), destination, origin, recipient}
	create = act{"Create", "C", code(interaction, "create", "create"), origin, destination, author}
	update = act{"Update", "U", code(interaction, "update", "update"), origin, destination, author}
	patch  = act{"Update", "U", code(interaction, "patch", "patch"), origin, destination, author}
	remove = act{"Delete", "D", code(interaction, "delete", "delete"), application, custodian, author}
	query  = act{"Query", "E", code(interaction, "search", "search"), origin, destination, recipient}
	other_ = act{"", "E", code(interaction, "operation", "operation"), origin, destination, recipient}
)

// acts tells methods apart. A legacy application may read by POST; the record
// says which method it was, and nothing here guesses further.
var acts = map[string]act{
	http.MethodGet: read, http.MethodHead: read,
	http.MethodPost: create, "MKCOL": create,
	http.MethodPut: update, "PROPPATCH": update, "COPY": update, "MOVE": update, "LOCK": update, "UNLOCK": update,
	http.MethodPatch:  patch,
	http.MethodDelete: remove,
	"SEARCH":          query, "REPORT": query, "PROPFIND": query,
}

func actOf(method string) act {
	if a, ok := acts[method]; ok {
		return a
	}
	return other_
}
