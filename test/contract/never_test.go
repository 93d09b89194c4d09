package contract_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
)

// TestDeviceAloneOpensNothing holds row C1: the best of devices is nobody.
func TestDeviceAloneOpensNothing(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	b.Device = anteroomtest.Compliant("ipad-1")
	for _, c := range []struct{ host, target string }{
		{"ehr.test", "/"}, {"ehr.test", "/chart/1"}, {"ehr.test", "/admin/x"}, {"ehr.test", "/poll"}, {"img.test", "/"}, {"img.test", "/study/1"},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE", "OPTIONS"} {
			if p := b.Call(method, g.URL(c.host, c.target), "", "", nil); p.Status != 401 {
				t.Errorf("%s %s%s: %d", method, c.host, c.target, p.Status)
			}
		}
		if p := b.Hop("POST", g.URL(c.host, c.target), form, "a=b", nil); p.Status != 303 {
			t.Errorf("a form on %s%s: %d", c.host, c.target, p.Status)
		}
	}
	untouched(t, g, "a device without a person")
}

// TestDevicesByRoute holds rows A3 and C2: which device may enter where, and
// that a refusal says why. What is not known counts as not good enough.
func TestDevicesByRoute(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	for _, c := range []struct {
		name   string
		change map[string]string // of a fit device; "" takes the header away
		reason string            // "" lets it in
	}{
		{"fit", nil, ""},
		{"the oldest that will do", map[string]string{"X-Mdm-Os-Version": "18.7.3"}, ""},
		{"no word about it", map[string]string{"X-Mdm-Device-Id": ""}, "device_unknown"},
		{"jailbroken", map[string]string{"X-Mdm-Compromised": "true"}, "device_not_jailbroken"},
		{"perhaps jailbroken", map[string]string{"X-Mdm-Compromised": ""}, "device_not_jailbroken"},
		{"jailbroken by an odd word", map[string]string{"X-Mdm-Compromised": "FALSE"}, "device_not_jailbroken"},
		{"unmanaged", map[string]string{"X-Mdm-Managed": "false"}, "device_managed"},
		{"perhaps managed", map[string]string{"X-Mdm-Managed": ""}, "device_managed"},
		{"lost", map[string]string{"X-Mdm-Lost": "true"}, "device_managed"},
		{"not said whether lost", map[string]string{"X-Mdm-Lost": ""}, ""},
		{"outdated", map[string]string{"X-Mdm-Os-Version": "26.1"}, "device_fresh_os"},
		{"of an unknown version", map[string]string{"X-Mdm-Os-Version": ""}, "device_fresh_os"},
		{"of another platform", map[string]string{"X-Mdm-Platform": "android", "X-Mdm-Os-Version": "99"}, "device_fresh_os"},
		{"of no platform", map[string]string{"X-Mdm-Platform": ""}, "device_fresh_os"},
		{"not heard of since yesterday", map[string]string{"X-Mdm-Checked-In-At": time.Now().Add(-25 * time.Hour).Format(time.RFC3339)}, "device_fresh_checkin"},
		{"never heard of", map[string]string{"X-Mdm-Checked-In-At": ""}, "device_fresh_checkin"},
		{"a statement of 16 minutes ago", map[string]string{"X-Mdm-Asserted-At": time.Now().Add(-16 * time.Minute).Format(time.RFC3339)}, "device_unknown"},
		{"a statement of tomorrow", map[string]string{"X-Mdm-Asserted-At": time.Now().Add(24 * time.Hour).Format(time.RFC3339)}, "device_unknown"},
		{"a statement of no date", map[string]string{"X-Mdm-Asserted-At": "now"}, "device_unknown"},
	} {
		b := g.Browser(t)
		b.Get(g.URL("ehr.test", "/"))
		b.Device = anteroomtest.Compliant(strings.ReplaceAll(c.name, " ", "-"))
		for header, value := range c.change {
			if b.Device.Set(header, value); value == "" {
				b.Device.Del(header)
			}
		}
		g.Backend.Forget()
		// A place that asks for no device lets every device in.
		if p := b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil); p.Status != 200 {
			t.Errorf("%s: where no device is asked for: %d", c.name, p.Status)
		}
		g.Backend.Forget()
		p := b.Get(g.URL("img.test", "/study/1"))
		if c.reason == "" {
			if p.Status != 200 {
				t.Errorf("%s: %d %s", c.name, p.Status, p.Code())
			}
			continue
		}
		if p.Status != 403 || p.Code() != c.reason || !strings.Contains(p.Body, "4000") {
			t.Errorf("%s: %d %s, want %s\n%s", c.name, p.Status, p.Code(), c.reason, p.Body)
		}
		if records := g.Audit(audit.Query{RequestID: p.Header.Get("X-Request-Id"), Event: access.EventAccess}); len(records) != 1 || len(records[0].Device.Failed) == 0 {
			t.Errorf("%s: the trail has %+v", c.name, records)
		}
		untouched(t, g, c.name)
	}
}

