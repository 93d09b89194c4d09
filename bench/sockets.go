package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"

	"github.com/coder/websocket"
)

// echo is what a bench's backend does with a WebSocket: it sends back what comes.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // whose Origin it is, the gateway has judged
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// sockets measures what WebSockets cost that are open and mostly silent.
func sockets(_ context.Context, w *world, p pace, r *report) error {
	n := min(p.sockets, openFiles()/2-200) // each is two of them in a proxy
	g, err := w.startGateway("sockets", func(text string) string {
		text = strings.Replace(text, "{more}", "\n  trusted_proxies: [127.0.0.1/32]", 1) // or 1,000 from one address are enough
		return strings.Replace(text, "limits: {", "limits: {connections: 40000, open_streams: 20000, ", 1)
	})
	if err != nil {
		return err
	}
	defer g.stop()
	bare, at, err := w.startBare()
	if err != nil {
		return err
	}
	defer bare.stop()
	if err := g.signIn(); err != nil {
		return err
	}
	at.Header = g.at.Header
	for _, c := range []contender{{name: "gateway", p: g.process, at: g.at}, {name: "bare proxy", p: bare, at: at}} {
		before, err := c.p.memory()
		if err != nil {
			return err
		}
		open, err := many(n, func() (*line, error) {
			l, err := connect(&c.at)
			if err != nil {
				return nil, err
			}
			return l, l.handshake(&c.at)
		})
		if err == nil {
			err = ping(open) // all of them have carried something, so that every buffer is there
		}
		after, merr := c.p.memory()
		for _, one := range open {
			one.close()
		}
		if err := errors.Join(err, merr); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Sockets = append(r.Sockets, parked{c.name, len(open), float64(after-before) / float64(len(open)), float64(after) / (1 << 20)})
	}
	if n < p.sockets {
		r.Notes = append(r.Notes, fmt.Sprintf("%d WebSockets, not %d: a process may open %d files here.", n, p.sockets, openFiles()))
	}
	return nil
}

func openFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Max, 1<<20))
}

// handshake makes a WebSocket of l (RFC 6455, section 4.1).
func (l *line) handshake(t *target) error {
	var key [16]byte
	rand.Read(key[:])
	var b strings.Builder
	fmt.Fprintf(&b, "GET /live HTTP/1.1\r\nHost: %[1]s\r\nOrigin: https://%[1]s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %[2]s\r\n", t.authority(), base64.StdEncoding.EncodeToString(key[:]))
	for i := 0; i < len(t.Header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", t.Header[i], t.Header[i+1])
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(l.conn, b.String()); err != nil {
		return err
	}
	l.in = bufio.NewReaderSize(l.conn, 512) // there are thousands of them
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("a WebSocket was answered with %s", resp.Status)
	}
	return nil
}

// ping sends a message of one byte over each of open and reads it back.
func ping(open []*line) error {
	for _, l := range open {
		if _, err := l.conn.Write([]byte{0x82, 0x81, 0, 0, 0, 0, 'x'}); err != nil { // binary, final, masked with zeros
			return err
		}
		var got [3]byte
		if _, err := io.ReadFull(l.in, got[:]); err != nil {
			return err
		}
		if got != [3]byte{0x82, 1, 'x'} {
			return fmt.Errorf("a WebSocket echoes % x", got)
		}
	}
	return nil
}

// A parked is what an open WebSocket costs.
type parked struct {
	Name  string  `json:"name"`
	Open  int     `json:"open"`
	Bytes float64 `json:"bytes_each"`
	MiB   float64 `json:"mib_in_all"`
}
