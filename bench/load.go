package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A target is a server under load, and the one request that it is sent.
type target struct {
	Address string // host:port to dial
	Host    string // the name in the handshake, and with Port in the request
	Port    string
	TLS     *tls.Config
	Path    string
	Method  string   // "": GET
	Header  []string // name, value, name, value; names in lower case
	Body    int64    // bytes of the answer that are expected
	HTTP2   bool
}

func (t *target) method() string {
	if t.Method == "" {
		return "GET"
	}
	return t.Method
}

func (t *target) authority() string { return net.JoinHostPort(t.Host, t.Port) }

// A client keeps one connection to a target. It allocates next to nothing for a
// request, so that counts of objects in one process are the server's.
type client interface {
	// run keeps streams requests in flight until stop is set, and calls done with
	// how long each took. It returns once all of them are answered.
	run(streams int, stop *atomic.Bool, done func(time.Duration)) error
	close() error
}

// dial opens a connection to t.
func dial(t *target) (client, error) {
	conf := t.TLS.Clone()
	conf.ServerName = t.Host
	conf.NextProtos = []string{"http/1.1"}
	if t.HTTP2 {
		conf.NextProtos = []string{"h2"}
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", t.Address, conf)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", t.Address, err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != conf.NextProtos[0] {
		c.Close()
		return nil, fmt.Errorf("dial %s: it speaks %q", t.Address, got)
	}
	if t.HTTP2 {
		return newStreams(t, c)
	}
	return newLine(t, c), nil
}

// A line is an HTTP/1.1 connection.
type line struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	body    int64
}

func newLine(t *target, c net.Conn) *line {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", t.method(), t.Path, t.authority())
	for i := 0; i < len(t.Header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", t.Header[i], t.Header[i+1])
	}
	if t.method() == "POST" {
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	return &line{conn: c, in: bufio.NewReaderSize(c, 64<<10), request: b.Bytes(), body: t.Body}
}

func (l *line) close() error { return l.conn.Close() }

func (l *line) run(_ int, stop *atomic.Bool, done func(time.Duration)) error {
	for !stop.Load() {
		began := time.Now()
		if err := l.once(); err != nil {
			return err
		}
		done(time.Since(began))
	}
	return nil
}

func (l *line) once() error {
	if _, err := l.conn.Write(l.request); err != nil {
		return err
	}
	length, chunked := int64(-1), false
	for first := true; ; first = false {
		head, err := l.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		head = bytes.TrimRight(head, "\r\n")
		if first {
			if len(head) < 12 || string(head[9:12]) != "200" {
				return fmt.Errorf("answered with %q", head)
			}
			continue
		}
		if len(head) == 0 {
			break
		}
		name, value, _ := bytes.Cut(head, []byte(":"))
		switch {
		case bytes.EqualFold(name, contentLength):
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return err
			}
		case bytes.EqualFold(name, transferEncoding):
			chunked = true
		}
	}
	if chunked || length != l.body {
		return fmt.Errorf("an answer of %d bytes where %d were expected", length, l.body)
	}
	_, err := l.in.Discard(int(length))
	return err
}

var contentLength, transferEncoding = []byte("content-length"), []byte("transfer-encoding")

// A streams is an HTTP/2 connection.
type streams struct {
	conn    net.Conn
	out     *bufio.Writer
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	fields  []hpack.HeaderField
	body    int64

	next  uint32
	open  map[uint32]*stream
	free  []*stream
	taken uint32 // bytes of the connection's window not given back yet
}

type stream struct {
	began time.Time
	got   int64
	taken uint32
}

const window = 1 << 30

func newStreams(t *target, c net.Conn) (*streams, error) {
	s := &streams{conn: c, out: bufio.NewWriterSize(c, 16<<10), body: t.Body, next: 1, open: make(map[uint32]*stream)}
	s.framer = http2.NewFramer(s.out, bufio.NewReaderSize(c, 64<<10))
	s.framer.SetMaxReadFrameSize(1 << 20)
	s.framer.SetReuseFrames()
	s.encoder = hpack.NewEncoder(&s.block)
	s.fields = []hpack.HeaderField{
		{Name: ":method", Value: t.method()}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: t.authority()}, {Name: ":path", Value: t.Path},
	}
	for i := 0; i < len(t.Header); i += 2 {
		if name := t.Header[i]; name != "connection" {
			s.fields = append(s.fields, hpack.HeaderField{Name: name, Value: t.Header[i+1]})
		}
	}
	io.WriteString(s.out, http2.ClientPreface)
	s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 6 << 20}, http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
	s.framer.WriteWindowUpdate(0, window-65535)
	return s, s.out.Flush()
}

func (s *streams) close() error { return s.conn.Close() }

