package demo_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/demo"
)

func TestRecordPages(t *testing.T) {
	e := demo.NewRecord(demo.RecordConfig{Base: "http://127.0.0.1:9103"})
	for _, c := range []struct {
		method, target string
		status         int
		want           string
	}{
		{"GET", "/", 200, "Greta Example"},
		{"GET", "/patients/77", 303, ""},
		{"GET", "/patients/77/chart", 200, "Greta Example"},
		{"GET", "/patients/77/notes", 200, `<b id="signed">0</b>`},
		{"GET", "/patients/77/export.txt", 200, "NAME      Greta Example"},
		{"GET", "/patients/1/chart", 404, ""},
		{"GET", "/patients/1/export.txt", 404, ""},
		{"POST", "/patients/1/notes", 404, ""},
		{"POST", "/patients/77/notes", 400, "NOTE may not be blank"},
	} {
		resp := as(e, "nora", c.method, c.target, nil)
		if body := text(resp); resp.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d, want %d with %q:\n%s", c.method, c.target, resp.StatusCode, c.status, c.want, body)
		}
		if resp := as(e, "", c.method, c.target, nil); resp.StatusCode != http.StatusForbidden || strings.Contains(text(resp), "Greta") {
			t.Errorf("%s %s for nobody: %s", c.method, c.target, resp.Status)
		}
	}
}

// The record sends browsers to its own address, and sets cookies for every
// host of the hospital: what a gateway has to mend.
func TestRecordIsOld(t *testing.T) {
	e := demo.NewRecord(demo.RecordConfig{Base: "http://127.0.0.1:9103"})
	resp := as(e, "nora", "POST", "/patients/77/notes", url.Values{"note": {"slept <b>well</b>"}})
	if at := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || at != "http://127.0.0.1:9103/patients/77/notes" {
		t.Errorf("%s to %s", resp.Status, at)
	}
	resp = as(e, "piet", "GET", "/patients/77/notes", nil)
	if page := text(resp); !strings.Contains(page, "signed by <b>nora</b>") || !strings.Contains(page, "&lt;b&gt;well") {
		t.Errorf("the note is not there:\n%s", page)
	}
	names := map[string]string{}
	for _, c := range resp.Cookies() {
		names[c.Name] = c.Domain
	}
	if names[demo.RecordCookie] != "."+demo.Domain || names[demo.PatientCookie] != "."+demo.Domain {
		t.Errorf("cookies and their domains: %v", names)
	}
	if page := text(as(e, "piet", "GET", "/", nil, resp.Cookies()...)); !strings.Contains(page, `<a href="patients/77">77</a></span>`) {
		t.Errorf("the patient who was open last is not told:\n%s", page)
	}
	if export := text(as(e, "piet", "GET", "/patients/77/export.txt", nil)); !strings.Contains(export, "slept <b>well</b>") {
		t.Errorf("the note is not in the export:\n%s", export)
	}
}

func TestSchedulingChanges(t *testing.T) {
	s := demo.NewScheduling()
	as(s, "tess", "POST", "/appointments/3", url.Values{"time": {"16:45"}})
	as(s, "tess", "POST", "/appointments/3", url.Values{"billing": {"study"}})
	as(s, "tess", "POST", "/appointments/3", url.Values{"patient.identity.name": {"Cleo Newname"}, "patient.identity.born": {"1991-01-01"}})
	r := httptest.NewRequest("POST", "/appointments/3", strings.NewReader(`{"time":"17:15"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Remote-User", "tess")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent {
		t.Errorf("the script is answered %d", w.Code)
	}
	page := text(as(s, "tess", "GET", "/appointments/3", nil))
	for _, want := range []string{`<b id="time">17:15</b>`, `<b id="billing">study</b>`, `<b id="born">1991-01-01</b>`, "Cleo Newname", "changed by <b>tess</b>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the appointment's page does not say %q", want)
		}
	}
	for _, target := range []string{"/appointments/0", "/appointments/13", "/appointments/x"} {
		if resp := as(s, "tess", "POST", target, url.Values{"time": {"1"}}); resp.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s: %s", target, resp.Status)
		}
	}
	if resp := as(s, "", "GET", "/", nil); resp.StatusCode != http.StatusForbidden {
		t.Errorf("for nobody: %s", resp.Status)
	}
}

// Without a cookie, the session's name in a link says whose session it is.
func TestSchedulingWritesItsSessionIntoLinks(t *testing.T) {
	s := demo.NewScheduling()
	day := text(as(s, "tess", "GET", "/", nil))
	_, rest, _ := strings.Cut(day, `href="/appointments/3`)
	suffix, _, _ := strings.Cut(rest, `"`)
	if !strings.HasPrefix(suffix, ";jsessionid=") {
		t.Fatalf("links go on with %q", suffix)
	}
	if page := text(as(s, "bea", "GET", "/appointments/3"+suffix, nil)); !strings.Contains(page, `id="session-foreign"`) {
		t.Errorf("the session of tess is not seen as hers:\n%s", page)
	}
	cookie := &http.Cookie{Name: demo.SchedulingCookie, Value: strings.TrimPrefix(suffix, ";jsessionid=")}
	if page := text(as(s, "tess", "GET", "/", nil, cookie)); strings.Contains(page, "jsessionid") {
		t.Error("links name the session of a browser that keeps cookies")
	}
}
