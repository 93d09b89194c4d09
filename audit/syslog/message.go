// Package syslog sends the audit trail to a syslog receiver over TLS, as IHE
// ATNA has it (ITI-20): RFC 5424 messages with octet counts (RFC 5425) that hold
// audit messages of DICOM PS3.15, section A.5.
package syslog

import (
	"encoding/base64"
	"encoding/xml"
	"strings"

	"github.com/anteroom/anteroom/audit/fhir"
)

// The parts of an audit message (DICOM PS3.15, A.5.1) that an event has.
type (
	message struct {
		XMLName     xml.Name      `xml:"AuditMessage"`
		Event       event         `xml:"EventIdentification"`
		Participant []participant `xml:"ActiveParticipant"`
		Source      source        `xml:"AuditSourceIdentification"`
		Object      []thing       `xml:"ParticipantObjectIdentification"`
	}

	coded struct {
		Code   string `xml:"csd-code,attr"`
		System string `xml:"codeSystemName,attr,omitempty"`
		Text   string `xml:"originalText,attr,omitempty"`
	}

	event struct {
		Action  string  `xml:"EventActionCode,attr,omitempty"`
		Time    string  `xml:"EventDateTime,attr"`
		Outcome string  `xml:"EventOutcomeIndicator,attr"`
		ID      coded   `xml:"EventID"`
		Type    []coded `xml:"EventTypeCode"`
		Why     string  `xml:"EventOutcomeDescription,omitempty"`
		Purpose []coded `xml:"PurposeOfUse"`
	}

	participant struct {
		UserID      string  `xml:"UserID,attr"`
		Alternative string  `xml:"AlternativeUserID,attr,omitempty"`
		Name        string  `xml:"UserName,attr,omitempty"`
		Requestor   bool    `xml:"UserIsRequestor,attr"`
		Network     string  `xml:"NetworkAccessPointID,attr,omitempty"`
		NetworkType string  `xml:"NetworkAccessPointTypeCode,attr,omitempty"`
		Role        []coded `xml:"RoleIDCode"`
	}

	source struct {
		ID   string `xml:"AuditSourceID,attr"`
		Site string `xml:"AuditEnterpriseSiteID,attr,omitempty"`
		Type coded  `xml:"AuditSourceTypeCode"`
	}

	thing struct {
		ID     string   `xml:"ParticipantObjectID,attr"`
		Type   string   `xml:"ParticipantObjectTypeCode,attr"`
		Role   string   `xml:"ParticipantObjectTypeCodeRole,attr,omitempty"`
		IDType coded    `xml:"ParticipantObjectIDTypeCode"`
		Name   string   `xml:"ParticipantObjectName,omitempty"`
		Query  string   `xml:"ParticipantObjectQuery,omitempty"`
		Detail []detail `xml:"ParticipantObjectDetail"`
	}

	detail struct {
		Type  string `xml:"type,attr"`
		Value string `xml:"value,attr"` // base64
	}
)

// names are what DICOM calls the code systems that FHIR gives by URI.
var names = map[string]string{
	"http://dicom.nema.org/resources/ontology/DCM": "DCM",
}

func codedOf(c fhir.Coding) coded {
	name, ok := names[c.System]
	if !ok {
		name = c.System
	}
	text := c.Display
	if text == "" {
		text = c.Code
	}
	return coded{c.Code, name, text}
}

// DICOM returns e as an audit message. An AuditEvent is DICOM's message in
// other clothes, so that each element has its place: docs/audit.md says which.
func DICOM(e fhir.AuditEvent) []byte {
	m := message{
		Event: event{Action: e.Action, Time: e.Recorded, Outcome: e.Outcome, ID: codedOf(e.Type), Why: e.OutcomeDesc},
		Source: source{
			ID: e.Source.Observer.Display, Site: e.Source.Site, Type: coded{Code: e.Source.Type[0].Code},
		},
	}
	if m.Event.Outcome == "" {
		m.Event.Outcome = "0" // required; the description says that the end is not known
	}
	for _, c := range e.Subtype {
		m.Event.Type = append(m.Event.Type, codedOf(c))
	}
	for _, a := range e.Agent {
		p := participant{Requestor: a.Requestor, Name: a.Name}
		if a.Who != nil {
			p.UserID = a.Who.Display
			if id := a.Who.Identifier; id != nil {
				p.UserID = id.Value
				if id.System != "" && id.System != uris { // names one person or thing for good
					p.Alternative = id.System + "|" + id.Value
				}
			}
		}
		if a.Network != nil {
			p.Network, p.NetworkType = a.Network.Address, a.Network.Type
		}
		for _, c := range a.Type.Coding {
			p.Role = append(p.Role, codedOf(c))
		}
		for _, r := range a.Role {
			for _, c := range r.Coding {
				p.Role = append(p.Role, codedOf(c))
			}
		}
		for _, x := range a.Extension { // how strongly it was proven
			for _, c := range x.ValueCodeableConcept.Coding {
				p.Role = append(p.Role, codedOf(c))
			}
		}
		for _, why := range a.PurposeOfUse {
			for _, c := range why.Coding {
				m.Event.Purpose = append(m.Event.Purpose, codedOf(c))
			}
		}
		m.Participant = append(m.Participant, p)
	}
	for _, n := range e.Entity {
		m.Object = append(m.Object, thingOf(n))
	}
	out, err := xml.Marshal(m)
	if err != nil { // no value of these types can
		return nil
	}
	return append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`), out...)
}

const uris = "urn:ietf:rfc:3986"

// Types of identifiers: RFC 3881, section 5.5.4, which DICOM took over.
var (
	patientNumber = coded{"2", "RFC-3881", "Patient Number"}
	searchedFor   = coded{"10", "RFC-3881", "Search Criteria"}
	address       = coded{"12", "RFC-3881", "URI"}
)

func thingOf(n fhir.Entity) thing {
	t := thing{Type: n.Type.Code, Query: n.Query, Name: n.Description}
	if !strings.HasPrefix(n.Type.System, "http://terminology.hl7.org/") { // IHE's, for the request id
		t.Type = "4"
		t.IDType = codedOf(*n.Type)
	}
	if n.Role != nil {
		t.Role = n.Role.Code
	}
	system := ""
	if n.What != nil {
		t.ID = n.What.Display
		if id := n.What.Identifier; id != nil {
			t.ID, system = id.Value, id.System
			if t.Name == "" {
				t.Name = n.What.Display
			}
		}
	}
	switch {
	case t.IDType != (coded{}):
	case t.Query != "": // in the place of a name
		t.ID, t.IDType = "query", searchedFor
		if t.Name != "" {
			t.Detail = append(t.Detail, detailOf("route", t.Name))
			t.Name = ""
		}
	case t.Type == "1":
		t.IDType = patientNumber
		if system != "" {
			t.Detail = append(t.Detail, detailOf("system", system))
		}
	case system == uris:
		t.IDType = address
	default:
		t.IDType = coded{t.ID, "anteroom", t.ID}
		if i := strings.LastIndexAny(system, "/#"); i >= 0 {
			t.IDType = coded{system[i+1:], system[:i], system[i+1:]}
		}
	}
	for _, d := range n.Detail {
		t.Detail = append(t.Detail, detailOf(d.Type, d.ValueString))
	}
	return t
}

func detailOf(name, value string) detail {
	return detail{name, base64.StdEncoding.EncodeToString([]byte(value))}
}
