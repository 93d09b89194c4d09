// Package config turns the configuration file into checked values, or names
// the line that is wrong.
package config

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
)

// A Config is one configuration file, checked and resolved: every reference
// leads somewhere, every file has been read once, every default is filled in.
type Config struct {
	Gateway   Gateway
	TLS       TLS
	Providers []Provider // the first signs people in
	Logins    []access.Login
	Roles     []Role
	Sessions  access.Limits
	Posture   Posture
	Routes    []*routes.Route
	Tests     []Test // of every route, in the order of the file
	Audit     Audit
	Limits    Limits
	Telemetry Telemetry

	// Files lists what was read besides the configuration: certificates, keys,
	// authorities and secrets. A change of one is a change of the configuration.
	Files []string

	rolesOf map[string]map[string][]int // issuer -> group -> indexes into Roles
	names   []string                    // of Roles
}

// A Gateway says where the gateway is and where it keeps its data.
type Gateway struct {
	URL            *url.URL       // https; host in lower case, without port 443, without a path
	Listen         string         // address for HTTPS
	RedirectListen string         // address for plain HTTP; "" serves none
	AdminListen    string         // address of the admin listener
	DataDir        string         // absolute, or relative to the working directory when the file was
	TrustedProxies []netip.Prefix // none: nobody's X-Forwarded-For is believed
	TimeZone       *time.Location // for people; never nil
	Help           string         // whom to ask; "" says nothing
}

// A TLS says how the gateway proves itself: by certificates in files, one of its
// own making, or those that an authority issues.
type TLS struct {
	Certificates []Pair
	SelfSigned   bool
	ACME         *ACME  // nil for the other two
	MinVersion   string // "1.2" or "1.3"
}

// An ACME is the authority that issues certificates, and the account there.
type ACME struct {
	Email     string
	Directory string // https
	Roots     string // PEM; "" are those of the system
}

// A Pair names the PEM files of a certificate and its key.
type Pair struct{ CertFile, KeyFile string }

// A Provider is one OpenID provider, as the gateway is registered there.
type Provider struct {
	Name         string
	Label        string // what people call it
	Issuer       string // exactly as written
	ClientID     string
	ClientSecret Secret
	ClientKey    ClientKey // in place of the secret
	ClientKeyID  string    // "" is the key's thumbprint
	ACRValues    []string  // asked for when nothing stronger is
	AskByClaims  bool
	Scopes       []string
	Claims       Claims
}

// Claims are the names of the claims that say who somebody is.
type Claims struct{ Username, Name, Groups, ACR string }

// A Role is held by whoever is in one of its groups, as [Config.RolesOf] tells.
type Role struct{ Name string }

// A Posture says who may speak about devices, and what they must be.
type Posture struct {
	Sources  []Source
	Checks   []access.Check
	Profiles []access.Profile // without none
}

// A Source is a sender of statements about devices.
type Source struct {
	Name            string
	Listen          string // address of the listener that its senders have for themselves; "": that of browsers
	Senders         []Sender
	AssertionMaxAge time.Duration
	Map             map[string]string // posture field -> header in canonical form
}

// A Sender is one that a source believes; each proof that it names must hold.
type Sender struct {
	Networks    []netip.Prefix      // of the TCP peer
	Authorities []*x509.Certificate // of its client certificate; none: its address is all
	Name        string              // DNS name in that certificate
}

// An Audit says what holds when a record cannot be written.
type Audit struct {
	Retain        time.Duration // how long records are kept
	Deny          bool          // what cannot be recorded is not forwarded; a route may say otherwise
	PatientSystem string        // URI; "" says none
	Feeds         []Feed
	CopyDir       string // "": no copies
}

// A Feed is another system that gets every record.
type Feed struct {
	Name   string
	Type   string // "syslog" or "otlp"
	Oldest bool   // a new feed begins with the oldest record that is kept

	Address string // syslog
	CAFile  string // "" trusts the system's roots
	Pair    Pair   // syslog; zero shows no certificate
	Format  string // syslog: "dicom" or "ndjson"
	URL     string // otlp
	Whole   bool   // otlp
}

// Limits bound what clients may take. Every one is set.
type Limits struct {
	HeaderBytes           int // of a request
	Connections           int // open at once
	ConnectionsPerAddress int // of them from one IPv4 address or IPv6 /64
	Streams               int // HTTP/2 requests at once on one connection
	ReadHeader            time.Duration
	Idle                  time.Duration // between requests of a connection
	Stall                 time.Duration // while nothing of a body comes, or of an answer is taken

	InFlight           int  // requests at once
	OpenStreams        int  // WebSockets and event streams, which leave InFlight once open
	RequestsPerAddress Rate // of nobody signed in
	RequestsPerSession Rate
	SignInsPerAddress  Rate // begun

	SessionsPerPerson int
	Held              int // requests kept over a sign-in
	HeldPerSession    int
}

// A Rate is how often something may happen: PerSecond on average, Burst times at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// A Telemetry says where traces go.
type Telemetry struct {
	OTLP   string  // URL of a collector, whose scheme is the protocol; "" for none
	Sample float64 // share of requests, 0 to 1
}

