package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/cmd/gateway"
	"github.com/anteroom/anteroom/replay"
)

func diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff -c NEW [--against OLD] [flags]",
		Short: "Which recorded requests a new configuration would decide differently",
		Long: `Judges the requests of the audit trail by the file NEW, as they were recorded:
by route, rule and role, with the request ids of some. Give --against the file
that was in force then: what has not changed between the two is taken as it
was. What the records do not hold (query, body, facts of devices, groups) is
never guessed; such requests are counted apart.

Exit 0 when every request would be decided as it was, 1 when some would not, or
when the records cannot tell, 2 when a file or the command is wrong.`,
		Example: "  anteroom diff -c new.yaml --against /etc/anteroom/anteroom.yaml --days 14",
		Args:    noArgs,
	}
	file := configFlag(cmd)
	f := cmd.Flags()
	against := f.String("against", "", "the file that was in force when the requests were recorded")
	dir := f.String("audit", "", "audit directory; that of NEW when it is not given")
	days := f.Int("days", 7, "the last so many days")
	from := f.String("from", "", "in place of --days, from this time on (RFC 3339, or a date)")
	to := f.String("to", "", "before this time (RFC 3339, or a date)")
	asJSON := f.Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := audit.Query{Event: access.EventAccess}
		var err error
		if q.From, err = moment(*from); err != nil {
			return usageError{fmt.Errorf("--from: %w", err)}
		}
		if q.To, err = moment(*to); err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
		if *days < 1 {
			return usageError{fmt.Errorf("--days: %d is less than a day", *days)}
		}
		if q.From.IsZero() {
			q.From = time.Now().AddDate(0, 0, -*days)
		}
		now, err := load(*file)
		if err != nil {
			return usageError{err}
		}
		var then *gateway.Loaded
		if *against != "" {
			if then, err = load(*against); err != nil {
				return usageError{fmt.Errorf("--against: %w", err)}
			}
		}
		d, err := compare(cmp.Or(*dir, filepath.Join(now.Config.Gateway.DataDir, "audit")), q, now, then)
		if err != nil {
			return err
		}
		if *asJSON {
			err = writeJSON(cmd.OutOrStdout(), d)
		} else {
			err = d.write(cmd.OutOrStdout())
		}
		if err == nil && len(d.Different)+len(d.CannotTell)+d.Unreadable > 0 {
			err = errNo
		}
		return err
	}
	return cmd
}

// A difference is everything that diff has to say.
type difference struct {
	Requests   int            `json:"requests"` // judged
	From       time.Time      `json:"from,omitzero"`
	To         time.Time      `json:"to,omitzero"`
	Same       int            `json:"same"`
	Changed    int            `json:"changed"`
	Untold     int            `json:"untold"`
	Different  []group        `json:"different"`
	CannotTell []group        `json:"cannot_tell"`
	Observed   []observedRule `json:"observed"`
	Unjudged   int            `json:"unjudged"`   // settled before anything was decided
	Unreadable int            `json:"unreadable"` // lines that are no record
	Moved      int            `json:"moved"`      // recorded otherwise than the old file says
	Notes      []string       `json:"notes"`
}

// A group is the requests to which the same happens.
type group struct {
	Route    string   `json:"route"`
	Rule     string   `json:"rule,omitempty"`
	Roles    string   `json:"roles"` // "nobody" where nobody was signed in
	From     string   `json:"from"`
	To       string   `json:"to"`
	Why      string   `json:"why,omitempty"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"` // request ids
}

// An observedRule is what a rule under observe would have decided then.
type observedRule struct {
	Route   string        `json:"route"`
	Rule    string        `json:"rule"`
	Verdict string        `json:"verdict"`
	Reason  access.Reason `json:"reason"`
	Count   int           `json:"count"`
}

// examples is how many request ids a group names.
const examples = 3

func fileOf(l *gateway.Loaded) replay.File {
	return replay.File{Table: l.Table, Roles: l.Config.GroupsOf()}
}

// compare judges the requests that q finds in dir.
func compare(dir string, q audit.Query, now, then *gateway.Loaded) (*difference, error) {
	var old *replay.File
	if then != nil {
		f := fileOf(then)
		old = &f
	}
	judge := replay.New(fileOf(now), old)
	d := &difference{Different: []group{}, CannotTell: []group{}, Observed: []observedRule{}, Notes: notes(now, then)}
	groups := [2]map[string]*group{{}, {}}
	observed := map[observedRule]int{}
	for line, err := range audit.Search(dir, q) {
		if err != nil {
			if line.Raw == nil {
				return nil, err
			}
			d.Unreadable++
			continue
		}
		rec := &line.Record
		for _, o := range rec.Observed {
			observed[observedRule{Route: rec.Route, Rule: o.Rule, Verdict: o.Verdict, Reason: o.Reason}]++
		}
		a := judge.Judge(rec)
		if a.Kind == replay.Unjudged {
			d.Unjudged++
			continue
		}
		d.Requests++
		if d.From.IsZero() || rec.Time.Before(d.From) {
			d.From = rec.Time
		}
		if rec.Time.After(d.To) {
			d.To = rec.Time
		}
		if a.Moved {
			d.Moved++
		}
		switch a.Kind {
		case replay.Same:
			d.Same++
		case replay.Different:
			d.Changed++
			put(groups[0], rec, a)
		case replay.CannotTell:
			d.Untold++
			put(groups[1], rec, a)
		}
	}
	d.Different, d.CannotTell = sorted(groups[0]), sorted(groups[1])
	for o, n := range observed {
		o.Count = n
		d.Observed = append(d.Observed, o)
	}
	slices.SortFunc(d.Observed, func(a, b observedRule) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Route+"\x00"+a.Rule+"\x00"+a.Verdict+string(a.Reason), b.Route+"\x00"+b.Rule+"\x00"+b.Verdict+string(b.Reason)))
	})
	return d, nil
}

