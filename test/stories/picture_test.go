package stories_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// picture keeps how a page of the gateway looks, on a tablet and on a phone,
// by day and by night, when ANTEROOM_SCREENSHOTS names a directory.
func (p *tab) picture(name string) {
	p.h.Helper()
	dir := os.Getenv("ANTEROOM_SCREENSHOTS")
	if dir == "" || p.h.provider == providers[1].name { // the gateway's pages are the same at each
		return
	}
	for _, size := range [][2]int64{{820, 1180}, {390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
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
			beyond := true
			shot, err := chromedp.Call(p.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond})
			if err != nil {
				p.h.Fatal(err)
			}
			file := filepath.Join(dir, fmt.Sprintf("%s-%dx%d-%s.png", name, size[0], size[1], scheme))
			if err := os.WriteFile(file, shot.Data, 0o644); err != nil {
				p.h.Fatal(err)
			}
		}
	}
	if err := chromedp.Do(p.ctx, chromedp.EmulateReset()); err != nil {
		p.h.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		p.h.Fatal(err)
	}
}

// fits says where a page goes beyond its window, on a tablet and on a phone.
func (p *tab) fits() {
	p.h.Helper()
	for _, size := range [][2]int64{{820, 1180}, {390, 844}} {
		if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(size[0], size[1])); err != nil {
			p.h.Fatal(err)
		}
		p.until(fmt.Sprintf("the page fits %d pixels", size[0]), `document.documentElement.scrollWidth <= innerWidth`)
	}
	if err := chromedp.Do(p.ctx, chromedp.EmulateReset()); err != nil {
		p.h.Fatal(err)
	}
}
