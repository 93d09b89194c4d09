package faults_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/audit"
)

// A siem is Debian's rsyslog, which takes syslog over TLS from whom it knows.
type siem struct {
	t    *testing.T
	dir  string
	port string
	cmd  *exec.Cmd
	done chan struct{}
}

func newSIEM(t *testing.T) *siem {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		t.Fatalf("%v: test/setup installs it", err)
	}
	s := &siem{t: t, dir: t.TempDir(), port: freePort(t)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	s.certify("ca", ca, ca, key, key)
	for i, name := range []string{"siem", "gateway"} {
		leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{CommonName: name + ".test"}, DNSNames: []string{name + ".test", "localhost"},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		s.certify(name, leaf, ca, leafKey, key)
	}
	s.write("rsyslog.conf", fmt.Sprintf(`
global(workDirectory="%[1]s" maxMessageSize="1024k"
  defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="%[1]s/ca.pem"
  defaultNetstreamDriverCertFile="%[1]s/siem.pem" defaultNetstreamDriverKeyFile="%[1]s/siem.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer=["gateway.test"])
template(name="message" type="string" string="%%syslogfacility-text%% %%syslogseverity-text%% %%msgid%% %%msg%%\n")
ruleset(name="keep") { action(type="omfile" file="%[1]s/messages" template="message") }
input(type="imtcp" address="127.0.0.1" port="%[2]s" ruleset="keep")
`, s.dir, s.port))
	t.Cleanup(s.kill)
	return s
}

func (s *siem) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *siem) certify(name string, cert, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) {
	s.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, by, key.Public(), byKey)
	if err != nil {
		s.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// start starts rsyslog and waits until it listens.
func (s *siem) start() {
	s.t.Helper()
	s.cmd = exec.Command("rsyslogd", "-n", "-f", filepath.Join(s.dir, "rsyslog.conf"), "-i", filepath.Join(s.dir, "pid"))
	var out text
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	cmd := s.cmd
	go func() { cmd.Wait(); close(done) }()
	eventually(s.t, 30*time.Second, "rsyslog", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (s *siem) kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
	os.Remove(filepath.Join(s.dir, "pid"))
}

var audits = regexp.MustCompile(`(?m)^audit: .*$`)

var seqOf = regexp.MustCompile(`ParticipantObjectID="(\d+)" ParticipantObjectTypeCode="4"><ParticipantObjectIDTypeCode csd-code="seq"`)

// seqs returns how often each record came.
func (s *siem) seqs() map[uint64]int {
	s.t.Helper()
	all, err := os.ReadFile(filepath.Join(s.dir, "messages"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	seen := map[uint64]int{}
	for line := range bytes.Lines(all) {
		if m := seqOf.FindSubmatch(line); m != nil && bytes.HasSuffix(line, []byte("</AuditMessage>\n")) {
			seq, _ := strconv.ParseUint(string(m[1]), 10, 64)
			seen[seq]++
		}
	}
	return seen
}

// TestFeedLosesNothing kills the gateway and the receiver of its feed under
// load, again and again, and lets the receiver be away while thousands of records
// are written. Each record of the trail comes at least once; the copies of
// checkpoints are of the trail; and requests go on all the while.
func TestFeedLosesNothing(t *testing.T) {
	e := begin(t, "feed")
	_ = e
	s := newSIEM(t)
	copies := t.TempDir()
	s.start()
	g := start(t, setup{edit: func(text string) string {
		return audits.ReplaceAllLiteralString(text, fmt.Sprintf(`audit:
  patient_system: urn:oid:1.2.3
  copy: {dir: %s}
  feeds:
    - {name: siem, type: syslog, address: "localhost:%s", ca_file: %[3]s/ca.pem, cert: %[3]s/gateway.pem, key: %[3]s/gateway.key, begin: oldest}
`, copies, s.port, s.dir))
	}})
	g.Provider.Person(nurse(0))
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	client := g.client(t, false, 8)
	var asked atomic.Int64
	load := func(d time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				for ctx.Err() == nil {
					call(ctx, client, http.MethodGet, g.URL("ehr.test", fmt.Sprintf("/patients/%d/chart", i)), cookie, nil)
					asked.Add(1)
				}
			})
		}
		all.Wait()
	}
	for round := range choose(3, 30) {
		load(400 * time.Millisecond)
		g.kill() // with records that were sent and not settled
		g.launch()
		client.CloseIdleConnections()
		load(200 * time.Millisecond)
		s.kill() // with messages that it had not read
		load(600 * time.Millisecond)
		if status := g.status(t, client, "/chart", cookie); status != http.StatusOK {
			t.Fatalf("round %d: without a receiver the gateway answers %d", round, status)
		}
		eventually(t, time.Minute, "the feed is told to be down", func() bool { return g.metric("anteroom_audit_feed_up{feed=\"siem\"}") == 0 })
		if round%2 == 0 { // away over a restart too
			g.kill()
			g.launch()
			client.CloseIdleConnections()
		}
		s.start()
	}
	load(200 * time.Millisecond)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}

	var last uint64
	written := map[uint64]bool{}
	for line, err := range audit.Search(g.auditDir(), audit.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		last, written[line.Record.Seq] = line.Record.Seq, true
	}
	var place audit.Place
	kept, err := os.ReadFile(filepath.Join(g.Dir, "data", "feeds", "siem.json"))
	if err == nil {
		err = json.Unmarshal(kept, &place)
	}
	if err != nil || place.Seq != last {
		t.Errorf("the feed has come to %d of %d: %v", place.Seq, last, err)
	}
	missing, again := 0, 0
	eventually(t, 30*time.Second, "rsyslog has written what it read", func() bool {
		seen := s.seqs()
		missing, again = 0, 0
		for seq := range written {
			if seen[seq] == 0 {
				missing++
			}
			again += max(0, seen[seq]-1)
		}
		return missing == 0
	})
	t.Logf("%d requests, %d records, %d missing, %d came again", asked.Load(), len(written), missing, again)

	problem, compared, err := audit.Compare(g.auditDir(), copies)
	if err != nil || problem != nil || compared < 6 {
		t.Errorf("copies: %d compared, %v, %v", compared, problem, err)
	}
	report, err := audit.Verify(g.auditDir())
	if err != nil || report.Problem != nil {
		t.Errorf("trail: %v %v", report.Problem, err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "messages"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "authpriv notice DICOM+RFC3881 <?xml") || !strings.Contains(string(text), base64.StdEncoding.EncodeToString([]byte("urn:oid:1.2.3"))) {
		t.Errorf("the messages are not as they should be: %.600s", text)
	}
}