// A device that fails a hard check is out everywhere, in every session on it.
func TestHardFailureEndsTheDevicesSessions(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	var all []*anteroomtest.Browser
	for _, device := range []string{"ipad-1", "ipad-1", "ipad-2"} {
		b := g.Browser(t)
		b.Device = anteroomtest.Compliant(device)
		b.Get(g.URL("ehr.test", "/"))
		b.Get(g.URL("img.test", "/"))
		all = append(all, b)
	}
	g.Backend.Forget()
	all[0].Device.Set("X-Mdm-Os-Version", "18.0") // a soft check only keeps it out of where it is asked
	if p := all[0].Get(g.URL("img.test", "/study/1")); p.Code() != "device_fresh_os" {
		t.Errorf("outdated: %d %s", p.Status, p.Code())
	}
	if p := all[0].Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil); p.Status != 200 {
		t.Errorf("after a soft failure: %d", p.Status)
	}
	g.Backend.Forget()
	all[0].Device.Set("X-Mdm-Compromised", "true")
	if p := all[0].Get(g.URL("img.test", "/study/1")); p.Code() != "device_not_jailbroken" {
		t.Errorf("jailbroken: %d %s", p.Status, p.Code())
	}
	for i, want := range []int{401, 401, 200} {
		if p := all[i].Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil); p.Status != want {
			t.Errorf("session %d afterwards: %d, want %d", i+1, p.Status, want)
		}
	}
	if n := len(g.Backend.Requests()); n != 1 {
		t.Errorf("%d requests reached the backend, want that of the other device alone", n)
	}
	if n := len(g.Audit(audit.Query{Event: access.EventSecurity})); n == 0 {
		t.Error("the trail does not say so")
	}
}

// readable returns every text that whoever reads s could make of it.
func readable(s string) string {
	var all strings.Builder
	all.WriteString(s)
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("?&=;|. ", r) }) {
		if plain, err := url.QueryUnescape(part); err == nil {
			part = plain
		}
		for range 2 { // sealed values are encoded twice
			for _, e := range []*base64.Encoding{base64.URLEncoding, base64.RawURLEncoding, base64.StdEncoding} {
				if b, err := e.DecodeString(part); err == nil {
					part = string(b)
					all.WriteString("\n" + part)
					break
				}
			}
			for _, inner := range strings.Split(part, "|") {
				if b, err := base64.URLEncoding.DecodeString(inner); err == nil {
					all.WriteString("\n" + string(b))
				}
			}
		}
	}
	return all.String()
}

// TestDeepLink holds row C14: a link to a patient's page passes sign-in, posture
// and step-up like any request, and what goes through the browser on the way
// names neither the patient nor holds a token.
func TestDeepLink(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(s, "    session: {lock_after: 2m}\n", "    rules:\n      - name: open a study\n        when: {path: /patients/**}\n        require: {login: strong}\n", 1)
	}})
	b := g.Browser(t)
	b.Device = anteroomtest.Compliant("ipad-1")
	b.Device.Set("X-Mdm-Os-Version", "18.0")
	const link = "/patients/4711/study?series=9922"
	p := b.Get(g.URL("img.test", link))
	if p.Status != 403 || p.Code() != "device_fresh_os" {
		t.Errorf("on a device that is not fit: %d %s", p.Status, p.Code())
	}
	untouched(t, g, "a deep link on a device that is not fit")
	b = g.Browser(t)
	b.Device = anteroomtest.Compliant("ipad-1")
	address, asked := g.URL("img.test", link), 0
	for range 12 {
		p = b.Hop("GET", address, "", "", nil)
		to := p.Header.Get("Location")
		if to == "" {
			break
		}
		for _, text := range append(p.Header["Set-Cookie"], to) {
			if open := readable(text); !strings.HasPrefix(to, g.URL("img.test", "/patients")) && (strings.Contains(open, "4711") || strings.Contains(open, "9922") || strings.Contains(open, "patients")) {
				t.Errorf("on the way to %.40s the patient can be read:\n%q", to, open)
			}
		}
		if p.Header.Get("Referrer-Policy") == "" && strings.HasPrefix(address, "https://") {
			t.Errorf("%.60s passes the address on as a referrer", address)
		}
		if strings.HasPrefix(to, g.Provider.URL) {
			asked++
		}
		if !strings.HasPrefix(to, g.URL("img.test", link)) {
			untouched(t, g, "a deep link on its way")
		}
		address = to
	}
	if p.Status != 200 || p.URL.RequestURI() != link || asked < 1 {
		t.Fatalf("the link ends at %d %s after %d visits of the provider", p.Status, p.URL, asked)
	}
	if got := g.Backend.Requests(); len(got) != 1 || got[0].Target != link || got[0].Header.Get("X-Remote-User") != "nora" {
		t.Errorf("the backend got %+v", got)
	}
}

