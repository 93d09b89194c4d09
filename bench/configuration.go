package main

import (
	"net/http"
	"sync"
	"time"
)

// everyFeature is a configuration with everything on, after its listeners and
// provider: session, posture, rules, identity headers, assertion, tracing and
// the audit trail.
const everyFeature = `
logins:
  strong: {acr: [mfa], amr: [hwk]}
roles:
  nurse: {groups: [ehr-nurses]}
  physician: {groups: [ehr-physicians]}
sessions: {lock_after: 5m, end_after: 30m, max: 13h}
posture:
  sources:
    - name: tunnel
      type: headers
      senders: [{cidr: [127.0.0.1/32], allow_cidr_only: true}]
      assertion_max_age: 15m
      map:
        device_id: X-Mdm-Device-Id
        platform: X-Mdm-Platform
        os_version: X-Mdm-Os-Version
        managed: X-Mdm-Managed
        compromised: X-Mdm-Compromised
        lost: X-Mdm-Lost
        checked_in_at: X-Mdm-Checked-In-At
  checks:
    not_jailbroken: {require: {compromised: false}, severity: hard}
    managed: {require: {managed: true}, deny: {lost: true}, severity: hard}
    fresh_os: {severity: soft, platforms: {ipados: {min: ["18.7.3", "26.2"]}}}
    fresh_checkin: {checkin_max_age: 24h, severity: soft}
  profiles:
    clinical: {checks: [not_jailbroken, managed, fresh_os, fresh_checkin]}
routes:
  - name: chart
    host: ehr.test
    path: /
    backend:
      url: {backend}
      identity:
        headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}
        assertion: {header: X-Anteroom-Assertion, audience: ehr, ttl: 60s}
    allow: {roles: [nurse, physician]}
    device: clinical
    background: [/poll]
    patient: {query: patient}
    rules:
      - name: amend an order
        when: {methods: [POST, PUT, PATCH, DELETE], path: /orders/**}
        require: {within: 2m}
        keep_request: 64KiB
      - name: sign a result
        when: {methods: [POST], path: /results/*}
        require: {login: strong}
      - name: read a note
        when: {path: /notes/**}
        require: {within: 12h}
      - name: watched
        when: {path: /watched/**}
        require: {roles: [physician]}
        observe: true
audit: {on_failure: deny}
limits: {requests_per_session: {per_second: 100000, burst: 100000}} # loads of one session are driven at it
telemetry: {sample: 0.05, otlp: "{otlp}"}
`

// deviceLines is what a tunnel says of a managed, current tablet.
func deviceLines() []string {
	return []string{
		"x-mdm-device-id", "tablet-17", "x-mdm-platform", "ipados", "x-mdm-os-version", "26.3",
		"x-mdm-managed", "true", "x-mdm-compromised", "false", "x-mdm-lost", "false",
		"x-mdm-checked-in-at", time.Now().UTC().Format(time.RFC3339),
	}
}

func deviceHeader() http.Header {
	h := http.Header{}
	lines := deviceLines()
	for i := 0; i < len(lines); i += 2 {
		h.Set(lines[i], lines[i+1])
	}
	return h
}

// A buffers is what a bare proxy copies bodies through.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}}
}

func (p *buffers) Get() []byte  { return *p.pool.Get().(*[]byte) }
func (p *buffers) Put(b []byte) { p.pool.Put(&b) }
