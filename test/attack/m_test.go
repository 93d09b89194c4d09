package attack_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// groupM: policy, caching, routes, connections to backends. M1 is about bearer
// tokens, which nothing in this version accepts (A12).
func groupM() []row {
	preflight := func(origin string) []string {
		return []string{"Origin: " + origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-remote-user", "X-Remote-User: adam", "X-Anteroom-Assertion: {foreign}"}
	}
	rows := []row{
		{id: "M3", name: "a foreign origin", as: "nora", send: both("OPTIONS /chart/1", preflight("https://evil.test")...), want: all(FORB, noCORS)},
		{id: "M3", name: "a foreign origin, nobody", send: both("OPTIONS /chart/1", preflight("https://evil.test")...), want: all(FORB, noCORS)},
		{id: "M3", name: "a foreign origin, open route", send: both("OPTIONS /pub/x", preflight("https://evil.test")...), want: all(FORB, noCORS)},
		{id: "M3", name: "a listed origin", as: "nora", send: both("OPTIONS /chart/1", preflight("https://portal.test:{port}")...), want: status(204, 403)},
		{id: "M3", name: "no preflight at all", as: "nora", send: both("OPTIONS /chart/1", "Origin: https://evil.test", "X-Remote-User: adam"), want: STRIP},
		{id: "M4", name: "what a rule by fields cannot read", as: "nora", want: status(401), send: one(
			post("POST /appointments/1", `{"billing":`, "Content-Type: application/json"),
			post("POST /appointments/1", `[{"note":1}]`, "Content-Type: application/json"),
			post("POST /appointments/1", `{"note":1,"note":2}`, "Content-Type: application/json"),
			post("POST /appointments/1", "note=1", "Content-Type: application/octet-stream"),
			post("POST /appointments/1", "note=1"),
			post("POST /appointments/1", "\x1f\x8b", "Content-Type: application/json", "Content-Encoding: gzip"),
			post("POST /appointments/1", `{"note":1}`, "Content-Type: application/json; charset=utf-7"),
			post("POST /appointments/1", `{"note":1}`, "Content-Type: application/json", "Content-Type: text/plain"),
			post("POST /appointments/1", `{"note":"`+strings.Repeat("x", 70<<10)+`"}`, "Content-Type: application/json"),
			post("POST /appointments/1", strings.Repeat("[", 60<<10), "Content-Type: application/json"),
			post("POST /appointments/1", `{"BILLING":{"code":1}}`, "Content-Type: application/json"),
			post("POST /appointments/1", "bill%69ng[code]=1", "Content-Type: "+form))},
		{id: "M4", name: "what it can", as: "nora", want: STRIP, send: one(post("POST /appointments/1", `{"note":1}`, "Content-Type: application/json"))},
		{id: "M4", name: "claims of odd types", run: oddClaims},
		{id: "M5", name: "an answer without cache headers", run: caching},
		{id: "M6", name: "a backend that authenticates connections", run: connectionAuth},
		{id: "M7", name: "a service worker", as: "nora", send: both("GET /sw.js", "Service-Worker: script"), want: FORB},
		{id: "M7", name: "a service worker by its destination", as: "nora", send: both("GET /sw.js", "Sec-Fetch-Dest: serviceworker"), want: FORB},
		{id: "M7", name: "a scope from the backend", run: workerScope},
	}
	for _, agent := range []string{"kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"} {
		rows = append(rows, row{id: "M2", name: agent, send: both("GET /chart/1", "User-Agent: "+agent), want: LOGIN})
	}
	for _, path := range []string{"/healthz", "/healthz/../chart/1", "/ping", "/ready", "/health/../admin", "/oauth2/auth", "/metrics"} {
		rows = append(rows, row{id: "M2", name: path, send: both("GET "+path, "User-Agent: kube-probe/1.30"), want: either(LOGIN, REJ(400))})
	}
	return rows
}

func noCORS(_ *world, c *attempt) error {
	if v := c.header["Access-Control-Allow-Origin"]; len(v) > 0 {
		return fmt.Errorf("it allows %q", v)
	}
	return nil
}

func oddClaims(t *testing.T, w *world) {
	for name, value := range map[string]any{
		"acr": map[string]any{"x": 1}, "amr": "pwd", "auth_time": "yesterday", "preferred_username": []string{"adam"}, "name": 7, "sid": []int{1}, "exp": "9999999999", "iat": 1e300,
	} {
		w.Provider.EditIDToken(func(c map[string]any) { c[name] = value })
		w.Backend.Forget()
		b, _ := enters(t, w)
		p := b.Post(w.URL("ehr.test", "/orders/7"), form, "dose=2")
		if name != "acr" && name != "amr" && name != "name" && name != "sid" && posts(t, w) > 0 {
			t.Errorf("%s: %d, and the order reached the backend", name, p.Status)
		}
		if strings.Contains(w.Backend.Text(), "X-Remote-User: adam") {
			t.Errorf("%s became adam", name)
		}
	}
}

func caching(t *testing.T, w *world) {
	b, _ := enters(t, w)
	for said, want := range map[string]string{"": "private, no-store", "public, max-age=60": "private, max-age=60", "PUBLIC": "private", "no-cache": "no-cache"} {
		w.Backend.Handle(func(out http.ResponseWriter, r *http.Request) {
			if said != "" {
				out.Header().Set("Cache-Control", said)
			}
		})
		for _, path := range []string{"/chart/1", "/chart/1/x.css"} {
			if p := b.Get(w.URL("ehr.test", path)); p.Header.Get("Cache-Control") != want {
				t.Errorf("%s: %q became %q, want %q", path, said, p.Header.Get("Cache-Control"), want)
			}
		}
	}
}

func connectionAuth(t *testing.T, w *world) {
	for _, scheme := range []string{"NTLM", "Negotiate", "negotiate abc", "nTLM TlRMTVNTUAAC"} {
		w.Backend.Handle(func(out http.ResponseWriter, r *http.Request) {
			out.Header().Add("WWW-Authenticate", "Basic realm=x")
			out.Header().Add("WWW-Authenticate", scheme)
			out.WriteHeader(http.StatusUnauthorized)
		})
		if a := w.send(t, h1("GET /chart/1"), "nora", stranger); a.status != http.StatusBadGateway || a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %v", scheme, a.status, a.header["Www-Authenticate"])
		}
	}
}

