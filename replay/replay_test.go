package replay_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/replay"
	"github.com/anteroom/anteroom/routes"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var (
	managed = access.Check{Name: "managed", Hard: true, Require: []access.FieldIs{{Field: access.Managed, Value: true}}}
	coded   = access.Check{Name: "coded", Require: []access.FieldIs{{Field: access.Passcode, Value: true}}}
	coded2  = access.Check{Name: "coded", Require: []access.FieldIs{{Field: access.Encrypted, Value: true}}} // the same name, another demand
	strong  = &access.Login{Name: "strong", ACR: []string{"phr"}, AMR: []string{"hwk"}}
)

func pattern(s string) *routes.Pattern {
	p, err := routes.ParsePattern(s)
	if err != nil {
		panic(err)
	}
	return &p
}

// A truth is a request with all that was true of it, also what no record holds.
type truth struct {
	host, method, path, query, body string
	signedIn, locked, ended         bool
	groups                          []string
	acr                             string
	age                             time.Duration
	device                          access.Posture
	once                            bool
}

type file struct {
	replay.File
	order []string // of roles
}

// fileFor makes a small configuration, whose choices r takes.
func fileFor(r *rand.Rand) file {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	f := file{order: []string{"nurse", "doctor"}}
	f.Roles = map[string][]string{"nurse": {"g-nurses"}, "doctor": {"g-doctors"}}
	if pick(4) {
		f.Roles["nurse"] = []string{"g-nurses", "g-students"}
	}
	if pick(6) {
		f.Roles["doctor"] = []string{"g-interns"}
	}
	route := &routes.Route{Name: "rx", Host: "rx.test", Prefix: "/", Backend: &routes.Backend{}, Issuers: []string{"i"}, Allow: []string{"nurse", "doctor"}, Methods: []string{"GET", "POST", "PUT"}}
	switch r.IntN(4) {
	case 0:
		route.Device = access.Profile{Name: "none", Any: true}
	case 1:
		route.Device = access.Profile{Name: "clinical", Checks: []access.Check{managed}}
	case 2:
		route.Device = access.Profile{Name: "clinical", Checks: []access.Check{coded, managed}}
	case 3:
		route.Device = access.Profile{Name: "clinical", Checks: []access.Check{coded2, managed}}
	}
	if pick(5) {
		route.Allow = []string{"doctor"}
	}
	if pick(6) {
		route.Methods = []string{"GET", "POST"}
	}
	rule := func(name string, w routes.When, d access.Demand) {
		if pick(2) {
			d.Rule = name
			route.Rules = append(route.Rules, routes.Rule{When: w, Demand: d, Observe: pick(3)})
		}
	}
	rule("amend", routes.When{Methods: []string{"POST", "PUT"}, Path: pattern("/orders/**")}, access.Demand{Within: time.Duration(1+r.IntN(3)) * 20 * time.Minute})
	rule("strong", routes.When{Path: pattern("/orders/**")}, access.Demand{Login: strong})
	rule("doctors", routes.When{Path: pattern("/notes/**")}, access.Demand{Roles: []string{"doctor"}})
	rule("print", routes.When{Query: map[string]string{"print": "1"}}, access.Demand{Within: 20 * time.Minute})
	rule("dose", routes.When{Methods: []string{"POST"}, Fields: []string{"/dose"}}, access.Demand{Login: strong})
	rule("each", routes.When{Methods: []string{"PUT"}, Path: pattern("/sign/*")}, access.Demand{EachTime: true})
	all := []*routes.Route{route}
	if pick(3) {
		all = append(all, &routes.Route{Name: "open", Host: "rx.test", Prefix: "/open", Backend: &routes.Backend{}, Public: true, Methods: []string{"GET"}})
	}
	if pick(8) {
		route.Prefix = "/orders"
	}
	table, err := routes.NewTable(all)
	if err != nil {
		panic(err)
	}
	f.Table = table
	return f
}

func truthFor(r *rand.Rand) truth {
	any := func(all ...string) string { return all[r.IntN(len(all))] }
	t := truth{host: any("rx.test", "rx.test", "rx.test", "other.test"), method: any("GET", "GET", "POST", "PUT"),
		path:  any("/orders/7", "/notes/1", "/open/x", "/sign/9", "/"),
		query: any("", "", "print=1", "dose=2"), body: any("", "dose=5", "note=a"),
		signedIn: r.IntN(8) > 0, locked: r.IntN(10) == 0, ended: r.IntN(12) == 0,
		acr: any("pwd", "phr"), age: []time.Duration{5, 25, 45, 55, 75}[r.IntN(5)] * time.Minute, once: r.IntN(2) == 0}
	for _, g := range []string{"g-nurses", "g-doctors", "g-students", "g-interns"} {
		if r.IntN(3) == 0 {
			t.groups = append(t.groups, g)
		}
	}
	if r.IntN(6) > 0 {
		t.device = access.Posture{DeviceID: "tab-1", Assurance: access.A2, AssertedAt: noon,
			Managed: access.TriOf(r.IntN(5) > 0), Passcode: access.TriOf(r.IntN(4) > 0), Encrypted: access.TriOf(r.IntN(4) > 0)}
	}
	return t
}

