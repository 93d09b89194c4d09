package demo

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"
)

// What the old applications have in common: patients that nobody is, sessions
// of their own that never ask whose they are, and no sign-in.

type patient struct {
	Number     int
	Name, Born string
}

func patients() []patient {
	return []patient{
		{71, "Ada Testperson", "1941-02-03"}, {72, "Bo Sample", "1958-11-20"}, {73, "Cleo Placeholder", "1990-07-14"},
		{74, "Dan Fixture", "1966-01-30"}, {75, "Edda Mockup", "1977-05-05"}, {76, "Finn Specimen", "2001-09-09"},
		{77, "Greta Example", "1949-12-24"}, {78, "Hugo Dummy", "1983-03-17"}, {79, "Ines Synthetic", "1995-06-02"},
		{80, "Jon Invented", "1971-10-11"}, {81, "Kaja Nobody", "1938-08-28"}, {82, "Lars Madeup", "2010-04-01"},
	}
}

// needsRemoteUser is all the access control that the old applications have.
func needsRemoteUser(application string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Remote-User") == "" {
			write(w, http.StatusForbidden, "refused.html", application)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// An amendment is what somebody wrote, and when it arrived.
type amendment struct {
	By   string
	At   time.Time
	Text string
}

// Length returns the characters of the amendment, so that a lost half shows.
func (a amendment) Length() int { return len([]rune(a.Text)) }

// An oldSession is an application's own, as old ones have it: made at the
// first page, never asked again who it belongs to.
type oldSession struct {
	Owner string // who was there when it was made
	Began time.Time
	Pages int
}

// oldSessions keeps an application's sessions in its memory. The zero value is
// ready to use.
type oldSessions struct {
	mu  sync.Mutex
	all map[string]*oldSession
}

// of counts a page of the session named id, or of a new one where there is
// none of that name; the new one's name comes back too.
func (o *oldSessions) of(id, user string) (s oldSession, made string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := o.all[id]
	if found == nil {
		if o.all == nil || len(o.all) >= 1000 { // scripts without cookies make one a page
			o.all = map[string]*oldSession{}
		}
		found, made = &oldSession{Owner: user, Began: time.Now()}, rand.Text()
		o.all[made] = found
	}
	found.Pages++
	return *found, made
}

// An oldPage is what every page of an old application shows.
type oldPage struct {
	User, Name, Roles string
	Session           oldSession
	Patients          []patient
	Item              any // what the page is about
}

func newOldPage(r *http.Request, s oldSession, item any) oldPage {
	return oldPage{
		User: r.Header.Get("X-Remote-User"), Name: r.Header.Get("X-Remote-Name"), Roles: r.Header.Get("X-Remote-Roles"),
		Session: s, Patients: patients(), Item: item,
	}
}

// cookieValue returns the value of a cookie, or "".
func cookieValue(r *http.Request, name string) string {
	if c, err := r.Cookie(name); err == nil {
		return c.Value
	}
	return ""
}

// backTo redirects as old applications do: by a Location as it is given, which
// http.Redirect would make absolute.
func backTo(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}
