// Package demo is a small hospital in one process: an OpenID provider, four
// old applications, an MDM tunnel before the gateway that guards them, and a
// collector of what the gateway tells of each request.
package demo

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// DefaultListen is where the tunnel listens unless told otherwise.
const DefaultListen = "127.0.0.1:8443"

// Options say where the demo lives.
type Options struct {
	Dir string // its files: configuration, keys, the gateway's data

	// Listen is the tunnel's address. "" means the one in an existing
	// configuration, else [DefaultListen]. Port 0 lets every part of a new
	// demo take a free port, and is for tests and for machines where the
	// usual ones are taken.
	Listen string

	Log *slog.Logger
}

// A Hospital is the demo but for the gateway itself, with its ports taken.
type Hospital struct {
	dir    string
	places places
	log    *slog.Logger
	parts  []part

	stories *stories
	trail   *trail
}

// A part is a server with the listener it will answer on.
type part struct {
	name     string
	listener net.Listener
	server   *http.Server
}

// Open makes what is missing in o.Dir, the gateway's configuration among it,
// and takes the ports of all parts but the gateway. An existing configuration
// is read and left as it is. Call [Hospital.Run] to serve, or Close to give up.
func Open(o Options) (_ *Hospital, err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open demo: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open demo: %w", err)
	}
	h := &Hospital{dir: dir, log: o.Log}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	listeners, err := h.takePlaces(o.Listen)
	if err != nil {
		return nil, err
	}
	if err := h.assemble(listeners); err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return nil, err
	}
	return h, nil
}

// The order of the parts in lists of listeners.
const (
	atTunnel = iota
	atProvider
	atPharmacy
	atImaging
	atRecord
	atScheduling
	atCollector
	atGateway
	atAdmin
)

var partNames = [...]string{"the MDM tunnel", "the provider", "the pharmacy", "imaging", "the record", "scheduling", "the collector", "the gateway", "the gateway's admin listener"}

// takePlaces decides where the parts are, writes that down when it is new, and
// returns the listeners of the demo's own. The gateway's ports are only tried.
func (h *Hospital) takePlaces(listen string) ([]net.Listener, error) {
	path := h.ConfigFile()
	have, err := readConfiguration(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !fresh:
		return nil, err
	case fresh && listen == "":
		have = usualPlaces(DefaultListen)
	case fresh && strings.HasSuffix(listen, ":0"):
		have = freePlaces(listen)
	case fresh:
		have = usualPlaces(listen)
	case listen != "" && !strings.HasSuffix(listen, ":0"):
		_, asked, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", listen, err)
		}
		if _, port, _ := net.SplitHostPort(have.Tunnel); port != asked {
			return nil, fmt.Errorf("%s says %s, so the tunnel cannot listen on %s: change gateway.url, or move the file away", path, have.URL, listen)
		}
		have.Tunnel = listen
	}

	wanted := []*string{&have.Tunnel, &have.Provider, &have.Pharmacy, &have.Imaging, &have.Record, &have.Scheduling, &have.Collector, &have.Gateway, &have.Admin}
	var taken []net.Listener
	for i, addr := range wanted {
		l, err := net.Listen("tcp", *addr)
		if err != nil {
			for _, l := range taken {
				l.Close()
			}
			advice := "stop what listens there"
			if fresh {
				advice += ", or let every part find a free port with --listen 127.0.0.1:0"
			} else {
				advice += ", or change the port in " + path
			}
			return nil, fmt.Errorf("take the port of %s: %w: %s", partNames[i], err, advice)
		}
		taken = append(taken, l)
		*addr = l.Addr().String()
	}
	// All were held at once, so they differ; the gateway takes its two itself.
	taken[atGateway].Close()
	taken[atAdmin].Close()
	taken = taken[:atGateway]
	if fresh {
		if err = writeConfiguration(path, h.dir, have); err == nil {
			have, err = keepTunnel(path, have.Tunnel)
		}
		if err != nil {
			for _, l := range taken {
				l.Close()
			}
			return nil, err
		}
	}
	h.places = have
	return taken, nil
}

// keepTunnel reads back what was written; only the tunnel's own host is not in the file.
func keepTunnel(path, tunnel string) (places, error) {
	p, err := readConfiguration(path)
	p.Tunnel = tunnel
	return p, err
}

