package faults_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// tableOf returns text as one of two tables that agree in nothing: where one
// denies the other allows, and each tells the backend who is there under a name
// of its own and for an audience of its own. A request that met some of both
// would show it.
func tableOf(text, name, denied string) string {
	text = strings.Replace(text, "{X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}", "{X-Table-"+strings.ToUpper(name)+": username}", 1)
	text = strings.Replace(text, "audience: ehr,", "audience: "+name+",", 1)
	return strings.Replace(text, "      - name: watched\n", `      - name: table `+name+`
        when: {path: /flip/`+denied+`/**}
        require: {roles: [admin]}
      - name: watched
`, 1)
}

// TestR1Reload changes the table under load, by signal and by changing the
// file in turn. Every answer must be that of one table whole.
func TestR1Reload(t *testing.T) {
	e := begin(t, "R1")
	reloads, rate, sockets := choose(16, 50), 300, 200
	between := choose(250*time.Millisecond, 1340*time.Millisecond)
	g := start(t, setup{})
	g.Backend.Handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		fmt.Fprint(w, seenTable(r.Header))
	})
	tables := [2]string{tableOf(g.text, "a", "a"), tableOf(g.text, "b", "b")}
	next := 0
	swap := func() {
		g.configure(tables[next%2])
		if next%2 == 0 {
			g.signal(syscall.SIGHUP)
		}
		next++
	}
	swap()
	eventually(t, 5*time.Second, "the first table", func() bool { return g.metric("anteroom_config_reloads_total") >= 1 })
	b := g.signedIn(t)
	cookie := cookieOf(b, "ehr.test")
	clients := []*http.Client{g.client(t, false, 64), g.client(t, true, 0)}
	var mixed, seen sync.Map
	send := func(i int) (int, error) {
		path := [2]string{"a", "b"}[i%2]
		a, err := call(t.Context(), clients[i/2%2], http.MethodGet, g.URL("ehr.test", "/flip/"+path), cookie, nil)
		if err != nil {
			return 0, err
		}
		var by string
		switch a.status {
		case http.StatusForbidden: // by the table that denies this path
			by = ruleOf(a.body)
			if by != path {
				mixed.Store(fmt.Sprintf("%s denied by table %q", path, by), true)
			}
		case http.StatusOK: // by the other, and all of it
			by = a.body
			if other := [2]string{"b", "a"}[i%2]; by != other {
				mixed.Store(fmt.Sprintf("%s allowed by table %q", path, by), true)
			}
		default:
			return a.status, fmt.Errorf("status %d: %s", a.status, tail(a.body, 200))
		}
		seen.Store(by, true)
		return a.status, nil
	}
	var open []*websocket.Conn
	for range sockets {
		open = append(open, dialEcho(t, g, cookie))
	}
	during(t, time.Second, rate, send) // warms connections and code up
	calm := choose(time.Second, 15*time.Second)
	quiet := during(t, calm, rate, send).p99()
	before := g.metric("anteroom_config_reloads_total")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan *tally)
	go func() { result <- atRate(ctx, rate, send) }()
	for range reloads {
		time.Sleep(between)
		was := g.metric("anteroom_config_reloads_total")
		swap()
		eventually(t, 10*time.Second, "the reload", func() bool { return g.metric("anteroom_config_reloads_total") > was })
	}
	cancel()
	y := <-result
	done := g.metric("anteroom_config_reloads_total") - before
	alive := 0
	for i, c := range open {
		if err := askEcho(t.Context(), c, fmt.Sprint("still there? ", i)); err == nil {
			alive++
		}
	}
	e.figure("%d reloads, %d requests at %d/s, %d failed", int(done), y.total(), rate, len(y.failed))
	wrong := 0
	mixed.Range(func(k, _ any) bool { wrong++; t.Error(k); return true })
	_, a := seen.Load("a")
	_, bb := seen.Load("b")
	e.must(len(y.failed) == 0, "%d requests failed: %s", len(y.failed), y.first())
	e.must(wrong == 0, "answers of some of both tables")
	e.must(a && bb, "only one of the tables was ever met")
	e.must(int(done) >= reloads, "only %d of %d reloads happened", int(done), reloads)
	e.must(alive == sockets, "%d of %d WebSockets survived", alive, sockets)
	e.figure("every answer by one table whole, %d of %d WebSockets alive", alive, sockets)
	quiet = max(quiet, during(t, calm, rate, send).p99()) // this machine has neighbours, who come and go
	e.figure("p99 %v, %v without reloads", round(y.p99()), round(quiet))
	e.within(y.p99()-quiet, 50*time.Millisecond, "p99 rose by")
}

