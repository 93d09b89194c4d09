package attack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// Where Debian keeps what the frameworks need; test/setup installs it.
const (
	apacheModules = "/usr/lib/apache2/modules"
	tomcatHome    = "/usr/share/tomcat10"
	jspCompiler   = "/usr/share/java/eclipse-jdt-core.jar"
)

// frameworks are real servers that tell what they made of a request.
var frameworks = [...]struct {
	host  string
	start func(t *testing.T, port string)
}{
	{"php.test", func(t *testing.T, port string) {
		run(t, "php", "-S", "127.0.0.1:"+port, "testdata/frameworks/echo.php")
	}},
	{"wsgi.test", func(t *testing.T, port string) { run(t, "python3", "testdata/frameworks/echo.py", port) }},
	{"node.test", func(t *testing.T, port string) { run(t, "node", "testdata/frameworks/echo.mjs", port) }},
	{"cgi.test", startApache},
	{"tomcat.test", startTomcat},
}

// run starts a program, with next to no environment, until t ends.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: test/setup installs it", err)
	}
	c := exec.Command(path, args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LC_ALL=C.UTF-8"}
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // with the children that it has
		c.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.Bytes())
		}
	})
}

// place returns a directory that another user may enter, too.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "frameworks")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startApache(t *testing.T, port string) {
	dir := place(t)
	for name, mode := range map[string]fs.FileMode{"httpd.conf": 0o644, "echo.cgi": 0o755} {
		text, err := os.ReadFile(filepath.Join("testdata/frameworks", name))
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.NewReplacer("{dir}", dir, "{port}", port, "{modules}", apacheModules).Replace(string(text)))
		if err := os.WriteFile(filepath.Join(dir, name), text, mode); err != nil {
			t.Fatal(err)
		}
	}
	program := "apache2"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/apache2" // which is not in everybody's PATH
	}
	run(t, program, "-DFOREGROUND", "-f", filepath.Join(dir, "httpd.conf"))
}

func startTomcat(t *testing.T, port string) {
	dir := place(t)
	if err := os.CopyFS(dir, os.DirFS("testdata/frameworks/tomcat")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"temp", "logs", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "java", "-cp", strings.Join([]string{tomcatHome + "/bin/bootstrap.jar", tomcatHome + "/bin/tomcat-juli.jar", jspCompiler}, ":"),
		"-XX:TieredStopAtLevel=1", "-Dport="+port, "-Dcatalina.home="+tomcatHome, "-Dcatalina.base="+dir, "-Djava.io.tmpdir="+dir+"/temp",
		"org.apache.catalina.startup.Bootstrap", "start")
}

// A seen request is what a framework made of it.
type seen struct {
	Vars         map[string]string
	Method, Path string
	Body         int
}

// read reads a framework's answer; false when it is none.
func (s *seen) read(a *answer) bool {
	switch a.header.Get("Content-Type") {
	case "application/json":
		return json.Unmarshal([]byte(a.body), s) == nil
	case "application/x-environ", "application/x-environ;charset=ISO-8859-1":
		s.Vars = make(map[string]string)
		for part := range strings.SplitSeq(a.body, "\x00") {
			if name, value, ok := strings.Cut(part, "="); ok {
				s.Vars[name] = value
			}
		}
		s.Method, s.Path = s.Vars["REQUEST_METHOD"], s.Vars["PATH_INFO"]
		return true
	}
	return false
}

// sealed checks that nothing that the framework tells its program of is a
// protected name with another value than the gateway's.
func (s *seen) sealed(w *world, c *attempt, who *person) error {
	from := c.source()
	if c.client != "" {
		from = c.client
	}
	want := map[string]string{"xforwardedfor": from, "xforwardedproto": "https", "xforwardedhost": c.req.host() + ":" + w.Port, "xrequestid": c.header.Get("X-Request-Id")}
	if who.username != "" {
		want["xremoteuser"], want["xremoteroles"], want["xremotename"] = who.username, who.roles, who.name
	}
	found := map[string]bool{}
	for name, value := range s.Vars {
		name = strings.TrimPrefix(name, "parsed ")
		skeleton := bones(name)
		wanted, ok := want[skeleton]
		switch {
		case skeleton == "xanteroomassertion" && who.username != "":
			if err := w.genuine(value, who.sub); err != nil {
				return err
			}
		case ok && value != wanted:
			return fmt.Errorf("%s is %q, want %q", name, value, wanted)
		case !ok && forbidden(name):
			return fmt.Errorf("%s is %q", name, value)
		}
		found[skeleton] = true
	}
	for name, value := range want {
		if value != "" && !found[name] {
			return fmt.Errorf("no %s", name)
		}
	}
	return nil
}

