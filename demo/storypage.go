package demo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// rows is how many requests the page lists.
const rows = 40

// site is the page that tells what became of each request, as it happens.
// start is the address of the demo's first page.
func (s *stories) site(start string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { s.page(w, start, "") })
	mux.HandleFunc("GET /request/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "part" {
			s.page(w, start, r.PathValue("id"))
			return
		}
		v, ok := s.view(r.PathValue("id"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		write(w, http.StatusOK, "story-request", v)
	})
	mux.HandleFunc("GET /events", s.events)
	for _, name := range []string{"style.css", "story.css", "story.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "html/"+name) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// page shows the list beside one request: the one named id, else the newest
// that a person asked for.
func (s *stories) page(w http.ResponseWriter, start, id string) {
	latest := s.latest(rows)
	shown := id
	if i := slices.IndexFunc(latest, func(st story) bool { return st.Came != nil && st.Came.Page() }); id == "" && i >= 0 {
		shown = latest[i].ID
	}
	data := map[string]any{"Start": start, "Pinned": id != ""}
	var list []row
	for _, st := range latest {
		list = append(list, rowOf(st, shown))
	}
	data["Rows"] = list
	status := http.StatusOK
	if v, ok := s.view(shown); ok {
		data["Request"] = v
	} else if id != "" {
		status = http.StatusNotFound
	}
	write(w, status, "story.html", data)
}

// events tells of each request that changes, as it happens: its row of the
// list, and whether a person asked for it.
func (s *stories) events(w http.ResponseWriter, r *http.Request) {
	changes, stop := s.look()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	flow := http.NewResponseController(w)
	alive := time.NewTicker(15 * time.Second) // so that a connection that is gone is noticed
	defer alive.Stop()
	fmt.Fprint(w, "retry: 1000\n\n")
	for flow.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-alive.C:
			fmt.Fprint(w, ": still here\n\n")
		case id := <-changes:
			st, _, _, ok := s.find(id)
			if !ok {
				continue
			}
			var html bytes.Buffer
			if err := templates.ExecuteTemplate(&html, "story-row", rowOf(st, "")); err != nil {
				return
			}
			b, err := json.Marshal(map[string]any{"id": id, "row": html.String(), "page": st.Came != nil && st.Came.Page()})
			if err != nil {
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", b)
		}
	}
}

// A row is a request in the list.
type row struct {
	ID, Method, Host, Path, Verdict, User string
	At                                    time.Time
	Status                                int
	Shown                                 bool
}

// rowOf returns what the list says of a story, from whoever knows it already.
func rowOf(st story, shown string) row {
	r := row{ID: st.ID, At: st.At, Shown: st.ID == shown}
	for _, l := range st.Lines {
		if l.Method != "" {
			r.Method, r.Host, r.Path = l.Method, l.Host, l.Path
		}
		if r.Verdict == "" {
			r.Verdict = l.Verdict
		}
		if l.Status != 0 {
			r.Status = l.Status
		}
		if l.Subject.Username != "" {
			r.User = l.Subject.Username
		}
	}
	if c := st.Came; c != nil {
		r.Method, r.Host, r.Path, r.Status = c.Method, c.Host, c.Path, c.Status
	}
	r.Host = strings.TrimSuffix(r.Host, "."+Domain)
	return r
}

// A view is everything that the page shows of one request.
type view struct {
	story
	Row        row
	Steps      []answer
	Decision   *line
	Records    []string // of the audit trail, made readable
	Spans      []bar
	Linked     []span
	Trace      string
	Identity   []attribute // the headers that say who is there
	Others     []attribute // and those that do not
	Sent, Told []attribute // the request's headers, without and with what the tunnel says of the device
	Assertion  string      // header and claims, made readable
	Strangers  []string    // cookies of the gateway that reached the application: never
}

// A bar is a span, and where it lies in the time of the whole, in thousandths.
type bar struct {
	span
	Depth       int
	From, Width int
}

// view returns what became of the request named id.
func (s *stories) view(id string) (view, bool) {
	st, own, linked, ok := s.find(id)
	if !ok {
		return view{}, false
	}
	v := view{Row: rowOf(st, ""), story: st, Linked: linked, Trace: st.trace(), Spans: barsOf(own)}
	if v.Decision = st.event("access"); v.Decision != nil {
		v.Steps = stepsOf(v.Decision)
	}
	for _, l := range st.Lines {
		v.Records = append(v.Records, readable(l.Text))
	}
	if st.Came != nil {
		for _, a := range sorted(st.Came.Header) {
			if speaksOfDevices(a.Key) {
				v.Told = append(v.Told, a)
			} else {
				v.Sent = append(v.Sent, a)
			}
		}
	}
	if st.Seen != nil {
		for _, a := range sorted(st.Seen.Header) {
			switch {
			case a.Key == "X-Anteroom-Assertion":
				v.Assertion = decoded(a.Value)
			case strings.HasPrefix(a.Key, "X-Remote-"):
				v.Identity = append(v.Identity, a)
			default:
				v.Others = append(v.Others, a)
			}
		}
		for _, name := range st.Seen.Cookies {
			if strings.HasPrefix(name, "__Host-anteroom") {
				v.Strangers = append(v.Strangers, name)
			}
		}
	}
	return v, true
}

func sorted(h http.Header) []attribute {
	var all []attribute
	for name, values := range h {
		for _, value := range values {
			all = append(all, attribute{name, value})
		}
	}
	slices.SortFunc(all, func(a, b attribute) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// barsOf returns the spans of one trace as a tree, each under its parent.
func barsOf(all []span) []bar {
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b span) int { return a.Start.Compare(b.Start) })
	begin, end := all[0].Start, all[0].End
	known := map[string]bool{}
	for _, s := range all {
		known[s.ID] = true
		if s.End.After(end) {
			end = s.End
		}
	}
	whole := max(end.Sub(begin), time.Nanosecond)
	var out []bar
	var under func(parent string, depth int)
	under = func(parent string, depth int) {
		for _, s := range all {
			root := s.Parent == "" || !known[s.Parent]
			if s.Parent != parent && !(parent == "" && root) || depth > 10 {
				continue
			}
			from := int(1000 * s.Start.Sub(begin) / whole)
			out = append(out, bar{s, depth, from, max(4, int(1000*s.Took()/whole))})
			under(s.ID, depth+1)
		}
	}
	under("", 0)
	return out
}

// readable returns JSON with each field on a line of its own, in its order.
func readable(text []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return string(text)
	}
	return b.String()
}

// decoded returns what a signed token says. Whether it is rightly signed, an
// application checks; this only reads it.
func decoded(token string) string {
	var out []string
	for _, part := range strings.SplitN(token, ".", 3)[:min(2, strings.Count(token, ".")+1)] {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return "cannot be read: " + err.Error()
		}
		out = append(out, readable(b))
	}
	return strings.Join(out, "\n")
}
