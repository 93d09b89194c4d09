package routes_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
)

func pattern(t testing.TB, s string) *routes.Pattern {
	t.Helper()
	p, err := routes.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func request(t testing.TB, method, host, target string) *routes.Request {
	t.Helper()
	escaped, query, has := strings.Cut(target, "?")
	p, err := routes.ParsePath(escaped)
	if err != nil {
		t.Fatalf("path %s: %v", escaped, err)
	}
	return &routes.Request{Host: host, Method: method, Path: p, RawQuery: query, HasQuery: has}
}

func table(t testing.TB, all ...*routes.Route) *routes.Table {
	t.Helper()
	for _, r := range all {
		if r.Backend == nil {
			r.Backend = &routes.Backend{}
		}
	}
	tab, err := routes.NewTable(all)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestMatch(t *testing.T) {
	tab := table(t,
		&routes.Route{Name: "root", Host: "rx.test", Prefix: "/"},
		&routes.Route{Name: "status", Host: "rx.test", Prefix: "/status"},
		&routes.Route{Name: "deep", Host: "rx.test", Prefix: "/status/deep/er"},
		&routes.Route{Name: "tomcat", Host: "rx.test", Prefix: "/tomcat",
			Backend: &routes.Backend{Tolerate: routes.Tolerance{PathParams: true, DoubleSlash: true, EncodedSlash: true}}},
		&routes.Route{Name: "admin", Host: "rx.test", Prefix: "/tomcat/admin",
			Backend: &routes.Backend{Tolerate: routes.Tolerance{PathParams: true, DoubleSlash: true, EncodedSlash: true}}},
		&routes.Route{Name: "only", Host: "img.test", Prefix: "/Viewer"},
	)
	for _, c := range []struct {
		host, path string
		want       string // the route, or the error
	}{
		{"rx.test", "/", "root"},
		{"rx.test", "/orders/7", "root"},
		{"rx.test", "/status", "status"},
		{"rx.test", "/status/", "status"},
		{"rx.test", "/status/x", "status"},
		{"rx.test", "/statusx", "root"},
		{"rx.test", "/%73tatus", "status"},
		{"rx.test", "/STATUS", "no route for this path"},
		{"rx.test", "/Status/deep/er", "no route for this path"},
		{"rx.test", "/ſtatus", ""}, // not ASCII: refused before
		{"rx.test", "/%C5%BFtatus", "no route for this path"},
		{"rx.test", "/status/deep", "status"},
		{"rx.test", "/status/deep/er/x", "deep"},
		{"rx.test", "/status/DEEP/er", "no route for this path"},
		{"rx.test", "/x/status", "root"},
		{"rx.test", "/orders;x=1", "the route does not tolerate"},
		{"rx.test", "//orders", "the route does not tolerate"},
		{"rx.test", "/orders%2f7", "the route does not tolerate"},
		{"rx.test", "/tomcat;x=1/a", "the route does not tolerate"}, // two routes: root as sent, tomcat as resolved
		{"rx.test", "/tomcat/a;x=1", "tomcat"},
		{"rx.test", "/tomcat//a", "tomcat"},
		{"rx.test", "/tomcat/a%2Fb", "tomcat"},
		{"rx.test", "/tomcat/admin;x/users", "the route does not tolerate"},
		{"rx.test", "/tomcat//admin", "the route does not tolerate"},
		{"rx.test", "/tomcat/x%2f..%2fadmin", ""},
		{"rx.test", "/tomcat/admin/users;y", "admin"},
		{"img.test", "/", "no route for this path"},
		{"img.test", "/Viewer/1", "only"},
		{"img.test", "/viewer/1", "no route for this path"},
		{"other.test", "/", "no route is on this host"},
	} {
		p, err := routes.ParsePath(c.path)
		if c.want == "" {
			if !errors.Is(err, routes.ErrPath) {
				t.Errorf("%s: err = %v, want ErrPath", c.path, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		got := ""
		if r, err := tab.Match(&routes.Request{Host: c.host, Path: p}); err != nil {
			got = err.Error()
		} else {
			got = r.Name
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s%s is governed by %q, want %q", c.host, c.path, got, c.want)
		}
	}
}

func TestTwoRoutesAtOnePlace(t *testing.T) {
	b := &routes.Backend{}
	_, err := routes.NewTable([]*routes.Route{
		{Name: "a", Host: "rx.test", Prefix: "/app", Backend: b},
		{Name: "b", Host: "rx.test", Prefix: "/App", Backend: b},
	})
	if err == nil {
		t.Error("prefixes that differ in case only were accepted")
	}
}

func TestPathsThatTwoServersCouldReadDifferently(t *testing.T) {
	for _, p := range []string{
		"", "x", "/..", "/a/../b", "/a/./b", "/%2e%2e/b", "/.%2E/b", "/a/..;/b", "/a/..;x=1/b", "/a%2f..%2fb",
		"/a\\b", "/a%5cb", "/a%00b", "/a%0ab", "/a%7f", "/a b", "/a\tb", "/a\x01", "/a\x80", "/%zz", "/%4", "/%",
		"/%c0%ae%c0%ae/x", "/%ff", "/%c2%85", "/a#b", "/a?b", "/%EF%BF%BD",
	} {
		if _, err := routes.ParsePath(p); !errors.Is(err, routes.ErrPath) {
			t.Errorf("%q: err = %v, want ErrPath", p, err)
		}
	}
	for _, p := range []string{"/", "/a", "/a/", "/a%20b", "/%252e%252e/x", "/caf%C3%A9", "/a.b/..c", "/a:b@c", "/...", "/a%23b"} {
		if _, err := routes.ParsePath(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestNeed(t *testing.T) {
	strong := &access.Login{Name: "strong", ACR: []string{"mfa"}}
	route := &routes.Route{
		Name: "rx", Host: "rx.test", Prefix: "/", Allow: []string{"nurse"},
		Rules: []routes.Rule{
			{Demand: access.Demand{Rule: "amend", Login: strong, Within: 2 * time.Minute}, KeepRequest: 64 << 10,
				When: routes.When{Methods: []string{"POST", "PUT"}, Path: pattern(t, "/orders/**")}},
			{Demand: access.Demand{Rule: "one order", Within: time.Minute}, KeepRequest: 1 << 10,
				When: routes.When{Methods: []string{"POST"}, Path: pattern(t, "/Orders/7")}},
			{Demand: access.Demand{Rule: "billing", Within: 5 * time.Minute}, KeepRequest: 64 << 10,
				When: routes.When{Methods: []string{"POST"}, Path: pattern(t, "/appointments/*"), Fields: []string{"/billing", "/patient/identity"}}},
			{Demand: access.Demand{Rule: "dispatcher", Within: 5 * time.Minute}, KeepRequest: 64 << 10,
				When: routes.When{Query: map[string]string{"cmd": "amend"}}},
			{Demand: access.Demand{Rule: "watched", EachTime: true}, Observe: true,
				When: routes.When{Methods: []string{"GET"}, Path: pattern(t, "/export/**")}},
		},
	}
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, method, target    string
		contentType, body, want string // the rules, comma-joined; those observed in brackets
		keep                    int64
	}{
		{"reading", "GET", "/orders/7", "", "", "", routes.DefaultKeep},
		{"amending", "POST", "/orders/8", "", "", "amend", 64 << 10},
		{"case of the path", "POST", "/ORDERS/8", "", "", "amend", 64 << 10},
		{"a path parameter", "POST", "/orders;v=1/8", "", "", "amend", 64 << 10},
		{"** matches none", "POST", "/orders", "", "", "amend", 64 << 10},
		{"** matches a slash", "POST", "/orders/", "", "", "amend", 64 << 10},
		{"segment boundary", "POST", "/ordersx", "", "", "", routes.DefaultKeep},
		{"two rules, the least is kept", "POST", "/orders/7", "", "", "amend,one order", 1 << 10},
		{"head is get", "HEAD", "/export/all", "", "", "[watched]", routes.DefaultKeep},
		{"time only", "POST", "/appointments/3", form, "time=9", "", routes.DefaultKeep},
		{"billing form", "POST", "/appointments/3", form, "time=9&billing=x", "billing", 64 << 10},
		{"billing in other case", "POST", "/appointments/3", form, "BILLING=x", "billing", 64 << 10},
		{"nested form", "POST", "/appointments/3", form, "billing%5Bcode%5D=x", "billing", 64 << 10},
		{"identity in a form", "POST", "/appointments/3", form, "patient.identity=x", "billing", 64 << 10},
		{"json time", "POST", "/appointments/3", "application/json", `{"time":9}`, "", routes.DefaultKeep},
		{"json billing", "POST", "/appointments/3", "application/json", `{"billing":{}}`, "billing", 64 << 10},
		{"json nested", "POST", "/appointments/3", "application/json; charset=UTF-8", `{"patient":{"Identity":1}}`, "billing", 64 << 10},
		{"json in a list", "POST", "/appointments/3", "application/json", `[{"time":9}]`, "billing", 64 << 10},
		{"json name twice", "POST", "/appointments/3", "application/json", `{"a":1,"A":2}`, "billing", 64 << 10},
		{"json broken", "POST", "/appointments/3", "application/json", `{`, "billing", 64 << 10},
		{"json as text", "POST", "/appointments/3", "text/plain", `{"time":9}`, "billing", 64 << 10},
		{"no type", "POST", "/appointments/3", "", `time=9`, "billing", 64 << 10},
		{"utf-16", "POST", "/appointments/3", "application/json; charset=utf-16", `{"time":9}`, "billing", 64 << 10},
		{"multipart", "POST", "/appointments/3", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"billing\"\r\n\r\nx\r\n--b--\r\n", "billing", 64 << 10},
		{"multipart time", "POST", "/appointments/3", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"time\"\r\n\r\nx\r\n--b--\r\n", "", routes.DefaultKeep},
		{"too long", "POST", "/appointments/3", form, "time=" + strings.Repeat("9", routes.MaxFields), "billing", 64 << 10},
		{"json as a form", "POST", "/appointments/3", form, " {\"billing\":1}", "billing", 64 << 10},
		{"xml as a form", "POST", "/appointments/3", form, "<time/>", "billing", 64 << 10},
		{"field in the query", "POST", "/appointments/3?billing=x", form, "time=9", "billing", 64 << 10},
		{"field in the query alone", "POST", "/appointments/3?patient[identity]=x", "", "", "billing", 64 << 10},
		{"other parameters", "POST", "/appointments/3?tab=2", form, "time=9", "", routes.DefaultKeep},
		{"query that cannot be read", "POST", "/appointments/3?a=1;billing=x", form, "time=9", "billing,dispatcher", 64 << 10},
		{"query", "GET", "/x?cmd=amend", "", "", "dispatcher", 64 << 10},
		{"query of another value", "GET", "/x?cmd=show", "", "", "", routes.DefaultKeep},
		{"query repeated", "GET", "/x?cmd=show&cmd=show", "", "", "dispatcher", 64 << 10},
		{"query in another case", "GET", "/x?CMD=Amend", "", "", "dispatcher", 64 << 10},
		{"query with a semicolon", "GET", "/x?a=1;b=2", "", "", "dispatcher", 64 << 10},
	} {
		req := request(t, c.method, "rx.test", c.target)
		if route.WantsFields(req) {
			req.Fields = routes.ParseFields(c.contentType, "", []byte(c.body))
		}
		need := route.Need(req)
		var names []string
		for _, d := range need.Demands {
			names = append(names, d.Rule)
		}
		for _, d := range need.Observed {
			names = append(names, "["+d.Rule+"]")
		}
		if got := strings.Join(names, ","); got != c.want || need.KeepRequest != c.keep {
			t.Errorf("%s: rules %q keep %d, want %q keep %d", c.name, got, need.KeepRequest, c.want, c.keep)
		}
	}
}

func TestRulesAreNotSharedBetweenRequests(t *testing.T) {
	route := &routes.Route{Rules: []routes.Rule{
		{Demand: access.Demand{Rule: "a"}}, {Demand: access.Demand{Rule: "b"}, When: routes.When{Methods: []string{"POST"}}},
	}}
	get, post := request(t, "GET", "h", "/"), request(t, "POST", "h", "/")
	first := route.Need(get)
	route.Need(post)
	if len(first.Demands) != 1 || first.Demands[0].Rule != "a" {
		t.Errorf("a later request changed an earlier one's demands: %v", first.Demands)
	}
}

func TestPatient(t *testing.T) {
	path := pattern(t, "/patients/{patient}/**")
	for _, c := range []struct {
		name    string
		patient routes.Patient
		target  string
		fields  routes.Fields
		want    string
	}{
		{"path", routes.Patient{Path: path}, "/patients/77/chart", routes.Fields{}, "77"},
		{"path with parameters", routes.Patient{Path: path}, "/patients;v=2/77;jsessionid=1A2B/chart", routes.Fields{}, "77"},
		{"path with an encoded parameter", routes.Patient{Path: path}, "/patients/77%3Bjsessionid=1A2B", routes.Fields{}, "77"},
		{"path escaped", routes.Patient{Path: path}, "/patients/7%207", routes.Fields{}, "7 7"},
		{"other path", routes.Patient{Path: path}, "/orders/7", routes.Fields{}, ""},
		{"query", routes.Patient{Query: "mrn"}, "/x?mrn=77", routes.Fields{}, "77"},
		{"query twice", routes.Patient{Query: "mrn"}, "/x?mrn=77&mrn=78", routes.Fields{}, "77,78"},
		{"form", routes.Patient{Form: "mrn"}, "/x", routes.ParseFields("application/x-www-form-urlencoded", "", []byte("mrn=77")), "77"},
		{"json", routes.Patient{Form: "mrn"}, "/x", routes.ParseFields("application/json", "", []byte(`{"mrn":77}`)), "77"},
	} {
		r := &routes.Route{Patient: c.patient}
		req := request(t, "POST", "h", c.target)
		req.Fields = c.fields
		if got := r.PatientOf(req); got != c.want {
			t.Errorf("%s: patient %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzMatch holds that no spelling of a path under a strict prefix is governed
// by the laxer route above it, in any form that a backend might make of it.
func TestCutParams(t *testing.T) {
	for _, c := range []struct{ name, path, want string }{
		{"none", "/chart/7", "/chart/7"},
		{"in the middle", "/chart;jsessionid=1A2B/7", "/chart;/7"},
		{"at the end", "/chart/7;a=1;b=2", "/chart/7;"},
		{"encoded", "/chart%3Ba=1/7%3bb", "/chart%3B/7%3b"},
		{"with an encoded slash in its value", "/chart;a=x%2Fy/7", "/chart;/7"},
		{"an encoded slash before it", "/a%2Fb;c/7", "/a%2Fb;/7"},
		{"escaped twice is no parameter", "/chart%253Ba=1", "/chart%253Ba=1"},
		{"other escapes", "/%3A%3/%", "/%3A%3/%"},
		{"behind dots", "/pub/..;x/admin", "/pub/..;/admin"},
		{"nothing", "", ""},
	} {
		if got := routes.CutParams(c.path); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What a record has of a path is a path of the same shape, and nothing of what
// stood behind a semicolon in any segment.
func FuzzCutParams(f *testing.F) {
	for _, s := range []string{"/chart;jsessionid=1/7", "/a%3Bb%2Fc;d/e", "/%253Ba", "/;;/%3b", "%3", "/a%3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := routes.CutParams(path)
		was, is := strings.Split(path, "/"), strings.Split(got, "/")
		if len(was) != len(is) {
			t.Fatalf("%q became %q", path, got)
		}
		for i, s := range is {
			if !strings.HasPrefix(was[i], s) {
				t.Fatalf("%q became %q", path, got)
			}
			whole, err := url.PathUnescape(was[i])
			if err != nil {
				continue
			}
			before, _, found := strings.Cut(whole, ";")
			if found {
				before += ";"
			}
			if kept, err := url.PathUnescape(s); err != nil || kept != before {
				t.Fatalf("%q became %q", was[i], s)
			}
		}
	})
}

func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/admin", "/ADMIN/x", "/pub/../admin", "/admin;x/y", "//admin", "/%61dmin", "/pub%2f..%2fadmin", "/a/%2e%2e/admin", "/adm\u0131n", "/%E1%BA%9E"} {
		f.Add(s)
	}
	all := routes.Tolerance{PathParams: true, DoubleSlash: true, EncodedSlash: true}
	lax := &routes.Route{Name: "lax", Host: "h", Prefix: "/", Backend: &routes.Backend{Tolerate: all}}
	strict := &routes.Route{Name: "strict", Host: "h", Prefix: "/admin", Backend: &routes.Backend{Tolerate: all}}
	tab, err := routes.NewTable([]*routes.Route{lax, strict})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		p, err := routes.ParsePath(escaped)
		if err != nil {
			return
		}
		r, err := tab.Match(&routes.Request{Host: "h", Path: p})
		if err != nil || r != lax {
			return
		}
		for _, form := range [][]string{p.Segments, p.Resolved} {
			if len(form) > 0 && strings.EqualFold(form[0], "admin") {
				t.Errorf("%q reads as %q and is governed by the lax route", escaped, form)
			}
			for _, s := range form {
				if s == ".." || s == "." || strings.ContainsAny(s, "\\\x00") {
					t.Errorf("%q has the segment %q", escaped, s)
				}
			}
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add("application/json", `{"billing":1}`)
	f.Add("application/x-www-form-urlencoded", "a=1&billing[x]=2")
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"billing\"\r\n\r\nx\r\n--b--\r\n")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		fields := routes.ParseFields(contentType, "", []byte(body))
		fields.Has("/billing")
		fields.Value("mrn")
		// What is readable and has the name in plain sight is found.
		if contentType == "application/x-www-form-urlencoded" && strings.HasPrefix(body, "billing=") && !fields.Has("/billing") {
			t.Errorf("form %q has no billing", body)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint(n, " routes"), func(b *testing.B) {
			all := make([]*routes.Route, n)
			for i := range all {
				all[i] = &routes.Route{Name: fmt.Sprint(i), Host: fmt.Sprintf("h%d", i%10), Prefix: fmt.Sprintf("/app%d", i), Backend: &routes.Backend{}}
			}
			tab := table(b, all...)
			req := request(b, "GET", "h5", "/app5/orders/7")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tab.Match(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestNamed(t *testing.T) {
	chart, lab := &routes.Route{Name: "chart", Host: "ehr.test", Prefix: "/"}, &routes.Route{Name: "lab", Host: "ehr.test", Prefix: "/lab"}
	table, err := routes.NewTable([]*routes.Route{chart, lab})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*routes.Route{"chart": chart, "lab": lab, "": nil, "Chart": nil} {
		if got := table.Named(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
