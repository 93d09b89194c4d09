package demo

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The record's own cookies: its session, and the patient who was open last.
const (
	RecordCookie  = "CHARTSID"
	PatientCookie = "LASTPAT"
)

// A RecordConfig says where the record believes to be.
type RecordConfig struct {
	Base string // its own address, which it puts before every redirect
}

// A Record is an old patient record: charts, notes and an export, with the
// patient in the path. It sends browsers to its own address, and sets cookies
// for the whole domain, one of which names the patient who was open last.
type Record struct {
	config   RecordConfig
	handler  http.Handler
	sessions oldSessions

	mu    sync.Mutex
	notes map[int][]amendment // by patient
}

// NewRecord returns a record with a chart for each patient, and no notes.
func NewRecord(c RecordConfig) *Record {
	e := &Record{config: c, notes: map[int][]amendment{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", e.home)
	mux.HandleFunc("GET /patients/{number}", func(w http.ResponseWriter, r *http.Request) {
		backTo(w, e.config.Base+r.URL.Path+"/chart")
	})
	mux.HandleFunc("GET /patients/{number}/chart", e.chart("record-chart.html"))
	mux.HandleFunc("GET /patients/{number}/notes", e.chart("record-notes.html"))
	mux.HandleFunc("POST /patients/{number}/notes", e.sign)
	mux.HandleFunc("GET /patients/{number}/export.txt", e.export)
	e.handler = needsRemoteUser("ChartStar", mux)
	return e
}

// ServeHTTP answers as the application does.
func (e *Record) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }

// A chart is what the record knows of a patient.
type chart struct {
	patient
	Notes []amendment
}

// Vital returns a value that belongs to nobody.
func (c chart) Vital(of string) string {
	switch n := c.Number; of {
	case "pulse":
		return fmt.Sprint(58 + n%30)
	case "pressure":
		return fmt.Sprintf("%d/%d", 110+n%35, 65+n%20)
	case "temperature":
		return fmt.Sprintf("36.%d", n%10)
	}
	return "-"
}

// find returns the chart of the patient in the path.
func (e *Record) find(r *http.Request) (chart, bool) {
	for _, who := range patients() {
		if strconv.Itoa(who.Number) == r.PathValue("number") {
			e.mu.Lock()
			defer e.mu.Unlock()
			return chart{who, slices.Clone(e.notes[who.Number])}, true
		}
	}
	return chart{}, false
}

func (e *Record) home(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusOK, "record.html", newOldPage(r, e.session(w, r), cookieValue(r, PatientCookie)))
}

// chart shows a template about the patient in the path.
func (e *Record) chart(template string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, ok := e.find(r)
		if !ok {
			http.Error(w, "No such patient.", http.StatusNotFound)
			return
		}
		e.setCookie(w, PatientCookie, strconv.Itoa(c.Number))
		write(w, http.StatusOK, template, newOldPage(r, e.session(w, r), c))
	}
}

// session returns the browser's session, making one when there is none.
func (e *Record) session(w http.ResponseWriter, r *http.Request) oldSession {
	s, made := e.sessions.of(cookieValue(r, RecordCookie), r.Header.Get("X-Remote-User"))
	if made != "" {
		e.setCookie(w, RecordCookie, made)
	}
	return s
}

// setCookie sets a cookie for every host of the hospital, as was usual.
func (e *Record) setCookie(w http.ResponseWriter, name, value string) {
	w.Header().Add("Set-Cookie", name+"="+value+"; domain=."+Domain+"; path=/")
}

// sign takes a note, and sends the browser back by the record's own address,
// which no browser can reach.
func (e *Record) sign(w http.ResponseWriter, r *http.Request) {
	c, ok := e.find(r)
	if !ok {
		http.Error(w, "No such patient.", http.StatusNotFound)
		return
	}
	text := strings.TrimSpace(r.PostFormValue("note"))
	if text == "" {
		http.Error(w, "Error 7: NOTE may not be blank.", http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	e.notes[c.Number] = append(e.notes[c.Number], amendment{r.Header.Get("X-Remote-User"), time.Now(), text})
	e.mu.Unlock()
	backTo(w, fmt.Sprintf("%s/patients/%d/notes", e.config.Base, c.Number))
}

// export is the whole chart as text, to be carried away.
func (e *Record) export(w http.ResponseWriter, r *http.Request) {
	c, ok := e.find(r)
	if !ok {
		http.Error(w, "No such patient.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="chart-%d.txt"`, c.Number))
	fmt.Fprintf(w, "PATIENT   %d\nNAME      %s\nBORN      %s\nPULSE     %s\nPRESSURE  %s\nNOTES     %d\n",
		c.Number, c.Name, c.Born, c.Vital("pulse"), c.Vital("pressure"), len(c.Notes))
	for _, n := range c.Notes {
		fmt.Fprintf(w, "\n%s  %s\n%s\n", n.At.Format(time.DateTime), n.By, n.Text)
	}
}
