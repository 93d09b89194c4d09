package canary_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A place is where a mark may be found.
type place uint8

const (
	log   place = 1 << iota // what the process and the command line print
	spans                   // what the collector gets
	numbers
	trail // the audit files
	page  // the body of an answer of the gateway's own
	disk  // data_dir but for the audit files, and the directory for temporary files
	environ
	dump
)

var placeNames = map[place]string{
	log: "log", spans: "spans", numbers: "metrics", trail: "audit trail", page: "page of the gateway", disk: "disk",
	environ: "environment or command line", dump: "core dump",
}

// A mark is a value that stands out, and where it may stand.
type mark struct {
	what, value string
	may         place
}

// Marks are all that is looked for. They grow as the gateway hands out more.
type marks struct {
	mu  sync.Mutex
	all []mark
}

// add looks for value from now on. Too short a value says nothing when it is found.
func (m *marks) add(what, value string, may place) {
	if len(value) < 12 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.all, func(k mark) bool { return k.value == value }) {
		m.all = append(m.all, mark{what, value, may})
	}
}

func (m *marks) list() []mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

// must returns the mark that is called what.
func (m *marks) must(t *testing.T, what string) mark {
	t.Helper()
	for _, k := range m.list() {
		if k.what == what {
			return k
		}
	}
	t.Fatalf("nothing is marked as %q: the story did not get that far", what)
	return mark{}
}

// search reports every mark in text that may not stand at where. name says
// which text it is.
func (m *marks) search(t *testing.T, where place, name string, text []byte) {
	t.Helper()
	text = bytes.ReplaceAll(text, make([]byte, 64), nil) // files that are laid out before they are filled
	lowered := lower(text)
	for _, k := range m.list() {
		if k.may&where != 0 {
			continue
		}
		if as, at := k.find(text, lowered); at >= 0 {
			t.Errorf("%s stands in the %s (%s), %s: …%q…", k.what, placeNames[where], name, as, around(text, at))
		}
	}
}

func around(text []byte, at int) []byte { return text[max(0, at-120):min(len(text), at+120)] }

// find returns how the mark is spelled where it stands first in text, and
// where; -1 when it does not. lowered is text by [lower].
func (k mark) find(text, lowered []byte) (as string, at int) {
	for as, s := range spellings(k.value) {
		if at := bytes.Index(lowered, lower([]byte(s))); at >= 0 {
			return as, at
		}
	}
	for _, s := range base64Of(k.value) {
		if at := bytes.Index(text, []byte(s)); at >= 0 {
			return "in base64", at
		}
	}
	return "", -1
}

// lower returns text with its ASCII letters in lower case, at the same places.
func lower(text []byte) []byte {
	low := bytes.Clone(text)
	for i, c := range low {
		if 'A' <= c && c <= 'Z' {
			low[i] = c + 'a' - 'A'
		}
	}
	return low
}

// spellings returns the ways in which text is written into text. Case is of no account.
func spellings(v string) map[string]string {
	quoted := strconv.Quote(v)
	asJSON, _ := json.Marshal(v) // a string always has a JSON form
	return map[string]string{
		"as it is": v, "quoted": quoted[1 : len(quoted)-1], "in JSON": string(asJSON[1 : len(asJSON)-1]),
		"as a query": url.QueryEscape(v), "as a path": url.PathEscape(v), "in hex": hex.EncodeToString([]byte(v)),
	}
}

// base64Of returns what v looks like within the base64 of a longer text, at
// each of the three places where it can begin.
func base64Of(v string) []string {
	var all []string
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			s := e.EncodeToString(append(make([]byte, before), v...))
			s = s[[3]int{0, 2, 3}[before]:] // what also holds bits of what comes before
			if (before+len(v))%3 != 0 {
				s = s[:len(s)-1] // or after
			}
			all = append(all, s)
		}
	}
	return all
}

// files returns every file under dir but those under except, by name.
func files(t *testing.T, dir string, except ...string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(except, path):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		all[path] = text
		return err
	})
	if err != nil {
		t.Fatalf("read %s: %v", dir, err)
	}
	return all
}

// unpacked returns body, and when it is gzip what is in it.
func unpacked(body []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	var out bytes.Buffer
	out.ReadFrom(r)
	return out.Bytes()
}

// What looks for marks must find them, or all else here says nothing.
func TestSearchFinds(t *testing.T) {
	k := mark{what: "secret", value: "a/secret+of 31 \x1b bytes&=%\"'\\'"}
	asJSON, _ := json.Marshal("x" + k.value + "y")
	for name, text := range map[string]string{
		"plain": "so " + k.value + " it is", "upper case": strings.ToUpper(k.value),
		"query": "?a=" + url.QueryEscape(k.value) + "&b", "path": "/" + url.PathEscape(k.value) + "/",
		"JSON": string(asJSON), "Go": strconv.Quote(k.value + "."), "hex": hex.EncodeToString([]byte("-" + k.value + "-")),
		"basic 0": base64.StdEncoding.EncodeToString([]byte("abc" + k.value + ":x")),
		"basic 1": base64.StdEncoding.EncodeToString([]byte("a" + k.value + ":x")),
		"basic 2": base64.StdEncoding.EncodeToString([]byte("ab" + k.value)),
		"JWT":     base64.RawURLEncoding.EncodeToString([]byte("abcde" + k.value + "f")),
	} {
		if _, at := k.find([]byte(text), lower([]byte(text))); at < 0 {
			t.Errorf("%s: not found in %q", name, text)
		}
	}
	if as, at := k.find([]byte("a/secret+of 32 bytes"), []byte("a/secret+of 32 bytes")); at >= 0 {
		t.Errorf("found %s what is not there", as)
	}
}
