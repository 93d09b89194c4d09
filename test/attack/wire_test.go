package attack_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A request is what a case puts on the wire. In its text {host} stands for the
// host with the gateway's port, {cookie} for the Cookie line of who asks, and
// {foreign} for an assertion of theirs that was made for another host, and
// {14m ago} and the like for a time.
type request struct {
	name    string // of the server, in the handshake; "": ehr.test
	raw     string // HTTP/1.1, byte for byte
	answers int    // how many answers it should get; 0: one

	fields []hpack.HeaderField // HTTP/2, when there are any
	body   string
	trail  []hpack.HeaderField // trailers
	split  bool                // the trailers end the stream, not the body
}

const limit = 5 * time.Second // for any one answer

// An answer is what a client got, and what the backend got because of it.
type answer struct {
	status int // 0: none
	header http.Header
	body   string
	later  []int // status of further answers on the connection
	closed bool  // the gateway ended the connection, or reset the stream
	http2  bool

	got     []arrived // what reached the backend
	strange error     // what reached it and is no request
}

// h1 returns a well-formed HTTP/1.1 request but for what line and headers hold.
func h1(line string, headers ...string) request {
	return request{raw: line + " HTTP/1.1\r\nHost: {host}\r\n{cookie}" + lines(headers) + "\r\n"}
}

// post returns a request with a body.
func post(line, body string, headers ...string) request {
	headers = append(headers, fmt.Sprintf("Content-Length: %d", len(body)))
	r := h1(line, headers...)
	r.raw += body
	return r
}

// raw returns a request that is its text.
func raw(text string) request { return request{raw: text} }

// h2 returns an HTTP/2 request whose method and path are those of line.
func h2(line string, headers ...string) request {
	method, path, _ := strings.Cut(line, " ")
	return frames(append([]string{":method: " + method, ":scheme: https", ":path: " + path, ":authority: {host}", "{cookie}"}, headers...)...)
}

// frames returns an HTTP/2 request with exactly these fields.
func frames(fields ...string) request {
	return request{fields: toFields(fields)}
}

func toFields(lines []string) []hpack.HeaderField {
	all := []hpack.HeaderField{}
	for _, line := range lines {
		name, value, ok := cutField(line)
		if !ok {
			name = line
		}
		all = append(all, hpack.HeaderField{Name: name, Value: value})
	}
	return all
}

// cutField cuts a header line; a pseudo-header's name begins with the colon.
func cutField(line string) (name, value string, ok bool) {
	start := 0
	if strings.HasPrefix(line, ":") {
		start = 1
	}
	i := strings.Index(line[start:], ":")
	if i < 0 {
		return line, "", false
	}
	return line[:start+i], strings.TrimPrefix(line[start+i+1:], " "), true
}

// both returns the request as HTTP/1.1 and as HTTP/2.
func both(line string, headers ...string) []request {
	small := make([]string, len(headers))
	for i, h := range headers {
		name, value, _ := cutField(h)
		small[i] = strings.ToLower(name) + ": " + value
	}
	return []request{h1(line, headers...), h2(line, small...)}
}

func (r request) at(name string) request { r.name = name; return r }

func (r request) with(body string) request { r.body = body; return r }

func (r request) trailers(lines ...string) request {
	r.trail, r.split = toFields(lines), true
	return r
}

func lines(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	return strings.Join(headers, "\r\n") + "\r\n"
}

// host returns the server's name that the handshake uses.
func (r request) host() string {
	if r.name == "" {
		return "ehr.test"
	}
	return r.name
}

// send puts r on a connection of its own, from an address, with a person's cookie.
func (w *world) send(t testing.TB, r request, who, from string) *answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	cookie := w.cookie(who, r.host())
	swap := strings.NewReplacer("{host}", r.host()+":"+w.Port, "{cookie}", cookieLine(cookie), "{value}", cookie, "{foreign}", w.foreign,
		"{14m ago}", moment(-14*time.Minute), "{16m ago}", moment(-16*time.Minute), "{in 1h}", moment(time.Hour))
	protocol := "http/1.1"
	if r.fields != nil {
		protocol = "h2"
	}
	c, err := w.dial(ctx, from, r.host(), protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * limit)); err != nil {
		t.Fatal(err)
	}
	var a *answer
	if r.fields == nil {
		a, err = plain(c, swap.Replace(r.raw), max(r.answers, 1))
	} else {
		a, err = framed(c, r, swap, cookie)
	}
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	a.got, a.strange = w.Backend.Take()
	if a.header.Get("X-Request-Id") != "" {
		w.Backend.Known(a.header.Get("X-Request-Id"))
	}
	return a
}

