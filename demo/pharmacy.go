package demo

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// PharmacyCookie is the name of the pharmacy's own session cookie.
const PharmacyCookie = "PHRMSESSID"

// A PharmacyConfig says how the pharmacy checks what the gateway tells it.
type PharmacyConfig struct {
	// Keys returns the gateway's assertion keys. Nil: assertions are shown as not verified.
	Keys     func(context.Context) (jose.JSONWebKeySet, error)
	Issuer   string // whose assertions are believed: the gateway's URL
	Audience string
}

// A Pharmacy is an old web application: orders for patients and an export, with
// sessions kept in its own memory. It has no sign-in: it takes
// X-Remote-User at its word, and refuses whoever comes without.
type Pharmacy struct {
	config   PharmacyConfig
	handler  http.Handler
	sessions oldSessions

	mu          sync.Mutex
	orders      []*order
	submissions int // amendments taken since the start
}

type order struct {
	Number  int
	Patient patient
	Drug    string
	Dose    string
	Note    string
	Sent    int // how many amendments of this order were taken
	Amended []amendment
}

// NewPharmacy returns a pharmacy with a dozen orders, none of them amended.
func NewPharmacy(c PharmacyConfig) *Pharmacy {
	p := &Pharmacy{config: c}
	drugs := []string{"Placebol 5 mg tablet", "Exampril 10 mg tablet", "Samplicillin 500 mg capsule", "Mockomycin 1 g infusion"}
	doses := []string{"1 at 08:00", "1 at 08:00 and 20:00", "every 6 hours", "once, before breakfast"}
	for i, who := range patients() {
		p.orders = append(p.orders, &order{Number: i + 1, Patient: who, Drug: drugs[i%len(drugs)], Dose: doses[i%len(doses)], Note: "As prescribed."})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.page("pharmacy.html", p.home))
	mux.HandleFunc("GET /orders", p.page("orders.html", p.home))
	mux.HandleFunc("GET /orders/{number}", p.page("order.html", p.order))
	mux.HandleFunc("POST /orders/{number}", p.amend)
	mux.HandleFunc("GET /patients/{number}/{page...}", p.page("patient.html", p.patient))
	mux.HandleFunc("GET /export/orders.csv", p.export)
	mux.HandleFunc("GET /worklist/poll", p.poll)
	mux.HandleFunc("GET /whoami", p.page("whoami.html", p.whoami))
	mux.HandleFunc("GET /whoami.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(p.received(r))
	})
	guarded := http.NewServeMux()
	guarded.HandleFunc("GET /status", p.status)
	guarded.Handle("/", needsRemoteUser("Pharmacy", mux))
	p.handler = guarded
	return p
}

// ServeHTTP answers as the application does.
func (p *Pharmacy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// A pharmacyPage is what every page of the application shows.
type pharmacyPage struct {
	oldPage
	Orders      []order
	Submissions int
}

// page shows a template about the item that find returns, or says that there is none.
func (p *Pharmacy) page(template string, find func(*http.Request) (item any, ok bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		item, ok := find(r)
		if !ok {
			http.Error(w, "No such record.", http.StatusNotFound)
			return
		}
		session, made := p.sessions.of(cookieValue(r, PharmacyCookie), r.Header.Get("X-Remote-User"))
		if made != "" {
			w.Header().Add("Set-Cookie", PharmacyCookie+"="+made+"; path=/") // neither Secure nor HttpOnly: it is that old
		}
		page := pharmacyPage{oldPage: newOldPage(r, session, item)}
		p.mu.Lock()
		page.Submissions = p.submissions
		for _, o := range p.orders {
			page.Orders = append(page.Orders, *o)
		}
		p.mu.Unlock()
		write(w, http.StatusOK, template, page)
	}
}

func (p *Pharmacy) home(*http.Request) (any, bool) { return nil, true }

func (p *Pharmacy) order(r *http.Request) (any, bool) {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || n < 1 || n > len(p.orders) {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.orders[n-1], true
}

func (p *Pharmacy) patient(r *http.Request) (any, bool) {
	for _, who := range patients() {
		if strconv.Itoa(who.Number) == r.PathValue("number") {
			return who, true
		}
	}
	return nil, false
}

// amend takes the form of an order. It looks at nothing but the fields, and
// sends the browser back by a relative address.
func (p *Pharmacy) amend(w http.ResponseWriter, r *http.Request) {
	if _, ok := p.order(r); !ok {
		http.Error(w, "No such record.", http.StatusNotFound)
		return
	}
	text := r.PostFormValue("text")
	if text == "" {
		http.Error(w, "Error 12: field TEXT is empty.", http.StatusBadRequest)
		return
	}
	n, _ := strconv.Atoi(r.PathValue("number"))
	p.mu.Lock()
	o := p.orders[n-1]
	o.Sent++
	p.submissions++
	o.Amended = append(o.Amended, amendment{r.Header.Get("X-Remote-User"), time.Now(), text})
	if dose := r.PostFormValue("dose"); dose != "" {
		o.Dose = dose
	}
	p.mu.Unlock()
	backTo(w, strconv.Itoa(n))
}

func (p *Pharmacy) export(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="orders.csv"`)
	out := csv.NewWriter(w)
	out.Write([]string{"order", "patient", "name", "drug", "dose", "amendments"})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.orders {
		out.Write([]string{strconv.Itoa(o.Number), strconv.Itoa(o.Patient.Number), o.Patient.Name, o.Drug, o.Dose, strconv.Itoa(o.Sent)})
	}
	out.Flush()
}

// poll answers the worklist's script.
func (p *Pharmacy) poll(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	n := p.submissions
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"open": len(p.orders), "amendments": n, "user": r.Header.Get("X-Remote-User"), "time": time.Now().Format(time.TimeOnly)})
}

// status is open to everybody. It says who it was told is there, so that it
// shows that nobody can tell it so from outside.
func (p *Pharmacy) status(w http.ResponseWriter, r *http.Request) {
	user := r.Header.Get("X-Remote-User")
	if user == "" {
		user = "nobody"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "pharmacy is up\norders: %d\nyou are: %s\n", len(p.orders), user)
}
