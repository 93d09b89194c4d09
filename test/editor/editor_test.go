// Package editor_test holds the JSON Schema of the configuration to what editors
// make of it, by the language server that they use for YAML.
package editor_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// What stands before | is what somebody has typed so far.
func TestCompletion(t *testing.T) {
	e := open(t)
	for _, c := range []struct {
		name, typed string
		want        []string
		not         string
	}{
		{"sections", "|", []string{"gateway", "providers", "routes", "audit"}, "listen"},
		{"keys of a section", "gateway:\n  |", []string{"url", "listen", "data_dir", "trusted_proxies"}, "routes"},
		{"keys of an item", "routes:\n  - name: rx\n    |", []string{"host", "backend", "allow", "device", "rules"}, "gateway"},
		{"deep down", "routes:\n  - name: rx\n    backend:\n      identity:\n        |", []string{"headers", "assertion"}, "url"},
		{"words", "audit:\n  on_failure: |", []string{"deny", "alarm"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := e.complete(t, c.typed)
			for _, w := range c.want {
				if !slices.Contains(got, w) {
					t.Errorf("%q is not offered; there is %q", w, got)
				}
			}
			if c.not != "" && slices.Contains(got, c.not) {
				t.Errorf("%q is offered too", c.not)
			}
		})
	}
}

// An editor finds nothing wrong with the examples, and a typing mistake where it is.
func TestDiagnosis(t *testing.T) {
	e := open(t)
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := e.diagnose(t, string(text)); len(wrong) > 0 {
			t.Errorf("%s: %v", file, wrong)
		}
	}
	text, err := os.ReadFile("../../examples/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wrong := e.diagnose(t, strings.Replace(string(text), "data_dir:", "data_dri:", 1))
	if !slices.ContainsFunc(wrong, func(d string) bool { return strings.Contains(d, "data_dri") }) {
		t.Errorf("a wrong key is not found: %q", wrong)
	}
}

// What the schema says of a key is shown beside it.
func TestHover(t *testing.T) {
	e := open(t)
	uri := e.show("gateway:\n  data_dir: /var/lib/anteroom\n")
	var got struct{ Contents struct{ Value string } }
	e.ask(t, "textDocument/hover", map[string]any{
		"textDocument": map[string]any{"uri": uri}, "position": map[string]int{"line": 2, "character": 4},
	}, &got)
	if len(got.Contents.Value) < 20 {
		t.Errorf("nothing is said of data_dir: %q", got.Contents.Value)
	}
}

// An editor is a running language server that knows the schema.
type editor struct {
	in     io.Writer
	out    *bufio.Reader
	schema string // URI
	shown  int
	asked  int
	found  map[string][]string // diagnostics by URI
}

func open(t *testing.T) *editor {
	t.Helper()
	schema, err := exec.Command(anteroomtest.Build(t, "anteroom"), "schema").Output()
	if err != nil {
		t.Fatalf("anteroom schema: %v", err)
	}
	file := filepath.Join(t.TempDir(), "anteroom.schema.json")
	if err := os.WriteFile(file, schema, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "node_modules/yaml-language-server/bin/yaml-language-server", "--stdio")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the language server: %v (test/setup brings it)", err)
	}
	dog := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() }) // it answers in seconds, or never
	t.Cleanup(func() { dog.Stop(); in.Close(); cmd.Process.Kill(); cmd.Wait() })
	e := &editor{in: in, out: bufio.NewReader(out), schema: "file://" + file, found: map[string][]string{}}
	var hello any
	e.ask(t, "initialize", map[string]any{"processId": nil, "rootUri": nil, "capabilities": map[string]any{}}, &hello)
	e.say("initialized", map[string]any{})
	return e
}

// show opens a file with this text below the line that names the schema, as
// docs/install.md tells people to write it, and returns its URI.
func (e *editor) show(text string) string {
	text = "# yaml-language-server: $schema=" + e.schema + "\n" + text
	e.shown++
	uri := fmt.Sprintf("file:///tmp/file-%d.yaml", e.shown)
	e.say("textDocument/didOpen", map[string]any{"textDocument": map[string]any{"uri": uri, "languageId": "yaml", "version": 1, "text": text}})
	return uri
}

func (e *editor) complete(t *testing.T, typed string) []string {
	t.Helper()
	before, after, _ := strings.Cut(typed, "|")
	uri := e.show(before + after)
	line := strings.Count(before, "\n") + 1 // below the schema's
	var got struct {
		Items []struct{ Label string }
	}
	e.ask(t, "textDocument/completion", map[string]any{
		"textDocument": map[string]any{"uri": uri},
		"position":     map[string]int{"line": line, "character": len(before) - strings.LastIndexByte(before, '\n') - 1},
	}, &got)
	var labels []string
	for _, i := range got.Items {
		labels = append(labels, i.Label)
	}
	return labels
}

// diagnose returns what is said to be wrong with text.
func (e *editor) diagnose(t *testing.T, text string) []string {
	t.Helper()
	uri := e.show(text)
	for {
		if found, ok := e.found[uri]; ok {
			return found
		}
		e.read(t)
	}
}

func (e *editor) say(method string, params any) {
	e.write(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
}

// ask sends a request and waits for its result.
func (e *editor) ask(t *testing.T, method string, params, result any) {
	t.Helper()
	e.asked++
	e.write(map[string]any{"jsonrpc": "2.0", "id": e.asked, "method": method, "params": params})
	for {
		m := e.read(t)
		if m.Method != "" || string(m.ID) != strconv.Itoa(e.asked) {
			continue
		}
		if m.Error != nil {
			t.Fatalf("%s: %s", method, m.Error)
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			t.Fatalf("%s: %v in %s", method, err, m.Result)
		}
		return
	}
}

func (e *editor) write(message any) {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(e.in, "Content-Length: %d\r\n\r\n%s", len(text), text)
}

type message struct {
	ID            json.RawMessage
	Method        string
	Params        json.RawMessage
	Result, Error json.RawMessage
}

// read takes the next message, answers it where it is a question, and keeps what
// it says of files.
func (e *editor) read(t *testing.T) message {
	t.Helper()
	head, err := textproto.NewReader(e.out).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("read from the language server: %v", err)
	}
	n, err := strconv.Atoi(head.Get("Content-Length"))
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(e.out, text); err != nil {
		t.Fatal(err)
	}
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	switch {
	case m.Method == "textDocument/publishDiagnostics":
		var p struct {
			URI         string
			Diagnostics []struct{ Message string }
		}
		if err := json.Unmarshal(m.Params, &p); err != nil {
			t.Fatal(err)
		}
		found := []string{}
		for _, d := range p.Diagnostics {
			found = append(found, d.Message)
		}
		e.found[p.URI] = found
	case m.Method != "" && len(m.ID) > 0: // it asks for settings, which it was told
		e.write(map[string]any{"jsonrpc": "2.0", "id": m.ID, "result": nil})
	}
	return m
}
