package demo

import (
	"slices"
	"strings"
	"time"
)

// An answer is what became of one question of the decision.
type answer struct {
	Question string
	State    string // passed, stopped, skipped (nothing was asked here) or unasked (it was settled before)
	Word     string // the reason, where it stopped
	Known    string // what the answer was judged by
}

// A question is one that the decision asks.
type question struct {
	text    string
	reasons []string // the words that it stops with; one that ends in _ begins them
	known   func(*line) string
}

// The order in which the gateway asks (docs/request.md, Decide).
var questions = []question{
	{"Is somebody signed in?", []string{"no_session"}, func(l *line) string {
		if l.Subject.Sub == "" {
			return "nobody"
		}
		return l.Subject.Username + " (" + l.Subject.Sub + " at " + l.Subject.Issuer + ")"
	}},
	{"Is the session alive?", []string{"session_ended"}, func(l *line) string { return labelled("session ", l.Session) }},
	{"Is it unlocked?", []string{"session_locked"}, nil},
	{"Is it the device that it began on?", []string{"device_changed"}, nil},
	{"Is the device fit?", []string{"device_"}, func(l *line) string {
		parts := []string{"nothing is known of it"}
		if l.Device.ID != "" {
			parts[0] = l.Device.ID
		}
		if l.Device.Assurance != "" {
			parts = append(parts, "assurance "+l.Device.Assurance)
		}
		if len(l.Device.Failed) > 0 {
			parts = append(parts, "failed: "+strings.Join(l.Device.Failed, ", "))
		}
		return strings.Join(parts, "; ")
	}},
	{"Is there a role for it?", []string{"no_role"}, func(l *line) string {
		if len(l.Subject.Roles) == 0 {
			return "no role"
		}
		return strings.Join(l.Subject.Roles, ", ")
	}},
	{"Was the sign-in strong enough?", []string{"weak_login"}, func(l *line) string {
		return strings.TrimSpace(l.Login.ACR + " " + strings.Join(l.Login.AMR, " "))
	}},
	{"Was it recent enough?", []string{"old_login"}, func(l *line) string {
		if l.Login.AuthTime.IsZero() {
			return ""
		}
		return max(0, l.Time.Sub(l.Login.AuthTime)).Round(time.Second).String() + " ago"
	}},
	{"Was it made for this very request?", []string{"once_used", "subject_changed"}, nil},
}

// firstOfRule is the first question that only a rule asks.
const firstOfRule = 6

func labelled(label, value string) string {
	if value == "" {
		return ""
	}
	return label + value
}

// stepsOf returns how a decision went, from the reason that settled it: the
// steps before the one that stopped were passed, those after it never asked.
func stepsOf(l *line) []answer {
	stopped := len(questions) // nothing did
	if l.Verdict != "allow" {
		stopped = slices.IndexFunc(questions, func(q question) bool {
			return slices.ContainsFunc(q.reasons, func(r string) bool {
				return r == l.Reason || strings.HasSuffix(r, "_") && strings.HasPrefix(l.Reason, r)
			})
		})
		if stopped < 0 { // refused before a decision, or by a word that this page does not know
			return []answer{{Question: "Could it be decided?", State: "stopped", Word: l.Reason}}
		}
	}
	if l.Reason == "public" {
		return []answer{{Question: "Is this open to everybody?", State: "passed", Word: l.Reason}}
	}
	var all []answer
	for i, q := range questions {
		s := answer{Question: q.text, State: "passed"}
		switch {
		case i == stopped:
			s.State, s.Word = "stopped", l.Reason
		case i > stopped:
			s.State = "unasked"
		case i >= firstOfRule && l.Rule == "":
			s.State = "skipped"
		}
		if q.known != nil && i <= stopped {
			s.Known = q.known(l)
		}
		all = append(all, s)
	}
	return all
}

// Says returns the state in words.
func (s answer) Says() string {
	switch s.State {
	case "passed":
		return "yes"
	case "stopped":
		return "no"
	case "skipped":
		return "no rule asks"
	}
	return "not asked any more"
}
