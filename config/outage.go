package config

import (
	"strings"
	"time"

	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// An outage says what holds while a source is silent: deny, or last_known for a
// time.
type outage struct {
	place
	V time.Duration // zero: deny
}

const maxOutage = 30 * time.Minute

func (v *outage) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	if s == "" || s == "deny" {
		return
	}
	inner, ok := strings.CutPrefix(s, "last_known(")
	inner, closed := strings.CutSuffix(inner, ")")
	span, err := ParseDuration(inner)
	switch {
	case !ok || !closed || err != nil:
		d.mistake(placeOf(n), "%s is neither deny nor last_known with a time, such as last_known(30m)", quoted(s))
	case span < time.Minute || span > maxOutage:
		d.mistake(placeOf(n), "%s holds what was last known for 1m to 30m", d.name())
	default:
		v.V = span
	}
}

func (*outage) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^(deny|last_known\([0-9smh]+\))$`}
}
