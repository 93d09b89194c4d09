package carry_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/carry"
)

// endless gives out bytes for as long as somebody reads.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	return len(p), nil
}

// TestEarlyAnswer has backends answer before they have read the request, which
// is longer than any socket holds: nobody waits for the other.
func TestEarlyAnswer(t *testing.T) {
	const size = 64 << 20
	for name, carrier := range carriers {
		t.Run("refused and closed "+name, func(t *testing.T) {
			b := listen(t, func(b *backend, _ int, c net.Conn) {
				b.take(bufio.NewReader(c))
				io.WriteString(c, lines("HTTP/1.1 413 Content Too Large", "Content-Length: 3", "Connection: close", "", "big"))
				c.(*net.TCPConn).CloseWrite()
				time.Sleep(50 * time.Millisecond) // an answer on the way is lost to a reset
			})
			carrier := carrier(b.options())
			r := get("POST")
			r.Body, r.Length = &endless{}, size
			got, err := send(t, carrier, r)
			if err != nil || got.Status != 413 || got.Body != "big" {
				t.Errorf("%+v, %v", got, err)
			}
			r.Wait()
		})
		t.Run("refused and kept open "+name, func(t *testing.T) {
			over := make(chan struct{})
			b := listen(t, func(b *backend, _ int, c net.Conn) {
				in := bufio.NewReader(c)
				b.take(in)
				io.WriteString(c, lines("HTTP/1.1 413 Content Too Large", "Content-Length: 3", "", "big"))
				<-over // and reads nothing
			})
			defer close(over)
			carrier := carrier(b.options())
			r := get("POST")
			r.Body, r.Length = &endless{}, size
			got, err := send(t, carrier, r)
			if err != nil || got.Status != 413 || got.Body != "big" {
				t.Errorf("%+v, %v", got, err)
			}
			r.Wait() // what is left of the body is not sent
		})
		t.Run("sent back as it comes "+name, func(t *testing.T) {
			b := listen(t, func(b *backend, _ int, c net.Conn) {
				in := bufio.NewReader(c)
				b.take(in)
				io.WriteString(c, lines("HTTP/1.1 200 OK", "Content-Length: 67108864", "", ""))
				io.CopyN(c, in, size)
				io.Copy(io.Discard, in)
			})
			carrier := carrier(b.options())
			r := get("POST")
			r.Body, r.Length = &endless{}, size
			a, err := carrier.Send(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			came := 0
			for {
				piece, err := a.Next(nil)
				came += len(piece)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("after %d bytes: %v", came, err)
				}
			}
			if came != size {
				t.Errorf("%d bytes came back", came)
			}
		})
	}
}

