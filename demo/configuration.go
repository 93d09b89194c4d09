package demo

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v4"
)

//go:embed anteroom.yaml.tmpl
var configurationText string

var configuration = template.Must(template.New("anteroom.yaml").
	Funcs(template.FuncMap{"quote": quoteYAML}).Parse(configurationText))

const (
	configFile = "anteroom.yaml"
	secretFile = "client-secret"
	clientID   = "anteroom"
)

// places are the addresses of the demo's parts, host:port each.
type places struct {
	Tunnel, Gateway, Admin, Provider, Pharmacy, Imaging, Record, Scheduling, Collector string

	DataDir string // the gateway's
	URL     string // gateway.url
}

// usualPlaces are where the parts listen unless a configuration says otherwise.
func usualPlaces(tunnel string) places {
	return places{
		Tunnel: tunnel, Gateway: "127.0.0.1:9443", Admin: "127.0.0.1:9180",
		Provider: "127.0.0.1:9100", Pharmacy: "127.0.0.1:9101", Imaging: "127.0.0.1:9102",
		Record: "127.0.0.1:9103", Scheduling: "127.0.0.1:9104", Collector: "127.0.0.1:9105",
	}
}

// freePlaces let every part but the tunnel take a free port.
func freePlaces(tunnel string) places {
	const free = "127.0.0.1:0"
	return places{
		Tunnel: tunnel, Gateway: free, Admin: free, Provider: free, Pharmacy: free, Imaging: free,
		Record: free, Scheduling: free, Collector: free,
	}
}

// writeConfiguration writes a configuration for p at path, which must not exist.
func writeConfiguration(path, dir string, p places) error {
	_, port, err := net.SplitHostPort(p.Tunnel)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	var b bytes.Buffer
	if err := configuration.Execute(&b, map[string]string{
		"Port": port, "Gateway": p.Gateway, "Admin": p.Admin, "Pharmacy": p.Pharmacy, "Imaging": p.Imaging,
		"Record": p.Record, "Scheduling": p.Scheduling, "Collector": p.Collector,
		"Issuer": "http://" + p.Provider, "ClientID": clientID, "SecretRef": "${file:" + filepath.Join(dir, secretFile) + "}",
		"DataDir":  filepath.Join(dir, "data"),
		"GateHost": GateHost, "PharmacyHost": PharmacyHost, "ImagingHost": ImagingHost, "ACRMFA": ACRMFA,
		"RecordHost": RecordHost, "SchedulingHost": SchedulingHost, "StoryHost": StoryHost,
	}); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(b.Bytes())
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// quoteYAML returns s in single quotes, in which only they are special.
func quoteYAML(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// readConfiguration returns where an existing configuration puts the parts.
// Checking the rest of it is the gateway's work. The error is
// [fs.ErrNotExist] when there is no file.
func readConfiguration(path string) (places, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return places{}, err
	}
	var c struct {
		Gateway struct {
			URL         string
			Listen      string
			AdminListen string `yaml:"admin_listen"`
			DataDir     string `yaml:"data_dir"`
		}
		Providers []struct{ Issuer string }
		Routes    []struct {
			Host    string
			Backend struct{ URL string }
		}
		Telemetry struct{ OTLP string }
	}
	if err := yaml.Load(b, &c); err != nil {
		return places{}, fmt.Errorf("read %s: %w", path, err)
	}
	missing := func(what string) (places, error) {
		return places{}, fmt.Errorf("%s does not say %s, which the demo needs: put it back, or move the file away to get a fresh one", path, what)
	}
	p := places{Gateway: c.Gateway.Listen, Admin: c.Gateway.AdminListen, DataDir: c.Gateway.DataDir, URL: c.Gateway.URL}
	gate, err := url.Parse(c.Gateway.URL)
	switch {
	case err != nil || gate.Hostname() != GateHost:
		return missing("gateway.url with the host " + GateHost)
	case p.Gateway == "":
		return missing("gateway.listen")
	case p.Admin == "":
		return missing("gateway.admin_listen")
	case p.DataDir == "":
		return missing("gateway.data_dir")
	case len(c.Providers) == 0:
		return missing("a provider")
	}
	port := gate.Port()
	if port == "" {
		port = "443"
	}
	p.Tunnel = net.JoinHostPort("127.0.0.1", port)
	if p.Provider, err = hostOf(c.Providers[0].Issuer); err != nil {
		return missing("the issuer of its provider as http://127.0.0.1:PORT")
	}
	applications := []struct {
		host string
		at   *string
	}{{PharmacyHost, &p.Pharmacy}, {ImagingHost, &p.Imaging}, {RecordHost, &p.Record}, {SchedulingHost, &p.Scheduling}}
	for _, a := range applications {
		for _, r := range c.Routes {
			if at, err := hostOf(r.Backend.URL); err == nil && r.Host == a.host && *a.at == "" {
				*a.at = at
			}
		}
		if *a.at == "" {
			return missing("a route for " + a.host)
		}
	}
	if p.Collector, err = hostOf(c.Telemetry.OTLP); err != nil {
		p.Collector = "127.0.0.1:0" // spans go to a collector of somebody's own, or nowhere
	}
	if !filepath.IsAbs(p.DataDir) {
		p.DataDir = filepath.Join(filepath.Dir(path), p.DataDir)
	}
	return p, nil
}

// hostOf returns the host:port of an http URL that says both.
func hostOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" || u.Port() == "" {
		return "", errors.New("no http URL with a port")
	}
	return u.Host, nil
}

// clientSecret returns the secret that gateway and provider share, from dir,
// or makes one (0600) when there is none.
func clientSecret(dir string, random func() string) (string, error) {
	path := filepath.Join(dir, secretFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret := random()
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("keep client secret: %w", err)
		}
		return secret, nil
	}
	if err != nil {
		return "", fmt.Errorf("read client secret: %w", err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("%s is empty: remove it to make a new secret", path)
	}
	return secret, nil
}
