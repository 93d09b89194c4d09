package contract_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/keys"
	"github.com/anteroom/anteroom/store"
)

// warned is the fixture with three days of grace for an old system.
func warned(text string) string {
	return strings.Replace(text, "fresh_os: {severity: soft,", "fresh_os: {severity: soft, warn_for: 72h,", 1)
}

func oldTablet(id string) http.Header {
	h := anteroomtest.Compliant(id)
	h.Set("X-Mdm-Os-Version", "18.5")
	return h
}

func lastAccess(t *testing.T, g *anteroomtest.Gateway) audit.Record {
	t.Helper()
	all := g.Audit(audit.Query{Event: access.EventAccess})
	if len(all) == 0 {
		t.Fatal("nothing was recorded")
	}
	return all[len(all)-1]
}

// A person is told before the deadline, and their work goes on; after it, the
// device is kept out, whatever happened meanwhile.
func TestWarnThenBlock(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: warned})
	b := g.Browser(t)
	b.Device = oldTablet("ipad-1")
	study := g.URL("img.test", "/study/1")
	began := time.Now()
	p := b.Get(study)
	if p.Status != 200 || p.Code() != "device_fresh_os" || !strings.Contains(p.Body, "This iPad needs an update by ") {
		t.Fatalf("the first page: %d %s\n%s", p.Status, p.Code(), p.Body)
	}
	if _, ok := g.Backend.Last(); ok {
		t.Error("the backend was asked for a page that was not shown")
	}
	r := lastAccess(t, g)
	deadline := r.Device.Deadline
	if r.Verdict != "allow" || len(r.Device.Failed) != 0 || strings.Join(r.Device.Warned, " ") != "fresh_os" ||
		deadline.Before(began.Add(72*time.Hour-time.Second)) || deadline.After(time.Now().Add(72*time.Hour)) {
		t.Errorf("the record says %s of the device %+v", r.Verdict, r.Device)
	}
	outcomes := g.Audit(audit.Query{Event: access.EventOutcome})
	if last := outcomes[len(outcomes)-1]; last.Detail != "not forwarded: device warning shown" || last.Status != 200 {
		t.Errorf("the outcome says %d %q", last.Status, last.Detail)
	}

	// Later: the page itself, and no more of the other in this session.
	want := "fresh_os; deadline=" + deadline.Format(time.RFC3339)
	for range 2 {
		p = b.Get(p.Link("anteroom-continue"))
		if p.Status != 200 || p.Code() != "" || p.Header.Get("X-Anteroom-Device-Warning") != want {
			t.Fatalf("later: %d %s, header %q, want %q", p.Status, p.Code(), p.Header.Get("X-Anteroom-Device-Warning"), want)
		}
		p.Body = `<a id="anteroom-continue" href="` + study + `">`
	}
	if got := b.Call("GET", study, "", "", nil); got.Status != 200 || got.Header.Get("X-Anteroom-Device-Warning") != want {
		t.Errorf("a call: %d, header %q", got.Status, got.Header.Get("X-Anteroom-Device-Warning"))
	}
	var session struct{ Warnings []access.Warning }
	if err := json.Unmarshal([]byte(b.Call("GET", g.URL("img.test", "/.anteroom/session"), "", "", nil).Body), &session); err != nil ||
		len(session.Warnings) != 1 || session.Warnings[0].Check != "fresh_os" || !session.Warnings[0].Deadline.Equal(deadline) {
		t.Errorf("the session says %+v, %v", session.Warnings, err)
	}
	if n := g.Metric("anteroom_devices_blocked_soon"); n != 0 {
		t.Errorf("%v devices will be blocked within a day", n)
	}

	// Another session, and a device that wavers, begin nothing anew.
	good := g.Browser(t)
	good.Device = anteroomtest.Compliant("ipad-1")
	if p := good.Get(study); p.Status != 200 || p.Code() != "" || p.Header.Get("X-Anteroom-Device-Warning") != "" {
		t.Errorf("with a new system: %d %s", p.Status, p.Code())
	}
	next := g.Browser(t)
	next.Device = oldTablet("ipad-1")
	if p := next.Post(study, "application/x-www-form-urlencoded", "a=b"); p.Status != 200 {
		t.Errorf("a form of nobody: %d", p.Status) // it led to a sign-in
	}
	if p := next.Get(study); p.Code() != "device_fresh_os" && p.Header.Get("X-Anteroom-Device-Warning") == "" {
		t.Errorf("a new session is not told: %d %s", p.Status, p.Code())
	}
	if got := lastAccess(t, g).Device.Deadline; !got.Equal(deadline) {
		t.Errorf("the deadline moved from %v to %v", deadline, got)
	}

	// Two days and a half later, and then three: the store is turned back.
	g = later(t, g, "tunnel:ipad-1", 60*time.Hour)
	if n := g.Metric("anteroom_devices_blocked_soon"); n != 1 {
		t.Errorf("%v devices will be blocked within a day, want 1", n)
	}
	b = g.Browser(t)
	b.Device = oldTablet("ipad-1")
	if p := b.Get(study); p.Status != 200 || p.Code() != "device_fresh_os" {
		t.Errorf("half a day before the end: %d %s", p.Status, p.Code())
	}
	g = later(t, g, "tunnel:ipad-1", 12*time.Hour)
	b = g.Browser(t)
	b.Device = oldTablet("ipad-1")
	p = b.Get(study)
	if p.Status != 403 || p.Code() != "device_fresh_os" || !strings.Contains(p.Body, "It needs 18.7.3 or newer") {
		t.Errorf("after the end: %d %s", p.Status, p.Code())
	}
	if r := lastAccess(t, g); r.Verdict != "deny" || strings.Join(r.Device.Failed, " ") != "fresh_os" || len(r.Device.Warned) != 0 {
		t.Errorf("the record says %s of the device %+v", r.Verdict, r.Device)
	}
	if p := b.Call("GET", study, "", "", nil); p.Status != 403 || !strings.Contains(p.Body, `"checks":["fresh_os"]`) {
		t.Errorf("a call after the end: %d %s", p.Status, p.Body)
	}
}

