package demo

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// How much is kept: what is older is forgotten.
const (
	maxStories = 200
	maxLines   = 20  // audit records of one request
	maxTraces  = 400 // a sign-in makes several that belong to no request
)

// A story is what became known of one request, told by each who saw it.
type story struct {
	ID    string
	At    time.Time // when it was first heard of
	Came  *arrival  // nil until it was answered
	Lines []line    // of the audit trail
	Seen  *sighting // nil: it did not reach an application
}

// An arrival is a request as it came to the gateway, and how that was
// answered, told by the tunnel. Of cookies there are the names alone.
type arrival struct {
	Method, Host, Path string
	Header             http.Header
	Cookies            []string
	Status             int
	Answer             http.Header
	Set                []string // names of the cookies that the answer sets
}

// Page reports whether a person asked for this by going somewhere or sending a
// form, as opposed to what pages fetch by themselves.
func (a *arrival) Page() bool {
	if strings.HasPrefix(a.Path, "/.anteroom/") {
		return false
	}
	mode, dest := a.Header.Get("Sec-Fetch-Mode"), a.Header.Get("Sec-Fetch-Dest")
	return mode == "" && dest == "" || mode == "navigate" && dest == "document" || a.Method != http.MethodGet
}

// A sighting is a request as an application got it.
type sighting struct {
	Application        string
	At                 time.Time
	Method, Host, Path string
	Header             http.Header
	Cookies            []string
}

// A line is an audit record: the text as it stands in the file, and what the
// page needs of it.
type line struct {
	Text                                        []byte    `json:"-"`
	Seq                                         uint64    `json:"seq"`
	Time                                        time.Time `json:"time"`
	Event, Verdict, Reason, Route, Rule, Detail string
	Host, Method, Path                          string
	Status                                      int
	Session, Patient                            string
	Subject                                     struct {
		Issuer, Sub, Username string
		Roles                 []string
	}
	Device struct {
		ID, Assurance string
		Failed        []string
	}
	Login struct {
		ACR      string
		AMR      []string
		AuthTime time.Time `json:"auth_time"`
	}
	RequestID string `json:"request_id"`
	TraceID   string `json:"trace_id"`
}

// Event returns the record of this kind, or nil.
func (s *story) event(kind string) *line {
	for i := range s.Lines {
		if s.Lines[i].Event == kind {
			return &s.Lines[i]
		}
	}
	return nil
}

// trace returns the id of the request's trace, from whoever knows it.
func (s *story) trace() string {
	for _, l := range s.Lines {
		if l.TraceID != "" {
			return l.TraceID
		}
	}
	if s.Seen != nil {
		if parts := strings.Split(s.Seen.Header.Get("Traceparent"), "-"); len(parts) == 4 {
			return parts[1]
		}
	}
	return ""
}

// stories keeps the latest requests, and tells who looks on when one changes.
type stories struct {
	mu       sync.Mutex
	all      map[string]*story
	order    []string // ids, the oldest first
	spans    map[string][]span
	traces   []string // ids, the oldest first
	watchers map[chan string]bool
}

func newStories() *stories {
	return &stories{all: map[string]*story{}, spans: map[string][]span{}, watchers: map[chan string]bool{}}
}

// tell changes the story of the request with this id, and lets watchers know.
func (s *stories) tell(id string, change func(*story)) {
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.all[id]
	if st == nil {
		if len(s.order) >= maxStories {
			delete(s.all, s.order[0])
			s.order = slices.Delete(s.order, 0, 1)
		}
		st = &story{ID: id, At: time.Now()}
		s.all[id] = st
		s.order = append(s.order, id)
	}
	change(st)
	s.changed(id)
}

// changed lets watchers know; mu is held. One that does not keep up misses
// some, and the next event shows it the story as it is then.
func (s *stories) changed(id string) {
	for w := range s.watchers {
		select {
		case w <- id:
		default:
		}
	}
}

