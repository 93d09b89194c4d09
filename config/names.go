package config

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"

	"github.com/anteroom/anteroom/headers"
)

// Words that the operator makes up, or that name things of the network.
type (
	name struct { // of a provider, role, login, source or profile
		place
		V string
	}
	checkName struct { // becomes the reason device_<check>
		place
		V string
	}
	hostName struct { // lower case, no port
		place
		V string
	}
	listenAddr struct { // host:port; "" when it may be none
		place
		V string
	}
	header struct { // in canonical form
		place
		V string
	}
)

const (
	namePattern  = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`
	checkPattern = `^[a-z][a-z0-9_]{0,39}$`
)

func (v *name) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	ok := len(s) <= 64 && only(s, "_.-") && (s == "" || isAlnum(s[0]))
	if s == "" && n.Kind == yaml.ScalarNode && n.Tag == "!!str" || !ok {
		d.mistake(placeOf(n), "%s is not a name: letters, digits, _ . and -, at most 64", quoted(s))
		return
	}
	v.V = s
}

func (v *checkName) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	switch {
	case s == "" && (n.Kind != yaml.ScalarNode || n.Tag != "!!str"):
	case s == "" || len(s) > 40 || !only(s, "_") || s != strings.ToLower(s) || s[0] < 'a':
		d.mistake(placeOf(n), "%s does not name a check: a small letter, then small letters, digits and _, at most 40; pages and records say device_<check>", quoted(s))
	case s == "unknown" || s == "changed":
		d.mistake(placeOf(n), "%s is reserved: device_%s is a reason of its own", quoted(s), s)
	default:
		v.V = s
	}
}

func (v *hostName) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	if s == "" {
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			d.mistake(placeOf(n), "%s is empty", d.name())
		}
		return
	}
	if why := hostMistake(s); why != "" {
		d.mistake(placeOf(n), "%s is not a host name: %s", quoted(s), why)
		return
	}
	v.V = s
}

// hostMistake says why s is not a canonical host name, or nothing.
func hostMistake(s string) string {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "it is an address, and TLS handshakes name hosts only"
	}
	switch {
	case strings.Contains(s, "://"):
		return "write it without a scheme"
	case strings.Contains(s, ":"):
		return "write it without a port"
	case strings.Contains(s, "/"):
		return "write it without a path"
	case strings.Contains(s, "*"):
		return "each host is listed by itself"
	case s != strings.ToLower(s):
		return "write it in lower case"
	case strings.HasSuffix(s, "."):
		return "write it without the dot at the end"
	case len(s) > 253:
		return "it is longer than 253 characters"
	}
	for label := range strings.SplitSeq(s, ".") {
		switch {
		case strings.ContainsFunc(label, func(r rune) bool { return r > 0x7f }):
			return "write it in its xn-- form"
		case label == "" || len(label) > 63 || !only(label, "-") || label[0] == '-' || label[len(label)-1] == '-':
			return "its parts are letters, digits and -, at most 63 each"
		}
	}
	return ""
}

func (v *listenAddr) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	if s == "" {
		return
	}
	host, port, err := net.SplitHostPort(s)
	_, badPort := strconv.ParseUint(port, 10, 16)
	_, badHost := netip.ParseAddr(host)
	switch {
	case err != nil || badPort != nil:
		d.mistake(placeOf(n), "%s is not an address to listen on, such as \":443\" or \"127.0.0.1:9180\"", quoted(s))
	case host != "" && host != "localhost" && badHost != nil:
		d.mistake(placeOf(n), "%s: the part before the port is an address of this machine, or nothing", quoted(s))
	default:
		v.V = s
	}
}

func (v *header) read(d *decoder, n *yaml.Node) {
	s := d.line(n)
	switch {
	case s == "" && (n.Kind != yaml.ScalarNode || n.Tag != "!!str"):
	case s == "" || !only(s, "-") || len(s) > 100 || skeleton(s) == "":
		d.mistake(placeOf(n), "%s is not a header name: letters, digits and - only", quoted(s))
	case taken(s):
		d.mistake(placeOf(n), "%s has a meaning of its own between clients, proxies and servers: choose another header", quoted(s))
	default:
		v.V = http.CanonicalHeaderKey(s)
	}
}

// skeleton returns what backends that fold header names make of s.
func skeleton(s string) string { return string(headers.Skeleton(nil, s)) }

// taken reports whether a header is spoken for by HTTP itself or by the gateway.
func taken(s string) bool {
	s = skeleton(s)
	for _, p := range []string{"sec", "proxy", "access", "accept", "if", "content", "xhttpmethod", "xoriginal", "xrewrite", "http"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	switch s {
	case "host", "cookie", "cookie2", "setcookie", "authorization", "connection", "keepalive", "te", "trailer", "trailers",
		"transferencoding", "upgrade", "expect", "range", "date", "via", "origin", "referer", "useragent", "forwarded",
		"cachecontrol", "pragma", "location", "refresh", "wwwauthenticate", "authenticationinfo", "maxforwards", "from",
		"xforwardedfor", "xforwardedproto", "xforwardedhost", "xforwardedport", "xforwardedserver", "xforwardedby", "xforwardedscheme",
		"xforwardedssl", "xforwardedprefix", "xforwardeduri", "xforwardedmethod", "xrealip", "xrequestid", "xmethodoverride",
		"traceparent", "tracestate", "baggage", "xrequestedwith":
		return true
	}
	return false
}

func only(s, others string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (*name) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: namePattern}
}
func (*checkName) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: checkPattern}
}
func (*hostName) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`}
}
func (*listenAddr) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^(.*:[0-9]+)?$`}
}
func (*header) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[A-Za-z0-9-]+$`}
}
