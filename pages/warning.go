package pages

import (
	"slices"
	"time"

	"github.com/anteroom/anteroom/access"
)

// forewarn turns checks that a device may still fail into what its person has
// to do, and until when; what ends first comes first.
func forewarn(failed []access.Failure, platform access.Platform, now time.Time) []advice {
	failed = slices.Clone(failed)
	slices.SortStableFunc(failed, func(a, b access.Failure) int { return a.Deadline.Compare(b.Deadline) })
	var all []advice
	for _, f := range failed {
		a := advice{Text: soon(f.Fact, noun(platform)) + " by " + when(f.Deadline, now) + "."}
		for _, step := range adviceOn(f, platform).Steps {
			switch step {
			case again, whenDone: // there is nothing to recheck yet
			case asItAsks:
				a.Steps = append(a.Steps, "Do what it asks.")
			default:
				a.Steps = append(a.Steps, step)
			}
		}
		all = append(all, a)
	}
	return all
}

func soon(fact, noun string) string {
	switch fact {
	case "os_version":
		return "This " + noun + " needs an update"
	case "security_patch":
		return "This " + noun + " needs its security update"
	case "checked_in_at":
		return "This " + noun + " must report in to the hospital"
	case string(access.Passcode):
		return "This " + noun + " needs a passcode"
	case string(access.Encrypted):
		return "The storage of this " + noun + " must be encrypted"
	}
	return "This " + noun + " must meet the hospital's rules"
}

// when says a moment as people do, in the time zone of now.
func when(t, now time.Time) string {
	t = t.In(now.Location())
	midnight := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	switch days := int(midnight(t).Sub(midnight(now)).Hours() / 24); {
	case days <= 0:
		return "today " + t.Format("15:04")
	case days == 1:
		return "tomorrow " + t.Format("15:04")
	case days < 7:
		return t.Format("Monday 15:04")
	}
	return t.Format("Monday 2 January, 15:04")
}
