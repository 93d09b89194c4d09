package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"
)

// The values of the file that are one scalar each. V stays zero when the file
// does not give one, and when it gives a wrong one.
type (
	text struct { // one line, not empty
		place
		V string
	}
	flag struct {
		place
		V bool
	}
	span struct {
		place
		V time.Duration
	}
	size struct {
		place
		V int64 // bytes
	}
	count struct {
		place
		V int
	}
	fraction struct {
		place
		V float64
	}
	date struct {
		place
		V time.Time
	}
	version struct {
		place
		V access.OSVersion
	}
	pattern struct {
		place
		V *routes.Pattern
	}
	prefix struct {
		place
		V netip.Prefix
	}
	address struct { // an absolute URL
		place
		V       *url.URL
		Written string
	}
	collector struct{ address } // one whose scheme is the protocol of a collector
	unbuilt   struct{ place }   // a key that is known and refused
)

func (t *text) read(d *decoder, n *yaml.Node) {
	t.V = d.line(n)
	if t.V == "" && n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value == "" {
		d.mistake(placeOf(n), "%s is empty", d.name())
	}
}

// line returns a text without control characters.
func (d *decoder) line(n *yaml.Node) string {
	s, ok := d.scalar(n, "text", "!!str")
	if ok && strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		d.mistake(placeOf(n), "%s is one line of text, without tabs", d.name())
		return ""
	}
	return s
}

func (f *flag) read(d *decoder, n *yaml.Node) {
	if s, ok := d.scalar(n, "true or false", "!!bool"); ok {
		f.V = strings.EqualFold(s, "true")
	}
}

func (v *span) read(d *decoder, n *yaml.Node) {
	s, ok := d.scalar(n, "a duration such as 90s, 5m or 6y", "", "!!str")
	if !ok {
		return
	}
	var err error
	if v.V, err = ParseDuration(s); err != nil {
		d.mistake(placeOf(n), "%v", err)
	}
}

func (v *size) read(d *decoder, n *yaml.Node) {
	s, ok := d.scalar(n, "a size such as 64KiB or 1GiB", "", "!!str", "!!int")
	if !ok {
		return
	}
	var err error
	if v.V, err = parseSize(s); err != nil {
		d.mistake(placeOf(n), "%v", err)
	}
}

func (v *count) read(d *decoder, n *yaml.Node) {
	if s, ok := d.scalar(n, "a whole number", "!!int"); ok {
		var err error
		if v.V, err = strconv.Atoi(s); err != nil {
			d.mistake(placeOf(n), "%s is not a whole number such as 14", quoted(s))
		}
	}
}

func (v *fraction) read(d *decoder, n *yaml.Node) {
	if s, ok := d.scalar(n, "a number from 0 to 1", "!!float", "!!int"); ok {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f <= 1) { // written so that NaN is refused
			d.mistake(placeOf(n), "%s wants a number from 0 to 1", d.name())
			return
		}
		v.V = f
	}
}

func (v *date) read(d *decoder, n *yaml.Node) {
	if s, ok := d.scalar(n, "a date such as 2026-01-31", "!!timestamp", "!!str"); ok {
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			d.mistake(placeOf(n), "%s is not a date such as 2026-01-31", quoted(s))
			return
		}
		v.V = t
	}
}

func (v *version) read(d *decoder, n *yaml.Node) {
	if s, ok := d.scalar(n, "a version", "!!str"); ok {
		var err error
		if v.V, err = access.ParseOSVersion(s); err != nil {
			d.mistake(placeOf(n), "%v", err)
		}
	}
}

func (v *pattern) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	if s == "" {
		return
	}
	p, err := routes.ParsePattern(s)
	if err != nil {
		d.mistake(placeOf(n), "%v", err)
		return
	}
	v.V = &p
}

func (v *prefix) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	if s == "" {
		return
	}
	p, err := netip.ParsePrefix(s)
	addr, errAddr := netip.ParseAddr(s)
	switch {
	case err != nil && errAddr == nil && addr.Zone() == "":
		d.mistake(placeOf(n), "%s is one address: write `%s/%d`", quoted(s), addr.Unmap(), addr.Unmap().BitLen())
	case err != nil:
		d.mistake(placeOf(n), "%s is not a network such as 10.20.0.0/28", quoted(s))
	case p.Addr().Is4In6():
		d.mistake(placeOf(n), "%s is an IPv4 network in IPv6 clothes: write it as IPv4", quoted(s))
	case p != p.Masked():
		d.mistake(placeOf(n), "%s has bits beyond its length: write `%s`", quoted(s), p.Masked())
	case p.Bits() == 0:
		d.mistake(placeOf(n), "%s is every address there is", quoted(s))
	default:
		v.V = p
	}
}

func (v *address) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		d.mistake(placeOf(n), "%s wants a URL such as https://gate.hospital.example", d.name())
	case u.User != nil: // not repeated: it may hold a password
		d.mistake(placeOf(n), "%s holds a user name or a password", d.name())
	case u.Fragment != "" || strings.Contains(s, "#") || u.RawQuery != "" || u.ForceQuery:
		d.mistake(placeOf(n), "%s is a URL without query and fragment", d.name())
	case !isPort(u.Port()) && u.Port() != "" || strings.HasSuffix(u.Host, ":"):
		d.mistake(placeOf(n), "%s wants a port from 1 to 65535", d.name())
	default:
		v.V, v.Written = u, s
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0'
}

func (*unbuilt) read(*decoder, *yaml.Node) {} // never called: field refuses the key before

func (v *span) measure() float64  { return float64(v.V) }
func (v *size) measure() float64  { return float64(v.V) }
func (v *count) measure() float64 { return float64(v.V) }
func (v *span) clear()            { v.V = 0 }
func (v *size) clear()            { v.V = 0 }
func (v *count) clear()           { v.V = 0 }

func (*text) schema() *jsonschema.Schema {
	one := uint64(1)
	return &jsonschema.Schema{Type: "string", MinLength: &one}
}
func (*flag) schema() *jsonschema.Schema { return &jsonschema.Schema{Type: "boolean"} }
func (*span) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", MinLength: new(uint64(1)), Pattern: `^([0-9]+y)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$`}
}
func (*size) schema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Pattern: `^(0|[0-9]+(KiB|MiB|GiB))$`}, {Type: "integer", Const: 0},
	}}
}
func (*count) schema() *jsonschema.Schema { return &jsonschema.Schema{Type: "integer"} }
func (*fraction) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "number", Minimum: "0", Maximum: "1"}
}
func (*date) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`}
}
func (*version) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]+){0,3}( ?\([a-z]\))?$`}
}
func (*pattern) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^/"}
}
func (*prefix) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^[0-9a-fA-F.:]+/[0-9]+$"}
}
func (*address) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^https?://"}
}
func (*collector) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^(https?|grpcs?)://"}
}
func (*unbuilt) schema() *jsonschema.Schema { return jsonschema.FalseSchema }
