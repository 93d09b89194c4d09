package fhir

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/audit"
)

// user is the person of r. Their name at the provider, which never changes,
// says who they are; the one that people read stands beside it.
func (m Mapper) user(r audit.Record, part Coding) (Agent, bool) {
	s := r.Subject
	if s.Sub == "" {
		return Agent{}, false
	}
	a := Agent{Type: concept(part), Who: identified(s.Issuer, s.Sub), Name: clean(s.Username), Requestor: true}
	for _, role := range s.Roles {
		if role = clean(role); role != "" {
			a.Role = append(a.Role, *concept(code(own+"role", role, "")))
		}
	}
	if acr := clean(r.Login.ACR); acr != "" {
		a.Extension = append(a.Extension, assurance(code(own+"acr", acr, "")))
	}
	for _, amr := range r.Login.AMR {
		if amr = clean(amr); amr != "" {
			a.Extension = append(a.Extension, assurance(code(amrValues, amr, "")))
		}
	}
	if p := purpose(r); p != "" {
		a.PurposeOfUse = []CodeableConcept{*concept(code(actReason, p, ""))}
	}
	return a, true
}

func assurance(c Coding) Extension {
	return Extension{URL: assuranceLink, ValueCodeableConcept: concept(c)}
}

// purpose is why, in HL7's words; "" where nobody said.
func purpose(r audit.Record) string {
	if r.Event == "emergency_start" || r.Event == "emergency_end" {
		return "BTG"
	}
	return clean(r.PurposeOfUse)
}

// client is what the request came from: a service account, or else the device,
// or else nothing but an address.
func (m Mapper) client(r audit.Record, part Coding) Agent {
	a := Agent{Type: concept(part), Requestor: r.Subject.Sub == ""}
	switch {
	case r.Client != "":
		if part != application {
			a.Type.Coding = append(a.Type.Coding, application)
		}
		a.Who = identified(own+"client", r.Client)
	case r.Device.ID != "":
		a.Who = identified(own+"device", r.Device.ID)
		a.Who.Type = "Device"
	default:
		a.Who = &Reference{Display: "a device that nobody speaks for"}
	}
	if r.SourceIP != "" {
		a.Network = &Network{clean(r.SourceIP), networkAddress}
	}
	return a
}

// device is the device in hand, with how it came to be believed.
func (m Mapper) device(r audit.Record) []Agent {
	d := r.Device
	if d.ID == "" {
		return nil
	}
	a := Agent{Type: concept(device), Who: identified(own+"device", d.ID)}
	a.Who.Type = "Device"
	if d.Assurance != "" {
		a.Extension = []Extension{assurance(code(own+"assurance", clean(d.Assurance), ""))}
	}
	return []Agent{a}
}

// circumstances are the session, the trace, the decision and the place in the
// chain: what no profile has a place for, each an entity of type 4.
func (m Mapper) circumstances(j Joined) []Entity {
	r := j.Record
	var all []Entity
	add := func(what *Reference, role *Coding, details ...Detail) {
		e := Entity{Type: &other, Role: role, What: what}
		for _, d := range details {
			if d.ValueString = clean(d.ValueString); d.ValueString != "" {
				e.Detail = append(e.Detail, d)
			}
		}
		all = append(all, e)
	}
	if r.Session != "" {
		add(identified(own+"session", r.Session), nil, Detail{"auth_time", known(r.Login.AuthTime)})
	}
	if r.TraceID != "" {
		role := code(objectRole, "26", "Processing Element")
		add(identified(traceparent(r)), &role)
	}
	var decided []Detail
	if !r.Judged.IsZero() {
		decided = append(decided, Detail{"judged", when(r.Judged)})
	}
	for _, o := range r.Observed {
		decided = append(decided, Detail{"observed", o.Rule + ": " + o.Verdict + ", " + string(o.Reason)})
	}
	decided = append([]Detail{
		{"verdict", r.Verdict}, {"reason", string(r.Reason)}, {"rule", r.Rule},
		{"sender", r.Device.Sender}, {"failed", strings.Join(r.Device.Failed, " ")}, {"warned", strings.Join(r.Device.Warned, " ")},
		{"deadline", known(r.Device.Deadline)}, {"last_known", known(r.Device.LastKnown)}, {"detail", r.Detail},
	}, decided...)
	add(&Reference{Display: "decision"}, nil, decided...)
	if len(all[len(all)-1].Detail) == 0 {
		all = all[:len(all)-1]
	}
	place := []Detail{{"prev", r.Prev}, {"sig", r.Sig}}
	if o := j.Outcome; o != nil {
		place = append(place, Detail{"outcome_seq", strconv.FormatUint(o.Seq, 10)}, Detail{"outcome_prev", o.Prev})
		if o.Detail != "" {
			place = append(place, Detail{"outcome_detail", o.Detail})
		}
	}
	add(identified(own+"seq", strconv.FormatUint(r.Seq, 10)), nil, place...)
	return all
}

// known is [when] of a moment that may be unknown.
func known(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return when(t)
}

// traceparent names the trace (W3C Trace Context), as a whole header where the
// record knows the span.
func traceparent(r audit.Record) (system, value string) {
	const w3c = "https://www.w3.org/TR/trace-context/#"
	if r.SpanID == "" {
		return w3c + "trace-id", r.TraceID
	}
	flags := r.TraceFlags
	if flags == "" {
		flags = "00"
	}
	return w3c + "traceparent-header", "00-" + r.TraceID + "-" + r.SpanID + "-" + flags
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