// TestFrameworks sends the rows about names, paths and bodies, which servers
// read in ways of their own, to real ones.
func TestFrameworks(t *testing.T) {
	w := &world{Backend: newRecorder(t), people: map[string]*person{"": {}}}
	var config strings.Builder
	config.WriteString("\nroutes:")
	var ports []string
	for _, f := range frameworks {
		port := free(t)
		ports = append(ports, port)
		name, _, _ := strings.Cut(f.host, ".")
		for i, host := range []string{f.host, "loose-" + f.host} {
			open := "{url: http://127.0.0.1:" + port + []string{"", ", tolerate: [path_params, double_slash, encoded_slash]"}[i]
			backend := open + ", identity: {headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}, assertion: {header: X-Anteroom-Assertion, audience: ehr}}}"
			fmt.Fprintf(&config, "\n  - {name: %[1]s %[2]d, host: %[3]s, path: /, allow: {roles: [nurse]}, device: none, backend: %[4]s}"+
				"\n  - {name: %[1]s %[2]d admin, host: %[3]s, path: /admin, allow: {roles: [admin]}, device: none, backend: %[4]s}"+
				"\n  - {name: %[1]s %[2]d open, host: %[3]s, path: /pub, allow: public, device: none, backend: %[5]s}}", name, i, host, backend, open)
		}
	}
	for i, f := range frameworks {
		f.start(t, ports[i])
	}
	w.Gateway = anteroomtest.Start(t, anteroomtest.Setup{Edit: func(s string) string {
		return strings.Replace(w.catalogue(s), "\nroutes:", config.String(), 1)
	}})
	w.foreign = "e30.e30.e30"
	w.people["nora"] = w.signIn(t, anteroomtest.Nora, nil)
	w.people["eve"] = w.signIn(t, anteroomtest.Eve, nil)
	for i, f := range frameworks {
		up(t, "127.0.0.1:"+ports[i])
		for _, host := range []string{f.host, "loose-" + f.host} {
			w.people["nora"].browser.Get(w.URL(host, "/"))
			w.people["eve"].browser.Get(w.URL(host, "/"))
		}
	}
	all := slices.Concat(groupA(), groupB(), groupC(), groupE())
	for _, f := range frameworks {
		t.Run(f.host, func(t *testing.T) {
			for _, r := range all {
				switch r.id {
				case "A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "E10":
				default:
					continue
				}
				if r.as == "adam" {
					continue
				}
				told.note(f.host, t.Run(r.id+"/"+r.name, func(t *testing.T) { w.show(t, r, f.host) }))
			}
		})
	}
}

// show sends a row to a framework's host and judges what that made of it.
func (w *world) show(t *testing.T, r row, host string) {
	r.t = t
	for _, req := range r.send {
		loose := req.name == "loose.test"
		req = req.at(host)
		if loose {
			req = req.at("loose-" + host)
		}
		c := &attempt{row: r, req: req, answer: w.send(t, req, r.as, r.source())}
		var s seen
		told := c.body != "" && s.read(c.answer) // the answer to a HEAD tells nothing
		who := w.people[r.as]
		if strings.HasPrefix(strings.ToLower(s.Path), "/pub") {
			who = &person{}
		}
		switch {
		case !told && c.status == 200 && c.body != "":
			t.Errorf("an answer of nobody's: %v %.200s", c.header, c.body)
		case !told:
		case r.as == "eve" && !strings.HasPrefix(s.Path, "/pub") || strings.HasPrefix(strings.ToLower(s.Path), "/admin"):
			t.Errorf("it got %s %s\nfor %q %v", s.Method, s.Path, req.raw, req.fields)
		case r.id == "B7" && s.Method != "GET":
			t.Errorf("it took %s for the method", s.Method)
		default:
			if err := s.sealed(w, c, who); err != nil {
				t.Errorf("%v\nfor %q %v\n%v", err, req.raw, req.fields, s.Vars)
			}
		}
		if r.as == "nora" && r.id == "A1" && !told {
			t.Errorf("status %d and no word of the framework's", c.status)
		}
		// Whatever was sent, the next request gets its own answer.
		next := w.send(t, h1("GET /chart/well").at(req.name), "nora", stranger)
		var after seen
		if !after.read(next) || next.status != 200 || after.Path != "/chart/well" || after.Method != "GET" {
			t.Errorf("a normal request afterwards: %d %+v\nfor %q", next.status, after, req.raw)
		}
	}
}

// up waits until somebody listens at address.
func up(t *testing.T, address string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var c net.Conn
		if c, err = net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
	}
	t.Fatal(errors.Join(errors.New("a framework does not start"), err))
}