// later stops g, makes it that long since device was first seen to fail, and
// starts it again.
func later(t *testing.T, g *anteroomtest.Gateway, device string, by time.Duration) *anteroomtest.Gateway {
	t.Helper()
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(g.Dir, "data")
	root, err := keys.Open(filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(data, "store"), Key: root.Derive("store", 32), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := s.Bucket(t.Context(), "grace")
	if err != nil {
		t.Fatal(err)
	}
	text, rev, err := bucket.Get(t.Context(), device)
	if err != nil {
		t.Fatalf("since when %s fails is not in the store: %v", device, err)
	}
	var lapses []access.Lapse
	if err := json.Unmarshal(text, &lapses); err != nil || len(lapses) != 1 {
		t.Fatalf("the store has %s, %v", text, err)
	}
	lapses[0].Since = lapses[0].Since.Add(-by)
	if text, err = json.Marshal(lapses); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Update(t.Context(), device, text, rev, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return anteroomtest.Start(t, anteroomtest.Setup{Edit: warned, Dir: g.Dir, Provider: g.Provider, Backend: g.Backend, Port: g.Port})
}

// Forms, frames, scripts and what was confirmed for this very request are never
// in the way of a warning.
func TestWarningIsInNobodysWay(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string {
		return strings.Replace(warned(text), "device: none\n    origins", "device: clinical\n    origins", 1)
	}})
	b := g.Browser(t)
	b.Device = oldTablet("ipad-1")
	if p := b.Navigate("GET", g.URL("ehr.test", "/poll"), "", "", nil); p.Status != 200 || p.Code() != "" {
		t.Errorf("in the background: %d %s", p.Status, p.Code())
	}
	if p := b.Post(g.URL("ehr.test", "/chart/1"), "application/x-www-form-urlencoded", "a=b"); p.Status != 200 || p.Code() != "" {
		t.Errorf("a form: %d %s", p.Status, p.Code())
	}
	if p := b.Navigate("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Sec-Fetch-Dest": {"iframe"}}); p.Status != 200 || p.Code() != "" {
		t.Errorf("a frame: %d %s", p.Status, p.Code())
	}
	if p := b.Navigate("GET", g.URL("ehr.test", "/chart/1"), "", "", http.Header{"Sec-Purpose": {"prefetch"}}); p.Status != 200 || p.Code() != "" {
		t.Errorf("a prefetch: %d %s", p.Status, p.Code())
	}
	if p := b.Get(g.URL("ehr.test", "/export/1")); p.Status != 200 || p.Code() != "" {
		t.Errorf("what is confirmed each time: %d %s", p.Status, p.Code())
	}
	if p := b.Get(g.URL("ehr.test", "/chart/1")); p.Status != 200 || p.Code() != "device_fresh_os" {
		t.Errorf("a page: %d %s", p.Status, p.Code())
	}
}