// decide does what the gateway does with t, and returns what it would record.
func decide(f file, t truth, id int) audit.Record {
	path, _ := routes.ParsePath(t.path)
	req := &routes.Request{Host: t.host, Method: t.method, Path: path, RawQuery: t.query, HasQuery: t.query != ""}
	rec := audit.Record{Time: noon, Event: access.EventAccess, Host: t.host, Method: t.method, Path: t.path, RequestID: fmt.Sprint("r", id)}
	settle := func(reason access.Reason) audit.Record {
		rec.Verdict, rec.Reason = "deny", reason
		return rec
	}
	route, err := f.Table.Match(req)
	switch err {
	case routes.ErrHost:
		return settle("wrong_host")
	case routes.ErrNoRoute:
		return settle("no_route")
	}
	rec.Route = route.Name
	if !slices.Contains(route.Methods, t.method) {
		return settle("method_not_allowed")
	}
	if t.body != "" && route.WantsFields(req) {
		req.Fields = routes.ParseFields("application/x-www-form-urlencoded", "", []byte(t.body))
	}
	need := route.Need(req)
	q := access.Question{Require: need.Requirement, Posture: t.device, Now: noon}
	if t.signedIn {
		s := &access.Session{ID: "s", Locked: t.locked, Ended: t.ended, LocksAt: noon.Add(time.Hour), EndsAt: noon.Add(time.Hour)}
		s.Subject = access.Subject{Issuer: "i", Sub: "nora"}
		if !t.ended {
			for _, role := range f.order {
				if slices.ContainsFunc(t.groups, func(g string) bool { return slices.Contains(f.Roles[role], g) }) {
					s.Roles = append(s.Roles, role)
				}
			}
			s.ACR, s.AuthTime, s.FreshAt = t.acr, noon.Add(-t.age), noon.Add(-t.age)
		}
		q.Session = s
		if need.EachTime() {
			q.Once = t.once
		}
		rec.Subject = audit.Subject{Issuer: "i", Sub: "nora", Roles: s.Roles}
		rec.Session, rec.Login = "s", audit.Login{ACR: s.ACR, AuthTime: s.AuthTime}
	}
	d := access.Decide(q)
	rec.Verdict, rec.Reason, rec.Rule = d.Verdict.String(), d.Reason, d.Rule
	if t.device.DeviceID != "" {
		rec.Device = audit.Device{ID: t.device.DeviceID, Assurance: t.device.Assurance.String()}
	}
	for _, failed := range d.Failed {
		rec.Device.Failed = append(rec.Device.Failed, failed.Check)
	}
	for _, demand := range need.Observed {
		would := q
		would.Require.Demands = []access.Demand{demand}
		if o := access.Decide(would); o.Verdict != access.Allow && o.Rule == demand.Rule {
			rec.Observed = append(rec.Observed, access.Observation{Rule: demand.Rule, Verdict: o.Verdict.String(), Reason: o.Reason})
		}
	}
	return rec
}

func asksEachTime(f file, t truth) bool {
	path, _ := routes.ParsePath(t.path)
	req := &routes.Request{Host: t.host, Method: t.method, Path: path}
	route, err := f.Table.Match(req)
	return err == nil && route.Need(req).EachTime()
}

// Whatever was true of a request, an answer that is given is the right one: by
// the old file and the record together, and by the record alone.
func TestJudgeIsNeverWrong(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	counts := map[replay.Kind]int{}
	for range 400 {
		old, now := fileFor(r), fileFor(r)
		both, alone := replay.New(now.File, &old.File), replay.New(now.File, nil)
		for i := range 60 {
			tr := truthFor(r)
			tr.once = tr.once && asksEachTime(old, tr) // nobody signs in for a request that asks for no sign-in
			rec := decide(old, tr, i)
			after := decide(now, tr, i)
			if rec.Reason == access.Public && tr.signedIn {
				continue // whether they were is not recorded where nobody asks; held apart below
			}
			a := both.Judge(&rec)
			counts[a.Kind]++
			wrong := a.Kind == replay.Same && rec.Verdict != after.Verdict || a.Kind == replay.Different && rec.Verdict == after.Verdict || a.Kind == replay.Unjudged || a.Moved
			if wrong {
				t.Fatalf("%+v\nrecorded %+v\nanswer %+v\nthe truth is %s (%s)", tr, rec, a, after.Verdict, after.Reason)
			}
			// Roles are taken as recorded where no old file says whether they changed.
			if fmt.Sprint(old.Roles) != fmt.Sprint(now.Roles) {
				continue
			}
			b := alone.Judge(&rec)
			if b.Kind == replay.Same && rec.Verdict != after.Verdict || b.Kind == replay.Different && rec.Verdict == after.Verdict {
				t.Fatalf("without the old file: %+v\nrecorded %+v\nanswer %+v\nthe truth is %s (%s)", tr, rec, b, after.Verdict, after.Reason)
			}
		}
	}
	t.Logf("same %d, different %d, cannot tell %d", counts[replay.Same], counts[replay.Different], counts[replay.CannotTell])
	if counts[replay.CannotTell] > counts[replay.Different]+counts[replay.Same] {
		t.Error("most is not told")
	}
}