func moment(from time.Duration) string { return time.Now().Add(from).UTC().Format(time.RFC3339) }

func cookieLine(cookie string) string {
	if cookie == "" {
		return ""
	}
	return "Cookie: " + cookie + "\r\n"
}

// plain sends text and reads so many answers; it waits for the end of the
// connection where the last of them promises it, or there is none.
func plain(c net.Conn, text string, answers int) (*answer, error) {
	written := make(chan error, 1)
	go func() { _, err := io.WriteString(c, text); written <- err }()
	a := &answer{}
	br := bufio.NewReader(c)
	for i := range answers {
		method, _, _ := strings.Cut(text, " ")
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		for err == nil && resp.StatusCode == http.StatusContinue {
			resp, err = http.ReadResponse(br, &http.Request{Method: method})
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return a, fmt.Errorf("no answer %d within the limit", i+1)
			}
			a.closed = true // by an end or a reset
			return a, nil
		}
		body, err := io.ReadAll(resp.Body)
		if i == 0 {
			a.status, a.header, a.body = resp.StatusCode, resp.Header, string(body)
		} else {
			a.later = append(a.later, resp.StatusCode)
		}
		if err != nil {
			a.closed = true
			return a, nil
		}
		if resp.Close {
			_, err := br.ReadByte()
			a.closed = err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
			return a, nil
		}
	}
	return a, nil
}

// framed sends r as HTTP/2 frames and reads until its stream or the connection ends.
func framed(c net.Conn, r request, swap *strings.Replacer, cookie string) (*answer, error) {
	a := &answer{http2: true, header: http.Header{}}
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, bufio.NewReader(c))
	framer.AllowIllegalWrites, framer.AllowIllegalReads = true, true
	if err := framer.WriteSettings(); err != nil {
		return a, err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encode := func(fields []hpack.HeaderField) error {
		block.Reset()
		for _, f := range fields {
			if f.Name == "{cookie}" {
				if cookie == "" {
					continue
				}
				f = hpack.HeaderField{Name: "cookie", Value: cookie}
			}
			f.Value = swap.Replace(f.Value)
			if err := encoder.WriteField(f); err != nil {
				return err
			}
		}
		return nil
	}
	if err := encode(r.fields); err != nil {
		return a, err
	}
	if err := writeBlock(framer, block.Bytes(), r.body == "" && !r.split); err != nil {
		return a, err
	}
	if r.body != "" {
		if err := framer.WriteData(1, !r.split, []byte(r.body)); err != nil {
			return a, err
		}
	}
	if r.split {
		if err := encode(r.trail); err != nil {
			return a, err
		}
		if err := writeBlock(framer, block.Bytes(), true); err != nil {
			return a, err
		}
	}
	if _, err := c.Write(out.Bytes()); err != nil {
		a.closed = true
		return a, nil
	}
	return a, readFrames(framer, c, a)
}

// writeBlock writes a header block in as many frames as it takes.
func writeBlock(f *http2.Framer, block []byte, last bool) error {
	const size = 16 << 10
	first := block[:min(len(block), size)]
	rest := block[len(first):]
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: last, EndHeaders: len(rest) == 0}); err != nil {
		return err
	}
	for len(rest) > 0 {
		part := rest[:min(len(rest), size)]
		rest = rest[len(part):]
		if err := f.WriteContinuation(1, len(rest) == 0, part); err != nil {
			return err
		}
	}
	return nil
}

func readFrames(framer *http2.Framer, c net.Conn, a *answer) error {
	decoder := hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errors.New("no answer within the limit")
			}
			a.closed = true
			return nil
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			fields, err := decoder.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				return err
			}
			for _, field := range fields {
				if field.Name == ":status" {
					if _, err := fmt.Sscan(field.Value, &a.status); err != nil {
						return err
					}
					continue
				}
				a.header.Add(field.Name, field.Value)
			}
			if f.StreamEnded() {
				return nil
			}
		case *http2.DataFrame:
			a.body += string(f.Data())
			if f.StreamEnded() {
				return nil
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			a.closed = true
			return nil
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if _, err := c.Write([]byte{0, 0, 0, 4, 1, 0, 0, 0, 0}); err != nil {
					return nil
				}
			}
		}
	}
}
