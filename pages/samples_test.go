package pages_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

const help = "Service desk, extension 4000"

func site(t testing.TB) *pages.Site {
	t.Helper()
	s, err := pages.New(pages.Options{Help: help})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, p pages.Page) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	site(t).Write(w, p)
	return w
}

// samples is a page of every kind as the gateway would fill it, and the
// variants that read differently.
func samples() map[string]pages.Page {
	all := map[string]pages.Page{}
	for _, k := range pages.Kinds() {
		p := pages.Page{Kind: k, RequestID: "7f3k2q9dm4xw", Host: "rx.hospital.example"}
		switch k {
		case pages.StepUp:
			p.Rule, p.Code, p.Held = "amend an order", "old_login", true
			p.Continue, p.Cancel = "https://gate.hospital.example/.anteroom/start?j=sealed", "/"
		case pages.Locked:
			p.Who, p.Continue, p.SignOut = "Sam Okafor", "/.anteroom/start?j=sealed", "https://gate.hospital.example/.anteroom/logout"
		case pages.SessionEnded, pages.DeviceChanged, pages.SignedOut, pages.FrameNotice, pages.SignInExpired:
			p.Continue = "https://gate.hospital.example/.anteroom/start?j=sealed"
			p.Frame = "https://rx.hospital.example"
		case pages.DeviceBlocked:
			p.Platform, p.Code, p.Continue = "ipados", "device_fresh_os", "/"
			p.Failed = []access.Failure{{Check: "fresh_os", Fact: "os_version", Have: "18.5", Want: "18.7.3"}}
		case pages.NotAllowed, pages.StepUpFailed, pages.NotSent:
			p.Rule, p.Cancel = "export records", "/"
		case pages.TooMany, pages.Busy:
			p.RetryAfter = 30
		case pages.Release:
			p.Release = &pages.ReleaseForm{Action: "/orders/7?draft='(1)'", Token: "b25lLXRpbWU"}
		case pages.ConfirmSignOut:
			p.Who, p.Cancel, p.FormAction = "Sam Okafor", "/", []string{"https://login.hospital.example"}
		case pages.Choose:
			p.Choices = []pages.Choice{
				{Name: "nhs", Label: "NHS smartcard", Link: "/.anteroom/start?j=sealed&at=nhs", Last: true},
				{Name: "hospital", Label: "St. Brigid hospital", Link: "/.anteroom/start?j=sealed&at=hospital"},
			}
		case pages.OtherProvider:
			p.Who, p.Providers, p.Continue = "Sam Okafor", []string{"NHS smartcard"}, "/.anteroom/start?j=sealed&go=1"
		case pages.Home:
			p.Who, p.Cancel = "Sam Okafor", ""
		default:
			p.Continue, p.Cancel = "/", "/"
		}
		all[k.String()] = p
	}
	weak := all["step_up"]
	weak.Code, weak.Held = "weak_login", false
	all["step_up_weak"] = weak
	held := all["locked"]
	held.Held = true
	all["locked_held"] = held
	for name, p := range deviceSamples() {
		all[name] = p
	}
	many := all["device_blocked"]
	many.Failed = append(many.Failed,
		access.Failure{Check: "fresh_checkin", Fact: "checked_in_at", Have: "75h0m0s", Want: "24h0m0s"},
		access.Failure{Check: "not_jailbroken", Hard: true, Fact: "compromised", Have: "true", Want: "false"})
	all["device_blocked_compromised"] = many
	cancelled := all["sign_in_failed"]
	cancelled.Code, cancelled.Held, cancelled.Rule = "access_denied", true, "amend an order"
	all["sign_in_cancelled"] = cancelled
	tooMany := all["sign_in_failed"]
	tooMany.Code, tooMany.Cancel = string(access.GroupsLeftOut), ""
	all["sign_in_groups_left_out"] = tooMany
	nobody := all["home"]
	nobody.Who, nobody.Continue = "", "/.anteroom/start"
	all["home_nobody"] = nobody
	return all
}

// deviceSamples is a page for each thing that may be wrong with a device, and
// for what will be.
func deviceSamples() map[string]pages.Page {
	friday := time.Date(2026, 11, 27, 18, 0, 0, 0, time.FixedZone("Oslo", 3600))
	page := func(kind pages.Kind, platform access.Platform, failed ...access.Failure) pages.Page {
		p := pages.Page{Kind: kind, RequestID: "7f3k2q9dm4xw", Host: "rx.hospital.example", Platform: platform, Failed: failed, Continue: pages.Here,
			Code: string(access.DeviceFailed(failed[0].Check)), Now: friday.Add(-71 * time.Hour)}
		return p
	}
	blocked := func(platform access.Platform, failed ...access.Failure) pages.Page {
		return page(pages.DeviceBlocked, platform, failed...)
	}
	oldOS := access.Failure{Check: "fresh_os", Fact: "os_version", Have: "18.5", Want: "18.7.3"}
	warned := oldOS
	warned.Deadline = friday.UTC()
	checkIn := access.Failure{Check: "fresh_checkin", Fact: "checked_in_at", Have: "75h0m0s", Want: "24h0m0s"}
	late := checkIn
	late.Deadline = friday.Add(-48 * time.Hour)
	patch := access.Failure{Check: "fresh_patch", Fact: "security_patch", Have: "2026-03-05", Want: "2026-09-01"}
	patchSoon := patch
	patchSoon.Deadline = friday.AddDate(0, 0, 7)
	soon := blocked("ipados", oldOS)
	soon.RetryAfter = 12
	silent := blocked("ipados", access.Failure{Check: "managed", Fact: "statement"})
	silent.Code = string(access.DeviceUnknown)
	unknown := blocked("", access.Failure{Check: "managed", Fact: "device"})
	unknown.Code = string(access.DeviceUnknown)
	return map[string]pages.Page{
		"device_warning":              page(pages.DeviceWarning, "ipados", warned),
		"device_warning_two":          page(pages.DeviceWarning, "ipados", warned, late),
		"device_warning_patch":        page(pages.DeviceWarning, "android", patchSoon),
		"device_blocked_patch":        blocked("android", patch),
		"device_blocked_checkin":      blocked("ipados", checkIn),
		"device_blocked_jailbroken":   blocked("ipados", access.Failure{Check: "not_jailbroken", Fact: "compromised", Have: "true", Want: "false", Hard: true}),
		"device_blocked_unmanaged":    blocked("windows", access.Failure{Check: "managed", Fact: "managed", Have: "false", Want: "true", Hard: true}),
		"device_blocked_unknown":      unknown,
		"device_blocked_lost":         blocked("ipados", access.Failure{Check: "managed", Fact: "lost", Have: "true", Want: "false", Hard: true}),
		"device_blocked_passcode":     blocked("ipados", access.Failure{Check: "locks", Fact: "passcode", Have: "false", Want: "true"}),
		"device_blocked_encryption":   blocked("windows", access.Failure{Check: "encrypted", Fact: "encrypted", Have: "false", Want: "true"}),
		"device_blocked_source_down":  silent,
		"device_blocked_recheck_soon": soon,
	}
}

// plain returns the text of a page without its markup, blanks folded.
func plain(html string) string {
	var b strings.Builder
	inside := false
	for _, r := range html {
		switch {
		case r == '<':
			inside = true
			b.WriteByte(' ')
		case r == '>':
			inside = false
		case !inside:
			b.WriteRune(r)
		}
	}
	text := strings.NewReplacer("&#39;", "'", "&amp;", "&", "&lt;", "<", "&gt;", ">", "&#34;", `"`).Replace(b.String())
	return strings.Join(strings.Fields(text), " ")
}
