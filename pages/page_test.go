package pages_test

import (
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	all := samples()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			w := write(t, all[name])
			// the tags of assets change with every touch of the CSS
			got := regexp.MustCompile(`\?v=[0-9a-f]{16}`).ReplaceAllString(w.Body.String(), "?v=TAG")
			path := filepath.Join("testdata", name+".golden.html")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (run with -update)", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("page differs (-want +got):\n%s", diff)
			}
		})
	}
	kept, err := filepath.Glob("testdata/*.golden.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range kept {
		name := strings.TrimSuffix(filepath.Base(path), ".golden.html")
		if _, ok := all[name]; !ok {
			t.Errorf("%s belongs to no sample", path)
		}
	}
}

// elements returns every element of a page.
func elements(t *testing.T, text string) []*html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestEveryPageIsSelfContained(t *testing.T) {
	for name, p := range samples() {
		t.Run(name, func(t *testing.T) {
			ids := map[string]int{}
			count := map[string]int{}
			for _, n := range elements(t, write(t, p).Body.String()) {
				count[n.Data]++
				if id := attr(n, "id"); id != "" {
					ids[id]++
				}
				for _, a := range n.Attr {
					if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
						t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
					}
				}
				switch n.Data {
				case "style", "iframe", "object", "embed", "base":
					t.Errorf("<%s> on a page", n.Data)
				case "meta":
					if attr(n, "http-equiv") != "" {
						t.Errorf("<meta http-equiv=%q>", attr(n, "http-equiv"))
					}
				case "script":
					if n.FirstChild != nil || !strings.HasPrefix(attr(n, "src"), pages.AssetsPath) {
						t.Errorf("script that is not an asset: %q", attr(n, "src"))
					}
				case "link", "img":
					if from := attr(n, "href") + attr(n, "src"); !strings.HasPrefix(from, pages.AssetsPath) {
						t.Errorf("<%s> from %q", n.Data, from)
					}
				}
			}
			for _, id := range []string{"anteroom-code", "anteroom-request-id"} {
				if ids[id] != 1 {
					t.Errorf("%d elements have id %s, want 1", ids[id], id)
				}
			}
			if want := btoi(p.Continue != "" && p.Kind != pages.WrongHost && p.Kind != pages.Done && !noWayOn[name]); ids["anteroom-continue"] != want {
				t.Errorf("%d elements have id anteroom-continue, want %d", ids["anteroom-continue"], want)
			}
			if want := btoi(p.Kind == pages.Release); ids["anteroom-release"] != want {
				t.Errorf("%d elements have id anteroom-release, want %d", ids["anteroom-release"], want)
			}
			for _, one := range []string{"title", "h1", "main", "header", "footer"} {
				if count[one] != 1 {
					t.Errorf("%d <%s>, want 1", count[one], one)
				}
			}
			if !strings.Contains(write(t, p).Body.String(), help) {
				t.Error("page does not say whom to ask")
			}
		})
	}
}

