package demo

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SchedulingCookie is the name of scheduling's own session cookie.
const SchedulingCookie = "JSESSIONID"

// Scheduling is an old appointment book. It writes its session's name into
// every link, after a semicolon, since browsers once had no cookies; it reloads
// its day by itself, and changes an appointment by a form or, from its own
// script, by JSON.
type Scheduling struct {
	handler  http.Handler
	sessions oldSessions

	mu           sync.Mutex
	appointments []*appointment
}

type appointment struct {
	Number  int
	Patient patient // as the book has it: it may be changed here
	Time    string
	Billing string
	Changes []amendment
}

// NewScheduling returns a book with an appointment for each patient.
func NewScheduling() *Scheduling {
	s := &Scheduling{}
	for i, who := range patients() {
		s.appointments = append(s.appointments, &appointment{Number: i + 1, Patient: who, Time: fmt.Sprintf("%02d:30", 8+i%9), Billing: "insurer"})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.day)
	mux.HandleFunc("GET /appointments", s.day)
	mux.HandleFunc("GET /appointments/{number}", s.appointment)
	mux.HandleFunc("POST /appointments/{number}", s.change)
	s.handler = needsRemoteUser("DayBook", mux)
	return s
}

// ServeHTTP answers as the application does: what follows a semicolon in the
// path is the session's name, wherever it stands.
func (s *Scheduling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, id, named := strings.Cut(r.URL.Path, ";jsessionid=")
	if named {
		u := *r.URL
		u.Path, u.RawPath = path, ""
		r = r.Clone(r.Context())
		r.URL = &u
		r.Header.Set("Cookie", SchedulingCookie+"="+id)
	}
	s.handler.ServeHTTP(w, r)
}

// A bookPage is a page of the book, whose links carry the session.
type bookPage struct {
	oldPage
	Suffix string // ";jsessionid=..." while the browser has not shown that it keeps cookies
}

func (s *Scheduling) page(w http.ResponseWriter, r *http.Request, item any) bookPage {
	session, made := s.sessions.of(cookieValue(r, SchedulingCookie), r.Header.Get("X-Remote-User"))
	p := bookPage{oldPage: newOldPage(r, session, item)}
	if made != "" {
		p.Suffix = ";jsessionid=" + made
		w.Header().Add("Set-Cookie", SchedulingCookie+"="+made+"; path=/")
	}
	return p
}

func (s *Scheduling) day(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	var all []appointment
	for _, a := range s.appointments {
		all = append(all, *a)
	}
	s.mu.Unlock()
	write(w, http.StatusOK, "scheduling.html", s.page(w, r, all))
}

func (s *Scheduling) find(r *http.Request) *appointment {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || n < 1 || n > len(s.appointments) {
		return nil
	}
	return s.appointments[n-1]
}

func (s *Scheduling) appointment(w http.ResponseWriter, r *http.Request) {
	a := s.find(r)
	if a == nil {
		http.Error(w, "No such appointment.", http.StatusNotFound)
		return
	}
	s.mu.Lock()
	shown := *a
	s.mu.Unlock()
	write(w, http.StatusOK, "scheduling-appointment.html", s.page(w, r, shown))
}

// A scheduleChange is what a form or the script says; "" leaves as it is.
type scheduleChange struct {
	Time    string `json:"time"`
	Billing string `json:"billing"`
	Patient struct {
		Identity struct {
			Name string `json:"name"`
			Born string `json:"born"`
		} `json:"identity"`
	} `json:"patient"`
}

// readChange takes JSON from the script, and a form from everybody else.
func readChange(w http.ResponseWriter, r *http.Request) (c scheduleChange, script bool, err error) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media == "application/json" {
		return c, true, json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&c)
	}
	c.Time, c.Billing = r.PostFormValue("time"), r.PostFormValue("billing")
	c.Patient.Identity.Name, c.Patient.Identity.Born = r.PostFormValue("patient.identity.name"), r.PostFormValue("patient.identity.born")
	return c, false, nil
}

func (s *Scheduling) change(w http.ResponseWriter, r *http.Request) {
	a := s.find(r)
	if a == nil {
		http.Error(w, "No such appointment.", http.StatusNotFound)
		return
	}
	c, script, err := readChange(w, r)
	if err != nil {
		http.Error(w, "Error 31: cannot read the change.", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	var what []string
	for _, f := range []struct {
		name, to string
		field    *string
	}{
		{"time", c.Time, &a.Time}, {"billing", c.Billing, &a.Billing},
		{"name", c.Patient.Identity.Name, &a.Patient.Name}, {"born", c.Patient.Identity.Born, &a.Patient.Born},
	} {
		if f.to != "" && f.to != *f.field {
			*f.field = f.to
			what = append(what, f.name+" "+f.to)
		}
	}
	a.Changes = append(a.Changes, amendment{r.Header.Get("X-Remote-User"), time.Now(), strings.Join(what, ", ")})
	s.mu.Unlock()
	if script {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	backTo(w, strconv.Itoa(a.Number))
}
