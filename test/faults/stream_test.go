package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/anteroom/anteroom/anteroomtest"
)

// streaming is a backend whose answers do not end by themselves.
func streaming(w http.ResponseWriter, r *http.Request) {
	flush := w.(http.Flusher).Flush
	switch {
	case r.Header.Get("Upgrade") != "":
		echo(w, r)
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			fmt.Fprint(w, "data: tick\n\n")
			flush()
			time.Sleep(100 * time.Millisecond)
		}
	case strings.HasSuffix(r.URL.Path, "/download"):
		w.Header().Set("Content-Length", fmt.Sprint(1<<30))
		piece := make([]byte, 16<<10)
		for r.Context().Err() == nil {
			w.Write(piece)
			flush()
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// An ending is when an open stream closed, and how.
type ending struct {
	kind string
	at   time.Time
	err  error
}

// openStreams opens a WebSocket, an event stream and a long download, and
// returns where their ends are told, once data has come over each of them.
func openStreams(t *testing.T, g *process, b *anteroomtest.Browser, host, base string) chan ending {
	t.Helper()
	ended := make(chan ending, 3)
	h := http.Header{"Cookie": {cookieOf(b, host)}, "Origin": {g.Origin(host)}}
	for name, values := range b.Device {
		h[name] = values
	}
	c, _, err := websocket.Dial(t.Context(), g.URL(host, base+"/socket"), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: g.Transport(false)}, HTTPHeader: h,
	})
	if err != nil {
		t.Fatalf("open a WebSocket: %v", err)
	}
	t.Cleanup(func() { c.CloseNow() })
	if err := askEcho(t.Context(), c, "hello"); err != nil {
		t.Fatalf("over the WebSocket: %v", err)
	}
	go func() {
		_, _, err := c.Read(context.Background())
		ended <- ending{"WebSocket", time.Now(), err}
	}()
	for kind, http2 := range map[string]bool{"events": true, "download": false} {
		transport := g.Transport(http2)
		t.Cleanup(transport.CloseIdleConnections)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL(host, base+"/"+kind), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = h.Clone()
		r.Header.Set("Sec-Fetch-Mode", "cors")
		resp, err := transport.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("open %s: %v %v", kind, resp, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if _, err := io.ReadFull(resp.Body, make([]byte, 12)); err != nil {
			t.Fatalf("over %s: %v", kind, err)
		}
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			ended <- ending{kind, time.Now(), err}
		}()
	}
	return ended
}

// TestR17Revocation ends, locks, demotes and compromises people who have
// streams open, and times how long these go on.
func TestR17Revocation(t *testing.T) {
	e := begin(t, "R17")
	backend := anteroomtest.NewBackend(t)
	backend.Handle(streaming)
	g := start(t, setup{backend: backend.URL, edit: edits(
		withRoute("brief", "/brief", strings.TrimPrefix(backend.URL, "http://")),
		patient("    path: /brief\n", "    path: /brief\n    session: {lock_after: 3s}\n"),
	)})
	bystander := openStreams(t, g, g.as(t, 0, "ehr.test"), "ehr.test", "")
	worst := time.Duration(0)
	for n, c := range []struct {
		cause      string
		host, base string
		bring      func(b *anteroomtest.Browser) time.Time // what ends them; returns when that was acknowledged
	}{
		{"sign-out in another tab", "ehr.test", "", func(b *anteroomtest.Browser) time.Time {
			g.signOut(t, b)
			return time.Now()
		}},
		{"back-channel logout", "ehr.test", "", func(*anteroomtest.Browser) time.Time {
			token := g.Provider.LogoutToken("", g.Provider.SID(), nil)
			resp, err := (&http.Client{Transport: g.Transport(false)}).PostForm(g.URL("gate.test", "/.anteroom/backchannel-logout"), url.Values{"logout_token": {token}})
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("back-channel logout: %v %v", resp, err)
			}
			resp.Body.Close()
			return time.Now()
		}},
		{"lock", "ehr.test", "/brief", func(b *anteroomtest.Browser) time.Time {
			p := b.Call(http.MethodGet, g.URL("ehr.test", "/.anteroom/session"), "", "", nil)
			var s struct {
				LocksAt time.Time `json:"locks_at"`
			}
			if err := json.Unmarshal([]byte(p.Body), &s); err != nil || s.LocksAt.IsZero() {
				t.Fatalf("session: %v %s", err, p.Body)
			}
			return s.LocksAt
		}},
		{"device compromised", "img.test", "", func(b *anteroomtest.Browser) time.Time {
			other := g.Browser(t) // a request of the same tablet, of nobody
			other.Device = b.Device.Clone()
			other.Device.Set("X-Mdm-Compromised", "true")
			other.Hop(http.MethodGet, g.URL("img.test", "/"), "", "", nil)
			return time.Now()
		}},
		{"role taken away", "ehr.test", "", func(*anteroomtest.Browser) time.Time {
			g.configure(strings.Replace(g.text, "nurse: {groups: [ehr-nurses]}", "nurse: {groups: [ehr-nurses-of-ward-4]}", 1))
			before := g.metric("anteroom_config_reloads_total")
			g.signal(syscall.SIGHUP)
			eventually(t, 5*time.Second, "the reload", func() bool { return g.metric("anteroom_config_reloads_total") > before })
			return time.Now()
		}},
	} {
		b := g.as(t, n+1, c.host)
		ended := openStreams(t, g, b, c.host, c.base)
		if c.cause == "role taken away" {
			select {
			case end := <-bystander:
				t.Errorf("another person's %s closed: %v", end.kind, end.err)
			default:
			}
		}
		acknowledged := c.bring(b)
		var last time.Duration
		for range 3 {
			select {
			case end := <-ended:
				last = max(last, end.at.Sub(acknowledged))
				if end.err == nil {
					t.Errorf("%s: %s ended as if it were whole", c.cause, end.kind)
				}
				if code := websocket.CloseStatus(end.err); end.kind == "WebSocket" && code != websocket.StatusPolicyViolation {
					t.Errorf("%s: the WebSocket was told %v: %v", c.cause, code, end.err)
				}
			case <-time.After(15 * time.Second):
				e.must(false, "%s: a stream goes on", c.cause)
			}
		}
		e.figure("%s: all closed %v after", c.cause, round(max(last, 0)))
		worst = max(worst, last)
	}
	e.within(worst, 2*time.Second, "open streams closed after")
	e.figure("on one node")
}

// as returns a browser of the nth nurse, with a tablet of their own on img.test.
func (g *process) as(t *testing.T, n int, host string) *anteroomtest.Browser {
	t.Helper()
	g.Provider.Person(nurse(n))
	b := g.Browser(t)
	if host == "img.test" {
		b.Device = anteroomtest.Compliant(fmt.Sprint("ipad-", n))
	}
	// The page asked for is one that ends.
	if p := b.Get(g.URL(host, "/")); p.Status != http.StatusOK {
		t.Fatalf("sign in on %s: %d %s", host, p.Status, p.Code())
	}
	return b
}
