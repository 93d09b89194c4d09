package contract_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A secureBackend speaks TLS with a certificate of its own authority.
type secureBackend struct {
	*httptest.Server
	ca    string // path of a PEM file
	mu    sync.Mutex
	proto []string
}

// newSecureBackend starts a backend whose certificate is for name.
func newSecureBackend(t *testing.T, name string, until time.Time) *secureBackend {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	b := &secureBackend{ca: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(b.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.proto = append(b.proto, r.Proto)
		b.mu.Unlock()
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.Header.Get("X-Remote-User"), r.Host)
	}))
	b.EnableHTTP2 = true
	b.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	b.Config.ErrorLog = nil
	b.StartTLS()
	t.Cleanup(b.Close)
	return b
}

func (b *secureBackend) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proto
}

func TestBackendOverTLS(t *testing.T) {
	for _, c := range []struct {
		name, certificate string
		until             time.Time
		trusted           bool
		status            int
	}{
		{"its authority is named", "127.0.0.1", time.Now().Add(time.Hour), true, 200},
		{"nobody vouches for it", "127.0.0.1", time.Now().Add(time.Hour), false, 502},
		{"a certificate for another name", "rx.internal", time.Now().Add(time.Hour), true, 502},
		{"an expired certificate", "127.0.0.1", time.Now().Add(-time.Minute), true, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSecureBackend(t, c.certificate, c.until)
			g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string {
				to := "url: " + s.URL
				if c.trusted {
					to += "\n      ca_file: " + s.ca
				}
				return strings.Replace(text, "url: {backend}", to, 1)
			}})
			b := g.Browser(t)
			p := b.Get(g.URL("ehr.test", "/chart/1"))
			if p.Status != c.status {
				t.Fatalf("%d, want %d\n%s", p.Status, c.status, p.Body)
			}
			if c.status == 200 {
				if want := "HTTP/1.1 nora ehr.test:" + g.Port; p.Body != want {
					t.Errorf("the backend saw %q, want %q", p.Body, want)
				}
				return
			}
			if p.Code() != "backend_unreachable" || len(s.seen()) > 0 {
				t.Errorf("%s, and the backend got %v", p.Code(), s.seen())
			}
		})
	}
}

// TestWhatIsKept holds what goes to a backend as the client sent it, and what
// its configuration changes.
func TestWhatIsKept(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		s = strings.Replace(s, "      max_body: 8MiB\n", "      max_body: 8MiB\n      host_header: rx.internal\n      authorization: forward\n      tolerate: [path_params]\n", 1)
		return strings.Replace(s, "    origins:", "    service_workers: true\n    origins:", 1)
	}})
	b := signedIn(t, g)
	p := b.Call("GET", g.URL("ehr.test", "/a;v=1/b%2dc?x=%41&y;z"), "", "", http.Header{"Authorization": {"Basic bm9yYTp4"}, "Accept-Encoding": {"br, gzip"}})
	r, _ := g.Backend.Last()
	if p.Status != 200 || r.Target != "/a;v=1/b%2dc?x=%41&y;z" {
		t.Errorf("%d, the backend got %q", p.Status, r.Target)
	}
	if r.Host != "rx.internal" || r.Header.Get("X-Forwarded-Host") != "ehr.test:"+g.Port || r.Header.Get("Authorization") != "Basic bm9yYTp4" || r.Header.Get("Accept-Encoding") != "br, gzip" {
		t.Errorf("the backend got Host %q and %v", r.Host, r.Header)
	}
	g.Backend.Forget()
	for _, target := range []string{"/a//b", "/a%2Fb", "/pub;x/y", "/..;/admin"} {
		if p := b.Call("GET", g.URL("ehr.test", target), "", "", nil); p.Status != 400 {
			t.Errorf("%s: %d", target, p.Status)
		}
		untouched(t, g, target)
	}
	if p := b.Call("GET", g.URL("ehr.test", "/sw.js"), "", "", http.Header{"Service-Worker": {"script"}}); p.Status != 200 {
		t.Errorf("a service worker where the route opts in: %d", p.Status)
	}
}

// TestAnswers holds what of a backend's answer is changed on its way, and that
// nothing else is.
func TestAnswers(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	own := g.Origin("ehr.test")
	for _, c := range []struct{ name, header, sent, want string }{
		{"its own origin", "Location", g.Backend.URL + "/x?y=1", own + "/x?y=1"},
		{"its own origin alone", "Location", g.Backend.URL, own},
		{"the browser's host without TLS", "Location", "http://ehr.test:" + g.Port + "/x", own + "/x"},
		{"a path", "Location", "/x", "/x"},
		{"another origin", "Location", "https://other.test/?to=" + g.Backend.URL, "https://other.test/?to=" + g.Backend.URL},
		{"an origin that begins alike", "Location", g.Backend.URL + ".evil.test/x", g.Backend.URL + ".evil.test/x"},
		{"a refresh", "Refresh", "5; url=" + g.Backend.URL + "/x", "5; url=" + own + "/x"},
		{"a refresh of the page", "Refresh", "5", "5"},
		{"a cookie's domain", "Set-Cookie", "a=b; Domain=ehr.test; Path=/x; SameSite=None; Secure", "a=b; Path=/x; SameSite=None; Secure"},
		{"a cookie of ours", "Set-Cookie", "__host-Anteroom-login-1=x; Path=/; Secure", ""},
		{"caching by all", "Cache-Control", "Public, max-age=60", "private, max-age=60"},
		{"caching", "Cache-Control", "max-age=60, must-revalidate", "max-age=60, must-revalidate"},
		{"caching of old", "Expires", "Thu, 01 Dec 2033 16:00:00 GMT", "Thu, 01 Dec 2033 16:00:00 GMT"},
		{"other ways in", "Alt-Svc", `h3=":443"`, ""},
		{"the host's promises", "Strict-Transport-Security", "max-age=0", ""},
		{"our own words", "X-Anteroom-Anything", "x", ""},
		{"a service worker's reach", "Service-Worker-Allowed", "/", ""},
		{"its own policy", "Content-Security-Policy", "form-action 'self'", "form-action 'self'"},
	} {
		g.Backend.Handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(c.header, c.sent)
			io.WriteString(w, "<a href="+g.Backend.URL+">body</a>")
		})
		p := b.Call("GET", g.URL("ehr.test", "/x"), "", "", nil)
		if got := strings.Join(p.Header.Values(c.header), "|"); got != c.want {
			t.Errorf("%s: %s %q became %q, want %q", c.name, c.header, c.sent, got, c.want)
		}
		if control := p.Header.Get("Cache-Control"); c.header != "Cache-Control" && c.header != "Expires" && control != "private, no-store" {
			t.Errorf("%s: Cache-Control %q", c.name, control)
		}
		if p.Body != "<a href="+g.Backend.URL+">body</a>" {
			t.Errorf("%s: the body became %q", c.name, p.Body)
		}
	}
}

// A body is passed on as it comes, in both directions.
func TestLargeBodies(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	const size = 5 << 20
	up := strings.Repeat("0123456789abcdef", size/16)
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	if p := b.Call("POST", g.URL("ehr.test", "/upload"), "image/png", up, nil); p.Status != 200 || p.Body != up {
		t.Errorf("%d, %d of %d bytes came back", p.Status, len(p.Body), size)
	}
	// The first byte of an answer does not wait for its last.
	g.Backend.Handle(stream)
	listen(t, g, b, "ehr.test")
}
