package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

//go:embed page.html
var layout string

//go:embed assets
var files embed.FS

// AssetsPath is where [Site.Assets] must be served, on every host.
const AssetsPath = "/.anteroom/assets/"

// signOutPath is where the sign-out form is posted.
const signOutPath = "/.anteroom/logout"

// Options are what a hospital adds to the pages.
type Options struct {
	Help string // whom to ask; "" says the service desk
}

// A Site writes the gateway's pages. It is safe for concurrent use.
type Site struct {
	help   string
	page   *template.Template
	assets map[string]asset
}

// An asset is one embedded file; its tag is the beginning of its hash.
type asset struct {
	body        []byte
	tag         string
	contentType string
}

// New returns a site with the words of o. An error means that what is embedded
// does not hold together.
func New(o Options) (*Site, error) {
	s := &Site{help: strings.TrimSpace(o.Help), assets: map[string]asset{}}
	if s.help == "" {
		s.help = "Ask your service desk."
	}
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		return nil, fmt.Errorf("list assets: %w", err)
	}
	for _, e := range entries {
		body, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read asset %s: %w", e.Name(), err)
		}
		kind, ok := contentType(e.Name())
		if !ok {
			return nil, fmt.Errorf("asset %s has no known content type", e.Name())
		}
		sum := sha256.Sum256(body)
		s.assets[e.Name()] = asset{body: body, tag: hex.EncodeToString(sum[:8]), contentType: kind}
	}
	s.page, err = template.New("page").Funcs(template.FuncMap{"asset": s.address}).Parse(layout)
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	return s, nil
}

// address returns the address of an asset, with its tag so that it may be kept for good.
func (s *Site) address(name string) (string, error) {
	a, ok := s.assets[name]
	if !ok {
		return "", fmt.Errorf("no asset %s", name)
	}
	return AssetsPath + name + "?v=" + a.tag, nil
}

// view is what the template sees.
type view struct {
	Page
	Words
	Help      string
	Advice    []advice
	Meanwhile bool // say that another device can be used
	ChoiceTo  []choice
	OnwardTo  template.HTMLAttr
	BackTo    template.HTMLAttr
	SignOutTo template.HTMLAttr
	SendTo    template.HTMLAttr
	Form      bool // the sign-out form
	Top       bool // links lead out of the frame
	Script    string
}

// A choice is a [Choice] as the template sees it.
type choice struct {
	Choice
	To    template.HTMLAttr
	First bool
}

// Words are the words of the page as the template sees them.
type Words struct {
	Icon, Tone, Head, Next, Back string
	Lead                         []string
}

// Write answers with p. What is wrong in p is left out; a page never fails.
func (s *Site) Write(w http.ResponseWriter, p Page) {
	kind := wordsOf(p.Kind)
	if p.Status == 0 {
		p.Status = kind.status
	}
	if p.Code == "" {
		p.Code = kind.code
	}
	var body bytes.Buffer
	if err := s.page.Execute(&body, s.view(p)); err != nil {
		panic("pages: " + err.Error()) // the golden tests run every branch of the template
	}
	h := w.Header()
	setHeaders(h, p)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(p.Status)
	w.Write(body.Bytes())
}

func (s *Site) view(p Page) view {
	p.Who = strings.Map(printed, p.Who)
	words := adapt(p)
	v := view{
		Page:     p,
		Words:    Words{words.icon, words.tone, words.head, words.next, words.back, words.lead},
		Help:     s.help,
		OnwardTo: attribute("href", p.Continue),
		BackTo:   attribute("href", p.Cancel),
		Top:      p.Kind == FrameNotice,
	}
	if v.Next == "" {
		v.OnwardTo = ""
	}
	switch p.Kind {
	case Choose:
		for i, c := range p.Choices {
			if to := attribute("href", c.Link); to != "" {
				v.ChoiceTo = append(v.ChoiceTo, choice{c, to, i == 0})
			}
		}
	case DeviceWarning:
		v.Advice = forewarn(p.Failed, p.Platform, p.Now)
	case DeviceBlocked:
		v.Advice = advise(p.Failed, p.Platform)
		if final(p.Failed) { // one next step: hand it in
			for i := range v.Advice {
				v.Advice[i].Steps = nil
			}
		}
		v.Meanwhile = true
	case Locked:
		v.SignOutTo = attribute("href", orDefault(p.SignOut, signOutPath))
	case Home:
		if p.Who != "" {
			v.SignOutTo = attribute("href", orDefault(p.SignOut, signOutPath))
		}
	case ConfirmSignOut:
		v.Form = true
	case Release:
		if p.Release != nil {
			v.SendTo = attribute("action", p.Release.Action)
		}
		if v.SendTo != "" {
			v.Script = "release.js"
		}
	case Done:
		v.Script = "done.js"
	}
	return v
}

// printed drops what a name may hold that is no letter of it and moves the
// text around it: control characters, and those that turn its direction.
func printed(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
		return -1
	}
	return r
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// attribute returns name="link" with link byte for byte, or nothing when it is
// not a link that a page may show. The template's own escaping would rewrite
// quotes and brackets of the URL, and a held request goes to the URL it was
// sent to, not to an equivalent one.
func attribute(name, link string) template.HTMLAttr {
	if link == Here {
		return template.HTMLAttr(name + `=""`)
	}
	if link = safeLink(link); link == "" {
		return ""
	}
	return template.HTMLAttr(name + `="` + template.HTMLEscapeString(link) + `"`)
}

// safeLink returns link when it is a path on this host or an absolute https or
// http URL, else "". Browsers drop tabs and line ends and take \ for /, so a
// link that holds one may lead elsewhere than it seems to.
func safeLink(link string) string {
	for i := range len(link) {
		if link[i] <= ' ' || link[i] == 0x7f || link[i] == '\\' {
			return ""
		}
	}
	if strings.HasPrefix(link, "/") {
		if strings.HasPrefix(link, "//") {
			return ""
		}
		return link
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return link
}
