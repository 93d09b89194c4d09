package stories_test

import (
	"net/url"
	"strings"
	"testing"
)

// A coordinator moves an appointment without ado; what touches billing or who
// the patient is takes a stronger sign-in, however it is sent.
func TestScheduleChange(t *testing.T) {
	atEach(t, nil, func(h *hospital) {
		p := h.browser(compliant()).tab()
		p.enter("tess", h.rx+"/appointments/3")
		n := p.prompts()
		p.fill("#time", "10:15")
		p.follow("#save")
		p.see("#saved")
		if all := sent(h.pharmacy); len(all) != 1 || string(all[0].Body) != "time=10%3A15" || p.prompts() != n {
			h.Errorf("the time alone: %d requests but GET, %d prompts more", len(all), p.prompts()-n)
		}
		h.pharmacy.Forget()

		// None of these is a way round the rule.
		p.open(h.rx + "/appointments/3")
		long := strings.Repeat("9", 70<<10)
		for _, c := range []struct{ name, target, options string }{
			{"as a form", "/appointments/3", `{body: new URLSearchParams({time: "1", billing: "x"})}`},
			{"as JSON", "/appointments/3", `{body: '{"time":"1","billing":null}', headers: {"Content-Type": "application/json"}}`},
			{"below patient", "/appointments/3", `{body: '{"patient":{"identity":{"born":"1980"}}}', headers: {"Content-Type": "application/json"}}`},
			{"as JSON with an escape", "/appointments/3", `{body: '{"bill\\u0069ng":1}', headers: {"Content-Type": "application/json"}}`},
			{"as an upload", "/appointments/3", `{body: (() => { const f = new FormData(); f.set("billing", "x"); return f })()}`},
			{"as plain text", "/appointments/3", `{body: "billing=x", headers: {"Content-Type": "text/plain"}}`},
			{"without a type", "/appointments/3", `{body: new Blob(["billing=x"])}`},
			{"as half of JSON", "/appointments/3", `{body: '{"billing":', headers: {"Content-Type": "application/json"}}`},
			{"behind much else", "/appointments/3", `{body: "time=` + long + `&billing=x", headers: {"Content-Type": "application/x-www-form-urlencoded"}}`},
			{"at an encoded address", "/%61ppointments/%33", `{body: new URLSearchParams({billing: "x"})}`},
			{"in capitals", "/appointments/3", `{body: new URLSearchParams({BILLING: "x"})}`},
			{"under another method's name", "/appointments/3", `{body: new URLSearchParams({billing: "x", _method: "GET"}), headers: {"X-HTTP-Method-Override": "GET"}}`},
		} {
			a := p.fetch(c.target, strings.Replace(c.options, "{", `{method: "POST", `, 1))
			if a.Status != 401 || !strings.Contains(a.Body, "step_up_required") || !strings.Contains(a.Header["www-authenticate"], "urn:hospital:mfa") {
				h.Errorf("billing %s is answered %d %s", c.name, a.Status, a.Body)
			}
			if raw := h.pharmacy.Raw(); strings.Contains(raw, "POST") {
				h.Errorf("billing %s: the backend got\n%s", c.name, raw)
				h.pharmacy.Forget()
			}
		}
		if a := p.fetch("/appointments/3", `{method: "POST", body: '{"time":"10:30"}', headers: {"Content-Type": "application/json"}}`); a.Status != 200 {
			h.Errorf("the time alone as JSON is answered %d %s", a.Status, a.Body)
		}
		h.pharmacy.Forget()

		p.open(h.rx + "/appointments/3")
		p.fill("#billing", "paid by her brother")
		p.follow("#save-all")
		p.asked("weak_login")
		p.picture("step-up-billing")
		p.says("schedule change that touches billing")
		if text := p.text("body"); strings.Contains(text, "brother") || strings.Contains(text, "/billing") {
			h.Errorf("the page tells what was sent:\n%s", text)
		}
		nothingSent(h, "before the step-up")
		p.follow("#anteroom-continue")
		p.signIn("tess")
		p.see("#saved")
		all := sent(h.pharmacy)
		want := url.Values{"time": {"09:30"}, "billing": {"paid by her brother"}}.Encode()
		if len(all) != 1 || all[0].Target != "/appointments/3" {
			h.Fatalf("%d requests but GET reached the backend: %q", len(all), targets(h.pharmacy))
		}
		if f, err := fields(all[0].Header.Get("Content-Type"), all[0].Body); err != nil || f.Encode() != want {
			h.Errorf("the form arrived as %s, %v", all[0].Body, err)
		}
	})
}
