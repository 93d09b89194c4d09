package session_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/session"
)

// crowded is a ward where nobody has more than most sessions.
func crowded(t *testing.T, most int, m *memory) *ward {
	t.Helper()
	w := &ward{t: t, bucket: m, limits: limits}
	c := w.config()
	c.PerPerson = func() int { return most }
	var err error
	if w.Keeper, err = session.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func TestSessionsPerPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := crowded(t, 3, new(memory))
		var handles []*session.Handle
		var cookies []*http.Cookie
		begin := func() {
			h, c := w.begin(ehr)
			handles, cookies = append(handles, h), append(cookies, c)
			time.Sleep(time.Second)
		}
		for range 3 {
			begin()
		}
		// The first has been in use since: the second is idle the longest.
		if err := w.use(handles[0], access.Limits{}, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		begin()
		synctest.Wait()
		for i, ended := range []bool{false, true, false, false} {
			f := w.find(cookies[i], ehr)
			if got := f.Handle == nil; got != ended {
				t.Errorf("session %d has ended: %v, want %v", i, got, ended)
			}
			if ended && f.Tombstone == nil {
				t.Errorf("session %d has left nothing", i)
			}
		}
		if want := "session_ended nora session_ended sessions_per_person"; len(w.changes) != 1 || w.changes[0] != want {
			t.Errorf("told %q, want %q once", w.changes, want)
		}

		// Sessions that are over do not count, nor do those of others.
		if err := w.End(t.Context(), handles[0].ID(), access.SessionEnded); err != nil {
			t.Fatal(err)
		}
		piet := nora()
		piet.Authn.Subject.Sub, piet.Authn.Username = "p-1", "piet"
		for range 3 {
			if _, _, err := w.Begin(t.Context(), piet, ehr); err != nil {
				t.Fatal(err)
			}
		}
		begin()
		if f := w.find(cookies[2], ehr); f.Handle == nil {
			t.Error("a session was ended although there was room")
		}
		if len(w.changes) != 1 {
			t.Errorf("told %q", w.changes)
		}

		// What is ended stays so, and what was there before a restart counts after it.
		w.Close()
		w = crowded(t, 3, w.bucket)
		if f := w.find(cookies[1], ehr); f.Handle != nil {
			t.Error("the ended session came back")
		}
		begin()
		if f := w.find(cookies[2], ehr); f.Handle != nil {
			t.Error("after a restart nothing is counted")
		}
		for _, i := range []int{3, 4, 5} {
			if f := w.find(cookies[i], ehr); f.Handle == nil {
				t.Errorf("session %d has ended", i)
			}
		}
	})
}

func TestSessionsPerPersonUnlimited(t *testing.T) {
	bubble(t, func(t *testing.T, w *ward) {
		_, first := w.begin(ehr)
		for range 100 {
			w.begin(ehr)
		}
		if f := w.find(first, ehr); f.Handle == nil {
			t.Error("no limit is a limit")
		}
	})
}