func put(groups map[string]*group, rec *audit.Record, a replay.Answer) {
	roles := strings.Join(rec.Subject.Roles, ", ")
	if rec.Subject.Sub == "" && rec.Session == "" {
		roles = "nobody"
	}
	why := strings.Join(a.Why, "; ")
	key := strings.Join([]string{a.Route, a.Rule, roles, a.From, a.To, why}, "\x00")
	g := groups[key]
	if g == nil {
		g = &group{Route: a.Route, Rule: a.Rule, Roles: cmp.Or(roles, "no role"), From: a.From, To: a.To, Why: why}
		groups[key] = g
	}
	g.Count++
	if len(g.Examples) < examples && rec.RequestID != "" {
		g.Examples = append(g.Examples, rec.RequestID)
	}
}

// sorted returns the largest first.
func sorted(groups map[string]*group) []group {
	all := []group{}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		all = append(all, *groups[key])
	}
	slices.SortStableFunc(all, func(a, b group) int { return b.Count - a.Count })
	return all
}

// notes says what a comparison of now and then leaves out.
func notes(now, then *gateway.Loaded) []string {
	all := []string{"Locks and ends of sessions are taken as recorded."}
	if then == nil {
		return append(all, "Roles are taken as recorded. With --against, roles and device checks that have not changed are taken as they were.")
	}
	limits := func(l *gateway.Loaded) map[string]access.Limits {
		m := map[string]access.Limits{}
		for _, r := range l.Config.Routes {
			m[r.Name] = l.Config.Sessions.Tighten(r.Session)
		}
		return m
	}
	was, is := limits(then), limits(now)
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if before, ok := was[name]; ok && before != is[name] {
			all = append(all, fmt.Sprintf("Route %s: sessions lock or end at other times now. Whom that meets is not recorded.", name))
		}
	}
	if !reflect.DeepEqual(then.Config.Posture.Sources, now.Config.Posture.Sources) {
		all = append(all, "posture.sources differ. What other senders would say of a device is not recorded.")
	}
	return all
}

func (d *difference) write(w io.Writer) error {
	var b strings.Builder
	if d.Requests == 0 {
		b.WriteString("no request was recorded in that time\n")
	} else {
		fmt.Fprintf(&b, "%s requests, %s to %s UTC: %s would be decided differently", grouped(d.Requests), d.From.UTC().Format(time.DateTime), d.To.UTC().Format(time.DateTime), grouped(d.Changed))
		if d.Untold > 0 {
			fmt.Fprintf(&b, ", of %s the records cannot tell", grouped(d.Untold))
		}
		b.WriteString("\n")
	}
	list(&b, "\nWould be decided differently:\n", d.Different)
	list(&b, "\nCannot tell, since the records do not hold it:\n", d.CannotTell)
	if len(d.Observed) > 0 {
		b.WriteString("\nObserved then, not enforced:\n")
		for _, o := range d.Observed {
			fmt.Fprintf(&b, "%10s  %s / %s: %s (%s)\n", grouped(o.Count), shownName(o.Route), shownName(o.Rule), o.Verdict, o.Reason)
		}
	}
	b.WriteString("\n")
	if d.Moved > 0 {
		fmt.Fprintf(&b, "%s requests were recorded otherwise than the file of --against says: another was in force. They are compared with what it says.\n", grouped(d.Moved))
	}
	if d.Unjudged > 0 {
		fmt.Fprintf(&b, "%s requests are not judged: they were refused for their form or their number, or answered by the gateway itself.\n", grouped(d.Unjudged))
	}
	if d.Unreadable > 0 {
		fmt.Fprintf(&b, "%s lines are no records: see anteroom audit verify.\n", grouped(d.Unreadable))
	}
	for _, n := range d.Notes {
		b.WriteString(n + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func list(b *strings.Builder, title string, all []group) {
	if len(all) == 0 {
		return
	}
	b.WriteString(title)
	for _, g := range all {
		fmt.Fprintf(b, "%10s  %s / ", grouped(g.Count), shownName(g.Route))
		if g.Rule != "" {
			fmt.Fprintf(b, "%s / ", shownName(g.Rule))
		}
		fmt.Fprintf(b, "%s: %s -> %s", shownName(g.Roles), g.From, g.To)
		if g.Why != "" {
			fmt.Fprintf(b, ", %s", g.Why)
		}
		if len(g.Examples) > 0 {
			fmt.Fprintf(b, " (e.g. %s)", shownName(strings.Join(g.Examples, ", ")))
		}
		b.WriteString("\n")
	}
}

// shownName keeps what stands in a record from moving a terminal's cursor.
func shownName(s string) string {
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// grouped writes n with a comma before each three digits.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
