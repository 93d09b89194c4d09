package attack_test

import (
	"fmt"

	"golang.org/x/net/http2/hpack"
)

// groupF: HTTP/2 frames.
func groupF() []row {
	path := func(p string) request {
		r := frames(":method: GET", ":scheme: https", ":path: /", ":authority: {host}", "{cookie}")
		r.fields[2].Value = p
		return r
	}
	field := func(name, value string) request {
		r := h2("GET /chart/1")
		r.fields = append(r.fields, hpack.HeaderField{Name: name, Value: value})
		return r
	}
	var rows []row
	for _, p := range []string{"chart/1", "", "/chart/ 1", "/chart/1\r\nX-Remote-User: adam", "/chart/1 HTTP/1.1\r\nX-Remote-User: adam\r\n\r\n", "*", "https://ehr.test/chart/1", "//ehr.test/admin", "?/chart", "/chart/1\x00", "/chart/1#x"} {
		rows = append(rows, row{id: "F1", name: p, as: "nora", send: one(path(p)), want: REJ(400)})
	}
	for _, name := range []string{"transfer-encoding", "connection", "upgrade", "keep-alive", "proxy-connection"} {
		value := map[string]string{"transfer-encoding": "chunked", "upgrade": "websocket"}[name]
		if value == "" {
			value = "x-remote-user"
		}
		rows = append(rows, row{id: "F3", name: name, as: "nora", send: one(field(name, value)), want: either(REJ(400), STRIP)})
	}
	return append(rows, []row{
		{id: "F2", name: "host beside :authority", as: "nora", send: one(field("host", "img.test")), want: STRIPor400},
		{id: "F2", name: "host alone", as: "nora", send: one(frames(":method: GET", ":scheme: https", ":path: /chart/1", "host: {host}", "{cookie}")), want: STRIPor400},
		{id: "F2", name: "user information", as: "nora", send: one(frames(":method: GET", ":scheme: https", ":path: /chart/1", ":authority: u@{host}", "{cookie}")), want: REJ(400)},
		{id: "F2", name: "another scheme", as: "nora", send: one(frames(":method: GET", ":scheme: http", ":path: /chart/1", ":authority: {host}", "{cookie}")), want: STRIPor400},
		{id: "F4", name: "less than the length", as: "nora", send: one(h2("POST /chart/1", "content-length: 30").with("short")), want: cutOff2},
		{id: "F4", name: "more than the length", as: "nora", send: one(h2("POST /chart/1", "content-length: 3").with("a=bGET /admin HTTP/1.1\r\n\r\n")), want: cutOff2},
		{id: "F4", name: "a length of nothing", as: "nora", send: one(h2("POST /chart/1", "content-length: 0").with("GET /admin HTTP/1.1\r\n\r\n")), want: either(cutOff2, bodiless)},
		{id: "F4", name: "two lengths", as: "nora", send: one(h2("POST /chart/1", "content-length: 3", "content-length: 5").with("a=bcd")), want: cutOff2},
		{id: "F4", name: "a length that is no number", as: "nora", send: one(h2("POST /chart/1", "content-length: +3").with("a=b")), want: either(cutOff2, bodiless)},
		{id: "F5", name: "a pseudo-header twice", as: "nora", send: one(frames(":method: GET", ":scheme: https", ":path: /chart/1", ":path: /admin", ":authority: {host}", "{cookie}")), want: REJ(400)},
		{id: "F5", name: "a late pseudo-header", as: "nora", send: one(frames(":method: GET", ":scheme: https", ":authority: {host}", "{cookie}", ":path: /chart/1")), want: REJ(400)},
		{id: "F5", name: "an unknown pseudo-header", as: "nora", send: one(frames(":method: GET", ":scheme: https", ":path: /chart/1", ":authority: {host}", ":user: adam", "{cookie}")), want: REJ(400)},
		{id: "F5", name: "extended CONNECT", as: "nora", send: one(frames(":method: CONNECT", ":protocol: websocket", ":scheme: https", ":path: /chart/1", ":authority: {host}", "{cookie}")), want: REJ(400, 405)},
		{id: "F5", name: "upper case", as: "nora", send: one(field("X-Remote-User", "adam")), want: REJ(400)},
		{id: "F5", name: "CR LF in a value", as: "nora", send: one(field("x-foo", "a\r\nX-Remote-User: adam")), want: REJ(400)},
		{id: "F5", name: "CR LF in a name", as: "nora", send: one(field("x-foo\r\nx-remote-user", "adam")), want: REJ(400)},
		{id: "F5", name: "a colon in a name", as: "nora", send: one(field("x-foo:x-remote-user", "adam")), want: REJ(400)},
		{id: "F5", name: "a pseudo-header among the trailers", as: "nora", send: one(h2("POST /chart/1").with("a=b").trailers(":path: /admin")), want: either(cutOff2, STRIP)},
		{id: "F6", name: "a stricter host on a connection for a laxer one", as: "nora", send: one(frames(":method: GET", ":scheme: https", ":path: /study/1", ":authority: img.test", "{cookie}")), want: REJ(421)},
	}...)
}

// cutOff2: the stream ends, or is refused, and no whole request reached the backend.
func cutOff2(_ *world, c *attempt) error {
	if c.status != 400 && !(c.status == 0 && c.closed) {
		return fmt.Errorf("status %d, closed %v", c.status, c.closed)
	}
	return c.unfinished()
}

// bodiless: what was announced, nothing, is what the backend got; the surplus
// ended the stream, perhaps only after that.
func bodiless(w *world, c *attempt) error {
	if c.status != 200 && c.status != 400 && !(c.status == 0 && c.closed) {
		return fmt.Errorf("status %d", c.status)
	}
	if c.strange != nil {
		return c.strange
	}
	for _, a := range c.got {
		if len(c.got) > 1 || !a.whole || a.body != "" {
			return fmt.Errorf("the backend got\n%s", a.raw)
		}
	}
	return nil
}
