package protocol_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// TestTunnelOfTheManual does what docs/operate.md says of a tunnel that proves
// itself, by its very commands: openssl makes the certificates, and nginx is the
// tunnel before the gateway's process.
func TestTunnelOfTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "\n## A tunnel that proves itself\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```(?:sh)?\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 3 {
		t.Fatalf("the manual has %d blocks, want commands, a source and a tunnel", len(blocks))
	}
	dir := t.TempDir()
	sh := exec.Command("sh", "-euc", blocks[0])
	sh.Dir = dir
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "mdm-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	lines := func(prefix string) string {
		for line := range strings.Lines(blocks[1]) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
				return prefix + text
			}
		}
		t.Fatalf("the manual's source has no %s", prefix)
		return ""
	}
	source := strings.Replace(lines("listen:"), `":8443"`, "127.0.0.1:0", 1) + "\n      " + lines("senders:")
	p := anteroomtest.StartProgram(t, anteroomtest.Build(t, "anteroom"), anteroomtest.Setup{
		Files: map[string]string{"mdm-ca.pem": string(ca)},
		Edit: func(text string) string {
			return strings.Replace(text, "senders: [{cidr: [127.0.0.1/32], allow_cidr_only: true}]", source, 1)
		},
	})
	authority, err := os.ReadFile(filepath.Join(p.Dir, "data", "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gateway-ca.pem"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	front := anteroomtest.NewAuthority(t, "Front")
	p.CA.AddCert(front.Cert) // of the tunnel's own front, which browsers see
	shown := front.Issue(t, "img.test", func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = hosts, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	key, err := x509.MarshalPKCS8PrivateKey(shown.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "front.pem"), "CERTIFICATE", shown.Certificate[0])
	write(t, filepath.Join(dir, "front.key"), "PRIVATE KEY", key)
	tunnel := nginx(t, dir, strings.Replace(blocks[2], "https://gateway.internal:8443", "https://"+p.Senders[0], 1))

	b := p.Browser(t)
	b.Through(tunnel, tls.Certificate{})
	// What the device itself says of its version counts for nothing.
	b.Device = http.Header{"X-Mdm-Os-Version": {"99.0"}}
	if got := b.Get(p.URL("img.test", "/study/1")); got.Status != 200 {
		t.Errorf("through nginx: %d %s", got.Status, got.Code())
	}
	var last audit.Record
	for _, r := range p.Audit(audit.Query{Event: access.EventAccess}) {
		last = r
	}
	if last.Device.ID != "tunnel:ipad-1" || last.Device.Assurance != "A2" || last.Device.Sender != "tunnel.mdm.hospital.example" {
		t.Errorf("the trail says of the device %+v", last.Device)
	}
}

// nginx runs nginx as a tunnel, with proxy as it stands, and returns the address
// at which browsers reach it.
func nginx(t *testing.T, dir, proxy string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	conf := fmt.Sprintf(`
daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log stderr;
events { worker_connections 64; }
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s ssl; ssl_certificate %[1]s/front.pem; ssl_certificate_key %[1]s/front.key;
		location / {
			set $device ipad-1;
			%[3]s
			proxy_set_header X-Mdm-Platform ipados; proxy_set_header X-Mdm-Os-Version 26.3; proxy_set_header X-Mdm-Managed true;
			proxy_set_header X-Mdm-Compromised false; proxy_set_header X-Mdm-Lost false;
			proxy_set_header X-Mdm-Checked-In-At %[4]s; proxy_set_header X-Mdm-Asserted-At "";
		}
	}
}`, dir, address, proxy, time.Now().UTC().Format(time.RFC3339))
	for _, file := range []string{"tunnel.pem", "tunnel.key", "gateway-ca.pem"} {
		conf = strings.ReplaceAll(conf, " "+file, " "+filepath.Join(dir, file))
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command("/usr/sbin/nginx", "-p", dir, "-e", "stderr", "-c", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start nginx (test/setup gets it): %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
		if t.Failed() {
			t.Logf("nginx:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx ended: %v\n%s", err, log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not listen")
		}
	}
}
