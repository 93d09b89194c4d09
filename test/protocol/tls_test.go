package protocol_test

import (
	"encoding/xml"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What Mozilla's guidelines (6.0, intermediate) allow, by the names of OpenSSL.
var (
	suites13 = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
	suites12 = []string{
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
		"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
	}
	groups = []string{"secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)", "x25519"} // and X25519MLKEM768, which sslscan does not know
)

// A scanned is what sslscan found of a server.
type scanned struct {
	Protocols, Suites12, Suites13, Groups []string
	Weak                                  []string
}

func TestTLSByScanner(t *testing.T) {
	for minVersion, want := range map[string]scanned{
		"1.2": {Protocols: []string{"tls1.2", "tls1.3"}, Suites12: suites12, Suites13: suites13, Groups: groups},
		"1.3": {Protocols: []string{"tls1.3"}, Suites13: suites13, Groups: groups},
	} {
		t.Run(minVersion, func(t *testing.T) {
			g, _ := start(t, minVersion)
			if d := cmp.Diff(want, sslscan(t, g.Address)); d != "" {
				t.Errorf("sslscan found otherwise (- wanted, + found):\n%s", d)
			}
		})
	}
}

func sslscan(t *testing.T, address string) scanned {
	t.Helper()
	out, err := exec.Command("sslscan", "--no-colour", "--xml=-", "--sni-name="+hosts[0], address).Output()
	if err != nil {
		t.Fatalf("sslscan (test/setup installs it): %v\n%s", err, out)
	}
	var doc struct {
		Test struct {
			Protocols []struct {
				Type    string `xml:"type,attr"`
				Version string `xml:"version,attr"`
				Enabled bool   `xml:"enabled,attr"`
			} `xml:"protocol"`
			Renegotiation struct {
				Supported bool `xml:"supported,attr"`
			} `xml:"renegotiation"`
			Compression struct {
				Supported bool `xml:"supported,attr"`
			} `xml:"compression"`
			Heartbleed []struct {
				Vulnerable bool `xml:"vulnerable,attr"`
			} `xml:"heartbleed"`
			Ciphers []struct {
				Version  string `xml:"sslversion,attr"`
				Cipher   string `xml:"cipher,attr"`
				Strength string `xml:"strength,attr"`
			} `xml:"cipher"`
			Groups []struct {
				Name string `xml:"name,attr"`
			} `xml:"group"`
		} `xml:"ssltest"`
	}
	if err := xml.Unmarshal(out, &doc); err != nil {
		t.Fatalf("read what sslscan wrote: %v\n%s", err, out)
	}
	var s scanned
	for _, p := range doc.Test.Protocols {
		if p.Enabled {
			s.Protocols = append(s.Protocols, p.Type+p.Version)
		}
	}
	for _, c := range doc.Test.Ciphers {
		switch {
		case c.Version == "TLSv1.3":
			s.Suites13 = append(s.Suites13, c.Cipher)
		case c.Version == "TLSv1.2":
			s.Suites12 = append(s.Suites12, c.Cipher)
		}
		if c.Strength != "strong" && c.Strength != "acceptable" {
			s.Weak = append(s.Weak, c.Strength+" "+c.Cipher)
		}
	}
	for _, g := range doc.Test.Groups {
		if !slices.Contains(s.Groups, g.Name) {
			s.Groups = append(s.Groups, g.Name)
		}
	}
	for _, h := range doc.Test.Heartbleed {
		if h.Vulnerable {
			s.Weak = append(s.Weak, "heartbleed")
		}
	}
	if doc.Test.Renegotiation.Supported {
		s.Weak = append(s.Weak, "renegotiation")
	}
	if doc.Test.Compression.Supported {
		s.Weak = append(s.Weak, "compression")
	}
	for _, names := range [][]string{s.Protocols, s.Suites12, s.Suites13, s.Groups} {
		slices.Sort(names)
	}
	return s
}