// noWayOn are pages that offer no next step, although there is a way.
var noWayOn = map[string]bool{
	"device_blocked_compromised": true, "device_blocked_jailbroken": true, "device_blocked_lost": true, // hand it in
	"device_blocked_recheck_soon": true, "sign_in_groups_left_out": true,
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestTitlesAreUnique(t *testing.T) {
	seen := map[string]string{}
	all := samples()
	for _, k := range pages.Kinds() {
		for _, n := range elements(t, write(t, all[k.String()]).Body.String()) {
			if n.Data != "title" {
				continue
			}
			if other, ok := seen[n.FirstChild.Data]; ok {
				t.Errorf("%s and %s both have the title %q", other, k, n.FirstChild.Data)
			}
			seen[n.FirstChild.Data] = k.String()
		}
	}
}

func TestReleaseForm(t *testing.T) {
	p := pages.Page{Kind: pages.Release, Release: &pages.ReleaseForm{Action: `https://rx.test//orders/7;v=1?a='(%2F)"&b=<é>`, Token: `to"ken`}}
	var form, input *html.Node
	inputs := 0
	for _, n := range elements(t, write(t, p).Body.String()) {
		switch n.Data {
		case "form":
			form = n
		case "input":
			input = n
			inputs++
		}
	}
	if form == nil || attr(form, "id") != "anteroom-release" || attr(form, "method") != "post" {
		t.Fatalf("no release form: %v", form)
	}
	if got := attr(form, "action"); got != p.Release.Action {
		t.Errorf("action = %q, want %q byte for byte", got, p.Release.Action)
	}
	if inputs != 1 || attr(input, "name") != "anteroom_release" || attr(input, "value") != p.Release.Token || attr(input, "type") != "hidden" {
		t.Errorf("%d inputs, the last %v", inputs, input.Attr)
	}
}

func TestLinksThatLeadAstrayAreLeftOut(t *testing.T) {
	for _, link := range []string{"javascript:alert(1)", "//evil.test/", `/\evil.test`, "/\t/evil.test", "\t//evil.test", "data:text/html,x",
		"https:evil", "https://user@evil.test/", "evil.test", "https://", " /", "/a\nb", "vbscript:x", "", "http:///x"} {
		p := pages.Page{Kind: pages.StepUp, Continue: link, Cancel: link, Release: &pages.ReleaseForm{Action: link, Token: "t"}}
		for _, k := range []pages.Kind{pages.StepUp, pages.Release} {
			p.Kind = k
			for _, n := range elements(t, write(t, p).Body.String()) {
				if n.Data == "a" || n.Data == "form" {
					t.Errorf("%q: page %s has <%s> %v", link, k, n.Data, n.Attr)
				}
			}
		}
	}
}

func TestHostileText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}' onload='x`
	for _, k := range pages.Kinds() {
		p := pages.Page{Kind: k, Code: evil, RequestID: evil, Rule: evil, Who: evil, Host: evil, Platform: evil, Held: true, Frame: evil,
			Continue: "/" + strings.ReplaceAll(evil, " ", "+"), Cancel: "/" + strings.ReplaceAll(evil, " ", "+"), SignOut: evil,
			FormAction: []string{evil, "https://ok.test; script-src *", "https://ok.test"},
			Release:    &pages.ReleaseForm{Action: "/" + strings.ReplaceAll(evil, " ", "+"), Token: evil}}
		for _, fact := range []string{"os_version", "security_patch", "checked_in_at", "managed", evil} {
			p.Failed = append(p.Failed, access.Failure{Check: evil, Fact: fact, Have: evil, Want: evil})
		}
		w := write(t, p)
		for _, n := range elements(t, w.Body.String()) {
			if n.Data == "script" && !strings.HasPrefix(attr(n, "src"), pages.AssetsPath) {
				t.Errorf("%s: a script got in", k)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: <%s> got %s", k, n.Data, a.Key)
				}
			}
		}
		csp := w.Header().Get("Content-Security-Policy")
		if strings.Contains(csp, "*") || strings.Contains(csp, "alert") || strings.Count(csp, "script-src") != 1 {
			t.Errorf("%s: policy %s", k, csp)
		}
		if !strings.Contains(csp, "form-action 'self' https://ok.test;") {
			t.Errorf("%s: policy %s lacks the good origin", k, csp)
		}
	}
}

func TestNamesCannotMoveTheTextAroundThem(t *testing.T) {
	w := write(t, pages.Page{Kind: pages.StepUp, Who: "\u202eNora\x1b[2J\r\n\u2066Lind\u200d\u00c5", Continue: "/x"})
	if body := w.Body.String(); !strings.Contains(body, "<strong>Nora[2JLind\u200d\u00c5</strong>") {
		t.Errorf("the name is shown as %q", body[strings.Index(body, "<strong>"):][:60])
	}
}

func TestHereIsALinkWithoutAnAddress(t *testing.T) {
	for _, n := range elements(t, write(t, pages.Page{Kind: pages.BackendDown, Continue: pages.Here, Cancel: "/"}).Body.String()) {
		if attr(n, "id") == "anteroom-continue" {
			for _, a := range n.Attr {
				if a.Key == "href" && a.Val == "" {
					return
				}
			}
		}
	}
	t.Error("no link to the page's own address")
}

func TestHeaders(t *testing.T) {
	const policy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	for _, k := range pages.Kinds() {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Security-Policy", "default-src *")
		w.Header().Set("Cache-Control", "public")
		site(t).Write(w, pages.Page{Kind: k, RetryAfter: 7})
		referrer := "no-referrer"
		if k == pages.Release || k == pages.ConfirmSignOut {
			referrer = "strict-origin" // or their forms would come from "null"
		}
		for name, want := range map[string]string{
			"Content-Security-Policy":      policy,
			"X-Frame-Options":              "DENY",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              referrer,
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-store",
			"Content-Type":                 "text/html; charset=utf-8",
			"Retry-After":                  "7",
			"Content-Length":               strconv.Itoa(w.Body.Len()),
		} {
			if got := w.Header().Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s = %q, want %q", k, name, got, want)
			}
		}
		for _, feature := range []string{"camera=()", "microphone=()", "geolocation=()", "publickey-credentials-get=()"} {
			if !strings.Contains(w.Header().Get("Permissions-Policy"), feature) {
				t.Errorf("%s: Permissions-Policy lacks %s", k, feature)
			}
		}
	}
}

func TestWhatIsFramed(t *testing.T) {
	for _, k := range pages.Kinds() {
		h := write(t, pages.Page{Kind: k, Frame: "https://rx.test:8443", Continue: "/x"}).Header()
		framed := strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors https://rx.test:8443;") && h.Get("X-Frame-Options") == ""
		if framed != (k == pages.FrameNotice || k == pages.DeviceWarning) {
			t.Errorf("%s: framed = %t (%s)", k, framed, h.Get("Content-Security-Policy"))
		}
	}
	for _, n := range elements(t, write(t, pages.Page{Kind: pages.FrameNotice, Continue: "/x"}).Body.String()) {
		if n.Data == "a" && attr(n, "target") != "_top" {
			t.Errorf("a link stays in the frame: %v", n.Attr)
		}
	}
}

func TestStatusAndCode(t *testing.T) {
	for _, tt := range []struct {
		kind   pages.Kind
		status int
		code   string
	}{
		{pages.Unavailable, 500, "unavailable"},
		{pages.Kind(250), 500, "unavailable"},
		{pages.StepUp, 200, "step_up_required"},
		{pages.DeviceBlocked, 403, "device_not_allowed"},
		{pages.NotAllowed, 403, "no_role"},
		{pages.StepUpFailed, 403, "step_up_failed"},
		{pages.BadRequest, 400, "bad_request"},
		{pages.WrongHost, 421, "wrong_host"},
		{pages.NoRoute, 404, "no_route"},
		{pages.MethodNotAllowed, 405, "method_not_allowed"},
		{pages.TooLarge, 413, "too_large"},
		{pages.TooLargeToHold, 413, "too_large"},
		{pages.HeadersTooLarge, 431, "headers_too_large"},
		{pages.TooMany, 429, "too_many"},
		{pages.Busy, 503, "too_many"},
		{pages.CannotRecord, 503, "cannot_record"},
		{pages.BackendDown, 502, "backend_unreachable"},
		{pages.BackendSlow, 504, "backend_timeout"},
		{pages.BackendAuth, 502, "backend_auth_unsupported"},
	} {
		w := write(t, pages.Page{Kind: tt.kind})
		if w.Code != tt.status || !strings.Contains(w.Body.String(), `id="anteroom-code">`+tt.code+"<") {
			t.Errorf("%s: status %d, want %d and code %s", tt.kind, w.Code, tt.status, tt.code)
		}
	}
	w := write(t, pages.Page{Kind: pages.Locked, Status: http.StatusForbidden, Code: "session_locked"})
	if w.Code != http.StatusForbidden {
		t.Errorf("the page's own status was not used: %d", w.Code)
	}
}

func TestPagesNameTheAction(t *testing.T) {
	for kind, want := range map[pages.Kind]string{
		pages.StepUp:       "Confirm it's you: amend an order",
		pages.NotAllowed:   "Your role doesn't include this: amend an order.",
		pages.StepUpFailed: "for this: amend an order. Nothing was sent.",
	} {
		if text := plain(write(t, pages.Page{Kind: kind, Rule: "amend an order"}).Body.String()); !strings.Contains(text, want) {
			t.Errorf("%s does not say %q: %s", kind, want, text)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	s, p := site(b), samples()["step_up"]
	for b.Loop() {
		s.Write(httptest.NewRecorder(), p)
	}
}

// Somebody whose form waited is told why they did not come in, and that it was
// not sent: neither takes the other's place.
func TestFormOfAFailedSignIn(t *testing.T) {
	const lost, why = "Nothing was sent", "name them all"
	for _, c := range []struct {
		code string
		held bool
		want []string
		not  string
	}{
		{string(access.GroupsLeftOut), false, []string{why}, lost},
		{string(access.GroupsLeftOut), true, []string{why, lost}, ""},
		{"", true, []string{lost}, why},
		{"access_denied", true, []string{lost, "cancelled"}, why},
	} {
		text := write(t, pages.Page{Kind: pages.SignInFailed, Code: c.code, Held: c.held}).Body.String()
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%q, held %v: no %q", c.code, c.held, w)
			}
		}
		if c.not != "" && strings.Contains(text, c.not) {
			t.Errorf("%q, held %v: %q", c.code, c.held, c.not)
		}
	}
}
