// Package docs_test holds what the papers promise against the code.
package docs_test

import (
	"bufio"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v4"

	"github.com/anteroom/anteroom/anteroomtest"
	"github.com/anteroom/anteroom/config"
	"github.com/anteroom/anteroom/routes"
)

const root = "../.."

// clientKey is a private key, of no use to anybody.
var clientKey = func() string {
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}()

// Every example is a good file, and the tests in it hold.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(root + "/examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := config.Parse(filepath.Base(file), text, config.Surroundings{
			Dir: filepath.Dir(file),
			Getenv: func(name string) (string, bool) {
				switch name {
				case "ANTEROOM_CLIENT_SECRET":
					return "an example", true
				case "ANTEROOM_CLIENT_KEY":
					return clientKey, true
				}
				return "", false
			},
		})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		table, err := routes.NewTable(c.Routes)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if wrong := c.Rehearse(table, time.Now()); len(wrong) > 0 {
			t.Errorf("%s: %v", file, wrong)
		}
	}
}

// The chart's own configuration is a good file too.
func TestChartConfiguration(t *testing.T) {
	var values struct{ Config string }
	if err := yaml.Unmarshal([]byte(read(t, "deploy/helm/anteroom/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	_, _, err := config.Parse("values.yaml", []byte(values.Config), config.Surroundings{
		ReadFile: func(name string) ([]byte, error) {
			if name != "/run/secrets/anteroom/oidc" {
				return nil, os.ErrNotExist
			}
			return []byte("a secret"), nil
		},
	})
	if err != nil {
		t.Error(err)
	}
}

// The configuration in the README is the minimal example, so that it works too.
func TestReadmeConfiguration(t *testing.T) {
	example, err := os.ReadFile(root + "/examples/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(example), "\n\n") // without the comment on top
	if readme := read(t, "README.md"); !strings.Contains(readme, "```yaml\n"+want+"```") {
		t.Errorf("README.md does not show examples/minimal.yaml as it is:\n%s", want)
	}
}

// The table of metrics in docs/operate.md has every metric of the gateway, by
// name and type, and no other.
func TestMetricsTable(t *testing.T) {
	told := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `(anteroom_\\w+)`[^|]*\\| (\\w+) \\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/operate.md"), -1) {
		told[m[1]] = m[2]
	}

	given := metricsGiven(t)
	if diff := cmp.Diff(given, told); diff != "" {
		t.Errorf("docs/operate.md differs from package telemetry (-given +told):\n%s", diff)
	}

	g := anteroomtest.Start(t, anteroomtest.Setup{})
	b := g.Browser(t)
	if p := b.Get(g.URL("ehr.test", "/watched/1")); p.Status != http.StatusOK { // signs in, and meets a rule that is only observed
		t.Fatalf("sign in: %d", p.Status)
	}
	c := g.Dial(t, "ehr.test", "http/1.1")
	fmt.Fprint(c, "GET /chart HTTP/1.1\r\nHost: ehr.test\r\nCookie: __Host-anteroom=a; __Host-anteroom=b\r\n\r\n") // a security record
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.Dial("tcp", g.Address, &tls.Config{ServerName: "ehr.test", RootCAs: g.CA, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("a handshake with TLS 1.1")
	}
	until(t, "a refused connection is counted", func() bool { return g.Metric("anteroom_connections_refused_total") > 0 })
	until(t, "the provider was asked", func() bool { return g.Metric("anteroom_provider_up") > 0 })
	typed := regexp.MustCompile(`(?m)^# TYPE (anteroom_\w+) (\w+)$`)
	served := typed.FindAllStringSubmatch(metrics(t, g), -1)
	for _, m := range served {
		if told[m[1]] != m[2] {
			t.Errorf("%s is served as a %s, and docs/operate.md says %q", m[1], m[2], told[m[1]])
		}
	}
	if len(served) < 17 {
		t.Errorf("only %d metrics are served", len(served))
	}
}

// What operators watch says what is so.
func TestNumbers(t *testing.T) {
	g := anteroomtest.Start(t, anteroomtest.Setup{Edit: func(text string) string {
		return strings.ReplaceAll(text, "within: 2m", "within: 1s")
	}})
	b := g.Browser(t)
	is := func(when string, want map[string]float64) {
		t.Helper()
		got := map[string]float64{}
		for name := range want {
			got[name] = g.Metric(name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	is("before anybody came", map[string]float64{"anteroom_sessions": 0, "anteroom_held_requests": 0, "anteroom_signins_total": 0})

	b.Get(g.URL("ehr.test", "/chart/1"))
	is("after a sign-in", map[string]float64{
		"anteroom_sessions": 1, `anteroom_signins_total{outcome="allow"}`: 1, `anteroom_requests_total{reason="",`: 0,
	})
	var held *anteroomtest.Page
	until(t, "a form is held", func() bool { // once the sign-in is more than a second old
		held = b.Post(g.URL("ehr.test", "/orders/7"), "application/x-www-form-urlencoded", "dose=2")
		return strings.Contains(held.Body, "old_login")
	})
	is("while a form is held", map[string]float64{"anteroom_sessions": 1, "anteroom_held_requests": 1})

	b.PostForm(g.URL("ehr.test", "/.anteroom/logout"), nil)
	is("after the sign-out", map[string]float64{"anteroom_sessions": 0})
	b.Get(g.URL("gate.test", "/.anteroom/callback?state=made-up"))
	is("after a made-up callback", map[string]float64{`anteroom_security_events_total{reason="bad_request"}`: 1})
}

// A provider that goes down is noticed while nobody signs in.
func TestProviderUp(t *testing.T) {
	t.Parallel()
	g := anteroomtest.Start(t, anteroomtest.Setup{})
	until(t, "the provider is up", func() bool { return g.Metric("anteroom_provider_up") == 1 })
	g.Provider.Down()
	until(t, "the provider is down", func() bool { return g.Metric("anteroom_provider_up") == 0 })
	g.Provider.Up()
	until(t, "the provider is up again", func() bool { return g.Metric("anteroom_provider_up") == 1 })
	if !strings.Contains(g.Log(), "the provider answers again") {
		t.Error("the log does not say that the provider answers again")
	}
}

// Links from one paper to another lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)|src="([^"]+)"`)
	files := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, _ := filepath.Rel(root, f)
			files = append(files, name)
		}
	}
	shown := map[string]bool{}
	for _, file := range files {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			to := m[1] + m[3]
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			to = filepath.Join(filepath.Dir(file), to)
			shown[to] = true
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s leads to %s: %v", file, to, err)
			}
		}
	}
	pictures, err := filepath.Glob(root + "/docs/screenshots/*.png")
	if err != nil {
		t.Fatal(err)
	}
	ofPages, err := filepath.Glob(root + "/docs/screenshots/pages/*.png")
	if err != nil || len(ofPages) == 0 {
		t.Fatalf("no pictures of the gateway's pages: %v", err)
	}
	pictures = append(pictures, ofPages...)
	for _, p := range pictures {
		name, _ := filepath.Rel(root, p)
		if !shown[name] {
			t.Errorf("%s is shown nowhere", name)
		}
		if info, err := os.Stat(p); err == nil && info.Size() > 200_000 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
}

// What docs/threats.md leans on is there: each file, each guard and each test
// that it names.
func TestThreatsNamesWhatIs(t *testing.T) {
	text := read(t, "docs/threats.md")
	for _, m := range regexp.MustCompile("`([a-z]+(?:/[a-z_]+)*/[a-z_]+\\.go)`").FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("docs/threats.md names %s: %v", m[1], err)
		}
	}
	guards := map[string]bool{}
	files, err := filepath.Glob(root + "/test/mutate/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Name: +"([^"]+)"`).FindAllSubmatch(source, -1) {
			guards[string(m[1])] = true
		}
	}
	lists := regexp.MustCompile(`(?ms)^Guards: (.*?)\n\n`).FindAllStringSubmatch(text, -1)
	if len(lists) != 4 {
		t.Errorf("%d of the four roots list their guards", len(lists))
	}
	for _, list := range lists {
		for _, m := range regexp.MustCompile(`\*([^*]+)\*`).FindAllStringSubmatch(list[1], -1) {
			if name := strings.Join(strings.Fields(m[1]), " "); !guards[name] {
				t.Errorf("docs/threats.md names the guard %q, which is not there", name)
			}
		}
	}

	tests := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
		tests[m[1]] = true
	}
	if len(tests) == 0 {
		t.Error("docs/threats.md names no test")
	}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllSubmatch(source, -1) {
			delete(tests, string(m[1]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Errorf("docs/threats.md names the test %s, which is not there", name)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func metrics(t *testing.T, g *anteroomtest.Gateway) string {
	t.Helper()
	resp, err := http.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// until polls until ok, or fails.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