// TestUploads holds that a connection goes on after a body that was sent whole,
// and not after another.
func TestUploads(t *testing.T) {
	whole := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name   string
		body   io.Reader
		length int64
		conns  int // for this request and another
		bad    bool
	}{
		{"short", strings.NewReader(whole[:10]), 10, 1, false},
		{"as long as goes with the head", strings.NewReader(whole[:8<<10]), 8 << 10, 1, false},
		{"long", strings.NewReader(whole), 100_000, 1, false},
		{"of unknown length", struct{ io.Reader }{strings.NewReader(whole)}, -1, 1, false},
		{"short, and cut", strings.NewReader(whole[:9]), 10, 1, true},
		{"long, and cut", strings.NewReader(whole[:99_999]), 100_000, 2, true},
		{"cut, of unknown length", io.MultiReader(strings.NewReader(whole), broken{}), -1, 2, true},
		{"longer than it said", strings.NewReader(whole), 99_000, 1, false}, // and what is more is never sent
	} {
		t.Run(c.name, func(t *testing.T) {
			b := listen(t, func(b *backend, _ int, conn net.Conn) {
				in := bufio.NewReader(conn)
				for {
					head, err := b.take(in)
					if err != nil || !strings.HasPrefix(head, "GET /") && !strings.HasPrefix(head, "POST /") {
						return
					}
					if strings.Contains(head, "chunked") {
						for {
							line, err := in.ReadString('\n')
							if err != nil {
								return
							}
							if line == "0\r\n" {
								break
							}
						}
						in.ReadString('\n')
					} else if !strings.HasPrefix(head, "GET /") {
						if n, _ := io.CopyN(io.Discard, in, c.length); n < c.length {
							return
						}
					}
					io.WriteString(conn, lines("HTTP/1.1 200 OK", "Content-Length: 2", "", "ok"))
				}
			})
			p := carry.New(b.options())
			defer p.CloseIdle()
			r := get("POST")
			r.Body, r.Length = c.body, c.length
			_, err := send(t, p, r)
			r.Wait()
			if _, bad := errors.AsType[*carry.BodyError](err); bad != c.bad || err != nil && !bad {
				t.Errorf("err = %v", err)
			}
			if got, err := send(t, p, get("GET")); err != nil || got.Body != "ok" {
				t.Errorf("the next request: %+v, %v", got, err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.n != c.conns {
				t.Errorf("%d connections, want %d", b.n, c.conns)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the client is gone") }

// TestTimeout holds how long an answer may take to begin, before and after the
// moment from which its client is watched, and that what comes later may take
// its time.
func TestTimeout(t *testing.T) {
	for name, carrier := range carriers {
		for _, c := range []struct {
			name    string
			timeout time.Duration
			wait    time.Duration // before the head
			between time.Duration // and before the body
			late    bool
		}{
			{"shorter than patience", 50 * time.Millisecond, time.Hour, 0, true},
			{"longer than patience", 700 * time.Millisecond, time.Hour, 0, true},
			{"slow, but not too slow", 5 * time.Second, 600 * time.Millisecond, 0, false},
			{"a slow body", 300 * time.Millisecond, 0, 900 * time.Millisecond, false},
			{"no limit", 0, 600 * time.Millisecond, 0, false},
		} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				over := make(chan struct{})
				defer close(over)
				b := listen(t, func(b *backend, _ int, conn net.Conn) {
					b.take(bufio.NewReader(conn))
					for _, step := range []struct {
						wait time.Duration
						say  string
					}{{c.wait, lines("HTTP/1.1 200 OK", "Content-Length: 2", "", "")}, {c.between, "ok"}} {
						select {
						case <-over:
							return
						case <-time.After(step.wait):
							io.WriteString(conn, step.say)
						}
					}
				})
				o := b.options()
				o.Timeout = c.timeout
				_, err := send(t, carrier(o), get("GET"))
				timeout, ok := errors.AsType[net.Error](err)
				if late := ok && timeout.Timeout(); late != c.late || err != nil && !late {
					t.Errorf("err = %v", err)
				}
			})
		}
	}
}

// TestStuckUpload holds that a backend that takes nothing of a request is given
// up after its time.
func TestStuckUpload(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	b := listen(t, func(b *backend, _ int, c net.Conn) { <-over })
	o := b.options()
	o.Timeout = 300 * time.Millisecond
	r := get("POST")
	r.Body, r.Length = &endless{}, 1<<40
	if _, err := send(t, carry.New(o), r); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
	r.Wait()
}

// TestGone holds that an answer ends with its client, at whatever point.
func TestGone(t *testing.T) {
	gone := errors.New("the client went away")
	for name, carrier := range carriers {
		for _, point := range []string{"before", "waiting", "uploading", "reading", "cut"} {
			t.Run(point+" "+name, func(t *testing.T) {
				closed, asked := make(chan struct{}), make(chan struct{}, 1)
				b := listen(t, func(b *backend, _ int, c net.Conn) {
					in := bufio.NewReader(c)
					b.take(in)
					asked <- struct{}{}
					if point == "reading" || point == "cut" {
						io.WriteString(c, lines("HTTP/1.1 200 OK", "Content-Length: 10", "", "half"))
					}
					io.Copy(io.Discard, in)
					close(closed)
				})
				ctx, leave := context.WithCancelCause(t.Context())
				defer leave(nil)
				r := get("POST")
				if point == "uploading" {
					r.Body, r.Length = &endless{}, 1<<40
				}
				if point == "before" {
					leave(gone)
				} else if point != "reading" && point != "cut" {
					go func() { <-asked; leave(gone) }()
				}
				a, err := carrier(b.options()).Send(ctx, r)
				if err == nil {
					defer a.Close()
					if _, err := a.Next(nil); err != nil {
						t.Fatal(err)
					}
					if point == "cut" {
						a.Cut(gone)
					} else {
						leave(gone)
					}
					_, err = a.Next(nil)
					for err == nil {
						_, err = a.Next(nil)
					}
					if err == io.EOF || name == "own" && !errors.Is(err, gone) {
						t.Errorf("err = %v", err)
					}
				} else if !errors.Is(err, gone) {
					t.Errorf("err = %v", err)
				}
				if point != "before" {
					<-closed // the backend is told
				}
			})
		}
	}
}

// TestTunnel holds that after a 101 bytes go both ways, those that came with it
// among them, and that each side can end on its own.
func TestTunnel(t *testing.T) {
	for _, over := range []string{"plain", "TLS"} {
		t.Run(over, func(t *testing.T) {
			_, options := speak(t, over, func(b *backend, _ int, c net.Conn) {
				in := bufio.NewReader(c)
				b.take(in)
				io.WriteString(c, lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "", "hello "))
				io.Copy(c, in)
				io.WriteString(c, " goodbye")
			})
			r := get("GET")
			r.Upgrade = "websocket"
			a, err := carry.New(options).Send(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			both := a.Tunnel()
			a.Close() // which is not to end it
			defer both.Close()
			sent := bytes.Repeat([]byte("0123456789"), 20_000)
			go func() {
				both.Write(sent)
				both.(interface{ CloseWrite() error }).CloseWrite()
			}()
			got, err := io.ReadAll(both)
			if err != nil || string(got) != "hello "+string(sent)+" goodbye" {
				t.Errorf("%d bytes came, %v", len(got), err)
			}
		})
	}
}

// TestIdle holds that what is there of an answer can be passed on before the
// rest is waited for.
func TestIdle(t *testing.T) {
	heard := make(chan struct{})
	b := listen(t, func(b *backend, _ int, c net.Conn) {
		b.take(bufio.NewReader(c))
		io.WriteString(c, lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3", "one", ""))
		<-heard
		io.WriteString(c, lines("3", "two", "0", "", ""))
	})
	a, err := carry.New(b.options()).Send(t.Context(), get("GET"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []string
	for {
		piece, err := a.Next(func() {
			if len(got) == 1 {
				close(heard) // only what was passed on is heard
				got = append(got, "flush")
			}
		})
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(piece))
	}
	if s := strings.Join(got, " "); s != "one flush two" {
		t.Errorf("%s", s)
	}
}

// TestCloseIdle holds that a pool that is no longer wanted keeps nothing open.
func TestCloseIdle(t *testing.T) {
	closed := make(chan struct{}, 2)
	b := listen(t, func(b *backend, _ int, c net.Conn) {
		in := bufio.NewReader(c)
		for {
			if _, err := b.take(in); err != nil {
				closed <- struct{}{}
				return
			}
			io.WriteString(c, lines("HTTP/1.1 200 OK", "Content-Length: 2", "", "ok"))
		}
	})
	p := carry.New(b.options())
	busy, err := p.Send(t.Context(), get("GET"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send(t, p, get("GET")); err != nil { // over another connection
		t.Fatal(err)
	}
	p.CloseIdle()
	<-closed
	if got, err := read(busy); err != nil || got.Body != "ok" {
		t.Errorf("what was under way: %+v, %v", got, err)
	}
	busy.Close()
	<-closed
}
