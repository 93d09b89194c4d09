package attack_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// groupE: HTTP/1.1 framing. A request that the server writes anew, whole and
// clean, is as good as a refused one: the harm is in two readings.
func groupE() []row {
	body := func(headers, body string) request {
		return raw("POST /chart/1 HTTP/1.1\r\nHost: {host}\r\n{cookie}" + headers + "\r\n" + body)
	}
	chunked := func(chunks string) request { return body("Transfer-Encoding: chunked\r\n", chunks) }
	smuggled := "GET /admin HTTP/1.1\r\nHost: x\r\nX-Remote-User: adam\r\n\r\n"
	rows := []row{
		{id: "E1", name: "both lengths", as: "nora", want: STRIPor400, send: one(
			body("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
			body("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "3\r\na=b\r\n0\r\n\r\n"))},
		{id: "E4", name: "differing lengths", as: "nora", want: REJ(400), send: one(body("Content-Length: 3\r\nContent-Length: 5\r\n", "a=bcd"))},
		{id: "E4", name: "equal lengths twice", as: "nora", want: STRIPor400, send: one(body("Content-Length: 3\r\nContent-Length: 3\r\n", "a=b"))},
		{id: "E5", name: "other spellings of the framing", as: "nora", want: STRIPor400, send: append(
			both("GET /chart/1", "Content_Length: 5", "Transfer_Encoding: chunked", "Content.Length: 5"),
			body("Content-Length: 3\r\nTransfer_Encoding: chunked\r\n", "a=b"))},
		{id: "E8", name: "bare line feeds", as: "nora", want: STRIPor400, send: one(raw("GET /chart/1 HTTP/1.1\nHost: {host}\nCookie: {value}\n\n"),
			raw("GET /chart/1 HTTP/1.1\r\nHost: {host}\n{cookie}X-Remote-User: adam\n\r\n"))},
		{id: "E9", name: "NUL in a value", as: "nora", want: REJ(400), send: one(h1("GET /chart/1", "X-Foo: a\x00b"), h2("GET /chart/1", "x-foo: a\x00b"))},
		{id: "E9", name: "bare CR in a value", as: "nora", want: REJ(400), send: one(h1("GET /chart/1", "X-Foo: a\rX-Remote-User: adam"), h2("GET /chart/1", "x-foo: a\rX-Remote-User: adam"))},
		{id: "E10", name: "a GET with a request for a body", as: "nora", want: STRIP, send: one(post("GET /chart/1", smuggled), post("GET /chart/1", "GET /admin HTTP/1.1\r\nHost: x\r\n"), h2("GET /chart/1").with(smuggled))},
		{id: "E10", name: "a DELETE, a HEAD, an OPTIONS with one", as: "nora", want: STRIP, send: one(post("DELETE /chart/1", smuggled), post("HEAD /chart/1", smuggled), post("OPTIONS /chart/1", smuggled))},
		{id: "E11", name: "pipelined, the second without a session", as: "nora", want: secondIsLogin, send: one(request{answers: 2,
			raw: "GET /chart/1 HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\nGET /chart/2 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"})},
		{id: "E11", name: "pipelined behind a refused one", as: "nora", want: REJ(400), send: one(request{answers: 2,
			raw: "GET /chart/../x HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\nGET /chart/2 HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n"})},
		{id: "E13", name: "an early answer", run: earlyAnswer},
	}
	for _, te := range []string{"xchunked", "chunked, identity", "gzip, chunked", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity", "identity", "chunked, chunked"} {
		rows = append(rows, row{id: "E2", name: te, as: "nora", want: REJ(400, 501), send: one(body("Transfer-Encoding: "+te+"\r\n", "0\r\n\r\n"))})
	}
	for _, te := range []string{"\x0bchunked", "chunked\x0b", "\x0cchunked", `"chunked"`, ", chunked", "chunked,", "chunked;q=1", "chun ked"} {
		rows = append(rows, row{id: "E3", name: te, as: "nora", want: REJ(400, 501), send: one(body("Transfer-Encoding: "+te+"\r\n", "0\r\n\r\n"))})
	}
	for _, length := range []string{"3, 3", "+3", "0x3", "-1", "3 3", "3,", "3.0", "", "99999999999999999999"} {
		rows = append(rows, row{id: "E4", name: "length " + length, as: "nora", want: REJ(400), send: one(body("Content-Length: "+length+"\r\n", "a=b"))})
	}
	for _, size := range []string{"0x3", "-3", "+3", " 3", "3g", "00000000000000000003", "fffffffffffffffff", "", "3_0"} {
		rows = append(rows, row{id: "E6", name: "size " + size, as: "nora", want: cutOff, send: one(
			chunked(size+"\r\na=b\r\n0\r\n\r\n"+smuggled), chunked("3\r\na=b\r\n"+size+"\r\na=b\r\n0\r\n\r\n"+smuggled))})
	}
	for name, chunk := range map[string]string{"LF": "3\na=b\n0\n\n", "CR": "3\ra=b\r0\r\r", "LF in an extension": "3;a\nb\r\na=b\r\n0\r\n\r\n", "LF after the data": "3\r\na=b\n0\r\n\r\n", "CR LF inside the data": "3\r\na=bc\r\n0\r\n\r\n"} {
		rows = append(rows, row{id: "E7", name: "ended by " + name, as: "nora", want: cutOff, send: one(chunked(chunk + smuggled))})
	}
	for _, version := range []string{"HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/1.10", "http/1.1", "HTTP/1", "HTTP/1.1 x", "HTTPS/1.1"} {
		rows = append(rows, row{id: "E12", name: version, as: "nora", want: REJ(400, 505), send: one(raw("GET /chart/1 " + version + "\r\nHost: {host}\r\n{cookie}\r\n"))})
	}
	return append(rows,
		row{id: "E12", name: "no version", as: "nora", want: REJ(400), send: one(raw("GET /chart/1\r\nHost: {host}\r\n{cookie}\r\n"))},
		row{id: "E12", name: "the HTTP/2 preface", as: "nora", want: REJ(400, 405, 505), send: one(raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))})
}

// cutOff: refused, the connection is over, and what follows the doubt reached
// nobody. The header may have gone out before the doubt came.
func cutOff(w *world, c *attempt) error {
	if c.status != 400 && c.status != 502 && c.status != 0 || !c.closed {
		return fmt.Errorf("status %d, closed %v", c.status, c.closed)
	}
	return c.unfinished()
}

// unfinished checks that no whole request reached the backend.
func (c *attempt) unfinished() error {
	if c.strange != nil {
		return c.strange
	}
	for _, a := range c.got {
		if len(c.got) > 1 || a.whole || strings.Contains(a.raw, "/admin") {
			return fmt.Errorf("the backend got\n%s", a.raw)
		}
	}
	return nil
}

func secondIsLogin(w *world, c *attempt) error {
	if len(c.later) != 1 || c.later[0] != http.StatusUnauthorized {
		return fmt.Errorf("the second is answered %d", c.later)
	}
	return STRIP(w, c)
}

// earlyAnswer has a backend refuse a body before it came: who waits to send it,
// and who comes next on either connection, gets their own answer.
func earlyAnswer(t *testing.T, w *world) {
	w.Backend.Handle(func(out http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			out.WriteHeader(http.StatusUnauthorized)
			io.WriteString(out, "early")
			return
		}
		io.WriteString(out, "answer to "+r.URL.Path)
	})
	c, err := w.dial(t.Context(), stranger, "ehr.test", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * limit))
	host, cookie := "ehr.test:"+w.Port, w.cookie("nora", "ehr.test")
	body := "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
	fmt.Fprintf(c, "POST /chart/1 HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", host, cookie, len(body), body)
	fmt.Fprintf(c, "GET /chart/next HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", host, cookie)
	br := bufio.NewReader(c)
	for i := 0; i < 2; {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			if i == 1 {
				break // ended after the first answer, which is as good
			}
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"early", "answer to /chart/next"}[i]; string(text) != want {
			t.Errorf("answer %d is %q, want %q", i+1, text, want)
		}
		i++
	}
	got, err := w.Backend.Take()
	if err != nil {
		t.Error(err)
	}
	for _, a := range got {
		if a.target != "/chart/1" && a.target != "/chart/next" {
			t.Errorf("a body became a request: %+v", a)
		}
	}
}
