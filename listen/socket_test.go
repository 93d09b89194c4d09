package listen_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/listen"
)

// A socket from outside is taken by the address that it is bound to, whatever
// the order, and outlives the server.
func TestInheritedSockets(t *testing.T) {
	open := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	secure, plain := open(), open()
	file, err := plain.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := start(t, func(c *listen.Config) {
		c.Addr, c.Listener, c.RedirectAddr = secure.Addr().String(), nil, plain.Addr().String()
		c.Inherited = []net.Listener{plain, secure}
	})
	if r.Addr().String() != secure.Addr().String() || r.RedirectAddr().String() != plain.Addr().String() {
		t.Errorf("serves TLS at %v and plain HTTP at %v", r.Addr(), r.RedirectAddr())
	}
	if res, _ := raw(t, r.RedirectAddr(), "GET / HTTP/1.1\r\nHost: ehr.test\r\n\r\n"); res.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("on the inherited socket: %d", res.StatusCode)
	}
	r.Close()
	c, err := net.Dial("tcp", plain.Addr().String()) // waits in the queue for the next one
	if err != nil {
		t.Fatalf("after the server's end: %v", err)
	}
	c.Close()
}

// Whoever was connected when the end was asked for is answered, though the
// request comes only when nobody is let in any more.
func TestDrainAnswersFirstRequests(t *testing.T) {
	r := start(t, nil)
	conn, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{RootCAs: r.ca, ServerName: "ehr.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	for {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			break
		}
		c.Close()
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: ehr.test\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("a first request in the drain: %v, %v", res, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestInheritedAddresses(t *testing.T) {
	for _, c := range []struct {
		name, socket, addr string
		taken              bool
	}{
		{"the same", "127.0.0.1:0", "127.0.0.1:{port}", true},
		{"every address", ":0", ":{port}", true},
		{"another port", "127.0.0.1:0", "127.0.0.1:0", false},
		{"one for all", "127.0.0.1:0", ":{port}", false},
		{"all for one", ":0", "127.0.0.2:{port}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", c.socket)
			if err != nil {
				t.Skip("no such address here: ", err)
			}
			defer l.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			s, err := listen.New(listen.Config{
				Addr: strings.Replace(c.addr, "{port}", port, 1), Inherited: []net.Listener{l},
				SelfSigned: true, DataDir: t.TempDir(), Hosts: []string{"gate.test"},
			})
			if err == nil {
				defer s.Close()
			}
			if (err == nil) != c.taken {
				t.Errorf("a socket at %s for %s: %v", l.Addr(), c.addr, err)
			}
			if !c.taken && err != nil && !strings.Contains(err.Error(), port) {
				t.Errorf("the mistake does not name the socket: %v", err)
			}
		})
	}
}
