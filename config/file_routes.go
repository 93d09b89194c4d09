package config

import (
	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// The shapes of what stands under `routes`.
type (
	route struct {
		place
		Name           text                `yaml:"name" need:"yes" doc:"what records, metrics and traces call it"`
		Host           hostName            `yaml:"host" need:"yes" doc:"the host that browsers ask for, without a port"`
		Path           text                `yaml:"path" default:"/" doc:"a prefix on segment boundaries; the longest that matches governs"`
		Backend        backend             `yaml:"backend" need:"yes" doc:"the server behind the route"`
		Provider       names               `yaml:"provider" doc:"the provider that signs people in, or a list of those of which they may choose one; the first of all unless said; no other's sign-in counts"`
		Allow          allowance           `yaml:"allow" need:"yes" doc:"who may enter: public, or roles; access is granted here and nowhere else"`
		Device         text                `yaml:"device" need:"yes" doc:"a posture profile, or none for any device or no device"`
		Session        tighter             `yaml:"session" doc:"tightens the session of whoever uses the route"`
		Methods        list[word[methods]] `yaml:"methods" default:"[GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS]" doc:"the methods that are let through"`
		Origins        list[text]          `yaml:"origins" doc:"other origins whose scripts and WebSockets may call"`
		Background     list[pattern]       `yaml:"background" doc:"paths whose requests do not count as activity"`
		ServiceWorkers flag                `yaml:"service_workers" doc:"true: the application may register service workers"`
		Patient        patient             `yaml:"patient" doc:"where a request names the patient, for the audit record; one of its keys is given"`
		Rules          list[rule]          `yaml:"rules" doc:"what is asked more of some requests; a rule never grants, and the strictest of all that match holds"`
		Tests          list[test]          `yaml:"tests" doc:"cases and their verdicts, run by anteroom check and before every reload"`
		Audit          routeAudit          `yaml:"audit" doc:"what this route says otherwise about the audit trail"`
		Disclosure     *disclosure         `yaml:"disclosure" doc:"marks a route by which data of patients leaves the hospital; each use of it is in the accounting of disclosures"`
		Emergency      unbuilt             `yaml:"emergency" doc:"emergency access" unbuilt:"remove this key"`
	}

	backend struct {
		place
		URL           address                `yaml:"url" need:"yes" doc:"scheme, host and port, without a path"`
		CAFile        text                   `yaml:"ca_file" doc:"PEM file with the authorities that may certify it, for https; those of the system unless said"`
		HostHeader    text                   `yaml:"host_header" doc:"the Host it is sent; that of the client unless said"`
		Timeout       span                   `yaml:"timeout" default:"60s" min:"1s" max:"1h" doc:"time to the first byte of the answer"`
		MaxBody       size                   `yaml:"max_body" default:"1GiB" min:"1KiB" max:"1024GiB" doc:"the largest request body"`
		Identity      identity               `yaml:"identity" doc:"how it is told who was let through"`
		Authorization word[authorizations]   `yaml:"authorization" default:"drop" doc:"whether the Authorization header of the client goes on: drop or forward"`
		Tolerate      list[word[tolerances]] `yaml:"tolerate" doc:"ambiguous path spellings that it needs; refused unless named"`
	}

	identity struct {
		place
		Headers   table[header, word[identityValues]] `yaml:"headers" doc:"header and the value it carries"`
		Assertion *assertion                          `yaml:"assertion" doc:"a signed statement of who was let through, in one header"`
	}

	assertion struct {
		place
		Header   header `yaml:"header" default:"X-Anteroom-Assertion" doc:"the header that carries it"`
		Audience text   `yaml:"audience" doc:"its aud claim; the host of the route unless said"`
		TTL      span   `yaml:"ttl" default:"60s" min:"10s" max:"10m" doc:"how long it is good for"`
	}

	tighter struct {
		place
		LockAfter span `yaml:"lock_after" min:"1s" doc:"as under sessions, and not longer"`
		EndAfter  span `yaml:"end_after" min:"1s" doc:"as under sessions, and not longer"`
		Max       span `yaml:"max" min:"1s" doc:"as under sessions, and not longer"`
	}

	patient struct {
		place
		Path  pattern `yaml:"path" doc:"a path whose segment {patient} is the patient"`
		Query text    `yaml:"query" doc:"a parameter of the query"`
		Form  text    `yaml:"form" doc:"a field of a posted form"`
	}

	routeAudit struct {
		place
		OnFailure    word[failures] `yaml:"on_failure" doc:"as under audit, for this route"`
		PurposeOfUse word[purposes] `yaml:"purpose_of_use" doc:"why people use the route, recorded as a code of HL7's v3-ActReason: TREAT, CAREMGT, HPAYMT and the like"`
	}

	disclosure struct {
		place
		Recipient text `yaml:"recipient" need:"yes" doc:"who is told: a name, and an address where it is known"`
		Purpose   text `yaml:"purpose" need:"yes" doc:"why, in a sentence that a patient may read"`
	}

	rule struct {
		place
		Name        text    `yaml:"name" need:"yes" doc:"what pages and records call it"`
		When        when    `yaml:"when" need:"yes" doc:"which requests it is about; every key that is given must match"`
		Require     require `yaml:"require" need:"yes" doc:"what it asks of them"`
		KeepRequest size    `yaml:"keep_request" default:"64KiB" max:"512KiB" doc:"how much of a request is held while its person steps up; 0 holds none"`
		Observe     flag    `yaml:"observe" doc:"true: decided, recorded and counted, not enforced"`
	}

	when struct {
		place
		Methods list[word[methods]] `yaml:"methods" doc:"any of these; HEAD is judged as GET"`
		Path    pattern             `yaml:"path" doc:"the whole path: * is one segment, ** the rest and also none; compared without regard to case"`
		Query   table[text, text]   `yaml:"query" doc:"parameter and value, or * for any; one that is repeated or cannot be parsed counts as a match"`
		Fields  list[text]          `yaml:"fields" doc:"JSON pointers, or form names with a slash before them; any of these in the body or in the query; what cannot be parsed counts as a match"`
	}

	require struct {
		place
		Login    text       `yaml:"login" doc:"a word of logins that the sign-in must prove"`
		Within   span       `yaml:"within" min:"1s" max:"24h" doc:"the oldest acceptable sign-in"`
		EachTime flag       `yaml:"each_time" doc:"true: a sign-in made for this very request"`
		Roles    list[text] `yaml:"roles" doc:"any of these roles, besides what the route allows"`
	}

	test struct {
		place
		As       list[text]     `yaml:"as" doc:"the roles of the person who asks; nobody is signed in unless said"`
		Device   text           `yaml:"device" default:"none" doc:"a profile that the device meets, or none for no device"`
		LoginAge span           `yaml:"login_age" default:"0s" doc:"how long ago they signed in"`
		Provider text           `yaml:"provider" doc:"the provider that signed them in; the first of the route unless said"`
		ACR      text           `yaml:"acr" doc:"the acr of their sign-in"`
		Request  text           `yaml:"request" need:"yes" doc:"method and path, such as POST /orders/7"`
		Expect   word[verdicts] `yaml:"expect" need:"yes" doc:"the verdict"`
		Rule     text           `yaml:"rule" doc:"the rule that settles it"`
	}
)

// An allowance is the word public, or the roles that are let in.
type allowance struct {
	place
	Public bool
	Roles  list[text]
}

type allowedRoles struct {
	place
	Roles     list[text] `yaml:"roles" need:"yes" doc:"any of these roles may enter"`
	Emergency unbuilt    `yaml:"emergency" doc:"emergency access" unbuilt:"remove this key"`
}

func (a *allowance) read(d *decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		var r allowedRoles
		before := len(d.mistakes)
		d.value(&r, n)
		if a.Roles = r.Roles; len(r.Roles.Items) == 0 && len(d.mistakes) == before {
			d.mistake(placeOf(n), "%s names no role: nobody could enter", d.name())
		}
		return
	}
	s, ok := d.scalar(n, "`public` or {roles: [...]}", "!!str")
	switch {
	case !ok:
	case s == "public":
		a.Public = true
	default:
		d.mistake(placeOf(n), "%s is neither `public` nor {roles: [...]}%s", quoted(s), nearest(s, []string{"public"}))
	}
}

func (*allowance) schema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Const: "public"}, schemaFor[allowedRoles](),
	}}
}
