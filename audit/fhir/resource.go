package fhir

// The parts of FHIR R4 (4.0.1) that an AuditEvent of the gateway needs, with
// the names of https://hl7.org/fhir/R4/auditevent.html.
type (
	AuditEvent struct {
		ResourceType string   `json:"resourceType"`
		ID           string   `json:"id,omitempty"`
		Meta         *Meta    `json:"meta,omitempty"`
		Type         Coding   `json:"type"`
		Subtype      []Coding `json:"subtype,omitempty"`
		Action       string   `json:"action,omitempty"`
		Period       *Period  `json:"period,omitempty"`
		Recorded     string   `json:"recorded"`
		Outcome      string   `json:"outcome,omitempty"`
		OutcomeDesc  string   `json:"outcomeDesc,omitempty"`
		Agent        []Agent  `json:"agent"`
		Source       Source   `json:"source"`
		Entity       []Entity `json:"entity,omitempty"`
	}

	Meta struct {
		Profile []string `json:"profile"`
	}

	Coding struct {
		System  string `json:"system,omitempty"`
		Code    string `json:"code"`
		Display string `json:"display,omitempty"`
	}

	CodeableConcept struct {
		Coding []Coding `json:"coding,omitempty"`
		Text   string   `json:"text,omitempty"`
	}

	Period struct {
		Start string `json:"start"`
		End   string `json:"end"`
	}

	Identifier struct {
		System string `json:"system,omitempty"`
		Value  string `json:"value"`
	}

	Reference struct {
		Type       string      `json:"type,omitempty"`
		Identifier *Identifier `json:"identifier,omitempty"`
		Display    string      `json:"display,omitempty"`
	}

	Extension struct {
		URL                  string           `json:"url"`
		ValueCodeableConcept *CodeableConcept `json:"valueCodeableConcept,omitempty"`
	}

	Agent struct {
		Extension    []Extension       `json:"extension,omitempty"`
		Type         *CodeableConcept  `json:"type,omitempty"`
		Role         []CodeableConcept `json:"role,omitempty"`
		Who          *Reference        `json:"who,omitempty"`
		Name         string            `json:"name,omitempty"`
		Requestor    bool              `json:"requestor"`
		Network      *Network          `json:"network,omitempty"`
		PurposeOfUse []CodeableConcept `json:"purposeOfUse,omitempty"`
	}

	Network struct {
		Address string `json:"address"`
		Type    string `json:"type"`
	}

	Source struct {
		Site     string    `json:"site,omitempty"`
		Observer Reference `json:"observer"`
		Type     []Coding  `json:"type"`
	}

	Entity struct {
		What        *Reference `json:"what,omitempty"`
		Type        *Coding    `json:"type,omitempty"`
		Role        *Coding    `json:"role,omitempty"`
		Description string     `json:"description,omitempty"`
		Query       string     `json:"query,omitempty"` // base64
		Detail      []Detail   `json:"detail,omitempty"`
	}

	Detail struct {
		Type        string `json:"type"`
		ValueString string `json:"valueString"`
	}

	// A Bundle is a batch for a repository of audit events (IHE ITI-20).
	Bundle struct {
		ResourceType string  `json:"resourceType"`
		Type         string  `json:"type"`
		Entry        []Entry `json:"entry"`
	}

	Entry struct {
		Resource AuditEvent `json:"resource"`
		Request  Request    `json:"request"`
	}

	Request struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	}
)

// Batch returns events as one batch, each to be created by itself.
func Batch(events []AuditEvent) Bundle {
	b := Bundle{ResourceType: "Bundle", Type: "batch", Entry: make([]Entry, len(events))}
	for i := range events {
		b.Entry[i] = Entry{events[i], Request{"POST", "AuditEvent"}}
	}
	return b
}
