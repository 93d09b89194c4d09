package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/routes"
	"github.com/google/go-cmp/cmp"
)

func version(t *testing.T, s string) access.OSVersion {
	t.Helper()
	v, err := access.ParseOSVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func pattern(t *testing.T, s string) *routes.Pattern {
	t.Helper()
	p, err := routes.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestExample(t *testing.T) {
	c, _ := parse(t, string(read(t, "example.yaml")))
	if got, want := c.Gateway.URL.String(), "https://gate.hospital.example"; got != want {
		t.Errorf("gateway.url = %s, want %s", got, want)
	}
	if got := c.Gateway.TimeZone.String(); got != "Europe/Oslo" {
		t.Errorf("time zone = %s", got)
	}
	if got, want := c.Gateway.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/28")}; !cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) {
		t.Errorf("trusted proxies = %v", got)
	}
	if got := c.Providers[0].ClientSecret.Reveal(); got != secretText {
		t.Errorf("client secret = %q: the line break at the end of its file is not part of it", got)
	}
	strong := access.Login{Name: "strong", ACR: []string{"urn:hospital:mfa", "phr"}, AMR: []string{"hwk"}}
	not := access.Check{Name: "not_jailbroken", Hard: true, Require: []access.FieldIs{{Field: access.Compromised}}}
	managed := access.Check{
		Name: "managed", Hard: true,
		Require: []access.FieldIs{{Field: access.Managed, Value: true}},
		Deny:    []access.FieldIs{{Field: access.Lost, Value: true}},
	}
	fresh := access.Check{Name: "fresh_os", WarnFor: 72 * time.Hour, Platforms: []access.PlatformMin{
		{Platform: "ipados", Min: []access.OSVersion{version(t, "18.7.3"), version(t, "26.2")}},
		{Platform: "android", MinMajor: 14, PatchMin: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), PatchMaxAge: 120 * 24 * time.Hour},
	}}
	checkin := access.Check{Name: "fresh_checkin", CheckinMaxAge: 24 * time.Hour}
	clinical := access.Profile{Name: "clinical", LastKnown: 30 * time.Minute, MinAssurance: access.A1, Checks: []access.Check{not, managed, fresh, checkin}}
	all := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	web := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	own := []netip.AddrPort{netip.MustParseAddrPort("[::]:443"), netip.MustParseAddrPort("[::]:80"), netip.MustParseAddrPort("127.0.0.1:9180"), netip.MustParseAddrPort("[::]:8443")}
	want := []*routes.Route{
		{
			Name: "pharmacy", Host: "rx.hospital.example", Prefix: "/", Providers: []string{"hospital"}, Issuers: []string{"https://login.hospital.example"},
			Backend: &routes.Backend{
				URL: web("https://rx.internal:8443"), Own: own, CAFile: "/etc/anteroom/rx-ca.pem", HostHeader: "rx.internal",
				Timeout: time.Minute, MaxBody: 1 << 30,
				Headers: []routes.IdentityHeader{
					{Header: "X-Remote-User", Value: "username"}, {Header: "X-Remote-Name", Value: "name"}, {Header: "X-Remote-Roles", Value: "roles"},
				},
				Assertion: routes.Assertion{Header: "X-Anteroom-Assertion", Audience: "rx", TTL: time.Minute},
				Tolerate:  routes.Tolerance{PathParams: true},
			},
			Allow: []string{"nurse", "physician"}, Device: clinical,
			Session: access.Limits{LockAfter: 2 * time.Minute, EndAfter: 20 * time.Minute, Max: 12 * time.Hour},
			Methods: all, Origins: []string{"https://portal.hospital.example"},
			Background:   []routes.Pattern{*pattern(t, "/worklist/poll")},
			Patient:      routes.Patient{Path: pattern(t, "/patients/{patient}/**")},
			PurposeOfUse: "TREAT",
			Disclosure:   &access.Disclosure{Recipient: "Apotek Ullevål, Oslo", Purpose: "filling the prescriptions of the patients that it serves"},
			Rules: []routes.Rule{
				{
					When:        routes.When{Methods: []string{"POST", "PUT", "PATCH", "DELETE"}, Path: pattern(t, "/orders/**")},
					Demand:      access.Demand{Rule: "amend an order", Login: &strong, Within: 2 * time.Minute},
					KeepRequest: 64 << 10,
				},
				{
					When:        routes.When{Path: pattern(t, "/export/**")},
					Demand:      access.Demand{Rule: "export records", Login: &strong, EachTime: true, Roles: []string{"physician"}},
					KeepRequest: 64 << 10,
				},
				{
					When:        routes.When{Methods: []string{"POST"}, Path: pattern(t, "/appointments/*"), Fields: []string{"/billing", "/patient/identity"}},
					Demand:      access.Demand{Rule: "schedule change that touches billing", Within: 5 * time.Minute},
					KeepRequest: 64 << 10,
				},
				{
					When:    routes.When{Query: map[string]string{"cmd": "amend"}},
					Demand:  access.Demand{Rule: "old dispatcher amends", Within: 5 * time.Minute},
					Observe: true,
				},
			},
		},
		{
			Name: "billing", Host: "billing.hospital.example", Prefix: "/", Providers: []string{"hospital"}, Issuers: []string{"https://login.hospital.example"},
			Backend: &routes.Backend{
				URL: web("http://10.1.2.3:8080"), Own: own, Timeout: time.Minute, MaxBody: 1 << 30,
				Assertion: routes.Assertion{Header: "X-Anteroom-Assertion", Audience: "billing.hospital.example", TTL: time.Minute},
			},
			Allow: []string{"billing"}, Device: clinical, Methods: all, Patient: routes.Patient{Query: "mrn"}, AuditDeny: true,
		},
		{
			Name: "claims", Host: "billing.hospital.example", Prefix: "/claims", Providers: []string{"hospital"}, Issuers: []string{"https://login.hospital.example"},
			Backend: &routes.Backend{
				URL: web("http://10.1.2.3:8080"), Own: own, Timeout: time.Minute, MaxBody: 1 << 30,
				Headers: []routes.IdentityHeader{{Header: "X-Remote-User", Value: "username"}},
			},
			Allow: []string{"billing"}, Device: clinical, Methods: all, Patient: routes.Patient{Form: "mrn"}, AuditDeny: true,
		},
		{
			Name: "pharmacy status", Host: "rx.hospital.example", Prefix: "/status", Providers: []string{"hospital"}, Issuers: []string{"https://login.hospital.example"},
			Backend: &routes.Backend{URL: web("http://rx.internal:8080"), Own: own, Timeout: time.Minute, MaxBody: 1 << 30},
			Public:  true, Device: access.Profile{Name: "none", Any: true}, Methods: all, AuditDeny: true,
		},
	}
	same := cmp.Options{
		cmp.Comparer(func(a, b routes.Pattern) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b access.OSVersion) bool { return a.Compare(b) == 0 && a.IsZero() == b.IsZero() }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	}
	if diff := cmp.Diff(want, c.Routes, same); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if got := c.Posture.Sources[0]; len(got.Map) != 14 || got.Map["device_id"] != "X-Mdm-Device-Id" || got.AssertionMaxAge != 15*time.Minute {
		t.Errorf("source = %+v", got)
	}
	if p, ok := c.Profile("none"); !ok || !p.Any {
		t.Errorf("profile none = %+v, %v", p, ok)
	}
	if c.Sessions != (access.Limits{LockAfter: 5 * time.Minute, EndAfter: 30 * time.Minute, Max: 13 * time.Hour}) {
		t.Errorf("sessions = %+v", c.Sessions)
	}
	if len(c.Tests) != 4 {
		t.Fatalf("%d tests, want 4", len(c.Tests))
	}
	first := c.Tests[0]
	if first.Route != c.Routes[0] || !first.SignedIn || first.Method != "POST" || first.Path != "/orders/7" ||
		first.Expect != access.StepUp || first.LoginAge != 20*time.Minute || first.ACR != "phr" || first.Rule != "amend an order" {
		t.Errorf("first test = %+v", first)
	}
	if last := c.Tests[3]; last.SignedIn || last.Device != "none" || last.Path != "/orders/7?print=1" {
		t.Errorf("last test = %+v", last)
	}
	if _, line, column := first.Position(); line == 0 || column != 9 {
		t.Errorf("first test stands at %d:%d", line, column)
	}
	wantAudit := config.Audit{
		Retain: 6 * 365 * 24 * time.Hour, Deny: true, PatientSystem: "urn:oid:2.16.578.1.12.4.1.4.1", CopyDir: "/mnt/witness/anteroom",
		Feeds: []config.Feed{
			{Name: "siem", Type: "syslog", Oldest: true, Address: "siem.hospital.example:6514", CAFile: "/etc/anteroom/siem-ca.pem",
				Pair: config.Pair{CertFile: "/etc/anteroom/gate.pem", KeyFile: "/etc/anteroom/gate.key"}, Format: "dicom"},
			{Name: "collector", Type: "otlp", URL: "http://127.0.0.1:4318"},
		},
	}
	if diff := cmp.Diff(wantAudit, c.Audit); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	wantFiles := []string{"/run/secrets/oidc", "/run/secrets/nhs.pem", "/etc/anteroom/gate.pem", "/etc/anteroom/gate.key", "/etc/anteroom/mdm-ca.pem", "/etc/anteroom/siem-ca.pem", "/etc/anteroom/rx-ca.pem"}
	if diff := cmp.Diff(wantFiles, c.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	c, _ := parse(t, small("", ""))
	type defaults struct {
		Listen, Redirect, Admin, Data, Zone, TLS string
		Sessions                                 access.Limits
		Sample                                   float64
		Scopes                                   []string
		Claims                                   config.Claims
	}
	got := defaults{
		c.Gateway.Listen, c.Gateway.RedirectListen, c.Gateway.AdminListen, c.Gateway.DataDir, c.Gateway.TimeZone.String(), c.TLS.MinVersion,
		c.Sessions, c.Telemetry.Sample, c.Providers[0].Scopes, c.Providers[0].Claims,
	}
	want := defaults{
		":443", ":80", "127.0.0.1:9180", "/var/lib/anteroom", "UTC", "1.2",
		access.Limits{LockAfter: 5 * time.Minute, EndAfter: 30 * time.Minute, Max: 13 * time.Hour}, 0.05,
		[]string{"openid", "profile", "email"}, config.Claims{Username: "preferred_username", Name: "name", Groups: "groups", ACR: "acr"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if !c.Audit.Deny || !c.Routes[0].AuditDeny {
		t.Error("without a word about audit, what cannot be recorded is forwarded")
	}
}

func TestRedirectMayBeClosed(t *testing.T) {
	text := strings.Replace(small("", ""), `hospital.example"}`, `hospital.example:8443", redirect_listen: "", data_dir: data}`, 1)
	c, _ := parse(t, text)
	if c.Gateway.RedirectListen != "" {
		t.Errorf("redirect_listen = %q", c.Gateway.RedirectListen)
	}
	if c.Gateway.URL.Host != "gate.hospital.example:8443" {
		t.Errorf("host = %s", c.Gateway.URL.Host)
	}
	if c.Gateway.DataDir != "/etc/anteroom/data" {
		t.Errorf("data_dir = %s: relative paths start at the configuration file", c.Gateway.DataDir)
	}
}

func TestRolesOf(t *testing.T) {
	c, _ := parse(t, strings.Replace(small("", ""), "roles: {nurse: {groups: [ehr-nurses]}}",
		"roles: {zeta: {groups: [a, b]}, nurse: {groups: [ehr-nurses, b]}, alpha: {groups: [c]}}", 1))
	for _, tt := range []struct {
		groups, want []string
	}{
		{nil, []string{}},
		{[]string{"unknown", ""}, []string{}},
		{[]string{"b"}, []string{"zeta", "nurse"}},
		{[]string{"c", "b", "a", "ehr-nurses"}, []string{"zeta", "nurse", "alpha"}},
	} {
		if diff := cmp.Diff(tt.want, c.RolesOf("https://login.hospital.example", tt.groups)); diff != "" {
			t.Errorf("roles of %q (-want +got):\n%s", tt.groups, diff)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	c, _ := parse(t, string(read(t, "example.yaml")))
	var printed strings.Builder
	for _, v := range []any{c, *c, c.Providers, c.Providers[0], &c.Providers[0], c.Providers[0].ClientSecret, &c.Providers[0].ClientSecret} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%T"} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
		fmt.Fprintln(&printed, v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed.Write(text)
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("loaded", "config", v)
		slog.New(slog.NewTextHandler(&printed, nil)).Info("loaded", "config", v)
	}
	text, err := c.Providers[0].ClientSecret.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(text)
	for _, hidden := range []string{secretText, fmt.Sprintf("%x", secretText), fmt.Sprintf("%X", secretText), "99 111 114 114"} {
		if strings.Contains(printed.String(), hidden) {
			t.Errorf("printed: %s", hidden)
		}
	}
	if !strings.Contains(printed.String(), "[secret]") {
		t.Error("the test prints no secret at all")
	}
}

func TestWarnings(t *testing.T) {
	source := func(fields string) string {
		return "posture:\n  sources: [{name: tunnel, senders: [{cidr: [10.20.0.0/28], allow_cidr_only: true}], map: {device_id: X-Id, " + fields + "}}]\n"
	}
	tests := []struct {
		name, text, want string
	}{
		{"no device", small("", ""), "12:13: warning: route `chart` is open to any device and to no device"},
		{"other site", strings.Replace(small("", ""), "ehr.hospital.example", "ehr.clinic.example", 1), "9:11: warning: `ehr.clinic.example` is not under `hospital.example`"},
		{"other name under localhost", strings.NewReplacer("gate.hospital.example", "gate.anteroom.localhost", "ehr.hospital.example", "ehr.other.localhost").Replace(small("", "")), "9:11: warning: `ehr.other.localhost` is not under `anteroom.localhost`"},
		{"put without post", small("", "rules:\n  - {name: amend, when: {methods: [PUT]}, require: {within: 5m}}\n"), "14:39: warning: rule `amend` names PUT or DELETE without POST"},
		{"delete without post", small("", "rules:\n  - {name: amend, when: {methods: [DELETE, PATCH]}, require: {within: 5m}}\n"), "14:39: warning: rule `amend` names PUT or DELETE without POST"},
		{"checkin below 8h", small(source("checked_in_at: X-At")+"  checks: {fresh: {checkin_max_age: 7h}}", ""), "8:37: warning: devices report to their management every 8h or so"},
		{"sender by address", small(source("owner: X-Owner"), ""), "7:45: warning: this sender is known by its address only (assurance A1)"},
		{"deny of what nobody says", small(source("owner: X-Owner")+"  checks: {lost: {deny: {lost: true}}}", ""), "8:26: warning: no source maps `lost`: this never refuses a device"},
		{"authorities of plain http", strings.Replace(small("", ""), `:8080",`, `:8080", ca_file: rx-ca.pem,`, 1), "10:57: warning: ca_file is for https"},
		{"backend told nothing", strings.Replace(small("", ""), `, identity: {headers: {X-Remote-User: username}}`, "", 1), "10:14: warning: route `chart`: the backend is not told who was let through"},
		{"admin listener open", strings.Replace(small("", ""), `gateway: {`, `gateway: {admin_listen: ":9180", `, 1), "1:25: warning: the admin listener is open to the network"},
		{"certificate expired", strings.Replace(small("", ""), "self_signed: true", "certificates: [{cert: old.pem, key: old.key}]", 1), "2:29: warning: certificate `old.pem` expired on 2026-11-20"},
		{"no public sign-in host", strings.Replace(small("", ""), "self_signed: true", "acme: {email: it@hospital.example}", 1), "1:16: warning: `gate.hospital.example` is no public name"},
		{"no public host", strings.Replace(small("", ""), "self_signed: true", "acme: {email: it@hospital.example}", 1), "9:11: warning: `ehr.hospital.example` is no public name"},
		{"nothing answers the authority", strings.NewReplacer("self_signed: true", "acme: {email: it@hospital.example, directory: https://acme.hospital.example/d}", `gateway: {url: "https://gate.hospital.example"`, `gateway: {redirect_listen: "", url: "https://gate.hospital.example:8443"`).Replace(small("", "")), "2:13: warning: nothing answers the authority"},
		{"host without certificate", strings.Replace(small("", ""), "self_signed: true", "certificates: [{cert: old.pem, key: old.key}]", 1), "9:11: warning: no certificate is for `ehr.hospital.example`"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings := parse(t, tt.text)
			var all strings.Builder
			for _, w := range warnings {
				fmt.Fprintln(&all, w)
			}
			if !strings.Contains(all.String(), "anteroom.yaml:"+tt.want) {
				t.Errorf("want %s\ngot:\n%s", tt.want, &all)
			}
		})
	}
}

// What is sound is not warned of: only the sender by address is, which no
// configuration can do without yet.
func TestSoundFileWarnsOfLittle(t *testing.T) {
	text := strings.NewReplacer(
		"device: none", "device: clinical",
		"gate.hospital.example", "gate.anteroom.localhost", "ehr.hospital.example", "ehr.anteroom.localhost",
	).Replace(small(`
posture:
  sources: [{name: tunnel, senders: [{cidr: [10.20.0.0/28], allow_cidr_only: true}], map: {device_id: X-Id, managed: X-Managed, checked_in_at: X-At}}]
  checks: {managed: {require: {managed: true}, checkin_max_age: 8h}}
  profiles: {clinical: {checks: [managed]}}
`, "rules:\n  - {name: amend, when: {methods: [PUT, POST]}, require: {within: 5m}}\n"))
	_, warnings := parse(t, text)
	if len(warnings) != 1 || !strings.Contains(warnings[0].Message, "assurance A1") {
		t.Errorf("warnings = %v", warnings)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "anteroom.yaml")
	text := strings.Replace(small("", ""), "${env:OIDC_SECRET}", "${file:oidc}", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := config.Load(path)
	mistakes, ok := errors.AsType[config.Mistakes](err)
	if !ok || len(mistakes) != 1 || mistakes[0].File != path || mistakes[0].Line != 4 {
		t.Fatalf("without the file of the secret: err = %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "oidc"), []byte(secretText), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Providers[0].ClientSecret.Reveal(); got != secretText {
		t.Errorf("secret = %q", got)
	}
	if _, _, err := config.Load(filepath.Join(dir, "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: err = %v", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("#\n"), 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), ":1:1: the file is larger than 4 MiB") {
		t.Errorf("a huge file: err = %v", err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "6y": 6 * 365 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0,
	} {
		if got, err := config.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "m", "-5m", "5ms", "1.5h", "30m1h", "1h1h", "5 m", "5M", "293y", "99999999999999999999s", "292y3000d"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
