package attack_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/cmd/gateway"
)

// groupD: host, server name and TLS. D7 and D8 are about client certificates:
// see TestSendersOfTheProgram.
func groupD() []row {
	get := func(host string) request { return raw("GET /chart/1 HTTP/1.1\r\nHost: " + host + "\r\n{cookie}\r\n") }
	h2get := func(host string) request {
		return frames(":method: GET", ":scheme: https", ":path: /chart/1", ":authority: "+host, "{cookie}")
	}
	rows := []row{
		{id: "D1", name: "a host that is not configured", as: "nora", send: one(get("nowhere.test"), h2get("nowhere.test")), want: REJ(421)},
		{id: "D1", name: "the same in the handshake", as: "nora", send: one(get("nowhere.test").at("nowhere.test"), h2get("nowhere.test").at("nowhere.test")), want: REJ(421)},
		{id: "D1", name: "a bare address", as: "nora", send: one(get("127.0.0.1"), h2get("127.0.0.1"), get("127.0.0.1").at("127.0.0.1")), want: REJ(421)},
		{id: "D1", name: "a host below a known one", as: "nora", send: one(get("x.ehr.test"), h2get("x.ehr.test")), want: REJ(421)},
		{id: "D2", name: "a stricter host on a laxer handshake", as: "nora", send: one(get("img.test"), h2get("img.test")), want: REJ(421)},
		{id: "D2", name: "a laxer host on a stricter handshake", as: "nora", send: one(get("ehr.test").at("img.test"), h2get("ehr.test").at("img.test")), want: REJ(421)},
		{id: "D4", name: "two Host lines", as: "nora", send: one(raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\r\nHost: img.test\r\n{cookie}\r\n"), raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\r\nhost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "D4", name: "an empty Host", as: "nora", send: one(get("")), want: REJ(400)},
		{id: "D4", name: "no Host", as: "nora", send: one(raw("GET /chart/1 HTTP/1.1\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "D4", name: "HTTP/1.0 without Host", as: "nora", send: one(raw("GET /chart/1 HTTP/1.0\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "D4", name: "no authority", as: "nora", send: one(frames(":method: GET", ":scheme: https", ":path: /chart/1", "{cookie}")), want: REJ(400)},
		{id: "D6", name: "old protocols and weak suites", run: oldTLS},
		{id: "D9", name: "a CA file that is missing or empty", run: caFile},
		{id: "D10", name: "the plain port", run: plainPort},
	}
	for _, host := range []string{"ehr.test.", "EHR.Test", "Ehr.TEST.", "EHR.Test:{port}"} {
		rows = append(rows,
			row{id: "D3", name: "refused at " + host, as: "eve", send: one(
				raw("GET /admin HTTP/1.1\r\nHost: "+host+"\r\n{cookie}\r\n"),
				frames(":method: GET", ":scheme: https", ":path: /admin", ":authority: "+host, "{cookie}")), want: FORB},
			row{id: "D3", name: "served at " + host, as: "nora", send: one(get(host), h2get(host)), want: STRIP})
	}
	for _, host := range []string{"ehr.test:99999", "ehr.test,evil.test", "e%68r.test", "[::1", "ehr.test:", "ehr.test:443:443", "ehr.test:a", "ehr.test/", "ehr.test@evil.test", "ehr.test..", "ehr test", "\xc3\xa9hr.test", "ehr.test\t,x"} {
		rows = append(rows, row{id: "D5", name: host, as: "nora", send: one(get(host), h2get(host)), want: REJ(400, 421)})
	}
	for i := range rows {
		for j := range rows[i].send {
			rows[i].send[j].raw = strings.ReplaceAll(rows[i].send[j].raw, "{port}", "443")
			for k, f := range rows[i].send[j].fields {
				rows[i].send[j].fields[k].Value = strings.ReplaceAll(f.Value, "{port}", "443")
			}
		}
	}
	return rows
}

func oldTLS(t *testing.T, w *world) {
	suites := map[string][]uint16{
		"3DES": {tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
		"RC4":  {tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_RC4_128_SHA},
		"CBC": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256},
		"RSA key exchange": {tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA},
	}
	try := func(name string, c *tls.Config) {
		c.InsecureSkipVerify, c.ServerName = true, "ehr.test"
		if conn, err := tls.Dial("tcp", w.Address, c); err == nil {
			t.Errorf("%s: a handshake with %s", name, tls.CipherSuiteName(conn.ConnectionState().CipherSuite))
			conn.Close()
		}
	}
	try("TLS 1.0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10})
	try("TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11})
	for name, list := range suites {
		try(name, &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: list})
	}
}

// caFile has a gateway start, and one that runs reload, with a CA that cannot be had.
func caFile(t *testing.T, w *world) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", "x")
	write("empty.pem", "")
	config := func(ca string) string {
		text := strings.NewReplacer("{port}", "8443", "{issuer}", w.Provider.URL, "{dir}", dir, "{backend}", "https://127.0.0.1:1").Replace(anteroomtest.Fixture)
		return strings.Replace(text, "      timeout: 5s", "      ca_file: "+ca+"\n      timeout: 5s", 1)
	}
	for _, ca := range []string{"missing.pem", "empty.pem"} {
		write("anteroom.yaml", config(ca))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := gateway.Run(ctx, gateway.Options{ConfigFile: filepath.Join(dir, "anteroom.yaml"), Log: slog.New(slog.DiscardHandler), Grace: -1, Ready: func(gateway.Addresses) {
			t.Errorf("%s: the gateway serves", ca)
			cancel()
		}})
		cancel()
		if err == nil || !strings.Contains(err.Error(), ca) {
			t.Errorf("%s: the start ends with %v, which names no file", ca, err)
		}
	}
	// One that runs goes on by the rules that it has.
	good := w.catalogue(anteroomtest.Fixture)
	w.WriteConfig(strings.Replace(good, "      timeout: 5s", "      ca_file: missing.pem\n      timeout: 5s", 1))
	until(t, "the refusal of the new file", func() bool { return w.Metric("anteroom_config_reload_success") == 0 })
	if !strings.Contains(w.Log(), "missing.pem") {
		t.Error("the log does not name the file")
	}
	w.WriteConfig(good)
	until(t, "the good file", func() bool { return w.Metric("anteroom_config_reload_success") == 1 })
}

// until polls until ok, or fails.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

func plainPort(t *testing.T, w *world) {
	for _, first := range []string{"GET /chart/1?a=b", "POST /orders/1", "GET //evil.test/x"} {
		c, err := net.Dial("tcp", w.Redirect)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(limit))
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: ehr.test\r\nCookie: %s\r\nContent-Length: 0\r\n\r\n", first, w.cookie("nora", "ehr.test"))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		_, target, _ := strings.Cut(first, " ")
		to := resp.Header.Get("Location")
		if resp.StatusCode == http.StatusPermanentRedirect && to != w.URL("ehr.test", target) || resp.StatusCode != http.StatusPermanentRedirect && resp.StatusCode < 400 {
			t.Errorf("%s: %d to %q", first, resp.StatusCode, to)
		}
		if len(resp.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: sets %q", first, resp.Header["Set-Cookie"])
		}
	}
	if raw := w.Backend.Text(); raw != "" {
		t.Errorf("the backend got\n%s", raw)
	}
}
