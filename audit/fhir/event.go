// Package fhir writes records of the audit trail as FHIR R4 AuditEvents, in
// the patterns of IHE Basic Audit Log Patterns (BALP).
package fhir

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// A Mapper writes records as AuditEvents. Its zero value is ready.
type Mapper struct {
	Site          string // the gateway's own name, such as its sign-in host; "" says none
	PatientSystem string // URI of the system that patients' numbers are of; "" says none
}

// Event returns the AuditEvent of j. Profiles describe what succeeded, so only
// such events name one; the others have the same shape and say why in
// outcomeDesc. What the record does not hold is left out, never made up.
func (m Mapper) Event(j Joined) AuditEvent {
	r := j.Record
	e := AuditEvent{
		ResourceType: "AuditEvent", ID: "anteroom-" + strconv.FormatUint(r.Seq, 10),
		Recorded: r.Time.UTC().Format(instant), Source: m.source(),
	}
	if r.Event == access.EventAccess || r.Event == access.EventOutcome {
		m.request(&e, j)
	} else {
		m.happening(&e, r)
	}
	if r.RequestID != "" {
		kind := code(balpEntity, "XrequestId", "")
		e.Entity = append(e.Entity, Entity{Type: &kind, What: identified("", r.RequestID)})
	}
	e.Entity = append(e.Entity, m.circumstances(j)...)
	return e
}

const instant = "2006-01-02T15:04:05.000000Z"

func (m Mapper) source() Source {
	return Source{Site: clean(m.Site), Observer: m.self(), Type: []Coding{code(sourceType, "6", "Security Server")}}
}

// self is the gateway, as the one that saw it.
func (m Mapper) self() Reference {
	ref := Reference{Type: "Device", Display: "Anteroom"}
	if m.Site != "" {
		ref.Identifier = &Identifier{uris, "https://" + clean(m.Site)}
	}
	return ref
}

// request fills in e for what somebody asked of an application.
func (m Mapper) request(e *AuditEvent, j Joined) {
	r := j.Record
	a := actOf(r.Method)
	e.Type, e.Subtype, e.Action = code(eventType, "rest", "Restful Operation"), []Coding{a.subtype}, a.action
	e.Outcome, e.OutcomeDesc = outcome(j)
	if j.Outcome != nil && !j.Outcome.Time.Before(r.Time) {
		e.Period = &Period{r.Time.UTC().Format(instant), j.Outcome.Time.UTC().Format(instant)}
	}
	client := m.client(r, a.client)
	server := Agent{Type: concept(a.server), Who: identified(uris, "https://"+r.Host), Network: &Network{clean(r.Host), networkName}}
	if r.Host == "" {
		server.Who, server.Network = &Reference{Display: "unknown host"}, nil
	}
	e.Agent = append(e.Agent, client, server)
	if user, ok := m.user(r, a.user); ok {
		e.Agent = append(e.Agent, user)
	}
	e.Agent = append(e.Agent, m.device(r)...)
	if e.Outcome == success && a.profile != "" && client.Network != nil && server.Network != nil {
		name := "IHE.BasicAudit."
		if r.Patient != "" {
			name += "Patient"
		}
		e.Meta = &Meta{[]string{balp + name + a.profile}}
	}
	if r.Patient != "" {
		role := code(objectRole, "1", "Patient")
		e.Entity = append(e.Entity, Entity{Type: &person, Role: &role, What: &Reference{
			Type: "Patient", Identifier: &Identifier{m.PatientSystem, clean(r.Patient)},
		}})
	}
	e.Entity = append(e.Entity, data(r, a))
	if d := r.Disclosure; d.Recipient != "" {
		if a.profile != remove.profile { // which allows no second subtype
			e.Subtype = append(e.Subtype, code(lifecycle, "disclose", "Disclose Record Lifecycle Event"))
		}
		role := code(objectRole, "16", "Data Destination")
		e.Entity = append(e.Entity, Entity{Type: &organization, Role: &role, What: &Reference{Display: clean(d.Recipient)}, Description: clean(d.Purpose)})
	}
}

// data is what was asked for. The gateway keeps no query strings, since they
// may hold patients, so a query is the line that was asked without them.
func data(r audit.Record, a act) Entity {
	if a.profile == query.profile {
		role := code(objectRole, "24", "Query")
		return Entity{Type: &system, Role: &role, Description: clean(r.Route), Query: base64Of(r.Method + " https://" + r.Host + r.Path)}
	}
	role := code(objectRole, "4", "Domain Resource")
	what := identified(uris, "https://"+r.Host+r.Path)
	what.Display = clean(r.Route)
	return Entity{Type: &system, Role: &role, What: what}
}

// outcome says how a request went, and why when it did not go well. A request
// that was let through and whose end is not recorded has no outcome.
func outcome(j Joined) (string, string) {
	r := j.Record
	status := r.Status
	if j.Outcome != nil {
		status = j.Outcome.Status
	}
	switch {
	case r.Verdict != "" && r.Verdict != access.Allow.String():
		return minor, clean(r.Verdict + ": " + string(r.Reason))
	case status == 0:
		return "", "let through; how it ended is not in this event"
	case status >= 500:
		return serious, "answered " + strconv.Itoa(status)
	case status >= 400:
		return minor, "answered " + strconv.Itoa(status)
	}
	return success, ""
}

// happening fills in e for everything that is no request.
func (m Mapper) happening(e *AuditEvent, r audit.Record) {
	c, ok := classes[r.Event]
	if !ok {
		c = class{kind: activity}
	}
	e.Type, e.Action, e.Outcome = c.kind, "E", success
	e.Subtype = append(append([]Coding{}, c.subtype...), code(own+"event", string(r.Event), ""))
	switch {
	case r.Event == access.EventCheckpoint && len(r.Gaps) > 0:
		var all []string
		for _, g := range r.Gaps {
			all = append(all, g.String())
		}
		e.Type, e.Outcome, e.OutcomeDesc = alert, serious, clean(strings.Join(all, "; "))
	case r.Event == access.EventCheckpoint && r.Reason == "opened":
		e.Type, e.Subtype = alert, append([]Coding{recordingBegins}, e.Subtype...)
	case r.Event == access.EventCheckpoint && r.Reason == "closed":
		e.Type, e.Subtype = alert, append([]Coding{recordingEnds}, e.Subtype...)
	case r.Event == access.EventSecurity, r.Event == access.EventConfig && r.Reason == "refused":
		e.Outcome, e.OutcomeDesc = minor, clean(string(r.Reason))
	case r.Verdict != "" && r.Verdict != access.Allow.String():
		e.Outcome, e.OutcomeDesc = minor, clean(r.Verdict+": "+string(r.Reason))
	}
	if user, ok := m.user(r, recipient); ok {
		e.Agent = append(e.Agent, user)
	}
	if r.SourceIP != "" {
		e.Agent = append(e.Agent, m.client(r, origin))
	}
	e.Agent = append(e.Agent, m.device(r)...)
	self := m.self()
	e.Agent = append(e.Agent, Agent{Type: concept(application), Who: &self})
}

func identified(system, value string) *Reference {
	return &Reference{Identifier: &Identifier{system, clean(value)}}
}

// clean returns s as FHIR takes a string: without what moves a cursor, and
// never only spaces.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	return strings.TrimSpace(s)
}

// when writes a time that a record holds.
func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }
