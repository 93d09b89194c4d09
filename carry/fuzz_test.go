package carry_test

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/anteroomtest/reference"
	"github.com/anteroom/anteroom/carry"
)

// FuzzFraming has a backend send the same bytes through both carriers. Ours
// refuses them, or reads of them what net/http does: where an answer ends must
// not be a matter of opinion.
func FuzzFraming(f *testing.F) {
	log.SetOutput(io.Discard) // net/http tells there what a backend says unasked
	ok := "HTTP/1.1 200 OK"
	for _, raw := range []string{
		lines(ok, "Content-Length: 5", "X-A: 1", "", "hello"),
		lines(ok, "Content-Length: 5", "Content-Length: 5", "", "hello world"),
		lines(ok, "Transfer-Encoding: chunked", "", "5;a=b", "hello", "A", "0123456789", "0", "X-T: 1", "", ""),
		lines(ok, "Content-Length: 2", "Transfer-Encoding: chunked", "", "0", "", ""),
		lines("HTTP/1.0 200", "", "until the end"),
		lines("HTTP/1.1 100 Continue", "", "HTTP/1.1 103 Early Hints", "Link: <a>", "", ok, "Content-Length: 1", "", "x"),
		lines("HTTP/1.1 204 No Content", "Content-Length: 3", "", "abc"),
		lines("HTTP/1.1 304 Not Modified", "Content-Length: 3", "", ""),
		lines("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "", "raw"),
		"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
		lines(ok, "X-A: 1", " folded", "content-length: 1", "", "x"),
		lines(ok, "Connection: close, X-A", "X-A: \t1 \xff", "Set-Cookie: a=b", "set-cookie: c=d", "", "x"),
	} {
		f.Add("GET", raw)
		f.Add("HEAD", raw)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	next := make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					break
				}
				if line == "\r\n" {
					io.WriteString(c, <-next)
					c.(*net.TCPConn).CloseWrite()
					break
				}
			}
			io.Copy(io.Discard, in)
			c.Close()
		}
	}()
	through := func(t *testing.T, c carry.Carrier, method, raw string) (result, error) {
		next <- raw
		defer c.CloseIdle()
		got, err := send(t, c, get(method))
		select {
		case <-next: // it was not asked
		default:
		}
		return got, err
	}
	f.Fuzz(func(t *testing.T, method, raw string) {
		if method != "GET" && method != "HEAD" {
			return
		}
		o := carry.Options{Address: l.Addr().String()}
		own, err := through(t, carry.New(o), method, raw)
		if err != nil {
			return // what is refused is no matter
		}
		theirs, err := through(t, reference.New(o), method, raw)
		if err != nil {
			t.Fatalf("%q: ours is %+v, theirs %v", raw, own, err)
		}
		likewise(theirs.Header)
		likewise(own.Header)
		if diff := cmp.Diff(theirs, own); diff != "" {
			t.Errorf("%q (-net/http +ours)\n%s", raw, diff)
		}
	})
}

// likewise takes out what net/http adds or takes out of its own accord.
func likewise(h http.Header) {
	delete(h, "Connection") // of which it leaves none that says close
	if p := h["Pragma"]; len(p) > 0 && p[0] == "no-cache" {
		delete(h, "Cache-Control") // which it makes of it where there is none
	}
}