func (s *streams) send() error {
	s.block.Reset()
	for _, f := range s.fields {
		if err := s.encoder.WriteField(f); err != nil {
			return err
		}
	}
	st := &stream{}
	if n := len(s.free); n > 0 {
		st, s.free = s.free[n-1], s.free[:n-1]
	}
	*st = stream{began: time.Now()}
	s.open[s.next] = st
	err := s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.next, BlockFragment: s.block.Bytes(), EndStream: true, EndHeaders: true})
	s.next += 2
	return err
}

func (s *streams) run(atOnce int, stop *atomic.Bool, done func(time.Duration)) error {
	for range atOnce {
		if err := s.send(); err != nil {
			return err
		}
	}
	for len(s.open) > 0 {
		if err := s.out.Flush(); err != nil {
			return err
		}
		ended, err := s.read()
		if err != nil {
			return err
		}
		if ended == nil {
			continue
		}
		done(time.Since(ended.began))
		s.free = append(s.free, ended)
		if !stop.Load() {
			if err := s.send(); err != nil {
				return err
			}
		}
	}
	return s.out.Flush()
}

// read takes one frame, and returns the stream that it ended.
func (s *streams) read() (*stream, error) {
	f, err := s.framer.ReadFrame()
	if err != nil {
		return nil, err
	}
	id := f.Header().StreamID
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return nil, s.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return nil, s.framer.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		return nil, fmt.Errorf("the server goes away: %v", f.ErrCode)
	case *http2.RSTStreamFrame:
		return nil, fmt.Errorf("the server resets a stream: %v", f.ErrCode)
	case *http2.HeadersFrame:
		if !f.HeadersEnded() {
			return nil, errors.New("a header in several frames")
		}
		// The status comes first, and 200 has a number of its own (RFC 7541,
		// appendix A). What follows is not decoded: that would be counted too.
		block := f.HeaderBlockFragment()
		for len(block) > 0 && block[0]&0xe0 == 0x20 { // a change of the table's size, in one byte
			block = block[1:]
		}
		if len(block) == 0 || block[0] != 0x88 {
			return nil, errors.New("answered with another status than 200")
		}
		if f.StreamEnded() {
			return s.end(id)
		}
	case *http2.DataFrame:
		st := s.open[id]
		if st == nil {
			return nil, errors.New("data on a stream that is not open")
		}
		n := f.Header().Length
		st.got += int64(len(f.Data()))
		st.taken += n
		if s.taken += n; s.taken > window/4 {
			if err := s.framer.WriteWindowUpdate(0, s.taken); err != nil {
				return nil, err
			}
			s.taken = 0
		}
		if f.StreamEnded() {
			return s.end(id)
		}
		if st.taken > 2<<20 {
			if err := s.framer.WriteWindowUpdate(id, st.taken); err != nil {
				return nil, err
			}
			st.taken = 0
		}
	}
	return nil, nil
}

func (s *streams) end(id uint32) (*stream, error) {
	st := s.open[id]
	delete(s.open, id)
	if st.got != s.body {
		return nil, fmt.Errorf("an answer of %d bytes where %d were expected", st.got, s.body)
	}
	return st, nil
}

// A crowd is connections to one target that are kept from round to round.
type crowd struct {
	clients []client
	streams int // in flight on each
}

// gather opens the connections for inFlight requests at once: over HTTP/1.1 one
// each, over HTTP/2 up to eight on one, as a browser would. They take turns with
// what is asked for.
func gather(all []target, inFlight int) (*crowd, error) {
	c := &crowd{streams: 1}
	n := inFlight
	if all[0].HTTP2 {
		c.streams = min(inFlight, 8)
		n = max(1, inFlight/8)
	}
	for i := range n {
		one, err := dial(&all[i%len(all)])
		if err != nil {
			c.close()
			return nil, err
		}
		c.clients = append(c.clients, one)
	}
	return c, nil
}

func (c *crowd) close() {
	for _, one := range c.clients {
		one.close()
	}
}

// load sends requests for d and returns how long each took, sorted.
func (c *crowd) load(d time.Duration) ([]time.Duration, error) {
	var stop atomic.Bool
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	defer timer.Stop()
	took := make([][]time.Duration, len(c.clients))
	errs := make([]error, len(c.clients))
	var wg sync.WaitGroup
	for i, one := range c.clients {
		wg.Go(func() {
			times := make([]time.Duration, 0, 1<<14)
			errs[i] = one.run(c.streams, &stop, func(t time.Duration) { times = append(times, t) })
			took[i] = times
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	return all, errors.Join(errs...)
}

// asBrowser is what a browser's script sends with a call, beside what is given.
func asBrowser(more ...string) []string {
	return append([]string{
		"user-agent", "Mozilla/5.0 (iPad; CPU OS 26_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.3 Safari/605.1.15",
		"accept", "application/json",
		"accept-language", "de-DE,de;q=0.9",
		"accept-encoding", "gzip, deflate, br",
		"sec-fetch-site", "same-origin",
		"sec-fetch-mode", "cors",
		"sec-fetch-dest", "empty",
		"referer", "https://ehr.test/",
	}, more...)
}
