// Package replay tells what recorded requests would become under another
// configuration, and what a record cannot tell of that.
package replay

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/routes"
)

// A File is what of a configuration governs requests.
type File struct {
	Table *routes.Table
	Roles map[string][]string // what makes a person hold each role: an issuer and a group of it, in one word
}

// A Replay judges records by a new file. The zero Replay is of no use.
type Replay struct {
	new, old *side
}

// New returns a Replay that judges by file. With old given, which may be nil,
// requests are judged by both files, and what has not changed between them is
// taken as it was when the record was made: old is the file that was then in force.
func New(file File, old *File) *Replay {
	r := &Replay{new: newSide(file)}
	if old != nil {
		r.old = newSide(*old)
	}
	return r
}

// A Kind says what came of a record.
type Kind int

const (
	Unjudged   Kind = iota // no request, or one that was settled before anything was decided
	Same                   // the verdict stays
	Different              // the verdict is another, whatever the record does not hold
	CannotTell             // it depends on what the record does not hold
)

// An Answer is what became of one record.
type Answer struct {
	Kind  Kind
	Route string // that governs it now, else that governed it
	Rule  string // that settles it now, else that settled it; "" for the route's own
	From  string // unless Same: verdict and reason, as "allow", or "deny (no_role)"
	To    string // the same; with CannotTell and often with Different several, joined by "or"
	Why   []string
	Moved bool // with old: what was recorded is not what old says
}

// An outcome is a decision, or why there is none.
type outcome struct {
	verdict string
	reason  access.Reason
	rule    string
	route   string
}

func (o outcome) String() string {
	if o.verdict == access.Allow.String() {
		return o.verdict
	}
	return fmt.Sprintf("%s (%s)", o.verdict, o.reason)
}

// Reasons of requests that no route governs, and that a route does not take.
const (
	noRoute          access.Reason = "no_route"
	wrongHost        access.Reason = "wrong_host"
	methodNotAllowed access.Reason = "method_not_allowed"
)

// judged reports whether r is a request that was decided by what a
// configuration asks.
func judged(r *audit.Record) bool {
	if r.Event != access.EventAccess {
		return false
	}
	v, ok := access.ParseVerdict(r.Verdict)
	if !ok {
		return false
	}
	switch r.Reason {
	case access.Public:
		return v == access.Allow && r.Method != "OPTIONS" // of a preflight the gateway answers itself
	case access.AllMet:
		return v == access.Allow
	case access.NoSession, access.SessionEnded, access.OtherProvider, access.DeviceChanged:
		return v == access.SignIn
	case access.SessionLocked:
		return v == access.Locked
	case access.WeakLogin, access.OldLogin, access.OnceUsed:
		return v == access.StepUp
	case access.NoRole, noRoute, wrongHost, methodNotAllowed:
		return v == access.Deny
	}
	return v == access.Deny && strings.HasPrefix(string(r.Reason), "device_")
}

// Judge says what would become of the request that rec records.
func (r *Replay) Judge(rec *audit.Record) Answer {
	if !judged(rec) {
		return Answer{}
	}
	path, err := routes.ParsePath(rec.Path)
	if err != nil {
		return Answer{}
	}
	req := &routes.Request{Host: rec.Host, Method: rec.Method, Path: path}
	recorded := outcome{rec.Verdict, rec.Reason, rec.Rule, rec.Route}
	var kept, all []world
	ask := &facts{}
	for tried := 0; ; tried++ {
		if tried == maxWorlds {
			ask.know("too much at once", "too much that the record does not hold")
			return Answer{Kind: CannotTell, Route: cmp.Or(rec.Route, "-"), Rule: rec.Rule, From: recorded.String(), To: "?", Why: ask.why()}
		}
		ask.begin()
		w := world{from: recorded}
		fits := true
		if r.old != nil {
			seen := question{rec: rec, req: req, facts: ask, other: r.old}
			w.from = seen.judge(r.old)
			fits = w.from == recorded && slices.Equal(seen.observed, rec.Observed)
		}
		seen := question{rec: rec, req: req, facts: ask, other: r.old}
		w.to, w.why = seen.judge(r.new), ask.why()
		more := ask.next()
		if tried == 0 && !more { // nearly always: nothing was asked that the record does not hold
			return sole(w, recorded, !fits)
		}
		all = append(all, w)
		if fits {
			kept = append(kept, w)
		}
		if !more {
			break
		}
	}
	moved := len(kept) == 0
	if moved {
		kept = all
	}
	return answer(kept, recorded, moved && r.old != nil)
}

// maxWorlds bounds what is tried of one record.
const maxWorlds = 1 << 10

// A world is one way how what the record does not hold may have been.
type world struct {
	from, to outcome
	why      []string
}

// sole is the answer where there is one way.
func sole(w world, recorded outcome, moved bool) Answer {
	a := Answer{
		Kind: Same, Route: cmp.Or(w.to.route, w.from.route, recorded.route, "-"),
		Rule: cmp.Or(w.to.rule, w.from.rule, recorded.rule), Moved: moved,
	}
	if w.from.verdict != w.to.verdict {
		a.Kind, a.From, a.To = Different, w.from.String(), w.to.String()
	}
	return a
}

func answer(worlds []world, recorded outcome, moved bool) Answer {
	same, why := 0, map[string]bool{}
	from, to := map[string]bool{}, map[string]bool{}
	last := worlds[0]
	for _, w := range worlds {
		if w.from.verdict == w.to.verdict {
			same++
		} else {
			last = w
		}
		from[w.from.String()], to[w.to.String()] = true, true
		for _, s := range w.why {
			why[s] = true
		}
	}
	a := Answer{
		Kind: CannotTell, Route: cmp.Or(last.to.route, last.from.route, recorded.route, "-"),
		Rule: cmp.Or(last.to.rule, last.from.rule, recorded.rule), From: either(from), To: either(to), Moved: moved,
	}
	switch same {
	case len(worlds):
		a.Kind = Same
	case 0:
		a.Kind = Different
	default:
		a.Why = slices.Sorted(maps.Keys(why))
	}
	return a
}

func either(words map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(words)), " or ")
}
