package stories_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/anteroom/anteroom/demo"
)

const clientSecret = "a secret of the stories"

// A registration is what a provider knows of the gateway, its client.
type registration struct {
	gate   string // the sign-in host's origin
	caFile string // there once the gateway runs

	key      *jose.JSONWebKey // of a client that has one in place of the secret, and pushes its requests; only the certified provider knows both
	subjects string           // put before a person's name to make their sub; only the certified provider
}

// providers are where the stories are told; each starts one and returns its issuer.
var providers = []struct {
	name  string
	start func(testing.TB, registration) string
}{
	{"certified", startCertified},
	{"demo", startDemo},
}

// startCertified runs the certified npm oidc-provider in a process of its own.
func startCertified(t testing.TB, r registration) string {
	t.Helper()
	options := map[string]any{
		"redirect": r.gate + "/.anteroom/callback", "signedOut": r.gate + "/.anteroom/signed-out",
		"backchannel": r.gate + "/.anteroom/backchannel-logout", "ca": r.caFile, "subjects": r.subjects,
	}
	if r.key != nil {
		options["key"] = r.key
	} else {
		options["secret"] = clientSecret
	}
	arguments, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	said := &output{}
	cmd := exec.Command("node", filepath.Join("..", "provider", "provider.mjs"), string(arguments))
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Read here to the end, since Wait closes the pipe.
	first := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case first <- lines.Text():
			default:
			}
		}
		close(first)
	}()
	start(t, cmd, said, in.Close)
	var started struct{ Issuer string }
	if err := json.Unmarshal([]byte(<-first), &started); err != nil || started.Issuer == "" {
		t.Fatalf("the certified provider did not start: %v\n%s", err, said)
	}
	return started.Issuer
}

// demoKey signs for all demo providers; making one takes long.
var demoKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// startDemo runs the demo hospital's provider in this process.
func startDemo(t testing.TB, r registration) string {
	t.Helper()
	key, err := demoKey()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(nil)
	issuer := "http://" + s.Listener.Addr().String()
	said := &output{}
	p, err := demo.NewProvider(demo.ProviderConfig{
		Issuer: issuer, ClientID: "anteroom", ClientSecret: clientSecret, Key: key,
		RedirectURI: r.gate + "/.anteroom/callback", PostLogoutURI: r.gate + "/.anteroom/signed-out",
		BackchannelURI: r.gate + "/.anteroom/backchannel-logout",
		HTTPClient:     &http.Client{Transport: toGateway(r.caFile)},
		Log:            slog.New(slog.NewTextHandler(said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Config.Handler = p
	s.Start()
	t.Cleanup(func() {
		s.Close()
		if t.Failed() {
			t.Logf("the demo's provider said:\n%s", said)
		}
	})
	return issuer
}

// toGateway finds every host on loopback, and trusts the gateway's CA alone.
func toGateway(caFile string) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			pem, err := os.ReadFile(caFile)
			if err != nil {
				return nil, err
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(pem) {
				return nil, errors.New("no certificate in " + caFile)
			}
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			d := tls.Dialer{Config: &tls.Config{ServerName: host, RootCAs: roots}}
			return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}
}
