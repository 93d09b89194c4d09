package carry_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/anteroomtest/reference"
	"github.com/anteroom/anteroom/carry"
)

// carriers are what must behave alike.
var carriers = map[string]func(carry.Options) carry.Carrier{
	"own":       func(o carry.Options) carry.Carrier { return carry.New(o) },
	"reference": func(o carry.Options) carry.Carrier { return reference.New(o) },
}

// A backend accepts connections and hands each to serve, with its number.
type backend struct {
	net.Listener
	mu   sync.Mutex
	seen []string // heads of requests
	n    int      // connections
}

func listen(t testing.TB, serve func(b *backend, n int, c net.Conn)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.n++
			n := b.n
			b.mu.Unlock()
			go func() {
				defer c.Close()
				serve(b, n, c)
			}()
		}
	}()
	return b
}

func (b *backend) options() carry.Options {
	return carry.Options{Address: b.Addr().String(), Timeout: 10 * time.Second}
}

func (b *backend) heads() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.seen...)
}

// take reads the head of a request.
func (b *backend) take(in *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		head.WriteString(line)
		if line == "\r\n" {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.seen = append(b.seen, head.String())
			return head.String(), nil
		}
	}
}

// says has every connection answer each request with the next of answers, and
// close after an empty one or the last.
func says(t testing.TB, answers ...string) *backend {
	return listen(t, func(b *backend, _ int, c net.Conn) {
		in := bufio.NewReader(c)
		for _, a := range answers {
			if _, err := b.take(in); err != nil || a == "" {
				return
			}
			io.WriteString(c, a)
		}
	})
}

func get(method string) *carry.Request {
	return &carry.Request{Method: method, Target: "/chart?p=1", Host: "ehr.test", Header: http.Header{"Accept": {"*/*"}}}
}

// A result is what a client gets of an answer.
type result struct {
	Status int
	Header http.Header
	Body   string
}

