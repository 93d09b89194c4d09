package signin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/access"
)

// storm sends the forms and fifty links of one browser at once, as a page does
// whose sign-in is over: none of the answers has seen another's cookies, of
// which a browser keeps five. It returns where the forms' pages lead.
func storm(b *browser, forms int, target string) (links []string) {
	send := func(r *http.Request) *httptest.ResponseRecorder {
		for name, value := range b.cookies(ehr) {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		rec := httptest.NewRecorder()
		b.w.ServeHTTP(rec, r)
		return rec
	}
	var answers []*http.Response
	for i := range forms {
		rec := send(httptest.NewRequest("POST", at(ehr, fmt.Sprintf("%s?form=%d", target, i)), strings.NewReader(fmt.Sprintf("dose=%d", i))))
		answers = append(answers, rec.Result())
		a := answer{b.t, rec.Code, rec.Header(), rec.Body.String(), nil}
		links = append(links, find(a.body, `id="anteroom-continue"[^>]*href="([^"]*)"`))
	}
	for i := range 50 {
		answers = append(answers, send(httptest.NewRequest("GET", at(ehr, fmt.Sprintf("%s?link=%d", target, i)), nil)).Result())
	}
	for _, resp := range answers {
		b.jar.SetCookies(&url.URL{Scheme: "https", Host: ehr + port, Path: "/"}, resp.Cookies())
	}
	return links
}

// Forms that are held while other tabs are under way each come back to their
// person, whichever tab proves it first and whoever lost its cookie to whom.
func TestHeldFormsInManyTabs(t *testing.T) {
	for _, target := range []string{"/fresh", "/rx", "/each"} {
		t.Run(target, func(t *testing.T) {
			w := newWorld(t)
			w.limit(access.Limits{EndAfter: time.Hour})
			b := w.browser()
			b.get(at(ehr, "/")).says("hello nora")
			w.pass(6 * time.Minute)
			links := storm(b, 5, target)
			b.stopAt = "/callback"
			var callbacks []string
			for _, link := range links {
				callbacks = append(callbacks, b.get(link).header.Get("Location"))
			}
			for i := range 7 { // more tabs than attempts
				b.get(at(ehr, fmt.Sprintf("%s?tab=%d", target, i)))
			}
			b.stopAt = ""
			for i, callback := range callbacks {
				to, body := b.get(callback).page(200, "released").release()
				b.post(to, body).says(fmt.Sprintf("did POST %s?form=%d dose=%d for nora", target, i, i))
			}
		})
	}
}

// A form of an ended session is bound to its browser by the login cookie alone.
// Where that was lost, its person is told, and the trail.
func TestLostFormIsTold(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(at(ehr, "/")).says("hello nora")
	w.pass(31 * time.Minute)
	links := storm(b, 5, "/chart")
	w.trail.told()
	sent, lost := 0, 0
	for i, link := range links {
		a := b.get(link)
		if a.status == http.StatusOK {
			to, body := a.page(200, "released").release()
			b.post(to, body).says(fmt.Sprintf("did POST /chart?form=%d dose=%d for nora", i, i))
			sent++
			continue
		}
		a.page(409, "not_sent")
		lost++
	}
	told := 0
	for _, line := range w.trail.told() {
		if line == "sign_in deny session_ended" {
			told++
		}
	}
	if lost == 0 || sent+lost != len(links) || told != lost {
		t.Errorf("%d forms sent, %d lost, %d recorded as lost", sent, lost, told)
	}
}

// What somebody entered on nora's tablet is not sent because nora, elsewhere,
// follows its link: not by her session there, and not by any other try.
func TestLuredRelease(t *testing.T) {
	for name, c := range map[string]struct {
		pass   time.Duration
		target string
	}{
		"step-up":       {6 * time.Minute, "/rx"},
		"locked":        {6 * time.Minute, "/chart"},
		"session ended": {31 * time.Minute, "/chart"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.target == "/rx" {
				w.limit(access.Limits{EndAfter: time.Hour})
			}
			tablet, laptop := w.browser(), w.browser()
			tablet.get(at(ehr, "/")).says("hello nora")
			w.pass(c.pass)
			laptop.get(at(ehr, "/rx")).says("hello nora")
			w.pass(time.Second)
			link := tablet.post(at(ehr, c.target), "dose=900").next()
			for range 4 {
				a := laptop.get(link)
				if strings.Contains(a.body, "anteroom-release") || a.status == http.StatusOK && strings.Contains(a.body, "did") {
					t.Fatalf("the laptop is handed %s", a.text())
				}
				a.page(409, "not_sent")
			}
			to, body := tablet.get(link).page(200, "released").release()
			tablet.post(to, body).says("did POST " + c.target + " dose=900 for nora")
		})
	}
}
