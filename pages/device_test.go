package pages_test

import (
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

func TestDeviceWords(t *testing.T) {
	for _, tt := range []struct {
		name     string
		failed   access.Failure
		platform access.Platform
		want     string
		not      string
	}{
		{"old iPad", access.Failure{Fact: "os_version", Have: "18.5", Want: "18.7.3"}, "ipados", "This iPad is on 18.5. It needs 18.7.3 or newer to open this page.", ""},
		{"its steps", access.Failure{Fact: "os_version", Have: "18.5", Want: "18.7.3"}, "ipados", "Open Settings, General, Software Update", ""},
		{"old iPhone", access.Failure{Fact: "os_version", Have: "18.5", Want: "26.2"}, "ios", "This iPhone is on 18.5. It needs 26.2 or newer to open this page.", ""},
		{"old, nothing to update to", access.Failure{Fact: "os_version", Have: "18.5"}, "ipados", "It needs a newer version to open this page.", "needs or"},
		{"version unknown", access.Failure{Fact: "os_version"}, "android", "We don't know which version this Android device is on.", ""},
		{"unknown device", access.Failure{Fact: "device"}, "", "Use a hospital-managed device for this page.", ""},
		{"not managed", access.Failure{Fact: "managed", Have: "false", Want: "true"}, "ipados", "Use a hospital-managed device for this page.", ""},
		{"managed unknown", access.Failure{Fact: "managed", Want: "true"}, "ipados", "We don't know whether the hospital manages this iPad.", ""},
		{"compromised", access.Failure{Fact: "compromised", Have: "true", Want: "false"}, "ipados", "This device can't be used for patient data. Take it to IT.", "Recheck"},
		{"compromised unknown", access.Failure{Fact: "compromised", Want: "false"}, "ipados", "We don't know whether this iPad is safe.", "Take it to IT"},
		{"lost", access.Failure{Fact: "lost", Have: "true", Want: "false"}, "ipados", "This device is reported lost.", "Recheck"},
		{"stale", access.Failure{Fact: "checked_in_at", Have: "75h12m3s", Want: "24h0m0s"}, "ipados", "This iPad has not reported in for 3 days.", "24"},
		{"stale by hours", access.Failure{Fact: "checked_in_at", Have: "26h0m0s", Want: "24h0m0s"}, "windows", "This computer has not reported in for 26 hours.", "24"},
		{"check-in ahead of time", access.Failure{Fact: "checked_in_at", Have: "-3h0m0s", Want: "24h0m0s"}, "ipados", "We don't know when this iPad last reported in.", "-3"},
		{"never checked in", access.Failure{Fact: "checked_in_at", Want: "24h0m0s"}, "ipados", "We don't know when this iPad last reported in.", ""},
		{"passcode", access.Failure{Fact: "passcode", Have: "false", Want: "true"}, "ipados", "This iPad has no passcode. Turn one on.", ""},
		{"encryption", access.Failure{Fact: "encrypted", Have: "false", Want: "true"}, "macos", "The storage of this Mac isn't encrypted.", ""},
		{"not compliant", access.Failure{Fact: "compliant", Have: "false", Want: "true"}, "chromeos", "This Chromebook doesn't meet the hospital's rules for devices.", ""},
		{"old patch by date", access.Failure{Fact: "security_patch", Have: "2026-03-05", Want: "2026-09-01"}, "android", "The security update on this Android device is from 5 March 2026.", "2026-09"},
		{"old patch by age", access.Failure{Fact: "security_patch", Have: "3600h0m0s", Want: "2880h0m0s"}, "android", "The security update on this Android device is 150 days old.", "120"},
		{"patch unknown", access.Failure{Fact: "security_patch", Want: "2880h0m0s"}, "android", "We don't know which security update this Android device has.", ""},
		{"platform not listed", access.Failure{Fact: "platform", Have: "linux"}, "linux", "This kind of device can't open this page.", ""},
		{"a fact from later", access.Failure{Fact: "moon_phase", Have: "full"}, "ipados", "This iPad didn't pass a check of the hospital.", "moon"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := plain(write(t, pages.Page{Kind: pages.DeviceBlocked, Failed: []access.Failure{tt.failed}, Platform: tt.platform, Continue: "/"}).Body.String())
			if !strings.Contains(text, tt.want) {
				t.Errorf("want %q in: %s", tt.want, text)
			}
			if tt.not != "" && strings.Contains(text, tt.not) {
				t.Errorf("do not want %q in: %s", tt.not, text)
			}
		})
	}
}

