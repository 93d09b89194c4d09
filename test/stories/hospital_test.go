package stories_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// configuration is the hospital of the stories. In it {…} stand for what a
// story was given.
const configuration = `
gateway:
  url: {gate}
  listen: 127.0.0.1:{port}
  redirect_listen: ""
  admin_listen: 127.0.0.1:0
  data_dir: {dir}/data
  help: "Service desk, extension 4000"
tls: {self_signed: true}
providers:
  - name: hospital
    issuer: {issuer}
    client_id: anteroom
    client_secret: ${file:secret}
    scopes: [openid, profile, email, groups]
    claims: {username: preferred_username, name: name, groups: groups}
logins:
  strong: {acr: ["urn:hospital:mfa"]}
roles:
  nurse:       {groups: [ehr-nurses]}
  physician:   {groups: [ehr-physicians]}
  coordinator: {groups: [ehr-coordinators]}
sessions: {lock_after: 5m, end_after: 30m, max: 13h}
posture:
  sources:
    - name: tunnel
      type: headers
      senders: [{cidr: [{sender}], allow_cidr_only: true}]
      assertion_max_age: 15m
      map:
        device_id: X-Mdm-Device-Id
        platform: X-Mdm-Platform
        os_version: X-Mdm-Os-Version
        managed: X-Mdm-Managed
        compromised: X-Mdm-Compromised
        lost: X-Mdm-Lost
        checked_in_at: X-Mdm-Checked-In-At
        asserted_at: X-Mdm-Asserted-At
  checks:
    not_jailbroken: {require: {compromised: false}, severity: hard}
    managed: {require: {managed: true}, deny: {lost: true}, severity: hard}
    fresh_os: {severity: soft, platforms: {ipados: {min: ["18.7.3", "26.2"]}}}
    fresh_checkin: {checkin_max_age: 24h, severity: soft}
  profiles:
    clinical: {checks: [not_jailbroken, managed, fresh_os, fresh_checkin]}
routes:
  - name: pharmacy
    host: rx.anteroom.localhost
    path: /
    backend:
      url: {pharmacy}
      identity:
        headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}
        assertion: {header: X-Anteroom-Assertion, audience: rx}
    allow: {roles: [nurse, physician]}
    device: clinical
    rules:
      - name: amend an order
        when: {methods: [POST, PUT, PATCH, DELETE], path: /orders/**}
        require: {within: 6s}
      - name: sign a prescription
        when: {methods: [POST], path: /prescriptions/**}
        require: {login: strong}
      - name: export records
        when: {path: /export/**}
        require: {login: strong}
  - name: appointments
    host: rx.anteroom.localhost
    path: /appointments
    backend:
      url: {pharmacy}
      identity: {headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}}
    allow: {roles: [coordinator]}
    device: clinical
    rules:
      - name: schedule change that touches billing
        when: {methods: [POST], path: /appointments/*, fields: [/billing, /patient/identity]}
        require: {login: strong}
  - name: pharmacy status
    host: rx.anteroom.localhost
    path: /status
    backend: {url: "{pharmacy}"}
    allow: public
    device: none
  - name: imaging
    host: img.anteroom.localhost
    path: /
    backend:
      url: {imaging}
      identity: {headers: {X-Remote-User: username}}
    allow: {roles: [nurse, physician]}
    device: clinical
audit: {on_failure: deny}
`

// A hospital is a running gateway with a provider before it and the
// applications behind it.
type hospital struct {
	testing.TB
	provider          string // which of the providers
	issuer            string // of the provider whose pages come next; there is one but where a story says so
	national          string // issuer of a second provider; "" without one
	gate, rx, img     string // origins
	pharmacy, imaging *anteroomtest.Backend
	dir               string
	said              *output // the gateway's log
}

// A change is what a story wants otherwise in the configuration: pairs of old
// and new text.
type change []string

// apply returns text with c made.
func (c change) apply(t testing.TB, text string) string {
	t.Helper()
	for i := 0; i < len(c); i += 2 {
		if !strings.Contains(text, c[i]) {
			t.Fatalf("the configuration has no %q to change", c[i])
		}
		text = strings.ReplaceAll(text, c[i], c[i+1])
	}
	return text
}

// atEach tells a story at each provider, to a hospital of its own.
func atEach(t *testing.T, c change, story func(h *hospital)) {
	t.Parallel()
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			h := &hospital{TB: t, provider: p.name, pharmacy: anteroomtest.NewBackend(t), imaging: anteroomtest.NewBackend(t)}
			h.pharmacy.Handle(pharmacy().ServeHTTP)
			h.imaging.Handle(imaging().ServeHTTP)
			h.open(c, p.start)
			story(h)
		})
	}
}

// open starts the provider and the gateway.
func (h *hospital) open(c change, provider func(testing.TB, registration) string) {
	h.Helper()
	h.dir = h.TempDir()
	port := freePort(h)
	h.gate, h.rx, h.img = origin("gate", port), origin("rx", port), origin("img", port)
	h.issuer = provider(h, registration{gate: h.gate, caFile: filepath.Join(h.dir, "data", "tls", "ca.pem")})

	text := strings.NewReplacer("{gate}", h.gate, "{port}", port, "{dir}", h.dir, "{issuer}", h.issuer, "{national}", h.national,
		"{sender}", "127.0.0.1/32", "{pharmacy}", h.pharmacy.URL, "{imaging}", h.imaging.URL).Replace(c.apply(h, configuration))
	h.write("anteroom.yaml", text)
	h.write("secret", clientSecret)

	h.said = &output{}
	cmd := exec.Command(filepath.Join(binaries, "anteroom"), "serve", "--grace", "0", "-c", filepath.Join(h.dir, "anteroom.yaml"))
	cmd.Stderr = h.said
	start(h, cmd, h.said, func() error {
		if anteroomtest.Panicked(h.said.String()) {
			h.Error("the gateway panicked")
		}
		return cmd.Process.Signal(syscall.SIGTERM)
	})
	eventually(h, "the gateway serves\n"+text, func() bool { return strings.Contains(h.said.String(), `"msg":"serving"`) })
}

// reconfigure changes the file while the gateway runs, as an operator does, and
// waits until that is in force.
func (h *hospital) reconfigure(c change) {
	h.Helper()
	file := filepath.Join(h.dir, "anteroom.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		h.Fatal(err)
	}
	const done = "the new configuration is in force"
	before := strings.Count(h.said.String(), done)
	h.write("anteroom.yaml.new", c.apply(h, string(text)))
	if err := os.Rename(file+".new", file); err != nil {
		h.Fatal(err)
	}
	eventually(h, done, func() bool { return strings.Count(h.said.String(), done) > before })
}

func (h *hospital) write(name, text string) {
	h.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
}

// sent returns what reached b other than by GET.
func sent(b *anteroomtest.Backend) []anteroomtest.Recorded {
	var all []anteroomtest.Recorded
	for _, r := range b.Requests() {
		if r.Method != "GET" {
			all = append(all, r)
		}
	}
	return all
}

// targets returns the lines of the requests that reached b, as "GET /orders".
func targets(b *anteroomtest.Backend) []string {
	var all []string
	for _, r := range b.Requests() {
		all = append(all, r.Method+" "+r.Target)
	}
	return all
}
