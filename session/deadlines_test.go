package session_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

// Each row is a shift on one tablet: what happened when, and how the session
// stands then, a second before each deadline, on it, and a second after.
func TestDeadlines(t *testing.T) {
	const s = time.Second
	type act struct {
		at     time.Duration
		what   string // poll, click; with /lock, /end, /max the route is tighter; lock, unlock, tighten
		limits access.Limits
	}
	tight := func(lock, end, most time.Duration) access.Limits {
		return access.Limits{LockAfter: lock, EndAfter: end, Max: most}
	}
	click := func(at time.Duration) act { return act{at: at, what: "click"} }
	for _, c := range []struct {
		name string
		acts []act
		at   time.Duration
		want string // open, locked, ended
	}{
		{"before the lock", nil, 5*time.Minute - s, "open"},
		{"on the lock", nil, 5 * time.Minute, "locked"},
		{"after the lock", nil, 5*time.Minute + s, "locked"},
		{"locked until the idle end", nil, 30*time.Minute - s, "locked"},
		{"on the idle end", nil, 30 * time.Minute, "ended"},
		{"a click moves the lock", []act{click(4 * time.Minute)}, 9*time.Minute - s, "open"},
		{"and the new one holds", []act{click(4 * time.Minute)}, 9 * time.Minute, "locked"},
		{"a click moves the idle end", []act{click(4 * time.Minute)}, 34*time.Minute - s, "locked"},
		{"and the new end holds", []act{click(4 * time.Minute)}, 34 * time.Minute, "ended"},
		{"polling moves nothing", []act{{at: 4 * time.Minute, what: "poll"}}, 5 * time.Minute, "locked"},
		{"a click a second late revives nothing", []act{click(5*time.Minute + s)}, 5*time.Minute + 2*s, "locked"},
		{"a click on the deadline revives nothing", []act{click(5 * time.Minute)}, 5*time.Minute + s, "locked"},
		{"a click just late, before the lock was noted", []act{{s, "click", tight(2*time.Minute, 0, 0)}, click(2*time.Minute + s + s/2)}, 2*time.Minute + s + 3*s/4, "locked"},
		{"a click after the end revives nothing", []act{click(30 * time.Minute)}, 30*time.Minute + s, "ended"},
		{"a route tightens the lock", []act{{0, "click", tight(2*time.Minute, 0, 0)}}, 2*time.Minute - s, "open"},
		{"and it holds", []act{{0, "click", tight(2*time.Minute, 0, 0)}}, 2 * time.Minute, "locked"},
		{"a laxer route later does not widen it", []act{{0, "click", tight(2*time.Minute, 0, 0)}, click(time.Minute)}, 3 * time.Minute, "locked"},
		{"a route cannot widen", []act{{0, "click", tight(time.Hour, 2*time.Hour, 24*time.Hour)}}, 5 * time.Minute, "locked"},
		{"a poll tightens too", []act{{s, "poll", tight(2*time.Minute, 0, 0)}}, 2 * time.Minute, "locked"},
		{"the click that tightens counts first", []act{{3 * time.Minute, "click", tight(2*time.Minute, 0, 0)}}, 5*time.Minute - s, "open"},
		{"a poll that tightens may lock at once", []act{{3 * time.Minute, "poll", tight(2*time.Minute, 0, 0)}}, 3*time.Minute + s, "locked"},
		{"a route tightens the idle end", []act{{0, "click", tight(0, 10*time.Minute, 0)}}, 10 * time.Minute, "ended"},
		{"unlock starts afresh", []act{{at: 6 * time.Minute, what: "unlock"}}, 11*time.Minute - s, "open"},
		{"and locks again", []act{{at: 6 * time.Minute, what: "unlock"}}, 11 * time.Minute, "locked"},
		{"unlock forgets the tightest lock", []act{{0, "click", tight(2*time.Minute, 0, 0)}, {at: 3 * time.Minute, what: "unlock"}}, 8*time.Minute - s, "open"},
		{"unlock keeps the tightest end", []act{{0, "click", tight(0, 10*time.Minute, 0)}, {at: 6 * time.Minute, what: "unlock"}}, 16 * time.Minute, "ended"},
		{"unlock after the end", []act{{at: 30 * time.Minute, what: "unlock"}}, 30*time.Minute + s, "ended"},
		{"locked from outside", []act{{at: time.Minute, what: "lock"}}, time.Minute, "locked"},
		{"and a click does not unlock", []act{{at: time.Minute, what: "lock"}, click(2 * time.Minute)}, 2 * time.Minute, "locked"},
		{"and its person does", []act{{at: time.Minute, what: "lock"}, {at: 2 * time.Minute, what: "unlock"}}, 2 * time.Minute, "open"},
		{"a maximum that a route sets", []act{{0, "click", tight(0, 0, 3*time.Minute)}, click(2 * time.Minute)}, 3 * time.Minute, "ended"},
		{"a second before it", []act{{0, "click", tight(0, 0, 3*time.Minute)}, click(2 * time.Minute)}, 3*time.Minute - s, "open"},
		{"unlock does not move the maximum", []act{{0, "click", tight(0, 0, 8*time.Minute)}, {at: 6 * time.Minute, what: "unlock"}}, 8 * time.Minute, "ended"},
		{"a reload that tightens takes effect", []act{{time.Minute, "reload", tight(3*time.Minute, 0, 0)}}, 3 * time.Minute, "locked"},
		{"a reload that widens does not", []act{{time.Minute, "reload", tight(time.Hour, time.Hour, 24*time.Hour)}}, 5 * time.Minute, "locked"},
	} {
		for _, again := range []bool{false, true} {
			name := c.name
			if again {
				name += ", after a restart"
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *ward) {
					start := time.Now()
					h, cookie := w.begin(ehr)
					until := func(at time.Duration) { time.Sleep(at - time.Since(start)) }
					for _, a := range c.acts {
						until(a.at)
						switch a.what {
						case "click", "poll":
							w.use(h, a.limits, a.what == "click")
						case "lock":
							w.Lock(t.Context(), h.ID())
						case "unlock":
							w.Renew(t.Context(), h.ID(), nora(), nil)
						case "reload":
							w.mu.Lock()
							w.limits = a.limits.Tighten(access.Limits{EndAfter: limits.EndAfter, Max: limits.Max})
							w.mu.Unlock()
						}
					}
					until(c.at)
					if again {
						before := w.limits
						w.Close()
						next := &ward{t: t, bucket: w.bucket, limits: before}
						var err error
						if next.Keeper, err = session.Open(t.Context(), next.config()); err != nil {
							t.Fatal(err)
						}
						defer next.Close()
						w = next
						if h = w.ByID(h.ID()); h == nil {
							t.Fatal("the session is lost")
						}
					}
					v := h.Value(time.Now())
					got := "open"
					switch {
					case v.Ended:
						got = "ended"
					case v.Locked:
						got = "locked"
					}
					if got != c.want {
						t.Fatalf("%v after the beginning: %s, want %s (locks %v, ends %v)", c.at, got, c.want, v.LocksAt.Sub(start), v.EndsAt.Sub(start))
					}
					if since := h.LockedSince(time.Now()); since.IsZero() == v.Locked {
						t.Errorf("locked = %t, since %v", v.Locked, since)
					}
					f := w.find(cookie, ehr)
					if (f.Tombstone != nil) != v.Ended || (f.Handle == nil) != v.Ended {
						t.Errorf("found %+v of a session that is %s", f, got)
					}
					if v.Ended && !f.Tombstone.At.Equal(v.EndsAt) {
						t.Errorf("tombstone says %v, want %v", f.Tombstone.At, v.EndsAt)
					}
				})
			})
		}
	}
}

