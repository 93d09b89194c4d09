package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/anteroom/anteroom/config"
)

const secretText = "correct-horse-battery"

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// around is what the files of testdata refer to: a certificate and its key, an
// authority of another key, a secret. Keys are made here so that none is kept.
func around(t testing.TB) config.Surroundings {
	t.Helper()
	files := made()
	return config.Surroundings{
		Dir: "/etc/anteroom",
		ReadFile: func(path string) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return text, nil
		},
		Getenv: func(name string) (string, bool) {
			value, ok := map[string]string{"OIDC_SECRET": secretText, "EMPTY": ""}[name]
			return value, ok
		},
		Now: now,
	}
}

var made = sync.OnceValue(func() map[string][]byte {
	cert, key := pair("*.hospital.example", now.AddDate(1, 0, 0))
	old, oldKey := pair("gate.hospital.example", now.AddDate(0, 0, -1))
	ca, _ := pair("rx.internal", now.AddDate(1, 0, 0))
	mdm, mdmKey := pair("", now.AddDate(1, 0, 0))
	oldMDM, _ := pair("", now.AddDate(0, 0, -1))
	return map[string][]byte{
		"/etc/anteroom/gate.pem": cert, "/etc/anteroom/gate.key": key,
		"/etc/anteroom/old.pem": old, "/etc/anteroom/old.key": oldKey,
		"/etc/anteroom/rx-ca.pem": ca, "/etc/anteroom/siem-ca.pem": ca, "/etc/anteroom/acme-root.pem": ca,
		"/etc/anteroom/mdm-ca.pem": mdm, "/etc/anteroom/old-mdm-ca.pem": oldMDM,
		"/etc/anteroom/empty.pem": {}, "/etc/anteroom/mdm-with-key.pem": append(mdm, mdmKey...),
		"/etc/anteroom/mdm-torn.pem": mdm[:len(mdm)/2],
		"/run/secrets/oidc":          []byte(secretText + "\n"),
		"/run/secrets/nhs.pem":       keyPEM(),
	}
})

// pair returns a certificate for host, or that of an authority for "", and its key.
func pair(host string, until time.Time) (cert, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: until,
	}
	if host == "" {
		template.DNSNames, template.Subject = nil, pkix.Name{CommonName: "MDM"}
		template.IsCA, template.BasicConstraintsValid = true, true
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// parse returns what a good file says.
func parse(t testing.TB, text string) (*config.Config, []config.Warning) {
	t.Helper()
	c, warnings, err := config.Parse("anteroom.yaml", []byte(text), around(t))
	if err != nil {
		t.Fatalf("a good file is refused:\n%v\n%s", err, text)
	}
	return c, warnings
}

// small is the smallest good file, and more that the caller adds: top-level
// keys, and keys of its one route.
func small(top, route string) string {
	indented := ""
	for line := range strings.Lines(route) {
		indented += "    " + line
	}
	return `gateway: {url: "https://gate.hospital.example"}
tls: {self_signed: true}
providers:
  - {name: hospital, issuer: "https://login.hospital.example", client_id: anteroom, client_secret: "${env:OIDC_SECRET}"}
roles: {nurse: {groups: [ehr-nurses]}}
` + top + `
routes:
  - name: chart
    host: ehr.hospital.example
    backend: {url: "http://ehr.internal:8080", identity: {headers: {X-Remote-User: username}}}
    allow: {roles: [nurse]}
    device: none
` + indented
}