// TestProviderTokensStayHere holds row B2: what the provider gives beside the
// ID token reaches neither a browser nor a backend, by whatever way.
func TestProviderTokensStayHere(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	const refresh, bearer = "refresh-7f3a9c", "access-51be20"
	g.Provider.EditTokenAnswer(func(m map[string]any) { m["refresh_token"], m["access_token"] = refresh, bearer })
	g.Provider.EditIDToken(func(c map[string]any) { delete(c, "at_hash") })
	b := g.Browser(t)
	b.Device = anteroomtest.Compliant("ipad-1")
	var seen strings.Builder
	visit := func(method, address, body string) *anteroomtest.Page {
		var p *anteroomtest.Page
		for range 12 {
			p = b.Hop(method, address, form, body, nil)
			fmt.Fprintln(&seen, p.URL, p.Header, p.Body)
			method, body = "GET", ""
			if address = p.Header.Get("Location"); address == "" {
				break
			}
		}
		return p
	}
	if p := visit("GET", g.URL("ehr.test", "/chart/1"), ""); p.Status != 200 {
		t.Fatalf("sign in: %d at %s", p.Status, p.URL)
	}
	before := g.Provider.Calls(anteroomtest.AuthorizePath)
	if p := visit("GET", g.URL("img.test", "/study/1"), ""); p.Status != 200 || g.Provider.Calls(anteroomtest.AuthorizePath) != before {
		t.Errorf("the second application: %d, asked again: %v", p.Status, g.Provider.Calls(anteroomtest.AuthorizePath) != before)
	}
	visit("GET", g.URL("ehr.test", "/export/all"), "")
	visit("GET", g.URL("ehr.test", "/.anteroom/session"), "")
	visit("POST", g.URL("ehr.test", "/.anteroom/logout"), "")
	seen.WriteString(g.Backend.Raw() + g.Log() + journal(t, g))
	for _, token := range []string{refresh, bearer} {
		if i := strings.Index(seen.String(), token); i >= 0 {
			t.Errorf("%s was seen outside: %q", token, seen.String()[max(0, i-200):i+len(token)])
		}
	}
}

// No call is answered with a page, a redirect or a prompt, whatever is wrong.
func TestCallsAreNeverRedirected(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: short(shortLock)})
	b := signedIn(t, g)
	check := func(what string, p *anteroomtest.Page, code string) {
		t.Helper()
		if m := problem(t, p); m["code"] != code || p.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v to %q", what, p.Status, m["code"], p.Header.Get("Location"))
		}
	}
	for name, h := range map[string]http.Header{
		"fetch":              {"Sec-Fetch-Mode": {"cors"}},
		"an image":           {"Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}},
		"XMLHttpRequest":     {"Sec-Fetch-Mode": nil, "Sec-Fetch-Dest": nil, "Accept": {"text/html"}, "X-Requested-With": {"XMLHttpRequest"}},
		"a client for JSON":  {"Sec-Fetch-Mode": nil, "Sec-Fetch-Dest": nil, "Accept": {"application/json, text/html;q=0.5"}},
		"a client for all":   {"Sec-Fetch-Mode": nil, "Sec-Fetch-Dest": nil, "Accept": {"*/*"}},
		"a client that PUTs": {"Sec-Fetch-Mode": nil, "Sec-Fetch-Dest": nil, "Accept": {"text/html"}},
	} {
		method := "GET"
		if strings.HasSuffix(name, "PUTs") {
			method = "PUT"
		}
		check(name+" of nobody's", g.Browser(t).Call(method, g.URL("ehr.test", "/chart/1"), "", "", h), "login_required")
		check(name+" too weak", b.Call("POST", g.URL("ehr.test", "/results/3"), form, "a=b", asScript(h)), "step_up_required")
	}
	untouched(t, g, "calls")
	wait(t, "the lock", func() bool { return sessionOf(t, g, b)["locked"] == true })
	check("locked", b.Call("GET", g.URL("ehr.test", "/chart/1"), "", "", nil), "locked")
	if got := g.Backend.Requests(); slices.ContainsFunc(got, func(r anteroomtest.Recorded) bool { return true }) {
		t.Errorf("the backend got %+v", got)
	}
}

// asScript turns the header of a navigation without Fetch Metadata, which may
// also POST, into that of a script.
func asScript(h http.Header) http.Header {
	h = h.Clone()
	if accept := h.Get("Accept"); accept == "text/html" && h.Get("X-Requested-With") == "" {
		h.Set("X-Requested-With", "XMLHttpRequest")
	}
	return h
}
