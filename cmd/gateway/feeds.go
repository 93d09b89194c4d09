package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/feed"
	"github.com/anteroom/anteroom/audit/fhir"
	"github.com/anteroom/anteroom/audit/otlp"
	"github.com/anteroom/anteroom/audit/syslog"
	"github.com/anteroom/anteroom/config"
)

// copies is what logs and metrics call the copying of checkpoints.
const copies = "copy"

// atOnce is how soon a sink settles that has the other side's word.
const atOnce = -1

// A fan is every feed of the trail.
type fan struct{ feeds []*feed.Feed }

// needed returns the oldest segment that a feed has still to read.
func (f *fan) needed() string {
	oldest := ""
	for _, one := range f.feeds {
		if s := one.Needed(); s != "" && (oldest == "" || audit.SegmentBefore(s, oldest)) {
			oldest = s
		}
	}
	return oldest
}

// run runs every feed until ctx ends, and returns when the last has stopped.
func (f *fan) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, one := range f.feeds {
		all.Go(func() { one.Run(ctx) })
	}
	all.Wait()
}

// feeds opens the feeds of the configuration where they had come to.
func (g *running) feeds(dir, version string) (*fan, error) {
	c := g.loaded.load().Config
	out := &fan{}
	open := func(name string, first bool, settle time.Duration, s feed.Sink) error {
		f, err := feed.Open(feed.Config{
			Name: name, Dir: filepath.Join(dir, "audit"), Place: filepath.Join(dir, "feeds", name+".json"),
			Sink: s, Meter: g.telemetry, Log: g.log, First: first, SettleEvery: settle,
		})
		if err != nil {
			return err
		}
		out.feeds = append(out.feeds, f)
		return nil
	}
	for _, f := range c.Audit.Feeds {
		sink, settle, err := g.sink(c, f, version)
		if err == nil {
			err = open(f.Name, f.Oldest, settle, sink)
		}
		if err != nil {
			return nil, fmt.Errorf("feed %s: %w", f.Name, err)
		}
	}
	if c.Audit.CopyDir != "" {
		if err := open(copies, true, atOnce, &audit.Copy{Journal: filepath.Join(dir, "audit"), Dir: c.Audit.CopyDir}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (g *running) sink(c *config.Config, f config.Feed, version string) (feed.Sink, time.Duration, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CAFile != "" {
		text, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, 0, err
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(text) {
			return nil, 0, errors.New("its ca_file holds no certificate that can be read")
		}
	}
	switch f.Type {
	case "syslog":
		host, _, err := net.SplitHostPort(f.Address)
		if err != nil {
			return nil, 0, err
		}
		trust.ServerName = host
		if pair := f.Pair; pair.CertFile != "" {
			trust.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				cert, err := tls.LoadX509KeyPair(pair.CertFile, pair.KeyFile)
				return &cert, err
			}
		}
		site := c.Gateway.URL.Host
		return &syslog.Sender{Address: f.Address, TLS: trust, Framer: syslog.Framer{
			Format: syslog.Format(f.Format), Host: c.Gateway.URL.Hostname(), Mapper: fhir.Mapper{Site: site, PatientSystem: c.Audit.PatientSystem},
		}}, 0, nil
	case "otlp":
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = trust
		return &otlp.Sender{URL: f.URL, Whole: f.Whole, Site: c.Gateway.URL.Host, Version: version, Client: &http.Client{Transport: transport}, Log: g.log}, atOnce, nil
	}
	return nil, 0, fmt.Errorf("unknown type %q", f.Type)
}

// sameFeeds reports whether feeds of the trail stay as they are.
func sameFeeds(a, b config.Audit) bool {
	return slices.Equal(a.Feeds, b.Feeds) && a.CopyDir == b.CopyDir && a.PatientSystem == b.PatientSystem
}