// assemble builds the parts behind their listeners.
func (h *Hospital) assemble(listeners []net.Listener) error {
	secret, err := clientSecret(h.dir, rand.Text)
	if err != nil {
		return err
	}
	key, err := providerKey(h.dir)
	if err != nil {
		return err
	}
	certificate, err := tunnelCertificate(h.dir, time.Now())
	if err != nil {
		return err
	}
	gateway := GatewayTransport(h.places.Gateway, filepath.Join(h.places.DataDir, "tls", "ca.pem"))
	direct := &http.Client{Transport: gateway, Timeout: 10 * time.Second}

	provider, err := NewProvider(ProviderConfig{
		Issuer: "http://" + h.places.Provider, ClientID: clientID, ClientSecret: secret,
		RedirectURI:    h.places.URL + "/.anteroom/callback",
		PostLogoutURI:  h.places.URL + "/.anteroom/signed-out",
		BackchannelURI: h.places.URL + "/.anteroom/backchannel-logout",
		Key:            key, HTTPClient: direct, Log: h.log,
	})
	if err != nil {
		return err
	}
	pharmacy := NewPharmacy(PharmacyConfig{
		Keys: fetchKeys(direct, h.places.URL+"/.anteroom/jwks.json"), Issuer: h.places.URL, Audience: "rx",
	})
	h.stories, h.trail = newStories(), openTrail(h.AuditDir())
	tunnel := NewTunnel(TunnelConfig{
		Gateway: gateway, Start: http.HandlerFunc(h.startPage), Story: h.stories.site(h.URL(StartHost, "/")), Watch: h.stories.answered, Log: h.log,
	})
	watch := h.stories.watch
	handlers := []http.Handler{
		tunnel, provider, watch("Pharmacy", pharmacy), watch("Imaging", NewImaging(ImagingConfig{})),
		watch("Record", NewRecord(RecordConfig{Base: "http://" + h.places.Record})), watch("Scheduling", NewScheduling()),
		h.stories.collector(),
	}
	for i, handler := range handlers {
		h.parts = append(h.parts, part{partNames[i], listeners[i], &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug), // refused certificates, mostly
		}})
	}
	h.parts[atTunnel].server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	return nil
}

// Run serves until ctx ends, then closes streams, lets other answers finish
// for a moment, and returns nil. A part that fails ends the others and is the error.
func (h *Hospital) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, p := range h.parts {
		p.server.BaseContext = func(net.Listener) context.Context { return ctx }
		running.Go(func() {
			serve := p.server.Serve
			if p.server.TLSConfig != nil {
				serve = func(l net.Listener) error { return p.server.ServeTLS(l, "", "") }
			}
			if err := serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve %s: %w", p.name, err))
			}
		})
	}
	running.Go(func() { h.trail.follow(ctx, h.stories.record) })
	<-ctx.Done()
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer stop()
	for _, p := range h.parts {
		running.Go(func() {
			if p.server.Shutdown(grace) != nil {
				p.server.Close()
			}
		})
	}
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// Close gives the ports back; after [Hospital.Run] it does nothing.
func (h *Hospital) Close() error {
	for _, p := range h.parts {
		p.listener.Close()
	}
	return nil
}

// ConfigFile returns the path of the gateway's configuration.
func (h *Hospital) ConfigFile() string { return filepath.Join(h.dir, configFile) }

// CAFile returns the path of the CA that browsers may be told to trust.
func (h *Hospital) CAFile() string { return filepath.Join(h.dir, caFile) }

// AuditDir returns where the gateway keeps its audit trail.
func (h *Hospital) AuditDir() string { return filepath.Join(h.places.DataDir, "audit") }

// URL returns the address of a path on one of the demo's hosts, for a browser.
func (h *Hospital) URL(host, path string) string {
	_, port, _ := net.SplitHostPort(h.places.Tunnel)
	if port == "443" {
		return "https://" + host + path
	}
	return "https://" + net.JoinHostPort(host, port) + path
}

// TunnelAddr returns the address that the tunnel listens on, for clients that
// do not resolve names under localhost by themselves.
func (h *Hospital) TunnelAddr() string { return h.places.Tunnel }
