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
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// A quietBackend answers everything with 1 KiB and allocates nothing for it, so
// that what is counted in this process is the proxy's.
func quietBackend(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n"+
		"Date: Sat, 21 Nov 2026 09:00:00 GMT\r\nEtag: \"17\"\r\nCache-Control: private, max-age=60\r\n\r\n%s", strings.Repeat("x", 1024))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
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
	return "http://" + l.Addr().String()
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

// objects returns how many heap objects a request costs this whole process.
func objects(t testing.TB, at *target, http2 bool) float64 {
	t.Helper()
	to := *at
	to.HTTP2 = http2
	c, err := dial(&to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	count := func(n int) uint64 {
		var stop atomic.Bool
		var before, after runtime.MemStats
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
		return after.Mallocs - before.Mallocs
	}
	count(200) // connections, caches and pools fill
	const n = 2000
	return float64(count(n)) / n
}

// A request that passes allocates no more than the same one through a proxy
// that does nothing else.
func TestObjects(t *testing.T) {
	backend := quietBackend(t)
	gateway := signedIn(t, backend)
	bare := bareProxy(t, backend, gateway)
	for _, c := range []struct {
		name  string
		http2 bool
	}{{"HTTP/1.1", false}, {"HTTP/2", true}} {
		t.Run(c.name, func(t *testing.T) {
			through, plain := objects(t, gateway, c.http2), objects(t, bare, c.http2)
			t.Logf("objects a request: %.1f through the gateway, %.1f through a bare proxy", through, plain)
			if through > plain*slack {
				t.Errorf("%.1f objects a request, the bare proxy %.1f", through, plain)
			}
		})
	}
}

func BenchmarkThroughGateway(b *testing.B) {
	at := signedIn(b, quietBackend(b))
	b.Run("HTTP1", func(b *testing.B) { drive(b, at, false) })
	b.Run("HTTP2", func(b *testing.B) { drive(b, at, true) })
}

func BenchmarkBareReverseProxy(b *testing.B) {
	backend := quietBackend(b)
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
