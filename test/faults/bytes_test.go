package faults_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// TestFrames sends random WebSocket frames through the gateway: what comes back
// must be what was sent, to the byte.
func TestFrames(t *testing.T) {
	e := begin(t, "WebSocket transparency")
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "ok")
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", sampleAccept)
		io.Copy(c, rw) // every byte as it came, masks and all
	}))
	t.Cleanup(backend.Close)
	g := start(t, setup{backend: backend.URL})
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	frames, total := 0, choose(8<<20, 256<<20)
	c := g.upgrade(t, cookie)
	var sent bytes.Buffer
	for sent.Len() < total {
		frame(&sent, random)
		frames++
	}
	go func() { // in pieces that are no frames
		for rest := sent.Bytes(); len(rest) > 0; {
			n := min(1+random.IntN(100_000), len(rest))
			if _, err := c.conn.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	got := make([]byte, sent.Len())
	c.conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if n, err := io.ReadFull(c.in, got); err != nil {
		t.Fatalf("seed %d: after %d of %d bytes: %v", seed, n, len(got), err)
	}
	at := 0
	for at < len(got) && got[at] == sent.Bytes()[at] {
		at++
	}
	e.figure("%d random frames, %d MiB there and back, seed %d", frames, sent.Len()>>20, seed)
	e.must(at == len(got), "byte %d of %d differs", at, len(got))
}

// The key and its answer are those of RFC 6455, section 1.3.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

type upgraded struct {
	conn *tls.Conn
	in   *bufio.Reader
}

// upgrade opens a WebSocket by hand, so that bytes can be sent as they are.
func (g *process) upgrade(t *testing.T, cookie string) upgraded {
	t.Helper()
	c := g.Dial(t, "ehr.test", "http/1.1")
	fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: ehr.test:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: %s\r\nOrigin: %s\r\nCookie: %s\r\n\r\n", g.Port, sampleKey, g.Origin("ehr.test"), cookie)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	return upgraded{c, in}
}

// frame appends a frame of random kind and length, as a client sends it: often
// short, sometimes empty, now and then over each limit of the length's form.
func frame(to *bytes.Buffer, random *rand.Rand) {
	n := [...]int{0, 1, 125, 126, 127, 65_535, 65_536, random.IntN(126), random.IntN(126), random.IntN(1000), random.IntN(70_000)}[random.IntN(11)]
	opcode := [...]byte{0, 1, 2, 9, 10}[random.IntN(5)] // continuation, text, binary, ping, pong
	if opcode >= 8 {
		n = min(n, 125)
	}
	to.WriteByte(opcode | byte(random.IntN(2))<<7)
	switch {
	case n < 126:
		to.WriteByte(0x80 | byte(n))
	case n < 1<<16:
		to.WriteByte(0x80 | 126)
		to.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	default:
		to.WriteByte(0x80 | 127)
		to.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	noise(to, random, 4+n) // the mask and what it hides
}

func noise(to io.Writer, random *rand.Rand, n int) {
	b := make([]byte, n+7)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], random.Uint64())
	}
	to.Write(b[:n])
}

// TestLargeBodies carries bodies of 64 MiB both ways at once. They must arrive
// whole, and flow: the process must not grow by them.
func TestLargeBodies(t *testing.T) {
	e := begin(t, "large bodies")
	const size = 64 << 20
	body := make([]byte, size)
	noise((*into)(&body), rand.New(rand.NewPCG(1, 2)), size)
	sum := sha256.Sum256(body)
	want := hex.EncodeToString(sum[:])
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/up":
			h := sha256.New()
			n, err := io.Copy(h, r.Body)
			fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil), err)
		case "/down":
			w.Header().Set("Content-Type", "application/octet-stream")
			io.Copy(w, bytes.NewReader(body)) // chunked
		default:
			fmt.Fprint(w, "ok")
		}
	}))
	t.Cleanup(backend.Close)
	g := start(t, setup{backend: backend.URL, edit: edits(patient("max_body: 8MiB", "max_body: 1GiB"), patient("timeout: 5s", "timeout: 60s"))})
	cookie := cookieOf(g.signedIn(t), "ehr.test")
	for _, http2 := range []bool{false, true} {
		client := g.client(t, http2, 16)
		client.Timeout = 5 * time.Minute
		g.status(t, client, "/chart", cookie)
		before := g.memory()
		stop := make(chan struct{})
		most := before
		var watching, all sync.WaitGroup
		watching.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					most = max(most, g.memory())
				}
			}
		})
		each := choose(2, 8)
		began := time.Now()
		for range each {
			all.Go(func() {
				a, err := call(t.Context(), client, http.MethodPost, g.URL("ehr.test", "/up"), cookie, struct{ io.Reader }{bytes.NewReader(body)}) // of a length not told
				if err != nil || a.body != fmt.Sprintf("%d %s <nil>", size, want) {
					t.Errorf("upload: %d %.200s %v", a.status, a.body, err)
				}
			})
			all.Go(func() {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL("ehr.test", "/down"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Cookie", cookie)
				r.Header.Set("Sec-Fetch-Mode", "cors")
				resp, err := client.Do(r)
				if err != nil {
					t.Errorf("download: %v", err)
					return
				}
				defer resp.Body.Close()
				h := sha256.New()
				if n, err := io.Copy(h, resp.Body); err != nil || hex.EncodeToString(h.Sum(nil)) != want {
					t.Errorf("download: %d bytes, %v", n, err)
				}
			})
		}
		all.Wait()
		took := time.Since(began)
		close(stop)
		watching.Wait()
		grown := most - before
		e.figure("HTTP/%d: %d bodies of 64 MiB at once in %v, memory +%d MiB to %d", map[bool]int{false: 1, true: 2}[http2], 2*each, round(took), grown>>20, most>>20)
		e.must(grown < 32<<20, "memory grew by %d MiB", grown>>20)
	}
}

// into fills a slice by writing.
type into []byte

func (d *into) Write(p []byte) (int, error) { return copy(*d, p), nil }
