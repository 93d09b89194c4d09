package attack_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

const form = "application/x-www-form-urlencoded"

// groupK: step-up and held requests.
func groupK() []row {
	return []row{
		{id: "K1", name: "a call with an old login", as: "nora", want: status(401), send: one(
			post("POST /orders/7", "dose=2", "Content-Type: "+form, "Sec-Fetch-Mode: cors", "Origin: https://{host}"), h2("POST /orders/7", "sec-fetch-mode: cors").with("dose=2"),
			post("PUT /orders/7", "dose=2"), post("DELETE /orders", ""), post("PATCH /ORDERS/7", ""), post("POST /orders/", ""), post("POST /%6frders/7", ""))},
		{id: "K1", name: "a page with an old login", as: "nora", want: status(200), send: one(
			post("POST /orders/7", "dose=2", "Content-Type: "+form, "Sec-Fetch-Mode: navigate", "Origin: https://{host}"))},
		{id: "K2", name: "finished by another person", run: finishedByAnother},
		{id: "K3", name: "a provider that proves too little", run: provesTooLittle},
		{id: "K4", name: "from a weaker rule to a stricter one", run: strictierNext},
		{id: "K5", name: "finished twice", run: finishedTwice},
		{id: "K6", name: "posted by another site", as: "nora", want: FORB, send: one(
			post("POST /orders/7", "dose=2", "Content-Type: "+form, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: cross-site", "Origin: https://evil.test"),
			post("POST /orders/7", "dose=2", "Content-Type: "+form, "Sec-Fetch-Mode: navigate", "Origin: null"),
			post("POST /orders/7", "dose=2", "Content-Type: "+form, "Accept: text/html"),
			h2("POST /orders/7", "content-type: "+form, "sec-fetch-mode: navigate", "sec-fetch-site: cross-site", "origin: https://evil.test").with("dose=2"))},
		{id: "K7", name: "the role goes before the release", run: roleGone},
		{id: "K7", name: "the device fails before the release", run: deviceGone},
		{id: "K8", name: "a body above the hold limit", as: "nora", want: status(413), send: one(
			post("POST /orders/7", strings.Repeat("x", 65<<10), "Content-Type: "+form, "Sec-Fetch-Mode: navigate", "Origin: https://{host}"),
			h1("POST /orders/7", "Transfer-Encoding: chunked", "Sec-Fetch-Mode: navigate", "Origin: https://{host}").then("10400\r\n"+strings.Repeat("x", 0x10400)+"\r\n0\r\n\r\n"))},
	}
}

// then puts text behind an HTTP/1.1 header.
func (r request) then(text string) request { r.raw += text; return r }

// old signs a new browser in with a login of twenty minutes ago.
func old(t *testing.T, w *world, who anteroomtest.Person, prepare func(*anteroomtest.Browser)) *anteroomtest.Browser {
	t.Helper()
	b := w.signIn(t, who, prepare).browser
	w.Backend.Forget()
	return b
}

// heldOrder has a new browser of nora's post an order that is held, and prove
// itself. It returns the page with the release form.
func heldOrder(t *testing.T, w *world) (*anteroomtest.Browser, *anteroomtest.Page) {
	t.Helper()
	b := old(t, w, anteroomtest.Nora, nil)
	p := b.Post(w.URL("ehr.test", "/orders/7"), form, "dose=2")
	if p.Status != 200 || p.Code() != "old_login" {
		t.Fatalf("held: %d %s", p.Status, p.Code())
	}
	p = b.Continue(p)
	if action, _ := p.ReleaseForm(); action == "" {
		t.Fatalf("no release form: %d at %s", p.Status, p.URL)
	}
	return b, p
}

// posts counts the orders that reached the backend.
func posts(t *testing.T, w *world) int {
	t.Helper()
	got, err := w.Backend.Take()
	if err != nil {
		t.Error(err)
	}
	n := 0
	for _, a := range got {
		if a.method == "POST" {
			n++
		}
	}
	return n
}

func finishedByAnother(t *testing.T, w *world) {
	b := old(t, w, anteroomtest.Nora, nil)
	cookie := b.Cookie("ehr.test", "__Host-anteroom")
	p := b.Post(w.URL("ehr.test", "/results/3"), form, "ok=1")
	piet := anteroomtest.Piet
	piet.CanACR = []string{"mfa"}
	w.Provider.Person(piet)
	since := time.Now()
	p = b.Continue(p)
	if p.URL.RequestURI() != "/" || p.Status != 200 {
		t.Errorf("piet is at %d %s, want the front page", p.Status, p.URL)
	}
	if n := posts(t, w); n != 0 {
		t.Errorf("%d orders at the backend", n)
	}
	if text := w.Backend.Text(); !strings.Contains(text, "X-Remote-User: piet") || strings.Contains(text, "nora") {
		t.Errorf("the backend got\n%s", text)
	}
	shut(t, w, cookie)
	var ended, began bool
	for _, r := range w.Audit(audit.Query{From: since.Add(-time.Second)}) {
		ended = ended || r.Event == access.EventSessionEnded && r.Subject.Username == "nora" && r.Reason == access.SubjectChanged
		began = began || r.Event == access.EventSignIn && r.Subject.Username == "piet"
	}
	if !ended || !began {
		t.Errorf("recorded: nora's end %v, piet's begin %v", ended, began)
	}
}

func provesTooLittle(t *testing.T, w *world) {
	lies := map[string]func(map[string]any){
		"an old auth_time": func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() },
		"no auth_time":     func(c map[string]any) { delete(c, "auth_time") },
	}
	for name, lie := range lies {
		b := old(t, w, anteroomtest.Nora, nil)
		p := b.Post(w.URL("ehr.test", "/orders/7"), form, "dose=2")
		w.Provider.EditIDToken(lie)
		if p = b.Continue(p); p.Status < 400 {
			t.Errorf("%s: %d at %s", name, p.Status, p.URL)
		}
		w.Provider.EditIDToken(nil)
	}
	for name, lie := range map[string]func(map[string]any){
		"a lower acr": func(c map[string]any) { c["acr"], c["amr"] = "pwd", []string{"pwd"} },
		"no acr":      func(c map[string]any) { delete(c, "acr"); delete(c, "amr") },
		"odd acr":     func(c map[string]any) { c["acr"] = []string{"mfa"}; delete(c, "amr") },
	} {
		b := old(t, w, anteroomtest.Nora, nil)
		p := b.Post(w.URL("ehr.test", "/results/3"), form, "ok=1")
		w.Provider.EditIDToken(lie)
		if p = b.Continue(p); p.Status < 400 {
			t.Errorf("%s: %d at %s", name, p.Status, p.URL)
		}
		w.Provider.EditIDToken(nil)
	}
	if n := posts(t, w); n != 0 {
		t.Errorf("%d posts at the backend", n)
	}
}