// Asking how a session will stand does not make it so.
func TestValueChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, _ := w.begin(ehr)
		if v := h.Value(time.Now().Add(6 * time.Minute)); !v.Locked {
			t.Fatal("not locked in six minutes")
		}
		if v := h.Value(time.Now()); v.Locked || v.Ended {
			t.Fatalf("now %+v", v)
		}
	})
}

func TestChangesAreToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		w.begin(ehr)
		expect := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			if fmt.Sprint(w.changes) != fmt.Sprint(want) {
				t.Fatalf("%s: told %q, want %q", when, w.changes, want)
			}
		}
		time.Sleep(5*time.Minute - time.Second)
		expect("before the lock")
		time.Sleep(4 * time.Second)
		expect("after the lock", "lock nora session_locked idle")
		time.Sleep(time.Minute)
		expect("a minute later", "lock nora session_locked idle")
		w = w.restart()
		time.Sleep(10 * time.Second)
		expect("after a restart")
		time.Sleep(25 * time.Minute)
		expect("after the idle end", "session_ended nora session_ended idle")
		w = w.restart()
		time.Sleep(time.Minute)
		expect("ended, after a restart")

		h, _ := w.begin(ehr)
		w.use(h, access.Limits{Max: time.Minute}, true)
		time.Sleep(2 * time.Minute)
		expect("after the maximum", "session_ended nora session_ended max")
		if h.IDToken() != "" || h.ProviderSID() != "" || h.Value(time.Now()).Username != "" {
			t.Error("a tombstone holds more than the subject")
		}
		w.Close()
	})
}

// A deadline that passed while no gateway ran is told by the next one.
func TestEndedWhileDown(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		h, c := w.begin(ehr)
		end := time.Now().Add(30 * time.Minute)
		w.Close()
		time.Sleep(2 * time.Hour)
		w = open(t, w.bucket)
		defer w.Close()
		if f := w.find(c, ehr); f.Handle != nil || f.Tombstone == nil || !f.Tombstone.At.Equal(end) {
			t.Fatalf("found %+v", f)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(w.changes) != 1 {
			t.Fatalf("told %q", w.changes)
		}
		w.Close()

		for id, k := range w.bucket.kept { // a store that is late in forgetting
			k.expires = k.expires.Add(time.Hour)
			w.bucket.kept[id] = k
		}
		time.Sleep(13 * time.Hour)
		late := open(t, w.bucket)
		defer late.Close()
		if f := late.find(c, ehr); f != (session.Found{}) || late.ByID(h.ID()) != nil {
			t.Fatalf("long after its end, found %+v", f)
		}
	})
}
