package attack_test

import (
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

// groupA: identity headers and claims.
func groupA() []row {
	forged := []string{"X-Remote-User: adam", "X-Remote-Roles: admins", "X-Anteroom-Assertion: e30.e30.x"}
	rows := []row{
		{id: "A1", name: "the header itself", as: "nora", send: both("GET /chart/1", "X-Remote-User: adam"), want: STRIP},
		{id: "A4", name: "two spellings at once", as: "nora", send: both("GET /chart/1", "x-rEmote-uSER: a", "X-Remote-User: b"), want: STRIP},
		{id: "A4", name: "one name twice", as: "nora", send: both("GET /chart/1", "X-Remote-User: a", "X-Remote-User: b"), want: STRIP},
		{id: "A5", name: "an open route, nobody", send: both("GET /pub/x", forged...), want: OPEN},
		{id: "A5", name: "an open route, somebody", as: "nora", send: both("GET /pub/x", forged...), want: OPEN},
		{id: "A6", name: "no groups", as: "eve", send: both("GET /chart/1", forged...), want: FORB},
		{id: "A6", name: "no groups, open route", as: "eve", send: both("GET /pub/x", forged...), want: OPEN},
		{id: "A6", name: "a claim that is missing", as: "lene", send: both("GET /chart/1", "X-Remote-Name: Adam", "X_Remote_Name: Adam"), want: STRIP},
		{id: "A7", name: "space before the colon", as: "nora", send: one(h1("GET /chart/1", "X-Remote-User : adam")), want: REJ(400)},
		{id: "A7", name: "tab before the colon", as: "nora", send: one(h1("GET /chart/1", "X-Remote-User\t: adam")), want: REJ(400)},
		{id: "A7", name: "byte 0xDC in the name", as: "nora", send: one(h1("GET /chart/1", "X-Remote-\xdcser: adam"), h2("GET /chart/1", "x-remote-\xdcser: adam")), want: REJ(400)},
		{id: "A7", name: "no name", as: "nora", send: one(h1("GET /chart/1", ": adam"), h2("GET /chart/1", ": adam")), want: REJ(400)},
		{id: "A8", name: "a folded line", as: "nora", send: one(h1("GET /chart/1", "X-Foo: a", " X-Remote-User: adam")), want: STRIPor400},
		{id: "A8", name: "a folded first line", as: "nora", send: one(raw("GET /chart/1 HTTP/1.1\r\n X-Remote-User: adam\r\nHost: {host}\r\n{cookie}\r\n")), want: REJ(400)},
		{id: "A9", name: "an announced trailer", as: "nora", want: STRIP, send: one(
			raw("POST /chart/1 HTTP/1.1\r\nHost: {host}\r\n{cookie}Trailer: X-Remote-User\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\nX-Remote-User: adam\r\n\r\n"),
			h2("POST /chart/1", "trailer: x-remote-user").with("a=b").trailers("x-remote-user: adam"))},
		{id: "A9", name: "an unannounced trailer", as: "nora", want: STRIPor400, send: one(
			raw("POST /chart/1 HTTP/1.1\r\nHost: {host}\r\n{cookie}Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\nX-Remote-User: adam\r\nX_Remote_User: adam\r\n\r\n"),
			h2("POST /chart/1").with("a=b").trailers("x-remote-user: adam"))},
		{id: "A10", name: "an assertion for another host", as: "nora", send: both("GET /chart/1", "X-Anteroom-Assertion: {foreign}", "X_Anteroom_Assertion: {foreign}"), want: STRIP},
		{id: "A11", name: "a name with a line break", run: nameWithLineBreak},
		{id: "A12", name: "a bearer token of the client's", as: "nora", send: both("GET /chart/1", "Authorization: Bearer junk"), want: STRIP},
	}
	for _, name := range []string{"X_Remote_User", "X-Remote_User", "x_remote-user", "X__Remote--User", "XRemoteUser", "-X-Remote-User", "X-Remote-User-", "Http-X-Remote-User", "HTTP_X_REMOTE_USER"} {
		rows = append(rows, row{id: "A2", name: name, as: "nora", send: both("GET /chart/1", name+": adam"), want: STRIPor400})
	}
	for _, name := range []string{"X.Remote.User", "X'Remote'User", "X~Remote+User", "X!Remote#User", "X$Remote%User", "X^Remote|User", "X`Remote*User", "X.Remote.User.", "X&Remote&User"} {
		rows = append(rows, row{id: "A3", name: name, as: "nora", send: both("GET /chart/1", name+": adam"), want: STRIPor400})
	}
	return rows
}

func one(r ...request) []request { return r }

func nameWithLineBreak(t *testing.T, w *world) {
	who := anteroomtest.Nora
	who.Sub, who.Name = "zoe-sub", "Zoë\r\nX-Remote-Roles: admins"
	w.Provider.Person(who)
	w.Browser(t).Get(w.URL("ehr.test", "/chart/1"))
	got, err := w.Backend.Take()
	if err != nil {
		t.Error(err)
	}
	for _, a := range got {
		if a.get("X-Remote-Roles") != "nurse" || strings.ContainsAny(a.get("X-Remote-Name"), "\r\në") || strings.Contains(a.raw, "\nX-Remote-Roles: admins") {
			t.Errorf("a claim became a header line:\n%s", a.raw)
		}
	}
}