func strictierNext(t *testing.T, w *world) {
	b, p := heldOrder(t, w)
	if p = b.Release(p); p.Status != 200 || posts(t, w) != 1 {
		t.Fatalf("the order itself: %d", p.Status)
	}
	w.Backend.Forget()
	if p = b.Post(w.URL("ehr.test", "/results/3"), form, "ok=1"); p.Code() != "weak_login" {
		t.Errorf("the stricter rule: %d %s", p.Status, p.Code())
	}
	if p = b.Call("GET", w.URL("ehr.test", "/export/1"), "", "", nil); p.Status != 401 {
		t.Errorf("the rule that asks each time: %d", p.Status)
	}
	if text := w.Backend.Text(); text != "" {
		t.Errorf("the backend got\n%s", text)
	}
}

func finishedTwice(t *testing.T, w *world) {
	b, p := heldOrder(t, w)
	_, token := p.ReleaseForm()
	w.Backend.Forget()
	if got := b.Release(p); got.Status != 200 {
		t.Errorf("the first: %d", got.Status)
	}
	for range 2 {
		if got := b.Release(p); got.Status != http.StatusConflict {
			t.Errorf("again: %d", got.Status)
		}
	}
	elsewhere := b.PostForm(w.URL("ehr.test", "/orders/8"), url.Values{"anteroom_release": {token}})
	if elsewhere.Status != http.StatusConflict {
		t.Errorf("on another path: %d", elsewhere.Status)
	}
	if n := posts(t, w); n != 1 {
		t.Errorf("%d orders at the backend", n)
	}
	// In another person's browser it is worth nothing either.
	b, p = heldOrder(t, w)
	_, token = p.ReleaseForm()
	w.Backend.Forget()
	w.people["piet"].browser.PostForm(w.URL("ehr.test", "/orders/7"), url.Values{"anteroom_release": {token}})
	if n := posts(t, w); n != 0 {
		t.Errorf("%d orders of nora's sent by piet", n)
	}
	_ = b
}

func roleGone(t *testing.T, w *world) {
	b, p := heldOrder(t, w)
	w.Backend.Forget()
	narrow := strings.Replace(w.catalogue(anteroomtest.Fixture), "allow: {roles: [nurse, physician, admin]}", "allow: {roles: [admin]}", 1)
	reloads := w.Metric("anteroom_config_reloads_total")
	w.WriteConfig(narrow)
	until(t, "the narrower rule", func() bool { return w.Metric("anteroom_config_reloads_total") > reloads })
	got := b.Release(p)
	w.WriteConfig(w.catalogue(anteroomtest.Fixture))
	until(t, "the rule of before", func() bool { return w.Metric("anteroom_config_reloads_total") > reloads+1 })
	if got.Status != http.StatusForbidden {
		t.Errorf("released: %d", got.Status)
	}
	if n := posts(t, w); n != 0 {
		t.Errorf("%d orders at the backend", n)
	}
}

func deviceGone(t *testing.T, _ *world) {
	w := fresh(t, func(s string) string {
		return strings.Replace(s, "    device: none\n    origins:", "    device: clinical\n    origins:", 1)
	})
	b := old(t, w, anteroomtest.Nora, func(b *anteroomtest.Browser) { b.Device = anteroomtest.Compliant("ipad-k") })
	p := b.Continue(b.Post(w.URL("ehr.test", "/orders/7"), form, "dose=2"))
	w.Backend.Forget()
	b.Device.Set("X-Mdm-Os-Version", "18.1")
	if got := b.Release(p); got.Status != http.StatusForbidden {
		t.Errorf("released: %d", got.Status)
	}
	if n := posts(t, w); n != 0 {
		t.Errorf("%d orders at the backend", n)
	}
}