func workerScope(t *testing.T, w *world) {
	w.Backend.Handle(func(out http.ResponseWriter, r *http.Request) { out.Header().Set("Service-Worker-Allowed", "/") })
	if a := w.send(t, h1("GET /js/app.js"), "nora", stranger); a.status != 200 || a.header.Get("Service-Worker-Allowed") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// groupN: device posture. N3 is about signed statements, which no source of
// this version makes.
func groupN() []row {
	study := func(headers ...string) []request {
		var all []request
		for _, r := range both("GET /study/1", headers...) {
			all = append(all, r.at("img.test"))
		}
		return all
	}
	good := []string{"X-Mdm-Device-Id: ipad-1", "X-Mdm-Platform: ipados", "X-Mdm-Os-Version: 26.3", "X-Mdm-Managed: true", "X-Mdm-Compromised: false", "X-Mdm-Lost: false",
		"X-Mdm-Checked-In-At: {14m ago}"}
	and := func(more ...string) []string { return append(append([]string(nil), good...), more...) }
	at := func(word string) string { return "X-Mdm-Asserted-At: " + word }
	rows := []row{
		{id: "N1", name: "from a source that is not the sender", as: "tablet", send: study(good...), want: all(FORB, unknownDevice)},
		{id: "N1", name: "a sender named in X-Forwarded-For", as: "tablet", from: balancer, client: tunnel, send: study(and("X-Forwarded-For: 127.0.0.1")...), want: all(FORB, unknownDevice)},
		{id: "N1", name: "to a backend", as: "nora", send: both("GET /chart/1", good...), want: STRIP},
		{id: "N2", name: "fit", as: "tablet", from: tunnel, send: study(good...), want: served},
		{id: "N2", name: "fresh enough", as: "tablet", from: tunnel, send: study(and(at("{14m ago}"))...), want: served},
		{id: "N2", name: "older than its limit", as: "tablet", from: tunnel, send: study(and(at("{16m ago}"))...), want: all(FORB, unknownDevice)},
		{id: "N2", name: "of the future", as: "tablet", from: tunnel, send: study(and(at("{in 1h}"))...), want: all(FORB, unknownDevice)},
		{id: "N2", name: "of no time", as: "tablet", from: tunnel, send: study(and("X-Mdm-Asserted-At: yesterday")...), want: all(FORB, unknownDevice)},
		{id: "N2", name: "cause and remedy", run: causeAndRemedy},
		{id: "N4", name: "during a WebSocket", run: postureTurns},
	}
	for _, h := range []string{"X_Mdm_Managed", "X-Mdm_Managed", "x_mdm-managed", "X.Mdm.Managed", "XMdmManaged", "HTTP_X_MDM_MANAGED", "X-Mdm-Managed-"} {
		rows = append(rows,
			row{id: "N1", name: h, as: "tablet", send: study(h+": true", "X-Mdm-Device-Id: ipad-1"), want: all(FORB, unknownDevice)},
			row{id: "N1", name: h + " from the sender", as: "tablet", from: tunnel, send: study(and(h + ": true")...), want: REJ(400)},
			row{id: "N1", name: h + " to a backend", as: "nora", send: both("GET /chart/1", h+": true"), want: STRIP})
	}
	for name, h := range map[string]string{"twice": "X-Mdm-Managed: true", "with a comma": "X-Mdm-Security-Patch: a", "named by Connection": "Connection: close, X-Mdm-Lost"} {
		send := study(and(h)...)
		want := REJ(400)
		switch name {
		case "with a comma":
			bad := append([]string(nil), good...)
			bad[3] = "X-Mdm-Managed: true, false"
			send = study(bad...)
		case "named by Connection":
			send = send[:1]
		}
		rows = append(rows, row{id: "N1", name: name + " from the sender", as: "tablet", from: tunnel, send: send, want: want})
	}
	return rows
}

func served(_ *world, c *attempt) error {
	if c.status != 200 || len(c.got) != 1 {
		return fmt.Errorf("status %d, %d requests at the backend", c.status, len(c.got))
	}
	return nil
}

// unknownDevice: decided as if nothing were known of the device.
func unknownDevice(w *world, c *attempt) error {
	records := w.Audit(audit.Query{RequestID: c.header.Get("X-Request-Id"), Event: access.EventAccess})
	if len(records) == 0 || records[0].Reason != access.DeviceUnknown {
		return fmt.Errorf("recorded as %+v", records)
	}
	return nil
}

func causeAndRemedy(t *testing.T, w *world) {
	b := old(t, w, anteroomtest.Nora, func(b *anteroomtest.Browser) { b.Device = anteroomtest.Compliant("ipad-2") })
	b.Device.Set("X-Mdm-Checked-In-At", time.Now().Add(-25*time.Hour).UTC().Format(time.RFC3339))
	p := b.Get(w.URL("img.test", "/study/1"))
	if p.Status != http.StatusForbidden || p.Code() != "device_fresh_checkin" || !strings.Contains(p.Body, "4000") {
		t.Errorf("%d %s\n%s", p.Status, p.Code(), p.Body)
	}
}

func postureTurns(t *testing.T, w *world) {
	b := old(t, w, anteroomtest.Nora, func(b *anteroomtest.Browser) { b.Device = anteroomtest.Compliant("ipad-3") })
	b.Get(w.URL("img.test", "/study/1"))
	var headers []string
	for name, values := range b.Device {
		headers = append(headers, name+": "+values[0])
	}
	ended := socket(t, w, "img.test", b.Cookie("img.test", "__Host-anteroom"), tunnel, headers...)
	b.Device.Set("X-Mdm-Os-Version", "18.1")
	since := time.Now()
	if p := b.Call("GET", w.URL("img.test", "/study/1"), "", "", nil); p.Status != http.StatusForbidden {
		t.Errorf("%d", p.Status)
	}
	closes(t, ended, since)
}