// answered notes a request that the gateway has answered. The gateway's own
// pictures and style sheets are nobody's story.
func (s *stories) answered(resp *http.Response) {
	r := resp.Request
	if strings.HasPrefix(r.URL.Path, "/.anteroom/assets/") {
		return
	}
	a := &arrival{
		Method: r.Method, Host: hostname(r.Host), Path: shownPath(r), Status: resp.StatusCode,
		Header: withoutSecrets(r.Header), Cookies: cookieNames(r.Cookies()),
		Answer: withoutSecrets(resp.Header), Set: cookieNames(resp.Cookies()),
	}
	s.tell(resp.Header.Get("X-Request-Id"), func(st *story) { st.Came = a })
}

// watch notes what reaches an application.
func (s *stories) watch(application string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &sighting{
			Application: application, At: time.Now(), Method: r.Method, Host: hostname(r.Host), Path: shownPath(r),
			Header: withoutSecrets(r.Header), Cookies: cookieNames(r.Cookies()),
		}
		s.tell(r.Header.Get("X-Request-Id"), func(st *story) { st.Seen = seen })
		next.ServeHTTP(w, r)
	})
}

// record notes a line of the audit trail. Those that belong to no request are
// not shown.
func (s *stories) record(text []byte) {
	text = pathSession.ReplaceAll(text, []byte("$1…"))
	l := line{Text: text}
	if err := json.Unmarshal(text, &l); err != nil {
		return
	}
	s.tell(l.RequestID, func(st *story) {
		if len(st.Lines) < maxLines {
			st.Lines = append(st.Lines, l)
		}
	})
}

// traced notes a span.
func (s *stories) traced(sp span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spans[sp.Trace] == nil {
		if len(s.traces) >= maxTraces {
			delete(s.spans, s.traces[0])
			s.traces = slices.Delete(s.traces, 0, 1)
		}
		s.traces = append(s.traces, sp.Trace)
	}
	s.spans[sp.Trace] = append(s.spans[sp.Trace], sp)
	for _, st := range s.all {
		if t := st.trace(); t != "" && (t == sp.Trace || slices.Contains(sp.Links, t)) {
			s.changed(st.ID)
		}
	}
}

// latest returns copies of the newest stories, the newest first.
func (s *stories) latest(n int) []story {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []story
	for _, id := range slices.Backward(s.order) {
		if len(out) == n {
			break
		}
		out = append(out, *s.all[id])
	}
	return out
}

// find returns a copy of a story, with the spans of its trace and those that
// are linked to it.
func (s *stories) find(id string) (st story, own, linked []span, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[id]
	if found == nil {
		return story{}, nil, nil, false
	}
	st = *found
	st.Lines = slices.Clone(found.Lines)
	trace := found.trace()
	if trace == "" {
		return st, nil, nil, true
	}
	own = slices.Clone(s.spans[trace])
	for _, t := range s.traces {
		for _, sp := range s.spans[t] {
			if slices.Contains(sp.Links, trace) {
				linked = append(linked, sp)
			}
		}
	}
	return st, own, linked, true
}

// look returns a channel of the ids of stories that change, until stop.
func (s *stories) look() (changes <-chan string, stop func()) {
	c := make(chan string, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, c)
	}
}

// pathSession finds the name of scheduling's session, which it writes into paths.
var pathSession = regexp.MustCompile(`(;jsessionid=)\w+`)

// shownPath returns the path of r, and whether there was a query: what stands
// in one may open something, as a one-time code does.
func shownPath(r *http.Request) string {
	path := pathSession.ReplaceAllString(r.URL.EscapedPath(), "$1…")
	if r.URL.RawQuery != "" {
		path += "?…"
	}
	return path
}

// withoutSecrets returns a copy of h without what opens something.
func withoutSecrets(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Cookie", "Set-Cookie", "Authorization"} {
		h.Del(name)
	}
	if to, _, query := strings.Cut(h.Get("Location"), "?"); query {
		h.Set("Location", to+"?…")
	}
	if _, _, query := strings.Cut(h.Get("Referer"), "?"); query {
		h.Del("Referer")
	}
	return h
}

func cookieNames(all []*http.Cookie) []string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
