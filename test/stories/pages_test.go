package stories_test

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

// golden is where package pages keeps each of its pages as it should be.
const golden = "../../pages/testdata"

// Every page of the gateway can be used by people who do not see it well or
// use no mouse, as axe-core judges, and fits a tablet and a phone by day and by
// night; also when its texts are the longest that a hospital may think of.
func TestPages(t *testing.T) {
	t.Parallel()
	h := &hospital{TB: t, provider: providers[0].name}
	server := httptest.NewServer(everyPage(t))
	defer server.Close()
	files, err := filepath.Glob(golden + "/*.golden.html")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden pages, %v", len(files), err)
	}
	p := h.browser(nil).tab()
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".golden.html")
		p.open(server.URL + "/golden/" + name)
		var looks []image.Image
		for _, size := range sizes {
			for _, scheme := range []string{"light", "dark"} {
				p.look(size, scheme)
				p.contained(name)
				if size == sizes[0] {
					p.accessible(name + ", " + scheme)
				}
				if pictures() != "" {
					looks = append(looks, p.shot(false))
				}
			}
		}
		if dir := pictures(); dir != "" {
			writeSheet(t, filepath.Join(dir, "pages", name+".png"), looks)
		}
	}
	for _, k := range pages.Kinds() {
		name := "long " + k.String()
		p.open(fmt.Sprintf("%s/long/%d", server.URL, k))
		for i := range sizes {
			p.look(sizes[len(sizes)-1-i], "light")
			p.contained(name)
		}
		p.accessible(name)
	}
	p.lookAgain()
}

// everyPage serves the golden pages, and each kind with the longest texts.
func everyPage(t *testing.T) http.Handler {
	word := strings.Repeat("Betäubungsmittelverschreibung", 3)
	site, err := pages.New(pages.Options{Help: "The service desk of " + word + ", extension 4000, at any hour of the day and the night, or the head of the ward"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /.anteroom/assets/", site.Assets())
	mux.HandleFunc("GET /golden/{name}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(golden, r.PathValue("name")+".golden.html"))
	})
	mux.HandleFunc("GET /long/{kind}", func(w http.ResponseWriter, r *http.Request) {
		var kind pages.Kind
		fmt.Sscan(r.PathValue("kind"), &kind)
		link := "/" + strings.Repeat("deep/", 50)
		site.Write(w, pages.Page{
			Kind: kind, RequestID: strings.Repeat("7f3k2q9d", 8), Rule: "amend a prescription under " + word + " or another of its kind",
			Host: strings.Repeat("department-of-pharmacy.", 6) + "hospital.example", Who: "Ada Maria " + word + " de la Cruz", Held: true,
			Continue: link, Cancel: link, SignOut: link, RetryAfter: 86400, Platform: "ipados",
			Providers: []string{word, "St. Brigid's " + word},
			Choices:   []pages.Choice{{Name: strings.Repeat("provider", 8), Label: word, Link: link, Last: true}, {Name: "other", Label: "St. Brigid's " + word, Link: link}},
			Failed: []access.Failure{
				{Check: strings.Repeat("fresh_os", 8), Fact: "os_version", Have: strings.Repeat("18.5.", 20), Want: "26.2"},
				{Check: "not_jailbroken", Hard: true, Fact: "compromised", Have: "true", Want: "false"},
				{Check: "fresh_checkin", Fact: "checked_in_at", Have: "7500h0m0s", Want: "24h0m0s"},
			},
			Release: &pages.ReleaseForm{Action: link, Token: strings.Repeat("b25l", 20)},
		})
	})
	// A form that sends itself stays where it is.
	mux.HandleFunc("POST /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// accessible says what axe-core finds wrong with the page.
func (p *tab) accessible(name string) {
	p.h.Helper()
	const script = "../pages/node_modules/axe-core/axe.min.js"
	if !p.is("window.axe") {
		source, err := os.ReadFile(script)
		if err != nil {
			p.h.Fatalf("%v (test/setup brings it)", err)
		}
		eval[bool](p, string(source)+"; Boolean(window.axe)")
	}
	found := eval[[]string](p, `axe.run(document).then((r) => {
		if (r.passes.length < 5) return ["only " + r.passes.length + " rules apply"];
		return r.violations.map((v) => v.id + ": " + v.help + " (" + v.nodes.map((n) => n.target.join(" ")).join("; ") + ")");
	})`)
	for _, f := range found {
		p.h.Errorf("%s: %s", name, f)
	}
}

// contained says what of the page goes beyond its window to the side.
func (p *tab) contained(name string) {
	p.h.Helper()
	beyond := eval[[]string](p, `(() => {
		const out = [];
		if (document.documentElement.scrollWidth > innerWidth) out.push("the page is " + document.documentElement.scrollWidth + " wide");
		for (const e of document.body.querySelectorAll("*")) {
			const r = e.getBoundingClientRect();
			if (r.width > 0 && (r.right > innerWidth + 1 || r.left < -1) && getComputedStyle(e).position !== "absolute") out.push(e.tagName + " " + e.id + " " + e.className);
		}
		return out;
	})()`)
	if len(beyond) > 0 {
		p.h.Errorf("%s at %d pixels: beyond the window: %q", name, eval[int](p, "innerWidth"), beyond)
	}
}

// writeSheet writes the looks of one page side by side, in as few colours as a
// page needs.
func writeSheet(t *testing.T, file string, looks []image.Image) {
	t.Helper()
	width, height := 0, 0
	for _, l := range looks {
		width, height = width+l.Bounds().Dx()+16, max(height, l.Bounds().Dy())
	}
	sheet := image.NewRGBA(image.Rect(0, 0, width-16, height))
	draw.Draw(sheet, sheet.Bounds(), image.White, image.Point{}, draw.Src)
	x := 0
	for _, l := range looks {
		draw.Draw(sheet, l.Bounds().Add(image.Pt(x, 0)), l, image.Point{}, draw.Src)
		x += l.Bounds().Dx() + 16
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, fewColours(sheet)); err != nil {
		t.Fatal(err)
	}
}

// fewColours returns m with a palette of its 256 most frequent colours; the
// others, on the edges of letters, become the nearest of them.
func fewColours(m *image.RGBA) image.Image {
	at := func(i int) color.RGBA { return color.RGBA{m.Pix[i], m.Pix[i+1], m.Pix[i+2], 255} }
	count := map[color.RGBA]int{}
	for i := 0; i < len(m.Pix); i += 4 {
		count[at(i)]++
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	var palette color.Palette
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	index := map[color.RGBA]uint8{}
	for _, c := range all {
		index[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(m.Bounds(), palette)
	for i := range out.Pix {
		out.Pix[i] = index[at(4*i)]
	}
	return out
}
