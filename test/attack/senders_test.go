package attack_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

const tunnelName = "tunnel.mdm.test"

// TestSendersOfTheProgram sends what the catalogue has of client certificates
// (D7 to D9), and of statements from elsewhere (N1), to the program as it is built.
func TestSendersOfTheProgram(t *testing.T) {
	binary := anteroomtest.Build(t, "anteroom")
	ca := anteroomtest.NewAuthority(t, "MDM")
	p := anteroomtest.StartProgram(t, binary, anteroomtest.Setup{Edit: anteroomtest.Certified, Files: map[string]string{"mdm-ca.pem": ca.PEM}}, "PATH="+os.Getenv("PATH"))
	for _, r := range []row{
		{id: "D7", name: "a ticket of another listener", run: func(t *testing.T, _ *world) { foreignTicket(t, p.Gateway) }},
		{id: "D8", name: "certificates of anybody else", run: func(t *testing.T, _ *world) { foreignCertificates(t, p.Gateway, ca) }},
		{id: "N1", name: "another listener", run: func(t *testing.T, _ *world) { otherListener(t, p.Gateway, ca) }},
		{id: "D9", name: "at a start", run: func(t *testing.T, _ *world) { senderFileAtStart(t, p) }},
		{id: "D9", name: "at a reload", run: func(t *testing.T, _ *world) { senderFileAtReload(t, p.Gateway, ca) }},
	} {
		told.note(r.id, t.Run(r.id+"/"+r.name, func(t *testing.T) { r.run(t, nil) }))
	}
}

// ask sends a request of nobody to one of the gateway's listeners. A client of
// TLS 1.3 learns only from the answer whether its certificate was taken.
func ask(g *anteroomtest.Gateway, listener string, c *tls.Config) (status int, resumed bool, err error) {
	c.RootCAs = g.CA
	conn, err := tls.Dial("tcp", listener, c)
	if err != nil {
		return 0, false, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	fmt.Fprintf(conn, "GET /study/1 HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", c.ServerName)
	text, err := io.ReadAll(conn) // to the end, so that the tickets are in
	if err != nil {
		return 0, false, err
	}
	if _, err := fmt.Sscanf(string(text), "HTTP/1.1 %d", &status); err != nil {
		return 0, false, errors.New("no answer: " + string(text))
	}
	return status, conn.ConnectionState().DidResume, nil
}

func foreignTicket(t *testing.T, g *anteroomtest.Gateway) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := &anyHost{tls.NewLRUClientSessionCache(4)}
		of := func(host string) *tls.Config {
			return &tls.Config{ServerName: host, MinVersion: version, MaxVersion: version, ClientSessionCache: cache}
		}
		if _, _, err := ask(g, g.Address, of("ehr.test")); err != nil {
			t.Fatal(err)
		}
		if _, resumed, err := ask(g, g.Address, of("ehr.test")); err != nil || !resumed {
			t.Fatalf("TLS %x: the gateway gives no ticket, so this shows nothing: %v", version, err)
		}
		for _, host := range []string{"ehr.test", "img.test"} {
			if status, _, err := ask(g, g.Senders[0], of(host)); err == nil {
				t.Errorf("TLS %x: a ticket of ehr.test opens %s where certificates are asked for: %d", version, host, status)
			}
		}
	}
}

// anyHost offers every ticket to every host.
type anyHost struct{ tls.ClientSessionCache }

func (a *anyHost) Get(string) (*tls.ClientSessionState, bool) { return a.ClientSessionCache.Get("") }

func (a *anyHost) Put(_ string, s *tls.ClientSessionState) { a.ClientSessionCache.Put("", s) }

