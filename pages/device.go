package pages

import (
	"fmt"
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
)

// advice is what a person reads of one failed check: what is wrong, and what
// they can do about it. It says no more of the check than they must know.
type advice struct {
	Text  string
	Steps []string
	hard  bool
}

// advise turns failed checks into advice, hard ones first, each text once; when
// one settles the matter, that one alone.
func advise(failed []access.Failure, platform access.Platform) []advice {
	var all []advice
	settled := slices.ContainsFunc(failed, settles)
	for _, f := range failed {
		if settled && !settles(f) {
			continue
		}
		a := adviceOn(f, platform)
		a.hard = f.Hard
		i := slices.IndexFunc(all, func(b advice) bool { return b.Text == a.Text })
		if i >= 0 {
			all[i].hard = all[i].hard || a.hard
			continue
		}
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b advice) int {
		switch {
		case a.hard == b.hard:
			return 0
		case a.hard:
			return -1
		}
		return 1
	})
	return all
}

// settles reports whether f alone keeps the device out, so that nobody needs
// to hear what else it lacks.
func settles(f access.Failure) bool {
	return !f.Missing() && (f.Fact == string(access.Compromised) || f.Fact == string(access.Lost) || f.Fact == string(access.Managed))
}

// final reports whether the device must not be tried again by its user.
func final(failed []access.Failure) bool {
	return slices.ContainsFunc(failed, func(f access.Failure) bool {
		return !f.Missing() && (f.Fact == string(access.Compromised) || f.Fact == string(access.Lost))
	})
}

// compromised reports whether the device is known to be tampered with.
func compromised(failed []access.Failure) bool {
	return slices.ContainsFunc(failed, func(f access.Failure) bool { return !f.Missing() && f.Fact == string(access.Compromised) })
}

// unanswered reports whether nothing is wrong but that nobody speaks of the
// device just now.
func unanswered(failed []access.Failure) bool {
	return len(failed) > 0 && !slices.ContainsFunc(failed, func(f access.Failure) bool { return f.Fact != "statement" })
}

func adviceOn(f access.Failure, platform access.Platform) advice {
	this := "This " + noun(platform)
	switch f.Fact {
	case "device", "assurance":
		return advice{Text: "Use a hospital-managed device for this page.", Steps: []string{
			"If this one is, check that its hospital connection is on.",
			again}}
	case "statement":
		return advice{Text: "What watches over this " + noun(platform) + " doesn't answer. That is not your doing.", Steps: []string{
			"Wait five minutes, then tap Recheck.",
			"If that doesn't help, call for help: many devices may be affected."}}
	case string(access.Managed):
		if f.Missing() {
			return unsure("whether the hospital manages this "+noun(platform), platform)
		}
		return advice{Text: "Use a hospital-managed device for this page."}
	case string(access.Compromised):
		if f.Missing() {
			return unsure("whether this "+noun(platform)+" is safe", platform)
		}
		return advice{Text: "This device can't be used for patient data. Take it to IT."}
	case string(access.Lost):
		if f.Missing() {
			return unsure("whether this "+noun(platform)+" is reported lost", platform)
		}
		return advice{Text: "This device is reported lost. Hand it to IT."}
	case string(access.Compliant):
		if f.Missing() {
			return unsure("whether this "+noun(platform)+" meets the hospital's rules", platform)
		}
		return advice{Text: this + " doesn't meet the hospital's rules for devices.", Steps: []string{
			"Open " + manager(platform) + ". It says what is missing.",
			asItAsks}}
	case string(access.Passcode):
		if f.Missing() {
			return unsure("whether this "+noun(platform)+" has a passcode", platform)
		}
		return advice{Text: this + " has no passcode. Turn one on.", Steps: []string{
			passcodeSettings(platform), again}}
	case string(access.Encrypted):
		if f.Missing() {
			return unsure("whether the storage of this "+noun(platform)+" is encrypted", platform)
		}
		return advice{Text: "The storage of this " + noun(platform) + " isn't encrypted.", Steps: []string{
			encryptionSettings(platform), again}}
	case "os_version":
		return version(f, platform)
	case "security_patch":
		return patch(f, platform)
	case "checked_in_at":
		return checkIn(f, platform)
	case "platform":
		return advice{Text: "This kind of device can't open this page.", Steps: []string{
			"Use a ward tablet or cart."}}
	}
	return advice{Text: this + " didn't pass a check of the hospital."}
}