// seenTable returns which tables a request at the backend was written by: one
// letter when its header and its assertion agree.
func seenTable(h http.Header) string {
	var by []string
	for _, name := range []string{"a", "b"} {
		if h.Get("X-Table-"+name) == "nora" {
			by = append(by, name)
		}
	}
	var claims struct{ Aud string }
	if parts := strings.Split(h.Get("X-Anteroom-Assertion"), "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		json.Unmarshal(payload, &claims)
	}
	if len(by) != 1 || claims.Aud != by[0] {
		return fmt.Sprintf("headers of %v with an assertion for %q", by, claims.Aud)
	}
	return by[0]
}

// ruleOf returns the table that a problem's rule belongs to.
func ruleOf(problem string) string {
	var p struct{ Rule string }
	json.Unmarshal([]byte(problem), &p)
	return strings.TrimPrefix(p.Rule, "table ")
}

// echo is a backend that says over a WebSocket what it is told.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the gateway has judged the origin
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, message, err := c.Read(context.Background())
		if err != nil || c.Write(context.Background(), kind, message) != nil {
			return
		}
	}
}

// dialEcho opens a WebSocket to [echo] through the gateway.
func dialEcho(t testing.TB, g *process, cookie string) *websocket.Conn {
	t.Helper()
	client := &http.Client{Transport: g.Transport(false)}
	c, _, err := websocket.Dial(t.Context(), g.URL("ehr.test", "/socket"), &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: http.Header{"Cookie": {cookie}, "Origin": {g.Origin("ehr.test")}},
	})
	if err != nil {
		t.Fatalf("open a WebSocket: %v", err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// askEcho sends a message and expects it back.
func askEcho(ctx context.Context, c *websocket.Conn, message string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return err
	}
	_, got, err := c.Read(ctx)
	if err == nil && string(got) != message {
		err = errors.New("another message came back")
	}
	return err
}

// TestR2BadConfig offers configurations that are wrong in forty ways. Each must
// be refused in time and by its place in the file, while the old one serves.
func TestR2BadConfig(t *testing.T) {
	e := begin(t, "R2")
	g := start(t, setup{files: map[string][]byte{"junk.pem": []byte("not a certificate")}})
	b := g.signedIn(t)
	client, cookie := g.client(t, false, 1), cookieOf(b, "ehr.test")
	var slowest time.Duration
	refused, placed, served, zeroed := 0, 0, 0, 0
	broken := brokenConfigs(g.text)
	for _, c := range broken {
		from := len(g.log.String())
		g.configure(c.text)
		began := time.Now()
		g.signal(syscall.SIGHUP)
		eventually(t, 10*time.Second, "the refusal of "+c.name, func() bool {
			return strings.Contains(g.log.String()[from:], "is refused") || strings.Contains(g.log.String()[from:], "is in force")
		})
		took := time.Since(began)
		// The same lines tell what is wrong; they may follow the first.
		told := func() string { return g.log.String()[from:] }
		if !strings.Contains(told(), "is refused") {
			t.Errorf("%s: taken", c.name)
			continue
		}
		refused++
		slowest = max(slowest, took)
		eventually(t, 5*time.Second, "what is wrong with "+c.name, func() bool { return strings.Contains(told(), "anteroom.yaml:") })
		placed++
		if g.metric("anteroom_config_reload_success") == 0 {
			zeroed++
		} else {
			t.Errorf("%s: anteroom_config_reload_success is not 0", c.name)
		}
		if g.status(t, client, "/chart", cookie) == http.StatusOK {
			served++
		}
	}
	g.configure(g.text)
	g.signal(syscall.SIGHUP)
	eventually(t, 5*time.Second, "a good configuration after the bad ones", func() bool { return g.metric("anteroom_config_reload_success") == 1 })
	e.figure("%d of %d bad files refused, %v at most", refused, len(broken), round(slowest))
	e.figure("%d told by file and line, the old one served after %d, the metric 0 after %d", placed, served, zeroed)
	e.must(refused == len(broken) && served == refused && zeroed == refused, "some were not refused whole")
	e.within(slowest, time.Second, "the slowest refusal took")
}

type brokenConfig struct{ name, text string }

// brokenConfigs returns the configuration good, made wrong in forty ways.
func brokenConfigs(good string) []brokenConfig {
	var all []brokenConfig
	edit := func(name, old, by string) {
		if !strings.Contains(good, old) {
			panic("the configuration has no " + old)
		}
		all = append(all, brokenConfig{name, strings.Replace(good, old, by, 1)})
	}
	edit("duplicate key", "audit: {on_failure: deny}", "audit: {on_failure: deny}\naudit: {on_failure: alarm}")
	edit("duplicate key within", "    device: none\n", "    device: none\n    device: clinical\n")
	edit("tab", "providers:\n", "providers:\n\t- x\n")
	edit("unclosed brace", "roles: [nurse, physician, admin]}", "roles: [nurse, physician, admin]")
	edit("unclosed string", `help: "Service desk, extension 4000"`, `help: "Service desk`)
	edit("alias bomb", "gateway:\n", bomb()+"gateway:\n")
	edit("alias to itself", "telemetry: {sample: 0.05}", "telemetry: &t {sample: *t}")
	edit("unknown key", "  admin_listen:", "  admin_lisen:")
	edit("unknown section", "posture:\n", "postures:\n")
	edit("unreadable CA", "      timeout: 5s\n", "      timeout: 5s\n      ca_file: nowhere.pem\n")
	edit("CA that is none", "      timeout: 5s\n", "      timeout: 5s\n      ca_file: junk.pem\n")
	edit("secret file that is not there", "${file:secret}", "${file:nowhere}")
	edit("secret in the file", "${file:secret}", "plain-text-secret")
	edit("secret of an unset variable", "${file:secret}", "${env:ANTEROOM_NO_SUCH_VARIABLE}")
	edit("unknown role", "roles: [nurse, physician, admin]", "roles: [nurse, fysician]")
	edit("unknown profile", "device: clinical", "device: klinical")
	edit("unknown login", "require: {login: strong}", "require: {login: strng}")
	edit("unknown check", "checks: [not_jailbroken, managed,", "checks: [not_jailbroken, manged,")
	edit("route without allow", "    allow: {roles: [nurse, physician, admin]}\n", "")
	edit("route without device", "    device: none\n", "")
	edit("route without host", "    host: img.test\n", "")
	edit("two routes for one place", "    path: /admin\n", "    path: /\n")
	edit("path that is relative", "path: /admin", "path: admin")
	edit("bad duration", "timeout: 5s", "timeout: 5 seconds")
	edit("bare number", "timeout: 5s", "timeout: 5")
	edit("bad size", "max_body: 8MiB", "max_body: 8 megs")
	edit("negative duration", "within: 2m", "within: -2m")
	edit("held too large", "keep_request: 64KiB", "keep_request: 600KiB")
	edit("bad CIDR", "cidr: [127.0.0.1/32]", "cidr: [127.0.0.1/33]")
	edit("bad method", "methods: [POST, PUT, PATCH, DELETE]", "methods: [POST, PUTT]")
	edit("bad pattern", "path: /orders/**", "path: /orders/***")
	edit("bad identity value", "X-Remote-User: username", "X-Remote-User: usrname")
	edit("bad header name", "X-Remote-User: username", `"X Remote": username`)
	edit("bad issuer", "issuer: http://127.0.0.1", "issuer: http://hospital.test")
	edit("backend with a path", "timeout: 5s\n", "timeout: 5s\n      host_header: a/b\n")
	edit("audience of nothing", "audit: {on_failure: deny}", "audit: {on_failure: maybe}")
	edit("sample over one", "sample: 0.05", "sample: 5")
	edit("lock after end", "lock_after: 5m, end_after: 30m", "lock_after: 50m, end_after: 30m")
	edit("route that widens", "session: {lock_after: 2m}", "session: {lock_after: 20m}")
	edit("rule that demands nothing", "require: {each_time: true}", "require: {}")
	edit("version of an OS", `"18.7.3"`, `"eighteen"`)
	all = append(all, brokenConfig{"empty", ""}, brokenConfig{"binary", "\x00\x01\x02"}, brokenConfig{"half", good[:len(good)/2]})
	return all
}

// bomb is YAML that grows to billions of values when its aliases are followed.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	return b.String()
}
