package demo

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// ImagingCookie is the name of the imaging viewer's own session cookie.
const ImagingCookie = "IMGSESS"

// An ImagingConfig sets the viewer's pace.
type ImagingConfig struct {
	Tick time.Duration // between two messages of a stream; zero: a second
}

// Imaging is an old picture viewer made of frames, with a picture of 5 MiB, a
// WebSocket at /live and an event stream at /events, both of which count.
type Imaging struct {
	config  ImagingConfig
	picture func() []byte
	began   time.Time
	handler http.Handler
}

// NewImaging returns a viewer. Its one picture is drawn when it is first asked for.
func NewImaging(c ImagingConfig) *Imaging {
	if c.Tick == 0 {
		c.Tick = time.Second
	}
	v := &Imaging{config: c, picture: sync.OnceValue(drawXRay), began: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", v.frames)
	for _, name := range []string{"nav", "main", "study"} {
		mux.HandleFunc("GET /"+name+".html", func(w http.ResponseWriter, r *http.Request) {
			write(w, http.StatusOK, "imaging-"+name+".html", map[string]any{"User": r.Header.Get("X-Remote-User"), "Patients": patients(), "Patient": r.FormValue("patient")})
		})
	}
	mux.HandleFunc("GET /pictures/chest.bmp", v.showPicture)
	mux.HandleFunc("GET /live", v.live)
	mux.HandleFunc("GET /events", v.events)
	v.handler = needsRemoteUser("Imaging", mux)
	return v
}

// ServeHTTP answers as the application does.
func (v *Imaging) ServeHTTP(w http.ResponseWriter, r *http.Request) { v.handler.ServeHTTP(w, r) }

func (v *Imaging) frames(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(ImagingCookie); err != nil {
		w.Header().Add("Set-Cookie", ImagingCookie+"="+rand.Text()+"; path=/")
	}
	write(w, http.StatusOK, "imaging.html", nil)
}

func (v *Imaging) showPicture(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "image/bmp")
	http.ServeContent(w, r, "", v.began, bytes.NewReader(v.picture()))
}

// live counts over a WebSocket until either side has enough. Only pages of the
// host that it is asked at may open one.
func (v *Imaging) live(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer c.CloseNow()
	ctx := c.CloseRead(r.Context())
	tick := time.NewTicker(v.config.Tick)
	defer tick.Stop()
	for n := 1; ; n++ {
		if err := c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"tick":%d}`, n)); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.Close(websocket.StatusGoingAway, "")
			return
		}
	}
}

// events counts over an event stream.
func (v *Imaging) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flow := http.NewResponseController(w)
	tick := time.NewTicker(v.config.Tick)
	defer tick.Stop()
	for n := 1; ; n++ {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: {\"tick\":%d}\n\n", n, n); err != nil {
			return
		}
		if err := flow.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
