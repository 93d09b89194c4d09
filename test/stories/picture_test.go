package stories_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// sizes are those of the windows that pages are looked at in: a tablet's and a
// phone's.
var sizes = [][2]int64{{820, 1180}, {390, 844}}

// pictures returns the directory that pictures are kept in; "" keeps none.
func pictures() string { return os.Getenv("ANTEROOM_SCREENSHOTS") }

// picture keeps how a page of the gateway or the demo looks, on a tablet and on
// a phone, by day and by night.
func (p *tab) picture(name string) {
	p.h.Helper()
	dir := pictures()
	if dir == "" || p.h.provider == providers[1].name { // the gateway's pages are the same at each
		return
	}
	for _, size := range sizes {
		for _, scheme := range []string{"light", "dark"} {
			p.look(size, scheme)
			var b bytes.Buffer
			if err := png.Encode(&b, p.shot(true)); err != nil {
				p.h.Fatal(err)
			}
			file := filepath.Join(dir, fmt.Sprintf("%s-%dx%d-%s.png", name, size[0], size[1], scheme))
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				p.h.Fatal(err)
			}
		}
	}
	p.lookAgain()
}

// look makes the window that large, by day ("light") or by night ("dark").
func (p *tab) look(size [2]int64, scheme string) {
	p.h.Helper()
	// With motion, a colour is caught on its way from day to night.
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(size[0], size[1])); err != nil {
		p.h.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
		p.h.Fatal(err)
	}
	p.until("the window has its size", fmt.Sprintf("innerWidth == %d", size[0]))
}

// lookAgain makes the window what it was.
func (p *tab) lookAgain() {
	p.h.Helper()
	if err := chromedp.Do(p.ctx, chromedp.EmulateReset()); err != nil {
		p.h.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		p.h.Fatal(err)
	}
}

// shot returns what the window shows, or the whole page.
func (p *tab) shot(whole bool) image.Image {
	p.h.Helper()
	shot, err := chromedp.Call(p.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &whole})
	if err != nil {
		p.h.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		p.h.Fatal(err)
	}
	return m
}

// fits says where a page goes beyond its window, and what axe-core finds wrong
// with it, on a tablet and on a phone.
func (p *tab) fits(name string) {
	p.h.Helper()
	for _, size := range sizes {
		p.look(size, "light")
		p.contained(name)
	}
	p.accessible(name)
	p.look(sizes[0], "dark")
	p.accessible(name + ", dark")
	p.lookAgain()
}
