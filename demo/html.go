package demo

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"time"
)

//go:embed html
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"clock": func(t time.Time) string { return t.Format("15:04:05") },
	"took":  func(d time.Duration) string { return d.Round(10 * time.Microsecond).String() },
}).ParseFS(files, "html/*.html"))

// write answers with a page. A template that cannot be filled is a mistake in
// the demo itself, and shown as one.
func write(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "cannot show "+name+": "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, files, "html/style.css")
}