// RolesOf returns the roles that a person whom issuer says to be in these groups
// holds, in the order of the file and each once. An issuer that is no
// provider's gives none.
func (c *Config) RolesOf(issuer string, groups []string) []string {
	of := c.rolesOf[issuer]
	if len(groups) == 1 && len(of[groups[0]]) == 1 { // the common case: nothing to make
		i := of[groups[0]][0]
		return c.names[i : i+1 : i+1]
	}
	held := make([]int, 0, 16) // on the stack, as long as they are no more
	for _, g := range groups {
		held = append(held, of[g]...)
	}
	slices.Sort(held)
	held = slices.Compact(held)
	names := make([]string, len(held))
	for i, r := range held {
		names[i] = c.Roles[r].Name
	}
	return names
}

// GroupsOf returns what makes a person hold each role: an issuer and a group of
// it, with a blank between.
func (c *Config) GroupsOf() map[string][]string {
	all := make(map[string][]string, len(c.Roles))
	for issuer, of := range c.rolesOf {
		for group, roles := range of {
			for _, i := range roles {
				all[c.Roles[i].Name] = append(all[c.Roles[i].Name], issuer+" "+group)
			}
		}
	}
	return all
}

// Profile returns the posture profile called name, none among them, and
// whether there is one.
func (c *Config) Profile(name string) (access.Profile, bool) {
	if name == none {
		return access.Profile{Name: none, Any: true}, true
	}
	i := slices.IndexFunc(c.Posture.Profiles, func(p access.Profile) bool { return p.Name == name })
	if i < 0 {
		return access.Profile{}, false
	}
	return c.Posture.Profiles[i], true
}

// WarnFor returns how long a device may fail the check called name; zero when
// not at all, or when there is no such check.
func (c *Config) WarnFor(name string) time.Duration {
	for _, check := range c.Posture.Checks {
		if check.Name == name {
			return check.WarnFor
		}
	}
	return 0
}

const none = "none" // the profile that admits any device and no device

// Surroundings are what a file refers to outside itself.
type Surroundings struct {
	Dir      string                            // relative paths start here
	ReadFile func(path string) ([]byte, error) // nil: [os.ReadFile]
	Getenv   func(name string) (string, bool)  // nil: [os.LookupEnv]
	Now      time.Time                         // for the expiry of certificates; zero: time.Now
}

// Load reads and checks the configuration file at path. The error is a
// [Mistakes] with everything that is wrong in it, or says that the file could
// not be read. Warnings come with a good file and with a bad one.
func Load(path string) (*Config, []Warning, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1)) // one more shows that it is too large
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return Parse(path, text, Surroundings{Dir: filepath.Dir(path)})
}

// Parse checks text as the configuration file called name. The error is a
// [Mistakes]; the Config is nil then.
func Parse(name string, text []byte, from Surroundings) (*Config, []Warning, error) {
	if from.ReadFile == nil {
		from.ReadFile = os.ReadFile
	}
	if from.Getenv == nil {
		from.Getenv = os.LookupEnv
	}
	if from.Now.IsZero() {
		from.Now = time.Now()
	}
	d := &decoder{file: name, from: from, shapes: map[reflect.Type]*shape{}}
	var c *Config
	if root := d.tree(text); root != nil {
		var f file
		d.value(&f, root)
		c = d.config(&f)
	}
	slices.SortFunc(d.warnings, func(a, b Warning) int { return inFileOrder(Mistake(a), Mistake(b)) })
	if len(d.mistakes) > 0 {
		return nil, d.warnings, d.mistakes.sorted()
	}
	return c, d.warnings, nil
}

// config turns the shapes of the file into values and checks what one key
// alone cannot show.
func (d *decoder) config(f *file) *Config {
	c := &Config{}
	c.Gateway = d.gateway(&f.Gateway)
	c.TLS = d.tls(f)
	c.Providers = d.providers(f.Providers)
	c.Logins = d.logins(f.Logins, c.Providers)
	c.Roles, c.rolesOf = d.roles(f.Roles, c.Providers)
	for _, r := range c.Roles {
		c.names = append(c.names, r.Name)
	}
	c.Sessions = d.sessions(f.Sessions)
	c.Posture = d.posture(&f.Posture, &f.Gateway)
	c.Audit = d.audit(&f.Audit)
	c.Limits = d.limits(&f.Limits)
	c.Telemetry.Sample = f.Telemetry.Sample.V
	if u := f.Telemetry.OTLP.V; u != nil {
		if d.isCollector(f.Telemetry.OTLP.address) {
			c.Telemetry.OTLP = u.String()
		}
	}
	d.routes(c, f)
	c.Files = d.files
	return c
}

// readFile returns a file that the configuration names, or reports at the name
// why there is none.
func (d *decoder) readFile(at place, path string) ([]byte, bool) {
	path = d.beside(path)
	text, err := d.from.ReadFile(path)
	if err != nil {
		d.mistake(at, "%v", err)
		return nil, false
	}
	if !slices.Contains(d.files, path) {
		d.files = append(d.files, path)
	}
	return text, true
}

// beside returns path as seen from the configuration file.
func (d *decoder) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.from.Dir, path)
}