func foreignCertificates(t *testing.T, g *anteroomtest.Gateway, ca *anteroomtest.Authority) {
	wrong := anteroomtest.NewAuthority(t, "MDM") // of the same name
	its := ca.Issue(t, tunnelName, nil)
	stolen := tls.Certificate{Certificate: its.Certificate, PrivateKey: wrong.Issue(t, tunnelName, nil).PrivateKey}
	for name, cert := range map[string]tls.Certificate{
		"none":                       {},
		"of a wrong CA":              wrong.Issue(t, tunnelName, nil),
		"of a CA that it brings":     wrong.Below(t, "MDM").Issue(t, tunnelName, nil),
		"expired":                    ca.Issue(t, tunnelName, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet valid":              ca.Issue(t, tunnelName, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(10 * time.Minute) }),
		"of a server":                ca.Issue(t, tunnelName, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"of no extended usage":       ca.Issue(t, tunnelName, func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		"of another name":            ca.Issue(t, "printer.mdm.test", nil),
		"of every name":              ca.Issue(t, "*.mdm.test", nil),
		"another's, without its key": stolen,
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := &tls.Config{ServerName: "img.test", MinVersion: version, MaxVersion: version, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }}
			if status, _, err := ask(g, g.Senders[0], config); err == nil {
				t.Errorf("a certificate %s, TLS %x: %d", name, version, status)
			}
		}
	}
	if status, _, err := ask(g, g.Senders[0], &tls.Config{ServerName: "img.test", Certificates: []tls.Certificate{its}}); err != nil || status != 401 {
		t.Errorf("the sender's own: %d, %v", status, err)
	}
}

// otherListener makes the sender's statement where it is not the sender's to make.
func otherListener(t *testing.T, g *anteroomtest.Gateway, ca *anteroomtest.Authority) {
	by := func(through bool) *anteroomtest.Browser {
		b := g.Browser(t)
		if through {
			b.Through(g.Senders[0], ca.Issue(t, tunnelName, nil))
		}
		b.Device = anteroomtest.Compliant("ipad-1")
		return b
	}
	if p := by(true).Get(g.URL("img.test", "/study/1")); p.Status != http.StatusOK {
		t.Fatalf("from the tunnel: %d", p.Status)
	}
	g.Backend.Forget()
	p := by(false).Get(g.URL("img.test", "/study/1"))
	if p.Status != http.StatusForbidden || p.Code() != "device_unknown" {
		t.Errorf("on the listener of browsers: %d %s", p.Status, p.Code())
	}
	if raw := g.Backend.Raw(); raw != "" {
		t.Errorf("the backend got\n%s", raw)
	}
}

func senderFileAtStart(t *testing.T, p *anteroomtest.Program) {
	text, err := os.ReadFile(filepath.Join(p.Dir, "anteroom.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", "x")
	write("empty.pem", "")
	write("text.pem", "MDM\n")
	if err := os.Mkdir(filepath.Join(dir, "directory.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"missing.pem", "empty.pem", "text.pem", "directory.pem"} {
		write("anteroom.yaml", strings.NewReplacer("mdm-ca.pem", file, p.Dir+"/data", dir+"/data").Replace(string(text)))
		out, err := exec.Command(p.Binary, "serve", "-c", filepath.Join(dir, "anteroom.yaml")).CombinedOutput()
		if _, failed := errors.AsType[*exec.ExitError](err); !failed || !strings.Contains(string(out), file) || !strings.Contains(string(out), "anteroom.yaml:") {
			t.Errorf("%s: it ends with %v:\n%s", file, err, out)
		}
	}
}

func senderFileAtReload(t *testing.T, g *anteroomtest.Gateway, ca *anteroomtest.Authority) {
	good := func() {
		t.Helper()
		if status, _, err := ask(g, g.Senders[0], &tls.Config{ServerName: "img.test", Certificates: []tls.Certificate{ca.Issue(t, tunnelName, nil)}}); err != nil || status != 401 {
			t.Errorf("the sender: %d, %v", status, err)
		}
	}
	g.WriteFile("mdm-ca.pem", "")
	until(t, "the refusal of the empty file", func() bool { return g.Metric("anteroom_config_reload_success") == 0 })
	if !strings.Contains(g.Log(), "`mdm-ca.pem` holds no certificate") {
		t.Error("the log does not say what is wrong with the file")
	}
	good()
	// With the next authority, nobody comes in by the old one.
	next := anteroomtest.NewAuthority(t, "MDM")
	g.WriteFile("mdm-ca.pem", next.PEM)
	until(t, "the new authority", func() bool { return g.Metric("anteroom_config_reload_success") == 1 })
	if status, _, err := ask(g, g.Senders[0], &tls.Config{ServerName: "img.test", Certificates: []tls.Certificate{ca.Issue(t, tunnelName, nil)}}); err == nil {
		t.Errorf("by the authority that was replaced: %d", status)
	}
	ca = next
	good()
}
