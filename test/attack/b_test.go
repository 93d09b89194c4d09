package attack_test

import (
	"strings"
	"testing"
)

// groupB: hop-by-hop and forwarding headers.
func groupB() []row {
	named := "X-Remote-User, X-Anteroom-Assertion"
	rows := []row{
		{id: "B1", name: "Connection names ours", as: "nora", send: one(h1("GET /chart/1", "Connection: close, "+named)), want: STRIPor400},
		{id: "B1", name: "Connection names every header", as: "nora", send: one(h1("GET /chart/1", "Connection: close, Host, X-Forwarded-For, X-Request-Id, Traceparent, Cookie")), want: STRIPor400},
		{id: "B1", name: "Connection names another spelling", as: "nora", send: one(h1("GET /chart/1", "Connection: close, X_Remote_User, x.anteroom.assertion")), want: STRIPor400},
		{id: "B2", name: "in lower case, over two lines", as: "nora", send: one(h1("GET /chart/1", "connection: close", "connection: x-remote-user", "Connection: x-anteroom-assertion")), want: STRIPor400},
		{id: "B2", name: "Keep-Alive and Proxy-Connection", as: "nora", send: one(h1("GET /chart/1", "Keep-Alive: X-Remote-User", "Proxy-Connection: X-Remote-User")), want: STRIP},
		{id: "B3", name: "a source that is believed in nothing", as: "nora", send: both("GET /chart/1", "X-Forwarded-For: 10.0.0.1", "X-Real-IP: 10.0.0.1",
			"True-Client-IP: 10.0.0.1", "Forwarded: for=10.0.0.1", "X-Forwarded-For: 127.0.0.7", "X_Forwarded_For: 10.0.0.1"), want: STRIP},
		{id: "B3", name: "on an open route", send: both("GET /pub/x", "X-Forwarded-For: 10.0.0.1", "X-Real-IP: 10.0.0.1"), want: OPEN},
		{id: "B4", name: "the right-most hop that is not trusted", as: "nora", from: balancer, client: "203.0.113.7", send: both("GET /chart/1", "X-Forwarded-For: 10.0.0.1, 203.0.113.7"), want: STRIP},
		{id: "B4", name: "over two lines", as: "nora", from: balancer, client: "203.0.113.7", send: both("GET /chart/1", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 203.0.113.7"), want: STRIP},
		{id: "B4", name: "through two trusted hops", as: "nora", from: balancer, client: "203.0.113.7", send: both("GET /chart/1", "X-Forwarded-For: 10.0.0.1, 203.0.113.7, 127.0.0.7"), want: STRIP},
		{id: "B4", name: "a hop that is no address", as: "nora", from: balancer, send: both("GET /chart/1", "X-Forwarded-For: 10.0.0.1, what"), want: STRIP},
		{id: "B4", name: "no hop", as: "nora", from: balancer, send: both("GET /chart/1", "X-Forwarded-For: ", "X-Real-IP: 10.0.0.1"), want: STRIP},
		{id: "B5", name: "served", as: "nora", send: both("GET /chart/1", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: http", "X-Forwarded-Port: 1",
			"X-Forwarded-Prefix: /x", "X-Forwarded-Server: z", "X-Forwarded-Ssl: off", "X-Forwarded-Scheme: http"), want: STRIP},
		{id: "B5", name: "sent to sign in", send: both("GET /chart/1", "Accept: text/html", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: http", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /x"), want: all(LOGIN, hereOnly)},
		{id: "B5", name: "sent to sign in, from the load balancer", from: balancer, send: both("GET /chart/1", "Accept: text/html", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: http"), want: all(LOGIN, hereOnly)},
	}
	for _, h := range []string{"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-Forwarded-Uri: /admin", "X_Original_URL: /admin", "X-Original-Host: admin.test", "X-Forwarded-Path: /admin"} {
		rows = append(rows,
			row{id: "B6", name: h, as: "eve", send: both("GET /pub/x", h), want: OPEN},
			row{id: "B6", name: h + " on a guarded path", as: "eve", send: both("GET /admin", strings.Replace(h, "/admin", "/pub/x", 1)), want: FORB})
	}
	for _, h := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "X_HTTP_Method_Override", "X.Method.Override"} {
		rows = append(rows, row{id: "B7", name: h, as: "nora", send: both("GET /orders/9", h+": POST"), want: STRIP})
	}
	for _, h := range []string{"Proxy", "HTTP-Proxy", "Http_Proxy", "PROXY"} {
		rows = append(rows, row{id: "B8", name: h, as: "nora", send: both("GET /chart/1", h+": http://evil.test/"), want: STRIP})
	}
	return rows
}

// hereOnly checks that nothing the client said of hosts stands in the answer,
// and that cookies are what they always are.
func hereOnly(w *world, c *attempt) error {
	for name, values := range c.header {
		for _, v := range values {
			if strings.Contains(v, "evil.test") || strings.Contains(v, "http://") {
				c.t.Errorf("%s: %s", name, v)
			}
		}
	}
	checkCookies(c.t, c.header["Set-Cookie"])
	return nil
}

// checkCookies checks the attributes of the gateway's own cookies (I6).
func checkCookies(t testing.TB, lines []string) {
	t.Helper()
	for _, line := range lines {
		low := strings.ToLower(line)
		if !strings.HasPrefix(low, "__host-anteroom") || !strings.Contains(low, "; secure") || !strings.Contains(low, "; httponly") ||
			!strings.Contains(low, "; samesite=lax") || !strings.Contains(low, "; path=/") || strings.Contains(low, "domain=") {
			t.Errorf("cookie %s", line)
		}
	}
}
