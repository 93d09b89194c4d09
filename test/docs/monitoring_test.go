package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const (
	alerts    = root + "/deploy/prometheus/alerts.yaml"
	alertsRun = root + "/deploy/prometheus/alerts_test.yaml"
	dashboard = root + "/deploy/grafana/anteroom.json"
)

// metricsGiven returns the type of each metric of the gateway by its name.
// Some are served only once there is something to count, so the names are read
// where they are given.
func metricsGiven(t *testing.T) map[string]string {
	t.Helper()
	given := map[string]string{}
	sources, err := filepath.Glob(root + "/telemetry/*.go")
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`New(Counter|Gauge|Histogram)(?:Vec|Func)?\(prometheus\.\w+{Name: "(anteroom_\w+)"`)
	described := regexp.MustCompile(`NewDesc\("(anteroom_\w+)"`)
	for _, file := range sources {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made.FindAllStringSubmatch(string(source), -1) {
			given[m[2]] = strings.ToLower(m[1])
		}
		for _, m := range described.FindAllStringSubmatch(string(source), -1) {
			given[m[1]] = "gauge"
		}
	}
	return given
}

// A board is what is read of a Grafana dashboard.
type board struct {
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ H, W, X, Y int }
		Targets                  []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct{ List []struct{ Expr string } }
}

func readBoard(t *testing.T) (b board, queries []string) {
	t.Helper()
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatalf("%s: %v", dashboard, err)
	}
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			queries = append(queries, q.Expr)
		}
	}
	for _, a := range b.Annotations.List {
		queries = append(queries, a.Expr)
	}
	return b, queries
}

// An alarm or a panel about a metric that is not there is silent for ever: each
// that they name is one of the gateway's, and each of the gateway's is shown.
func TestMonitoringNamesWhatIs(t *testing.T) {
	given := metricsGiven(t)
	named := regexp.MustCompile(`\banteroom_[a-z_]+`)
	exists := func(in, metric string) {
		t.Helper()
		if given[metric] == "" && given[strings.TrimSuffix(metric, "_bucket")] != "histogram" {
			t.Errorf("%s names %s, which the gateway does not serve", in, metric)
		}
	}
	for _, file := range []string{alerts, alertsRun} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllString(string(text), -1) {
			exists(file, m)
		}
	}
	b, queries := readBoard(t)
	shown := map[string]bool{}
	for _, q := range queries {
		for _, m := range named.FindAllString(q, -1) {
			exists(dashboard, m)
			shown[strings.TrimSuffix(m, "_bucket")] = true
		}
	}
	for _, v := range b.Templating.List {
		for _, m := range named.FindAllString(v.Definition, -1) {
			exists(dashboard, m)
		}
	}
	for m := range given {
		if !shown[m] {
			t.Errorf("%s does not show %s", dashboard, m)
		}
	}
}

// Each panel says what it is, and lies beside the others.
func TestDashboardPanels(t *testing.T) {
	b, _ := readBoard(t)
	ids := map[int]bool{}
	at := map[[2]int]string{}
	for _, p := range b.Panels {
		if p.Title == "" || ids[p.ID] || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d %q lacks a title, a description, a query or an id of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X+g.W > 24 {
			t.Errorf("panel %q lies outside: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := at[[2]int{x, y}]; other != "" {
					t.Fatalf("panel %q lies on %q", p.Title, other)
				}
				at[[2]int{x, y}] = p.Title
			}
		}
	}
}

// The alarms are those of the table in docs/operate.md.
func TestAlarmsTable(t *testing.T) {
	text, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	if err := yaml.Load(text, &file); err != nil {
		t.Fatal(err)
	}
	var rung []string
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rung = append(rung, r.Alert)
		}
	}
	_, section, _ := strings.Cut(read(t, "docs/operate.md"), "\n## Alarms\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var told []string
	for _, m := range regexp.MustCompile("`(Anteroom[A-Z][A-Za-z]+)`").FindAllStringSubmatch(section, -1) {
		told = append(told, m[1])
	}
	slices.Sort(rung)
	slices.Sort(told)
	if !slices.Equal(rung, told) {
		t.Errorf("the alarms are %v, and docs/operate.md tells of %v", rung, told)
	}
}

// Prometheus reads the alarms, each rings when it should, and every query of
// the dashboard is one.
func TestPrometheusReads(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		promtool, _ = filepath.Abs("../bin/promtool")
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v (test/setup brings it)\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", alerts)
	run("test", "rules", alertsRun)

	// What Grafana puts in the place of a variable.
	filled := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$route", ".*")
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	_, queries := readBoard(t)
	for i, q := range queries {
		q = filled.Replace(q)
		if strings.Contains(q, "$") {
			t.Errorf("a variable that nobody fills: %s", q)
		}
		rules = append(rules, rule{"query:" + string(rune('a'+i/26)) + string(rune('a'+i%26)), q})
	}
	text, err := yaml.Dump(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", file)
}
