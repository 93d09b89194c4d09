package attack_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// What each byte of a fuzzed request's manner chooses.
const (
	byHTTP2   = 1 << iota // frames, not text
	asNora                // on loose.test, where she may see charts; else eve, on ehr.test, who may see nothing
	anonymous             // with no cookie
)

// FuzzSpelling has one property: whatever is sent, what reaches a backend is a
// clean request that the person who sent it may make in plain spelling, with
// the gateway's own values under every protected name.
//
// Eve, who has no role, asks only on ehr.test, and nora only on loose.test, whose
// routes tolerate all that a route may; so the Host that the gateway writes tells
// at the backend who it was, however late a request arrives.
func FuzzSpelling(f *testing.F) {
	w := &world{Backend: newRecorder(f), Gateway: &anteroomtest.Gateway{Port: "8443"}, foreign: "e30.e30.e30"}
	w.people = map[string]*person{"": {}, "nora": {username: "nora", name: "Nora Lind", roles: "nurse", sub: "nora-sub"}}
	in := newInside(f, w)
	for _, group := range [][]row{groupA(), groupB(), groupC(), groupE(), groupF(), groupG()} {
		for _, r := range group {
			for _, req := range r.send {
				text, manner := req.raw, byte(0)
				if req.fields != nil {
					var b strings.Builder
					for _, field := range req.fields {
						fmt.Fprintf(&b, "%s: %s\n", field.Name, field.Value)
					}
					text, manner = b.String()+"\n"+req.body, byHTTP2
				}
				if len(text) < 4<<10 {
					f.Add(manner, []byte(text))
					f.Add(manner|asNora, []byte(text))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, manner byte, text []byte) {
		if len(text) > 16<<10 {
			return
		}
		w.Backend.Forget()
		if status := w.throw(t, in, manner, text); status == 500 {
			t.Fatal("the gateway fell over it")
		}
		got, err := w.Backend.Take()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got {
			if err := w.permitted(a); err != nil {
				t.Fatalf("%v\n%s", err, a.raw)
			}
		}
	})
}

// throw sends a fuzzed request and waits until the gateway is done with it, or
// waits for more of it. It returns the status of the first answer, 0 for none.
func (w *world) throw(t *testing.T, in *inside, manner byte, text []byte) int {
	host := "ehr.test"
	if manner&asNora != 0 {
		host = "loose.test"
	}
	cookie := "__Host-anteroom=" + insideCookies[host]
	if manner&anonymous != 0 {
		cookie = ""
	}
	swap := strings.NewReplacer("{host}", host+":"+w.Port, "{cookie}", cookieLine(cookie), "{value}", cookie, "{foreign}", w.foreign)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(stranger)}}
	c, err := d.DialContext(t.Context(), "tcp", in.addresses[host])
	if err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).SetLinger(0) // or the machine runs out of ports
	defer c.Close()
	c.SetDeadline(time.Now().Add(50 * time.Millisecond))
	var a *answer // any error is a deadline, or an end that came early: what counts is at the backend
	if manner&byHTTP2 != 0 {
		head, body, _ := strings.Cut(string(text), "\n\n")
		a, _ = framed(c, frames(strings.Split(head, "\n")...).with(body), swap, cookie)
	} else {
		whole := swap.Replace(string(text))
		a, _ = plain(c, whole, max(1, strings.Count(whole, "\r\n\r\n")))
	}
	return a.status
}

// permitted checks a request at the backend against the one table that says
// what each person may ask for.
func (w *world) permitted(a arrived) error {
	seen := plainly(a.target)
	open := seen == "/pub" || strings.HasPrefix(seen, "/pub/")
	host := a.get("Host")
	c := &attempt{req: request{}.at(strings.TrimSuffix(host, ":"+w.Port)), answer: &answer{header: map[string][]string{"X-Request-Id": {a.get("X-Request-Id")}}}}
	switch {
	case a.get("X-Request-Id") == "":
		return errors.New("no request id")
	case a.method == "CONNECT" || a.method == "TRACE":
		return errors.New("a method that no route lists")
	case open:
		return a.sealed(w, c, &person{}, stranger)
	case host != "loose.test:"+w.Port:
		return errors.New("what eve may not see")
	case seen == "/admin" || strings.HasPrefix(seen, "/admin/"):
		return errors.New("what nora may not see")
	}
	return a.sealed(w, c, w.people["nora"], stranger)
}

// plainly returns the path as the most tolerant of servers would read it.
func plainly(target string) string {
	p, _, _ := strings.Cut(target, "?")
	p = unescape(p)
	p = strings.ToLower(strings.ReplaceAll(p, `\`, "/"))
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return path.Clean(strings.Join(segments, "/"))
}

// unescape decodes what can be decoded, once.
func unescape(s string) string {
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		var c byte
		if n, _ := fmt.Sscanf(s[i:min(i+3, len(s))], "%%%02x", &c); n == 1 && i+2 < len(s) {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