// While a source is silent, what it last said may stand in; nobody's silence may.
func TestSilentSource(t *testing.T) {
	lasting := func(text string) string {
		return strings.Replace(text, "[not_jailbroken, managed, fresh_os, fresh_checkin]}", "[not_jailbroken, managed, fresh_os, fresh_checkin], on_outage: last_known(30m)}", 1)
	}
	for _, c := range []struct {
		name string
		edit func(string) string
		ok   bool
	}{{"last_known", lasting, true}, {"deny", func(s string) string { return s }, false}} {
		t.Run(c.name, func(t *testing.T) {
			g := anteroomtest.Start(t, anteroomtest.Setup{Edit: c.edit})
			study := g.URL("img.test", "/study/1")
			b := g.Browser(t)
			b.Device = anteroomtest.Compliant("ipad-1")
			if p := b.Get(study); p.Status != 200 {
				t.Fatalf("fit: %d", p.Status)
			}
			judge := func(name string, h http.Header, ok bool) {
				t.Helper()
				b.Device = h
				p := b.Get(study)
				if (p.Status == 200) != ok || !ok && (p.Status != 403 || p.Code() != "device_unknown") {
					t.Errorf("%s: %d %s", name, p.Status, p.Code())
				}
				if r := lastAccess(t, g); r.Device.LastKnown.IsZero() == ok {
					t.Errorf("%s: the record says of the device %+v", name, r.Device)
				}
			}
			stale := anteroomtest.Compliant("ipad-1")
			stale.Set("X-Mdm-Asserted-At", time.Now().Add(-16*time.Minute).UTC().Format(time.RFC3339))
			judge("an old statement", stale, c.ok)
			if c.ok {
				judge("the device alone", http.Header{"X-Mdm-Device-Id": {"ipad-1"}}, true)
			}
			bad := stale.Clone()
			bad.Set("X-Mdm-Compromised", "true")
			if !c.ok {
				b.Device = stale
				if p := b.Get(study); !strings.Contains(p.Body, "We can&#39;t check this device right now") {
					t.Errorf("the page does not say so:\n%s", p.Body)
				}
			}
			judge("nobody speaks", http.Header{}, false)
			b.Device = bad
			if p := b.Get(study); c.ok && (p.Status != 403 || p.Code() != "device_not_jailbroken") {
				t.Errorf("bad news in an old statement: %d %s", p.Status, p.Code())
			}
		})
	}
}

// Whoever taps Recheck again and again is told when it is worth while; a device
// that is fit by then is let in all the same.
func TestRecheck(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	b.Device = oldTablet("ipad-1")
	study := g.URL("img.test", "/study/1")
	offered := 0
	for range 7 {
		p := b.Get(study)
		if p.Status != 403 || p.Code() != "device_fresh_os" {
			t.Fatalf("%d %s", p.Status, p.Code())
		}
		if p.Link("anteroom-continue") != "" {
			offered++
		} else if p.Header.Get("Retry-After") == "" || !strings.Contains(p.Body, "Recheck in ") {
			t.Errorf("the page does not say when:\n%s", p.Body)
		}
	}
	if offered < 3 || offered > 5 {
		t.Errorf("Recheck is offered %d times of 7", offered)
	}
	b.Device = anteroomtest.Compliant("ipad-1")
	if p := b.Get(study); p.Status != 200 {
		t.Errorf("when it is fit: %d", p.Status)
	}
	b.Device.Set("X-Mdm-Compromised", "true")
	if p := b.Get(study); p.Status != 403 || p.Link("anteroom-continue") != "" {
		t.Errorf("a jailbroken one: %d, %q", p.Status, p.Link("anteroom-continue"))
	}
}