// How the steps of most advice end.
const (
	again    = "Then tap Recheck."
	whenDone = "When it's done, tap Recheck."
	asItAsks = "Do what it asks, then tap Recheck."
)

func unsure(what string, platform access.Platform) advice {
	return advice{Text: "We don't know " + what + ".", Steps: sync(platform)}
}

func sync(platform access.Platform) []string {
	return []string{
		"Open " + manager(platform) + ".",
		"Choose Sync or Check status, and wait for it to finish.",
		again}
}

func version(f access.Failure, platform access.Platform) advice {
	if f.Missing() {
		return unsure("which version this "+noun(platform)+" is on", platform)
	}
	text := fmt.Sprintf("This %s is on %s.", noun(platform), f.Have)
	if f.Want != "" {
		text += fmt.Sprintf(" It needs %s or newer to open this page.", f.Want)
	} else {
		text += " It needs a newer version to open this page."
	}
	return advice{Text: text, Steps: []string{
		"Plug it in and connect it to Wi-Fi.",
		updateSettings(platform),
		whenDone}}
}

func patch(f access.Failure, platform access.Platform) advice {
	a := advice{Steps: []string{updateSettings(platform), "If no update is offered, ask for help.", whenDone}}
	day, err := time.Parse(time.DateOnly, f.Have)
	age, aged := span(f.Have)
	switch {
	case err == nil:
		a.Text = fmt.Sprintf("The security update on this %s is from %s. It needs a newer one.", noun(platform), day.Format("2 January 2006"))
	case aged:
		a.Text = fmt.Sprintf("The security update on this %s is %s old. It needs a newer one.", noun(platform), age)
	default:
		return unsure("which security update this "+noun(platform)+" has", platform)
	}
	return a
}

func checkIn(f access.Failure, platform access.Platform) advice {
	age, ok := span(f.Have)
	if !ok {
		return unsure("when this "+noun(platform)+" last reported in", platform)
	}
	return advice{Text: fmt.Sprintf("This %s has not reported in for %s.", noun(platform), age), Steps: sync(platform)}
}

// span says a duration in words, or false when s is none or lies ahead.
func span(s string) (string, bool) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil || d <= 0:
		return "", false
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours())/24), true
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours())), true
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes())), true
	}
	return "a minute", true
}

func noun(p access.Platform) string {
	switch p {
	case "ipados":
		return "iPad"
	case "ios":
		return "iPhone"
	case "android":
		return "Android device"
	case "macos":
		return "Mac"
	case "windows", "linux":
		return "computer"
	case "chromeos":
		return "Chromebook"
	}
	return "device"
}

// manager names the app by which the device reports to the hospital. Which
// product it is differs; these are the words that its users know.
func manager(p access.Platform) string {
	switch p {
	case "ipados", "ios", "android":
		return "the hospital's device app (such as Company Portal or Hub)"
	}
	return "the hospital's device app"
}

func updateSettings(p access.Platform) string {
	switch p {
	case "ipados", "ios":
		return "Open Settings, General, Software Update, and install the update."
	case "android":
		return "Open Settings, System, Software update, and install the update."
	case "macos":
		return "Open System Settings, General, Software Update, and install the update."
	case "windows":
		return "Open Settings, Windows Update, and install the update."
	case "chromeos":
		return "Open Settings, About ChromeOS, Check for updates, and install the update."
	}
	return "Open its settings and install the update."
}

func passcodeSettings(p access.Platform) string {
	switch p {
	case "ipados", "ios":
		return "Open Settings, Face ID (or Touch ID) & Passcode, and turn the passcode on."
	case "android":
		return "Open Settings, Security, Screen lock, and choose a PIN or password."
	}
	return "Open its settings and turn on a passcode or password."
}

func encryptionSettings(p access.Platform) string {
	switch p {
	case "ipados", "ios":
		return "Open Settings, Face ID (or Touch ID) & Passcode, and turn the passcode on: it encrypts the storage."
	case "android":
		return "Open Settings, Security, Encryption, and turn it on."
	case "macos":
		return "Open System Settings, Privacy & Security, FileVault, and turn it on."
	case "windows":
		return "Open Settings, Privacy & security, Device encryption, and turn it on."
	}
	return "Open its settings and turn on encryption of the storage."
}