func TestHardFailuresComeFirst(t *testing.T) {
	p := pages.Page{Kind: pages.DeviceBlocked, Platform: "ipados", Failed: []access.Failure{
		{Fact: "os_version", Have: "18.5", Want: "18.7.3"},
		{Fact: "checked_in_at", Have: "75h0m0s"},
		{Fact: "encrypted", Have: "false", Want: "true", Hard: true},
	}}
	text := plain(write(t, p).Body.String())
	hard, soft, last := strings.Index(text, "isn't encrypted"), strings.Index(text, "is on 18.5"), strings.Index(text, "reported in")
	if hard < 0 || soft < hard || last < soft {
		t.Errorf("order is hard %d, soft %d, %d: %s", hard, soft, last, text)
	}
}

// Whoever must change the device need not hear how to update it.
func TestWhatSettlesTheMatterStandsAlone(t *testing.T) {
	for _, f := range []access.Failure{
		{Fact: "managed", Have: "false", Hard: true}, {Fact: "lost", Have: "true", Hard: true}, {Fact: "compromised", Have: "true"},
	} {
		p := pages.Page{Kind: pages.DeviceBlocked, Platform: "windows", Failed: []access.Failure{f, {Fact: "platform"}, {Fact: "checked_in_at"}}}
		text := plain(write(t, p).Body.String())
		if strings.Contains(text, "This kind of device") || strings.Contains(text, "reported in") {
			t.Errorf("%s: %s", f.Fact, text)
		}
	}
}

func TestSameAdviceOnce(t *testing.T) {
	p := pages.Page{Kind: pages.DeviceBlocked, Failed: []access.Failure{{Check: "a", Fact: "device"}, {Check: "b", Fact: "device"}}}
	if n := strings.Count(plain(write(t, p).Body.String()), "hospital-managed"); n != 1 {
		t.Errorf("the advice stands %d times", n)
	}
}

func TestDeadlinesAsPeopleSayThem(t *testing.T) {
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 9, 30, 0, 0, oslo) // a Tuesday
	for _, c := range []struct {
		until time.Time
		want  string
	}{
		{now.Add(time.Hour), "by today 10:30."},
		{time.Date(2026, 11, 24, 23, 59, 0, 0, oslo), "by today 23:59."},
		{time.Date(2026, 11, 25, 0, 1, 0, 0, oslo), "by tomorrow 00:01."},
		{time.Date(2026, 11, 27, 17, 0, 0, 0, time.UTC), "by Friday 18:00."},
		{time.Date(2026, 11, 30, 23, 30, 0, 0, oslo), "by Monday 23:30."},
		{time.Date(2026, 12, 1, 8, 0, 0, 0, oslo), "by Tuesday 1 December, 08:00."},
		{now.Add(-time.Hour), "by today 08:30."},
	} {
		p := pages.Page{Kind: pages.DeviceWarning, Platform: "ipados", Now: now, Failed: []access.Failure{{Fact: "os_version", Have: "18.5", Want: "18.7.3", Deadline: c.until}}}
		if text := plain(write(t, p).Body.String()); !strings.Contains(text, "This iPad needs an update "+c.want) {
			t.Errorf("want %q in: %s", c.want, text)
		}
	}
}

// What must be done first stands first, and nothing is to be rechecked yet.
func TestWarnings(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	p := pages.Page{Kind: pages.DeviceWarning, Platform: "android", Now: at, Continue: pages.Here}
	for i, fact := range []string{"os_version", "security_patch", "checked_in_at", "passcode", "encrypted", "compliant", "moon_phase"} {
		p.Failed = append(p.Failed, access.Failure{Fact: fact, Have: "false", Deadline: at.Add(time.Duration(9-i) * time.Hour)})
	}
	text := plain(write(t, p).Body.String())
	last := -1
	for _, want := range []string{"must meet the hospital's rules by today 12:30", "by today 13:30", "must be encrypted by today 14:30", "needs a passcode by today 15:30",
		"must report in to the hospital by today 16:30", "needs its security update by today 17:30", "needs an update by today 18:30"} {
		i := strings.Index(text, want)
		if i <= last {
			t.Errorf("%q is not there, or too early: %s", want, text)
		}
		last = i
	}
	if strings.Contains(text, "Recheck") || !strings.Contains(text, "Later") {
		t.Errorf("the way on: %s", text)
	}
}
