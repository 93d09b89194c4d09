package contract_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// ask sends one call of b's from a loopback address and returns its answer.
func ask(t *testing.T, g *anteroomtest.Gateway, b *anteroomtest.Browser, from, host, target string, h http.Header) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", g.URL(host, target), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range h {
		r.Header[name] = values
	}
	r.Header.Set("Cookie", cookieName+"="+b.Cookie(host, cookieName))
	resp, err := client(g, from).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

const proxied = "00-11111111111111111111111111111111-2222222222222222-01"

func TestTrustedProxies(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(s, "data_dir:", "trusted_proxies: [127.0.0.7/32, 10.0.0.0/8]\n  data_dir:", 1)
	}})
	b := signedIn(t, g)
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		source     string
		continued  bool
	}{
		{"a proxy names its client", "127.0.0.7", []string{"203.0.113.7"}, "203.0.113.7", true},
		{"the right-most that is no proxy", "127.0.0.7", []string{"10.0.0.1, 198.51.100.1, 203.0.113.7, 10.0.0.9"}, "203.0.113.7", true},
		{"over two lines", "127.0.0.7", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7", true},
		{"junk before the proxy's word", "127.0.0.7", []string{"<script>, 203.0.113.7"}, "203.0.113.7", true},
		{"junk is the proxy's word", "127.0.0.7", []string{"203.0.113.7, junk"}, "127.0.0.7", true},
		{"a proxy that names nobody", "127.0.0.7", nil, "127.0.0.7", true},
		{"a stranger", "127.0.0.9", []string{"203.0.113.7"}, "127.0.0.9", false},
		{"a posture sender is no proxy", "127.0.0.1", []string{"203.0.113.7"}, "127.0.0.1", false},
	} {
		h := http.Header{"Traceparent": {proxied}, "X-Real-Ip": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"}}
		if c.forwarded != nil {
			h["X-Forwarded-For"] = c.forwarded
		}
		resp := ask(t, g, b, c.peer, "ehr.test", "/chart/1", h)
		r, _ := g.Backend.Last()
		if resp.StatusCode != 200 || strings.Join(r.Header["X-Forwarded-For"], "|") != c.source {
			t.Errorf("%s: %d, the backend was told %q", c.name, resp.StatusCode, r.Header["X-Forwarded-For"])
		}
		records := g.Audit(audit.Query{RequestID: resp.Header.Get("X-Request-Id"), Event: access.EventAccess})
		if len(records) != 1 || records[0].SourceIP != c.source {
			t.Errorf("%s: the trail has %+v", c.name, records)
		}
		if got := strings.Contains(r.Header.Get("Traceparent"), strings.Repeat("1", 32)); got != c.continued {
			t.Errorf("%s: traceparent %q, continued %v", c.name, r.Header.Get("Traceparent"), got)
		}
		if raw := g.Backend.Raw(); strings.Contains(raw, "192.0.2.1") {
			t.Errorf("%s: the backend got\n%s", c.name, raw)
		}
		g.Backend.Forget()
	}
}

// A posture header is believed of its sender alone: the TCP peer, whatever it
// says of others.
func TestPostureOfAStranger(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := signedIn(t, g)
	if p := b.Get(g.URL("img.test", "/study/1")); p.Status != 200 {
		t.Fatalf("with the tunnel: %d", p.Status)
	}
	g.Backend.Forget()
	claimed := anteroomtest.Compliant("ipad-1")
	claimed.Set("X-Forwarded-For", "127.0.0.1")
	if resp := ask(t, g, b, "127.0.0.9", "img.test", "/study/1", claimed); resp.StatusCode != 403 {
		t.Errorf("a stranger's word for a compliant device: %d", resp.StatusCode)
	}
	untouched(t, g, "posture from a stranger")
	if resp := ask(t, g, b, "127.0.0.9", "ehr.test", "/chart/1", claimed); resp.StatusCode != 200 {
		t.Errorf("where no device is asked for: %d", resp.StatusCode)
	}
	if raw := g.Backend.Raw(); strings.Contains(strings.ToLower(raw), "x-mdm") || strings.Contains(raw, "ipad-1") {
		t.Errorf("a stranger's posture reached the backend:\n%s", raw)
	}
	g.Backend.Forget()
	// What can be read two ways is refused, also from the sender.
	for name, h := range map[string]http.Header{
		"twice":            {"X-Mdm-Managed": {"true", "false"}},
		"a comma":          {"X-Mdm-Compromised": {"true, false"}},
		"another spelling": {"X-Mdm-Managed": {"false"}, "Xmdm-Managed": {"true"}},
		"as CGI names it":  {"Http-X-Mdm-Managed": {"true"}},
	} {
		full := anteroomtest.Compliant("ipad-1")
		for n, v := range h {
			full[n] = v
		}
		if resp := ask(t, g, b, "127.0.0.1", "img.test", "/study/1", full); resp.StatusCode != 400 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		untouched(t, g, name)
	}
	if n := len(g.Audit(audit.Query{Event: access.EventSecurity})); n < 4 {
		t.Errorf("%d security records", n)
	}
}