// The same file decides the same, and knows it of every request.
func TestNothingChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		f := fileFor(r)
		same := replay.New(f.File, &f.File)
		for i := range 50 {
			tr := truthFor(r)
			rec := decide(f, tr, i)
			if a := same.Judge(&rec); a.Kind != replay.Same || a.Moved {
				t.Fatalf("%+v\nrecorded %+v\nanswer %+v", tr, rec, a)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	base := func() *routes.Route {
		return &routes.Route{Name: "rx", Host: "rx.test", Prefix: "/", Backend: &routes.Backend{}, Issuers: []string{"i"}, Allow: []string{"nurse"}, Methods: []string{"GET", "POST"},
			Device: access.Profile{Name: "none", Any: true}}
	}
	file := func(change func(*routes.Route)) replay.File {
		route := base()
		change(route)
		table, err := routes.NewTable([]*routes.Route{route})
		if err != nil {
			t.Fatal(err)
		}
		return replay.File{Table: table, Roles: map[string][]string{"nurse": {"g"}}}
	}
	rules := func(all ...routes.Rule) func(*routes.Route) { return func(r *routes.Route) { r.Rules = all } }
	nothing := func(*routes.Route) {}
	rec := func(change func(*audit.Record)) audit.Record {
		r := audit.Record{Time: noon, Event: access.EventAccess, Verdict: "allow", Reason: access.AllMet, Route: "rx", Host: "rx.test", Method: "POST", Path: "/orders/7",
			Subject: audit.Subject{Issuer: "i", Sub: "nora", Roles: []string{"nurse"}}, Session: "s", Login: audit.Login{ACR: "pwd", AuthTime: noon.Add(-time.Hour)},
			Device: audit.Device{ID: "tab", Assurance: "A2"}}
		if change != nil {
			change(&r)
		}
		return r
	}
	within := func(d time.Duration) access.Demand { return access.Demand{Rule: "amend", Within: d} }
	for _, c := range []struct {
		name     string
		old, new func(*routes.Route)
		rec      audit.Record
		want     string
	}{
		{"a new rule asks for a newer sign-in", nothing, rules(routes.Rule{Demand: within(20 * time.Minute)}), rec(nil), "different rx/amend allow -> step_up (old_login)"},
		{"one that is new enough", nothing, rules(routes.Rule{Demand: within(2 * time.Hour)}), rec(nil), "same"},
		{"within a minute of the limit, by two clocks", nothing, rules(routes.Rule{Demand: within(time.Hour)}), rec(nil), "cannot tell rx/amend allow -> allow or step_up (old_login)"},
		{"when they signed in was not said", nothing, rules(routes.Rule{Demand: within(time.Hour)}), rec(func(r *audit.Record) { r.Login.AuthTime = time.Time{} }), "cannot tell rx/amend allow -> allow or step_up (old_login)"},
		{"a form that was held is judged by its step-up", rules(routes.Rule{Demand: within(5 * time.Minute)}), rules(routes.Rule{Demand: within(5 * time.Minute)}),
			rec(func(r *audit.Record) {
				r.Login.AuthTime, r.Judged, r.Rule = noon.Add(-8*time.Minute), noon.Add(-7*time.Minute), "amend"
			}), "same"},
		{"a rule by a field of the body", nothing, rules(routes.Rule{When: routes.When{Fields: []string{"/dose"}}, Demand: access.Demand{Rule: "dose", Login: strong}}), rec(nil), "cannot tell rx/dose allow -> allow or step_up (weak_login)"},
		{"the same, and every sign-in is strong enough", nothing, rules(routes.Rule{When: routes.When{Fields: []string{"/dose"}}, Demand: access.Demand{Rule: "dose", Login: strong}}),
			rec(func(r *audit.Record) { r.Login.ACR = "phr" }), "same"},
		{"a rule by a field, which was observed and bit", rules(routes.Rule{Observe: true, When: routes.When{Fields: []string{"/dose"}}, Demand: access.Demand{Rule: "dose", Login: strong}}),
			rules(routes.Rule{When: routes.When{Fields: []string{"/dose"}}, Demand: access.Demand{Rule: "dose", Login: strong}}),
			rec(func(r *audit.Record) {
				r.Observed = []access.Observation{{Rule: "dose", Verdict: "step_up", Reason: access.WeakLogin}}
			}), "different rx/dose allow -> step_up (weak_login)"},
		{"the same, which did not bite", rules(routes.Rule{Observe: true, When: routes.When{Fields: []string{"/dose"}}, Demand: access.Demand{Rule: "dose", Login: strong}}),
			rules(routes.Rule{When: routes.When{Fields: []string{"/dose"}}, Demand: access.Demand{Rule: "dose", Login: strong}}), rec(nil), "same"},
		{"a check that was not asked", nothing, func(r *routes.Route) { r.Device = access.Profile{Name: "clinical", Checks: []access.Check{managed}} }, rec(nil), "cannot tell rx/ allow -> allow or deny (device_managed)"},
		{"nothing is known of the device", nothing, func(r *routes.Route) { r.Device = access.Profile{Name: "clinical", Checks: []access.Check{managed}} },
			rec(func(r *audit.Record) { r.Device = audit.Device{} }), "different rx/ allow -> deny (device_unknown)"},
		{"a check falls away that failed", func(r *routes.Route) { r.Device = access.Profile{Checks: []access.Check{coded, managed}} },
			func(r *routes.Route) { r.Device = access.Profile{Checks: []access.Check{managed}} },
			rec(func(r *audit.Record) {
				r.Verdict, r.Reason, r.Device.Failed = "deny", "device_coded", []string{"coded"}
			}), "different rx/ deny (device_coded) -> allow"},
		{"another role", nothing, func(r *routes.Route) { r.Allow = []string{"doctor"} }, rec(nil), "different rx/ allow -> deny (no_role)"},
		{"no route any more", nothing, func(r *routes.Route) { r.Prefix = "/notes" }, rec(nil), "different rx/ allow -> deny (no_route)"},
		{"a method falls away", nothing, func(r *routes.Route) { r.Methods = []string{"GET"} }, rec(nil), "different rx/ allow -> deny (method_not_allowed)"},
		{"locked stays locked", nothing, rules(routes.Rule{Demand: within(time.Minute)}), rec(func(r *audit.Record) { r.Verdict, r.Reason = "locked", access.SessionLocked }), "same"},
		{"open to all now", nothing, func(r *routes.Route) { r.Public = true },
			rec(func(r *audit.Record) {
				r.Verdict, r.Reason, r.Subject, r.Session = "sign_in", access.NoSession, audit.Subject{}, ""
			}), "different rx/ sign_in (no_session) -> allow"},
		{"recorded under another file", rules(routes.Rule{Demand: within(time.Minute)}), nothing, rec(nil), "different rx/amend step_up (old_login) -> allow, moved"},
		{"refused for its form", nothing, nothing, rec(func(r *audit.Record) { r.Verdict, r.Reason = "deny", access.BadRequest }), "unjudged"},
		{"a preflight", nothing, nothing, rec(func(r *audit.Record) { r.Method, r.Reason = "OPTIONS", access.Public }), "unjudged"},
		{"no request", nothing, nothing, rec(func(r *audit.Record) { r.Event = access.EventStepUp }), "unjudged"},
	} {
		old := file(c.old)
		a := replay.New(file(c.new), &old).Judge(&c.rec)
		got := [...]string{"unjudged", "same", "different", "cannot tell"}[a.Kind]
		if a.Kind == replay.Different || a.Kind == replay.CannotTell {
			got += fmt.Sprintf(" %s/%s %s -> %s", a.Route, a.Rule, a.From, a.To)
		}
		if a.Moved {
			got += ", moved"
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s (why %v)", c.name, got, c.want, a.Why)
		}
		if (a.Kind == replay.CannotTell) != (len(a.Why) > 0) {
			t.Errorf("%s: says why %v", c.name, a.Why)
		}
	}
}

// A path or host that a client chose ends no process.
func FuzzJudge(f *testing.F) {
	f.Add("rx.test", "GET", "/orders/7", "allow", "all_met")
	f.Add("rx.test", "POST", "/a;b/%2F//", "deny", "device_x")
	r := rand.New(rand.NewPCG(1, 1))
	old, now := fileFor(r), fileFor(r)
	judge := replay.New(now.File, &old.File)
	f.Fuzz(func(t *testing.T, host, method, path, verdict, reason string) {
		rec := audit.Record{Event: access.EventAccess, Host: host, Method: method, Path: path, Verdict: verdict, Reason: access.Reason(reason)}
		judge.Judge(&rec)
	})
}
