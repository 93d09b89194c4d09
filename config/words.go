package config

import (
	"net/http"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// A vocabulary is a fixed set of words, one of which a key wants.
type vocabulary interface {
	kind() string // what one of them is called
	words() []string
}

// A word is one of the words of S.
type word[S vocabulary] struct {
	place
	V string
}

func (w *word[S]) read(d *decoder, n *yaml.Node) {
	var set S
	s := d.line(n)
	switch {
	case s == "":
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == "" {
			d.mistake(placeOf(n), "%s is empty", d.name())
		}
	case slices.Contains(set.words(), s):
		w.V = s
	default:
		why := nearest(s, set.words())
		if r, ok := any(set).(interface{ refuse(string) string }); ok {
			if reason := r.refuse(s); reason != "" {
				why = ": " + reason
			}
		}
		d.mistake(placeOf(n), "unknown %s %s%s", set.kind(), quoted(s), why)
	}
}

func (w *word[S]) schema() *jsonschema.Schema {
	var set S
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range set.words() {
		s.Enum = append(s.Enum, v)
	}
	return s
}

func (w word[S]) spelling() string { return w.V }

type (
	tlsVersions    struct{}
	sourceTypes    struct{}
	postureFields  struct{}
	facts          struct{}
	severities     struct{}
	assurances     struct{}
	platforms      struct{}
	identityValues struct{}
	authorizations struct{}
	tolerances     struct{}
	methods        struct{}
	verdicts       struct{}
	failures       struct{}
	purposes       struct{}
	feedTypes      struct{}
	feedFormats    struct{}
	begins         struct{}
)

func (tlsVersions) kind() string    { return "TLS version" }
func (tlsVersions) words() []string { return []string{"1.2", "1.3"} }

func (sourceTypes) kind() string    { return "source type" }
func (sourceTypes) words() []string { return []string{"headers"} }
func (sourceTypes) refuse(s string) string {
	return "only `headers` is built yet"
}

func (postureFields) kind() string { return "field" }
func (postureFields) words() []string {
	return []string{
		"device_id", "platform", "os_version", "security_patch",
		"managed", "compliant", "compromised", "encrypted", "passcode", "lost",
		"ownership", "owner", "checked_in_at", "asserted_at",
	}
}

func (facts) kind() string { return "field" }
func (facts) words() []string {
	var all []string
	for _, f := range access.Fields() {
		all = append(all, string(f))
	}
	return all
}

func (severities) kind() string    { return "severity" }
func (severities) words() []string { return []string{"hard", "soft"} }

func (assurances) kind() string    { return "assurance" }
func (assurances) words() []string { return []string{"A1", "A2", "A3", "A4"} }

func (platforms) kind() string { return "platform" }
func (platforms) words() []string {
	var all []string
	for _, p := range access.Platforms() {
		all = append(all, string(p))
	}
	return all
}

func (identityValues) kind() string    { return "identity value" }
func (identityValues) words() []string { return routes.IdentityValues() }

func (authorizations) kind() string    { return "authorization" }
func (authorizations) words() []string { return []string{"drop", "forward"} }

func (tolerances) kind() string    { return "tolerance" }
func (tolerances) words() []string { return []string{pathParams, doubleSlash, encodedSlash} }

const (
	pathParams   = "path_params"
	doubleSlash  = "double_slash"
	encodedSlash = "encoded_slash"
)

func (methods) kind() string { return "method" }
func (methods) words() []string {
	return []string{
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH",
	}
}

func (methods) refuse(s string) string {
	switch strings.ToUpper(s) {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		return "it is never let through"
	}
	return ""
}

func (verdicts) kind() string    { return "verdict" }
func (verdicts) words() []string { return access.VerdictWords() }

func (failures) kind() string    { return "word" }
func (failures) words() []string { return []string{failDeny, failAlarm} }

func (purposes) kind() string { return "purpose of use" }
func (purposes) words() []string {
	return []string{"TREAT", "ETREAT", "CAREMGT", "HOPERAT", "HPAYMT", "HSYSADMIN", "HRESCH", "PATRQT", "PUBHLTH"}
}

func (feedTypes) kind() string    { return "type of feed" }
func (feedTypes) words() []string { return []string{feedSyslog, feedOTLP} }

func (feedFormats) kind() string    { return "format" }
func (feedFormats) words() []string { return []string{"dicom", "ndjson"} }

func (begins) kind() string    { return "beginning" }
func (begins) words() []string { return []string{"now", beginOldest} }

const (
	feedSyslog  = "syslog"
	feedOTLP    = "otlp"
	beginOldest = "oldest"
)

const (
	failDeny  = "deny"
	failAlarm = "alarm"
)
