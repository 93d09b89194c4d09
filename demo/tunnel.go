package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"time"
)

// The demo's hosts. Browsers resolve names under localhost to this machine by themselves.
const (
	Domain         = "anteroom.localhost"
	GateHost       = "gate." + Domain   // sign-in, on the gateway
	PharmacyHost   = "rx." + Domain     // behind the gateway
	ImagingHost    = "img." + Domain    // behind the gateway
	RecordHost     = "ehr." + Domain    // behind the gateway
	SchedulingHost = "plan." + Domain   // behind the gateway
	DeviceHost     = "device." + Domain // the tunnel's own: which device is in hand
	StartHost      = "start." + Domain  // the tunnel's own: where to begin
	StoryHost      = "story." + Domain  // the tunnel's own: what became of each request
)

// A TunnelConfig says what lies behind the tunnel.
type TunnelConfig struct {
	Gateway *http.Transport      // as made by [GatewayTransport]
	Start   http.Handler         // the start page
	Story   http.Handler         // the page that tells what became of requests; nil: there is none
	Watch   func(*http.Response) // told of each answer of the gateway; nil: nobody is
	Now     func() time.Time     // nil: time.Now
	Log     *slog.Logger
}

// A Tunnel stands before the gateway as an MDM's does: it states of every
// request which device it comes from, and lets nobody else state it.
type Tunnel struct {
	hand    *hand
	device  http.Handler
	start   http.Handler
	story   http.Handler
	forward *httputil.ReverseProxy
}

// NewTunnel returns a tunnel with the first of [Devices] in hand.
func NewTunnel(c TunnelConfig) *Tunnel {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Story == nil {
		c.Story = http.NotFoundHandler()
	}
	if c.Watch == nil {
		c.Watch = func(*http.Response) {}
	}
	t := &Tunnel{hand: newHand(), start: ownPages(c.Start), story: c.Story}
	t.device = t.hand.site(c.Now)
	t.forward = &httputil.ReverseProxy{
		Transport:      c.Gateway,
		FlushInterval:  -1, // streams pass at once
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
		ModifyResponse: func(r *http.Response) error { c.Watch(r); return nil },
		Rewrite:        func(r *httputil.ProxyRequest) { t.rewrite(r, c.Now()) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				c.Log.Warn("tunnel: gateway does not answer", "error", err)
			}
			http.Error(w, "The tunnel cannot reach the gateway.", http.StatusBadGateway)
		},
	}
	return t
}

// ServeHTTP answers for the tunnel's own hosts and carries everything else to the gateway.
func (t *Tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch hostname(r.Host) {
	case DeviceHost:
		t.device.ServeHTTP(w, r)
	case StoryHost:
		t.story.ServeHTTP(w, r)
	case StartHost, Domain:
		t.start.ServeHTTP(w, r)
	default:
		t.forward.ServeHTTP(w, r)
	}
}

// rewrite leaves a request as it came, but for who speaks of the device. The
// name in the handshake with the gateway is the request's own.
func (t *Tunnel) rewrite(r *httputil.ProxyRequest, now time.Time) {
	r.Out.URL.Scheme, r.Out.URL.Host = "https", hostname(r.In.Host)
	r.Out.URL.RawQuery = r.In.URL.RawQuery // a tunnel mends nothing
	r.Out.Host = r.In.Host
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // SetXForwarded appends to it
	r.SetXForwarded()
	for name := range r.Out.Header {
		if speaksOfDevices(name) {
			delete(r.Out.Header, name)
		}
	}
	for name, values := range t.hand.device().Headers(now) {
		r.Out.Header[name] = values
	}
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		hostport = host
	}
	return strings.ToLower(hostport)
}

// GatewayTransport returns a transport that reaches the gateway at addr
// whatever host a request names, and trusts only the CA in caFile. The file is
// read at each connection: the gateway makes it at its first start.
func GatewayTransport(addr, caFile string) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, named string) (net.Conn, error) {
			roots, err := readCA(caFile)
			if err != nil {
				return nil, fmt.Errorf("read CA of the gateway: %w", err)
			}
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			c := tls.Client(conn, &tls.Config{
				ServerName: hostname(named),
				RootCAs:    roots,
				NextProtos: []string{"http/1.1"}, // WebSockets need it
			})
			if err := c.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, fmt.Errorf("greet gateway at %s: %w", addr, err)
			}
			return c, nil
		},
		DisableCompression:  true, // bodies pass as they are
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     time.Minute,
	}
}

func readCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}
