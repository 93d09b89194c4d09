package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A quietBackend answers everything with 1 KiB and allocates nothing for it, so
// that what is counted in this process is the proxy's. It counts connections.
func quietBackend(t testing.TB) (address string, connects *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n"+
		"Date: Sat, 21 Nov 2026 09:00:00 GMT\r\nEtag: \"17\"\r\nCache-Control: private, max-age=60\r\n\r\n%s", strings.Repeat("x", 1024))
	connects = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connects.Add(1)
			go func() {
				defer c.Close()
				in := bufio.NewReaderSize(c, 64<<10)
				for {
					head, err := in.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(bytes.TrimRight(head, "\r\n")) > 0 {
						continue
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), connects
}

const benchConfig = `
gateway:
  url: https://gate.test:{port}
  listen: 127.0.0.1:0
  redirect_listen: ""
  admin_listen: 127.0.0.1:0
  data_dir: {dir}/data
tls: {self_signed: true}
providers:
  - name: hospital
    issuer: {issuer}
    client_id: anteroom
    client_secret: ${file:secret}
    scopes: [openid, profile, groups]
    claims: {username: preferred_username, name: name, groups: groups}
` + everyFeature

// signedIn starts a gateway with every feature and returns what a person on a
// managed tablet sends to it.
func signedIn(t testing.TB, backend string) *target {
	t.Helper()
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	t.Cleanup(sink.Close)
	g := anteroomtest.Start(t, anteroomtest.Setup{Config: strings.NewReplacer("{backend}", backend, "{otlp}", sink.URL).Replace(benchConfig)})
	b := g.Browser(t)
	for name, values := range deviceHeader() {
		b.Device[name] = values
	}
	if p := b.Get(g.URL("ehr.test", "/")); p.Status != http.StatusOK {
		t.Fatalf("signing in ends with %d at %s:\n%s", p.Status, p.URL, p.Body)
	}
	cookie := b.Cookie("ehr.test", "__Host-anteroom")
	if cookie == "" {
		t.Fatal("signed in without a cookie")
	}
	return &target{
		Address: g.Address, Host: "ehr.test", Port: g.Port, TLS: &tls.Config{RootCAs: g.CA}, Path: "/fhir/Observation?patient=4711",
		Header: asBrowser(append(deviceLines(), "cookie", "__Host-anteroom="+cookie)...), Body: 1024,
	}
}

// bareProxy is the least that Go needs to carry the same request.
func bareProxy(t testing.TB, backend string, like *target) *target {
	t.Helper()
	u, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, ResponseHeaderTimeout: 30 * time.Second, DisableCompression: true, WriteBufferSize: 16 << 10, ReadBufferSize: 16 << 10}
	t.Cleanup(transport.CloseIdleConnections)
	s := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport, BufferPool: newBuffers(), ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() },
	})
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	s.StartTLS()
	t.Cleanup(s.Close)
	bare := *like
	bare.Address = s.Listener.Addr().String()
	bare.TLS = &tls.Config{InsecureSkipVerify: true} // the certificate names another host
	return &bare
}

// A cost is what a request takes, of this whole process.
type cost struct {
	objects float64 // on the heap
	calls   float64 // reads and writes, of sockets and files
}

// costs returns what a request costs, one at a time.
func costs(t testing.TB, at *target, http2 bool) cost {
	t.Helper()
	to := *at
	to.HTTP2 = http2
	c, err := dial(&to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	self := &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	count := func(n int) (uint64, float64) {
		var stop atomic.Bool
		var before, after runtime.MemStats
		calls := self.calls()
		runtime.ReadMemStats(&before)
		sent := 0
		if err := c.run(1, &stop, func(time.Duration) {
			if sent++; sent == n-1 {
				stop.Store(true)
			}
		}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs, self.calls() - calls
	}
	count(200) // connections, caches and pools fill
	const n = 2000
	objects, calls := count(n)
	return cost{float64(objects) / n, calls / n}
}

// A request that passes allocates no more than the same one through a proxy
// that does nothing else, reads and writes no oftener but for its two records in
// the trail, which many requests at once share, and dials no backend anew.
func TestObjects(t *testing.T) {
	backend, connects := quietBackend(t)
	gateway := signedIn(t, backend)
	bare := bareProxy(t, backend, gateway)
	for _, c := range []struct {
		name  string
		http2 bool
	}{{"HTTP/1.1", false}, {"HTTP/2", true}} {
		t.Run(c.name, func(t *testing.T) {
			before := connects.Load()
			through := costs(t, gateway, c.http2)
			dialled := connects.Load() - before
			plain := costs(t, bare, c.http2)
			t.Logf("a request through the gateway and through a bare proxy: objects %.1f and %.1f, reads and writes %.2f and %.2f", through.objects, plain.objects, through.calls, plain.calls)
			if through.objects > plain.objects*slack {
				t.Errorf("%.1f objects a request, the bare proxy %.1f", through.objects, plain.objects)
			}
			if records := 2.0; through.calls > plain.calls+records+0.5 {
				t.Errorf("%.2f reads and writes a request, the bare proxy %.2f", through.calls, plain.calls)
			}
			if dialled > 1 {
				t.Errorf("the backend was dialled %d times for 2,200 requests, one after the other", dialled)
			}
		})
	}
}

func BenchmarkThroughGateway(b *testing.B) {
	backend, _ := quietBackend(b)
	at := signedIn(b, backend)
	b.Run("HTTP1", func(b *testing.B) { drive(b, at, false) })
	b.Run("HTTP2", func(b *testing.B) { drive(b, at, true) })
}

func BenchmarkBareReverseProxy(b *testing.B) {
	backend, _ := quietBackend(b)
	at := bareProxy(b, backend, &target{
		Host: "ehr.test", Port: "443", Path: "/fhir/Observation?patient=4711", Body: 1024,
		Header: asBrowser(append(deviceLines(), "cookie", "__Host-anteroom="+strings.Repeat("x", 144))...),
	})
	b.Run("HTTP1", func(b *testing.B) { drive(b, at, false) })
	b.Run("HTTP2", func(b *testing.B) { drive(b, at, true) })
}

// drive keeps 32 requests in flight until b is content.
func drive(b *testing.B, at *target, http2 bool) {
	to := *at
	to.HTTP2 = http2
	c, err := gather([]target{to}, 32)
	if err != nil {
		b.Fatal(err)
	}
	defer c.close()
	if _, err := c.load(100 * time.Millisecond); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var sent atomic.Int64
	var stop atomic.Bool
	left := int64(b.N)
	errs := make(chan error, len(c.clients))
	for _, one := range c.clients {
		go func() {
			errs <- one.run(c.streams, &stop, func(time.Duration) {
				if sent.Add(1) >= left {
					stop.Store(true)
				}
			})
		}()
	}
	for range c.clients {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}