func read(a *carry.Answer) (result, error) {
	got := result{Status: a.Status, Header: a.Header}
	for {
		piece, err := a.Next(nil)
		got.Body += string(piece)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

func send(t testing.TB, c carry.Carrier, r *carry.Request) (result, error) {
	t.Helper()
	a, err := c.Send(t.Context(), r)
	if err != nil {
		return result{}, err
	}
	defer a.Close()
	return read(a)
}

func lines(s ...string) string { return strings.Join(s, "\r\n") }

// TestAnswers holds what becomes of the bytes that a backend sends: an answer
// that can be read in one way only, on both carriers.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name, method, raw string
		want              result
	}{
		{"by length", "GET", lines("HTTP/1.1 200 OK", "content-length: 5", "X-A: 1", "x-a:  2\t", "", "hello"),
			result{200, http.Header{"Content-Length": {"5"}, "X-A": {"1", "2"}}, "hello"}},
		{"empty", "GET", lines("HTTP/1.1 200 OK", "Content-Length: 0", "", ""), result{200, http.Header{"Content-Length": {"0"}}, ""}},
		{"no reason", "GET", lines("HTTP/1.1 404", "Content-Length: 1", "", "x"), result{404, http.Header{"Content-Length": {"1"}}, "x"}},
		{"the same length twice", "GET", lines("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 1", "", "x"), result{200, http.Header{"Content-Length": {"1"}}, "x"}},
		{"until the end", "GET", lines("HTTP/1.1 200 OK", "", "all of it"), result{200, http.Header{}, "all of it"}},
		{"of HTTP/1.0", "GET", lines("HTTP/1.0 200 OK", "", "all of it"), result{200, http.Header{}, "all of it"}},
		{"of HTTP/1.0, with a length", "GET", lines("HTTP/1.0 200 OK", "Content-Length: 3", "", "all"), result{200, http.Header{"Content-Length": {"3"}}, "all"}},
		{"in chunks", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: Chunked", "", "3", "abc", "0a", "0123456789", "0", "", ""), result{200, http.Header{}, "abc0123456789"}},
		{"in chunks with extensions", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3;a=b", "abc", "0", "", ""), result{200, http.Header{}, "abc"}},
		{"in padded chunks", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3  ", "abc", "0", "", ""), result{200, http.Header{}, "abc"}},
		{"trailers", "GET", lines("HTTP/1.1 200 OK", "Trailer: X-T", "Transfer-Encoding: chunked", "", "3", "abc", "0", "X-T: 1", "", ""), result{200, http.Header{}, "abc"}},
		{"to HEAD", "HEAD", lines("HTTP/1.1 200 OK", "Content-Length: 5", "", ""), result{200, http.Header{"Content-Length": {"5"}}, ""}},
		{"to HEAD, in chunks", "HEAD", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", ""), result{200, http.Header{}, ""}},
		{"no content", "GET", lines("HTTP/1.1 204 No Content", "Etag: x", "", ""), result{204, http.Header{"Etag": {"x"}}, ""}},
		{"not modified", "GET", lines("HTTP/1.1 304 Not Modified", "Content-Length: 500", "", ""), result{304, http.Header{"Content-Length": {"500"}}, ""}},
		{"hints before it", "GET", lines("HTTP/1.1 100 Continue", "", "HTTP/1.1 103 Early Hints", "Link: </a>", "", "HTTP/1.1 200 OK", "Content-Length: 1", "", "x"), result{200, http.Header{"Content-Length": {"1"}}, "x"}},
		{"lines that all end in LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 1\nX-A: 1\n\nx", result{200, http.Header{"Content-Length": {"1"}, "X-A": {"1"}}, "x"}},
		{"Latin-1 in a value", "GET", lines("HTTP/1.1 200 OK", "X-A: M\xfcller", "Content-Length: 0", "", ""), result{200, http.Header{"Content-Length": {"0"}, "X-A": {"M\xfcller"}}, ""}},
		{"a status that nobody knows", "GET", lines("HTTP/1.1 599 Odd", "Content-Length: 0", "", ""), result{599, http.Header{"Content-Length": {"0"}}, ""}},
		{"a very long head", "GET", lines("HTTP/1.1 200 OK", "X-A: "+strings.Repeat("a", 60_000), "Content-Length: 1", "", "x"), result{200, http.Header{"X-A": {strings.Repeat("a", 60_000)}, "Content-Length": {"1"}}, "x"}},
		{"a long body", "GET", lines("HTTP/1.1 200 OK", "Content-Length: 300000", "", strings.Repeat("0123456789", 30_000)), result{200, http.Header{"Content-Length": {"300000"}}, strings.Repeat("0123456789", 30_000)}},
		{"a long chunk", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "493e0", strings.Repeat("0123456789", 30_000), "0", "", ""), result{200, http.Header{}, strings.Repeat("0123456789", 30_000)}},
	} {
		for name, carrier := range carriers {
			t.Run(c.name+" "+name, func(t *testing.T) {
				carrier := carrier(says(t, c.raw).options())
				defer carrier.CloseIdle()
				got, err := send(t, carrier, get(c.method))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}

// TestBadAnswers holds what is refused: what is no answer, and what two readers
// could take for two.
func TestBadAnswers(t *testing.T) {
	ok := "HTTP/1.1 200 OK"
	chunked := lines(ok, "Transfer-Encoding: chunked", "", "")
	for _, c := range []struct {
		name, raw string
		half      bool // it breaks off
	}{
		{"nothing", "\x00", true},
		{"another protocol", lines("SSH-2.0-OpenSSH_9.2", "", ""), false},
		{"HTTP/2", lines("HTTP/2.0 200 OK", "Content-Length: 0", "", ""), false},
		{"HTTP/1.2", lines("HTTP/1.2 200 OK", "Content-Length: 0", "", ""), false},
		{"a status of two digits", lines("HTTP/1.1 20 OK", "Content-Length: 0", "", ""), false},
		{"a status of four", lines("HTTP/1.1 2000 OK", "Content-Length: 0", "", ""), false},
		{"a signed status", lines("HTTP/1.1 +20 OK", "Content-Length: 0", "", ""), false},
		{"a status out of all classes", lines("HTTP/1.1 600 OK", "Content-Length: 0", "", ""), false},
		{"a status below all classes", lines("HTTP/1.1 099 OK", "Content-Length: 0", "", ""), false},
		{"a control in the reason", lines("HTTP/1.1 200 O\x01K", "Content-Length: 0", "", ""), false},
		{"two lengths", lines(ok, "Content-Length: 1", "Content-Length: 2", "", "xy"), false},
		{"a list of lengths", lines(ok, "Content-Length: 1, 1", "", "x"), false},
		{"a signed length", lines(ok, "Content-Length: +1", "", "x"), false},
		{"a negative length", lines(ok, "Content-Length: -1", "", "x"), false},
		{"a length of another base", lines(ok, "Content-Length: 0x1", "", "x"), false},
		{"an empty length", lines(ok, "Content-Length:", "", "x"), false},
		{"a length beyond all", lines(ok, "Content-Length: 9223372036854775808", "", "x"), false},
		{"length and chunks", lines(ok, "Content-Length: 5", "Transfer-Encoding: chunked", "", "0", "", ""), false},
		{"another coding", lines(ok, "Transfer-Encoding: gzip, chunked", "", "0", "", ""), false},
		{"identity", lines(ok, "Transfer-Encoding: identity", "", "x"), false},
		{"an odd coding", lines(ok, "Transfer-Encoding: xchunked", "", "0", "", ""), false},
		{"chunked twice", lines(ok, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "", "0", "", ""), false},
		{"chunks in HTTP/1.0", lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked", "", "0", "", ""), false},
		{"a folded line", lines(ok, "X-A: 1", " 2", "Content-Length: 0", "", ""), false},
		{"a first line that is folded", lines(ok, " X-A: 1", "Content-Length: 0", "", ""), false},
		{"a space before the colon", lines(ok, "Content-Length : 0", "", ""), false},
		{"no colon", lines(ok, "Content-Length 0", "", ""), false},
		{"no name", lines(ok, ": 0", "Content-Length: 0", "", ""), false},
		{"NUL in a value", lines(ok, "X-A: 1\x002", "Content-Length: 0", "", ""), false},
		{"CR in a value", lines(ok, "X-A: 1\rX-B: 2", "Content-Length: 0", "", ""), false},
		{"LF in a value", lines(ok, "X-A: 1\nX-B: 2", "Content-Length: 0", "", ""), false},
		{"CRLF among lines that end in LF", "HTTP/1.1 200 OK\nX-A: 1\r\nContent-Length: 0\n\n", false},
		{"an endless head", lines(ok, "X-A: "+strings.Repeat("a", 70<<10), "Content-Length: 0", "", ""), false},
		{"too many fields", lines(ok, strings.Repeat("A: b\r\n", 600)+"Content-Length: 0", "", ""), false},
		{"no end of hints", strings.Repeat(lines("HTTP/1.1 103 Early Hints", "", ""), 40) + lines(ok, "Content-Length: 0", "", ""), false},
		{"another protocol unasked", lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: h2c", "", ""), false},
		{"a body to go on with", lines("HTTP/1.1 100 Continue", "Content-Length: 3", "", "abc"+ok, "Content-Length: 0", "", ""), false},
		{"a head by half", lines(ok, "Content-Le"), true},
		{"a body by half", lines(ok, "Content-Length: 10", "", "hello"), true},
		{"a chunk by half", chunked + lines("5", "ab"), true},
		{"chunks without an end", chunked + lines("5", "hello", ""), true},
		{"the end without an end", chunked + lines("5", "hello", "0", ""), true},
		{"a chunk that is longer than it says", chunked + lines("3", "hello", "0", "", ""), false},
		{"a chunk without a size", chunked + lines(";a=b", "0", "", ""), false},
		{"a signed size", chunked + lines("+3", "abc", "0", "", ""), false},
		{"a size of a prefix", chunked + lines("0x3", "abc", "0", "", ""), false},
		{"a space before a size", chunked + lines(" 3", "abc", "0", "", ""), false},
		{"a size beyond all", chunked + lines("ffffffffffffffff3", "abc", "0", "", ""), false},
		{"LF behind a size", chunked + "3\nabc\r\n0\r\n\r\n", false},
		{"LF behind a chunk", chunked + "3\r\nabc\n0\r\n\r\n", false},
		{"LF at the end", chunked + "3\r\nabc\r\n0\r\n\n", false},
		{"CR in an extension", chunked + "3;a\rb\r\nabc\r\n0\r\n\r\n", false},
		{"an endless extension", chunked + lines("3;"+strings.Repeat("a", 2<<10), "abc", "0", "", ""), false},
		{"a trailer that is no field", chunked + lines("3", "abc", "0", "X A: 1", "", ""), false},
		{"endless trailers", chunked + lines("3", "abc", "0", strings.Repeat("A: b\r\n", 10_000), ""), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := listen(t, func(b *backend, _ int, conn net.Conn) {
				in := bufio.NewReader(conn)
				b.take(in)
				io.WriteString(conn, c.raw)
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, in) // until the other side closes
			})
			p := carry.New(b.options())
			defer p.CloseIdle()
			got, err := send(t, p, get("GET"))
			if err == nil {
				t.Fatalf("taken for %+v", got)
			}
			want := carry.ErrAnswer
			if c.half {
				want = io.ErrUnexpectedEOF
			}
			if !errors.Is(err, want) {
				t.Errorf("err = %v, want %v", err, want)
			}
			if strings.Contains(err.Error(), "X-A") {
				t.Errorf("an error repeats the answer: %v", err)
			}
			if len(b.heads()) != 1 {
				t.Errorf("the request was sent %d times", len(b.heads()))
			}
		})
	}
}

// TestConnectionsGoOn holds when a connection carries a second request, and
// when it must not: what lies on it would be taken for the next one's answer.
func TestConnectionsGoOn(t *testing.T) {
	plain := lines("HTTP/1.1 200 OK", "Content-Length: 1", "", "x")
	for _, c := range []struct {
		name, method, first string
		conns               int // for two requests
	}{
		{"by length", "GET", plain, 1},
		{"in chunks", "GET", lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "1", "x", "0", "", ""), 1},
		{"no body", "GET", lines("HTTP/1.1 204 No Content", "", ""), 1},
		{"to HEAD", "HEAD", lines("HTTP/1.1 200 OK", "Content-Length: 5", "", ""), 1},
		{"said to close", "GET", lines("HTTP/1.1 200 OK", "Connection: x, Close", "Content-Length: 1", "", "x"), 2},
		{"of HTTP/1.0", "GET", lines("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 1", "", "x"), 2},
		{"more than was said", "GET", plain + "y", 2},
		{"another's answer behind it", "GET", plain + lines("HTTP/1.1 200 OK", "Content-Length: 6", "", "secret"), 2},
		{"a body where there is none", "GET", lines("HTTP/1.1 204 No Content", "Content-Length: 6", "", "secret"), 2},
		{"a body to HEAD", "HEAD", lines("HTTP/1.1 200 OK", "Content-Length: 6", "", "secret"), 2},
	} {
		for _, over := range []string{"plain", "TLS"} {
			t.Run(c.name+" "+over, func(t *testing.T) {
				b, options := speak(t, over, func(b *backend, n int, conn net.Conn) {
					in := bufio.NewReader(conn)
					for i := 0; ; i++ {
						if _, err := b.take(in); err != nil {
							return
						}
						if n == 1 && i == 0 {
							io.WriteString(conn, c.first)
							continue
						}
						io.WriteString(conn, lines("HTTP/1.1 200 OK", "Content-Length: 3", "", "own"))
					}
				})
				p := carry.New(options)
				defer p.CloseIdle()
				if _, err := send(t, p, get(c.method)); err != nil {
					t.Fatal(err)
				}
				got, err := send(t, p, get("GET"))
				if err != nil || got.Body != "own" {
					t.Errorf("the second answer is %q, %v", got.Body, err)
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.n != c.conns {
					t.Errorf("%d connections, want %d", b.n, c.conns)
				}
			})
		}
	}
}

// TestUnasked holds that what a backend says on a connection that lies idle is
// nobody's answer, and that one it has closed is not used.
func TestUnasked(t *testing.T) {
	for _, over := range []string{"plain", "TLS"} {
		for _, c := range []struct{ name, method, unasked string }{
			{"an answer nobody asked for", "GET", lines("HTTP/1.1 200 OK", "Content-Length: 6", "", "secret")},
			{"a timeout", "POST", lines("HTTP/1.1 408 Request Timeout", "Content-Length: 0", "", "")},
			{"one byte", "GET", "\n"},
			{"closed", "GET", ""},
			{"closed, and a body to send", "POST", ""},
		} {
			t.Run(c.name+" "+over, func(t *testing.T) {
				said := make(chan struct{}, 2)
				b, options := speak(t, over, func(b *backend, n int, conn net.Conn) {
					in := bufio.NewReader(conn)
					for {
						head, err := b.take(in)
						if err != nil {
							return
						}
						if strings.HasPrefix(head, "POST") {
							io.CopyN(io.Discard, in, 4)
						}
						io.WriteString(conn, lines("HTTP/1.1 200 OK", "Content-Length: 3", "", "own"))
						if n == 1 {
							time.Sleep(20 * time.Millisecond) // so that it comes after the answer, not with it
							io.WriteString(conn, c.unasked)
							if c.unasked == "" {
								conn.Close()
							}
							said <- struct{}{}
						}
					}
				})
				p := carry.New(options)
				defer p.CloseIdle()
				if _, err := send(t, p, get("GET")); err != nil {
					t.Fatal(err)
				}
				<-said
				time.Sleep(20 * time.Millisecond) // loopback delivers at once, but not within the call
				r := get(c.method)
				if c.method == "POST" {
					r.Body, r.Length = strings.NewReader("body"), 4
				}
				got, err := send(t, p, r)
				if err != nil || got.Body != "own" {
					t.Fatalf("the next answer is %+v, %v", got, err)
				}
				if heads := b.heads(); len(heads) != 2 {
					t.Errorf("%d requests came for 2", len(heads))
				}
			})
		}
	}
}

// TestNothingTwice holds that a request is sent again only when nothing of it
// can have been done: a reading one, on a connection that had served before.
func TestNothingTwice(t *testing.T) {
	for _, c := range []struct {
		name, method, body string
		warm               bool
		partly             string // that comes before it breaks off
		want               int    // times that it came
		ok                 bool
	}{
		{"a reading one on a kept connection", "GET", "", true, "", 2, true},
		{"a reading one on a new connection", "GET", "", false, "", 1, false},
		{"a reading one that was half answered", "GET", "", true, "HTTP/1.1 2", 1, false},
		{"one that changes something", "POST", "", true, "", 1, false},
		{"one that deletes", "DELETE", "", true, "", 1, false},
		{"one with a body", "GET", "body", true, "", 1, false},
		{"one with a long body", "POST", strings.Repeat("body", 5000), true, "", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := listen(t, func(b *backend, n int, conn net.Conn) {
				in := bufio.NewReader(conn)
				for i := 0; ; i++ {
					if _, err := b.take(in); err != nil {
						return
					}
					if n == 1 && (i == 1 || !c.warm) {
						io.CopyN(io.Discard, in, int64(len(c.body)))
						io.WriteString(conn, c.partly)
						return
					}
					io.WriteString(conn, lines("HTTP/1.1 200 OK", "Content-Length: 0", "", ""))
				}
			})
			p := carry.New(b.options())
			defer p.CloseIdle()
			if c.warm {
				if _, err := send(t, p, get("GET")); err != nil {
					t.Fatal(err)
				}
			}
			r := get(c.method)
			if c.body != "" {
				r.Body, r.Length = strings.NewReader(c.body), int64(len(c.body))
			}
			_, err := send(t, p, r)
			if ok := err == nil; ok != c.ok {
				t.Errorf("err = %v", err)
			}
			came := len(b.heads())
			if c.warm {
				came--
			}
			if came != c.want {
				t.Errorf("it came %d times, want %d", came, c.want)
			}
		})
	}
}

// TestRequests holds what goes on the wire.
func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name    string
		request carry.Request
		want    string // sorted lines of the head behind the first
		body    string
	}{
		{"one without a body", carry.Request{Method: "GET", Header: http.Header{"Accept": {"a", "b"}}}, "Accept: a|Accept: b|Host: ehr.test", ""},
		{"a change without a body", carry.Request{Method: "POST"}, "Content-Length: 0|Host: ehr.test", ""},
		{"a body", carry.Request{Method: "POST", Body: strings.NewReader("hello"), Length: 5}, "Content-Length: 5|Host: ehr.test", "hello"},
		{"a long body", carry.Request{Method: "PUT", Body: strings.NewReader(strings.Repeat("x", 100_000)), Length: 100_000}, "Content-Length: 100000|Host: ehr.test", strings.Repeat("x", 100_000)},
		{"a body of unknown length", carry.Request{Method: "POST", Body: io.MultiReader(strings.NewReader("ab"), strings.NewReader("0123456789abcdef")), Length: -1},
			"Host: ehr.test|Transfer-Encoding: chunked", "2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"},
		{"no body after all", carry.Request{Method: "POST", Body: strings.NewReader(""), Length: -1}, "Host: ehr.test|Transfer-Encoding: chunked", "0\r\n\r\n"},
		{"a framing that somebody else chose", carry.Request{Method: "POST", Body: strings.NewReader("hello"), Length: 5, Header: http.Header{
			"Content-Length": {"3"}, "content-length": {"4"}, "Transfer-Encoding": {"chunked"}, "Connection": {"close"}, "Keep-Alive": {"1"}, "Proxy-Connection": {"x"},
			"Te": {"trailers"}, "Trailer": {"X"}, "Upgrade": {"h2c"}, "Host": {"evil.test"}, "Expect": {"100-continue"},
		}}, "Content-Length: 5|Host: ehr.test", "hello"},
		{"an upgrade", carry.Request{Method: "GET", Upgrade: "websocket", Header: http.Header{"Connection": {"keep-alive"}}}, "Connection: Upgrade|Host: ehr.test|Upgrade: websocket", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := make(chan string, 1)
			b := listen(t, func(b *backend, _ int, conn net.Conn) {
				in := bufio.NewReader(conn)
				b.take(in)
				got := make([]byte, len(c.body))
				io.ReadFull(in, got)
				io.WriteString(conn, lines("HTTP/1.1 200 OK", "Content-Length: 0", "", ""))
				rest, _ := io.ReadAll(in)
				body <- string(got) + string(rest)
			})
			p := carry.New(b.options())
			r := c.request
			r.Target, r.Host = "/a?b", "ehr.test"
			if _, err := send(t, p, &r); err != nil {
				t.Fatal(err)
			}
			p.CloseIdle()
			head := strings.Split(strings.TrimSuffix(b.heads()[0], "\r\n\r\n"), "\r\n")
			if head[0] != r.Method+" /a?b HTTP/1.1" {
				t.Errorf("request line %q", head[0])
			}
			got := head[1:]
			slices.Sort(got)
			if s := strings.Join(got, "|"); s != c.want {
				t.Errorf("header %s\nwant   %s", s, c.want)
			}
			if got := <-body; got != c.body {
				t.Errorf("body of %d bytes, want %d: %.60q", len(got), len(c.body), got)
			}
		})
	}
}

// TestBadRequests holds that nothing is sent that could be read as something else.
func TestBadRequests(t *testing.T) {
	var conns sync.Map
	b := listen(t, func(_ *backend, n int, _ net.Conn) { conns.Store(n, true) })
	p := carry.New(b.options())
	for name, change := range map[string]func(*carry.Request){
		"space in the method":    func(r *carry.Request) { r.Method = "GET /admin" },
		"no method":              func(r *carry.Request) { r.Method = "" },
		"space in the target":    func(r *carry.Request) { r.Target = "/a HTTP/1.1\r\nX: y" },
		"a target that is a URL": func(r *carry.Request) { r.Target = "http://evil.test/" },
		"no target":              func(r *carry.Request) { r.Target = "" },
		"letters beyond ASCII":   func(r *carry.Request) { r.Target = "/\xc3\xa9" },
		"CRLF in the host":       func(r *carry.Request) { r.Host = "a\r\nX: y" },
		"no host":                func(r *carry.Request) { r.Host = "" },
		"CRLF in a name":         func(r *carry.Request) { r.Header["X\r\nY"] = []string{"1"} },
		"a colon in a name":      func(r *carry.Request) { r.Header["X: y"] = []string{"1"} },
		"an empty name":          func(r *carry.Request) { r.Header[""] = []string{"1"} },
		"CRLF in a value":        func(r *carry.Request) { r.Header["X"] = []string{"1\r\nY: 2"} },
		"LF in a value":          func(r *carry.Request) { r.Header["X"] = []string{"1\nY: 2"} },
		"NUL in a value":         func(r *carry.Request) { r.Header["X"] = []string{"1\x002"} },
		"CRLF in an upgrade":     func(r *carry.Request) { r.Upgrade = "websocket\r\nY: 2" },
		"an upgrade and a body":  func(r *carry.Request) { r.Upgrade, r.Body = "websocket", strings.NewReader("x") },
	} {
		t.Run(name, func(t *testing.T) {
			r := get("GET")
			change(r)
			if _, err := send(t, p, r); !errors.Is(err, carry.ErrRequest) {
				t.Errorf("err = %v", err)
			}
		})
	}
	conns.Range(func(any, any) bool { t.Error("the backend was connected to"); return false })
}

// TestValues holds that a value is sent on or refused by its bytes, wherever they
// stand in it.
func TestValues(t *testing.T) {
	b := listen(t, func(b *backend, _ int, conn net.Conn) {
		for in := bufio.NewReader(conn); ; {
			if _, err := b.take(in); err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	p := carry.New(b.options())
	for at := range 18 {
		for c := range 256 {
			value := bytes.Repeat([]byte{'v'}, 18)
			value[at] = byte(c)
			r := get("GET")
			r.Header["X"] = []string{string(value)}
			a, err := p.Send(t.Context(), r)
			if err == nil {
				a.Close()
			}
			// RFC 9110, section 5.5: no controls, but the tab
			if control := c < ' ' && c != '\t' || c == 0x7f; control != errors.Is(err, carry.ErrRequest) || !control && err != nil {
				t.Errorf("byte %#x at %d: %v", c, at, err)
			}
		}
	}
	for _, two := range []string{"\x7f\x80", "\x80\x7f", "\x1f\xff", "\xff\x1f", "\x00\x01", "\x80\x80", "\t\x00"} {
		r := get("GET")
		r.Header["X"] = []string{"vvv" + two + "vvv"}
		a, err := p.Send(t.Context(), r)
		if err == nil {
			a.Close()
		}
		if control := two != "\x80\x80"; control != errors.Is(err, carry.ErrRequest) {
			t.Errorf("%q: %v", two, err)
		}
	}
}

// speak listens in plain or over TLS.
func speak(t testing.TB, over string, serve func(b *backend, n int, c net.Conn)) (*backend, carry.Options) {
	t.Helper()
	if over == "plain" {
		b := listen(t, serve)
		return b, b.options()
	}
	pair, pool := certificate(t)
	b := listen(t, func(b *backend, n int, c net.Conn) {
		serve(b, n, tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}))
	})
	o := b.options()
	o.TLS = &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	return b, o
}

// certificate returns one for 127.0.0.1, and who vouches for it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}
