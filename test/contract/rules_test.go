package contract_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/anteroomtest"
)

const multi = "multipart/form-data; boundary=b"

func part(name, value string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n--b--\r\n"
}

// TestSensitiveFields holds row A5 of the hospital's list: a change of time is
// let through, one that touches billing or identity waits for a new sign-in,
// and no way of writing it down gets it to the backend before.
func TestSensitiveFields(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	aged(t, g, b)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write([]byte(`{"billing":"x"}`))
	w.Close()
	const place = "/appointments/3"
	for _, c := range []struct {
		name, target, contentType, body string
		header                          http.Header
		pass                            bool
	}{
		{"time by form", place, form, "time=9", nil, true},
		{"time by JSON", place, "application/json", `{"time":9,"patient":{"ward":4}}`, nil, true},
		{"time by multipart", place, multi, part("time", "9"), nil, true},
		{"nothing at all", place, "", "", nil, true},

		{"billing by form", place, form, "time=9&billing=x", nil, false},
		{"billing in another case", place, form, "Billing=x", nil, false},
		{"a part of billing", place, form, "billing%5Bcode%5D=x", nil, false},
		{"escaped letters", place, form, "%62illing=x", nil, false},
		{"identity by form", place, form, "patient.identity=x", nil, false},
		{"billing by JSON", place, "application/json", `{"billing":null}`, nil, false},
		{"escaped letters in JSON", place, "application/json", `{"\u0062illing":1}`, nil, false},
		{"identity by JSON", place, "application/merge-patch+json", `{"patient":{"identity":{}}}`, nil, false},
		{"billing by multipart", place, multi, part("billing", "x"), nil, false},

		{"JSON said to be text", place, "text/plain", `{"billing":"x"}`, nil, false},
		{"JSON said to be nothing", place, "", `{"billing":"x"}`, nil, false},
		{"JSON said to be a form", place, form, `{"billing":"x"}`, nil, false},
		{"two types", place, "", `{"billing":"x"}`, http.Header{"Content-Type": {"image/png", "application/json"}}, false},
		{"XML", place, "application/xml", "<billing/>", nil, false},
		{"another alphabet", place, "application/json; charset=utf-16", "\x00{", nil, false},
		{"compressed", place, "application/json", zipped.String(), http.Header{"Content-Encoding": {"gzip"}}, false},
		{"a list", place, "application/json", `[{"billing":"x"}]`, nil, false},
		{"a name twice", place, "application/json", `{"a":{"x":1},"A":{"billing":1}}`, nil, false},
		{"cut off", place, "application/json", `{"time":9`, nil, false},
		{"more than is read", place, form, "time=" + strings.Repeat("9", 64<<10) + "&billing=x", nil, false},
		{"in the query", place + "?billing=x", form, "time=9", nil, false},
		{"in the query, without a body", place + "?patient%5Bidentity%5D=x", "", "", nil, false},
		{"a query nobody can read", place + "?a=%31;billing=x", form, "time=9", nil, false},

		{"another case of the path", "/APPOINTMENTS/3", form, "billing=x", nil, false},
		{"an escaped path", "/%61ppointments/%33", form, "billing=x", nil, false},
		{"a method override", place, form, "billing=x", http.Header{"X-Http-Method-Override": {"GET"}, "X-Method-Override": {"GET"}, "X-Http-Method": {"GET"}}, false},
	} {
		p := b.Call("POST", g.URL("ehr.test", c.target), c.contentType, c.body, c.header)
		if c.pass {
			if got, _ := g.Backend.Last(); p.Status != 200 || string(got.Body) != c.body {
				t.Errorf("%s: %d, the backend got %q", c.name, p.Status, got.Body)
			}
			g.Backend.Forget()
			continue
		}
		if p.Status != 401 || problem(t, p)["rule"] != "change of billing" {
			t.Errorf("%s: %d %s", c.name, p.Status, p.Body)
		}
		untouched(t, g, c.name)
	}
	// After the step-up it is let through as it was.
	p := b.Release(b.Continue(b.Post(g.URL("ehr.test", place), "application/json", `{"billing":"x"}`)))
	got, _ := g.Backend.Last()
	if p.Status != 200 || string(got.Body) != `{"billing":"x"}` || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("after the step-up: %d, the backend got %+v", p.Status, got)
	}
}

// TestRulesOnlyAskForMore holds what rules look at: methods, paths and queries
// in every spelling that a backend might take for the same.
func TestRulesOnlyAskForMore(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(s, "    rules:\n", `    rules:
      - name: old dispatcher
        when: {query: {cmd: amend}}
        require: {within: 5m}
      - name: reports
        when: {methods: [GET], path: "/reports/*/full"}
        require: {within: 5m}
      - name: keep nothing
        when: {methods: [POST], path: /bulk/**}
        require: {within: 5m}
        keep_request: 0
`, 1)
	}})
	b := g.Browser(t)
	aged(t, g, b)
	for _, c := range []struct{ name, method, target, rule string }{
		{"reading", "GET", "/orders/7", ""},
		{"amending", "POST", "/orders/7", "amend an order"},
		{"** is also none", "POST", "/orders", "amend an order"},
		{"** is also a slash", "POST", "/orders/", "amend an order"},
		{"** is many", "DELETE", "/orders/7/lines/3", "amend an order"},
		{"on segment boundaries", "POST", "/ordersx", ""},
		{"another case", "PATCH", "/Orders/7", "amend an order"},
		{"escaped", "PUT", "/%6frders/7", "amend an order"},
		{"GET", "GET", "/reports/7/full", "reports"},
		{"HEAD is judged as GET", "HEAD", "/reports/7/full", "reports"},
		{"* is one segment", "GET", "/reports/7/8/full", ""},
		{"a parameter", "GET", "/x?cmd=amend", "old dispatcher"},
		{"in another case", "GET", "/x?CMD=AMEND", "old dispatcher"},
		{"of another value", "GET", "/x?cmd=show", ""},
		{"twice", "GET", "/x?cmd=show&cmd=show", "old dispatcher"},
		{"escaped parameter", "GET", "/x?%63md=%61mend", "old dispatcher"},
		{"by HEAD", "HEAD", "/x?cmd=amend", "old dispatcher"},
		{"that cannot be read", "GET", "/x?a;cmd=amend", "old dispatcher"},
	} {
		p := b.Call(c.method, g.URL("ehr.test", c.target), "", "", nil)
		want := 200
		if c.rule != "" {
			want = 401
		}
		if p.Status != want {
			t.Errorf("%s: %d, want %d", c.name, p.Status, want)
		}
		if c.rule != "" && c.method != "HEAD" && problem(t, p)["rule"] != c.rule {
			t.Errorf("%s: %s", c.name, p.Body)
		}
		if got, ok := g.Backend.Last(); c.rule == "" && (!ok || got.Method != c.method || got.Target != c.target) {
			t.Errorf("%s: the backend got %s %s", c.name, got.Method, got.Target)
		}
		if c.rule != "" {
			untouched(t, g, c.name)
		}
		g.Backend.Forget()
	}
	// keep_request: 0 says so before any prompt.
	if p := b.Post(g.URL("ehr.test", "/bulk/1"), form, "a=b"); p.Status != 413 {
		t.Errorf("keep_request 0: %d", p.Status)
	}
	untouched(t, g, "a request that is not kept")
}
