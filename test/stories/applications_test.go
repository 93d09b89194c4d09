package stories_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"html"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// noIcon keeps browsers from asking for one whenever they like.
const noIcon = `<LINK REL="icon" HREF="data:,">`

// old writes a page as applications did before there was Unicode: Latin-1,
// upper-case tags, nothing about caching.
func old(w http.ResponseWriter, title, body string) {
	w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
	var page bytes.Buffer
	for _, r := range "<HTML><HEAD>" + noIcon + "<TITLE>" + title + "</TITLE></HEAD>\n<BODY BGCOLOR=\"#FFFFFF\"><H2 ID=\"title\">" + title + "</H2>\n" + body + "\n</BODY></HTML>\n" {
		if r > 0xff {
			fmt.Fprintf(&page, "&#%d;", r)
			continue
		}
		page.WriteByte(byte(r))
	}
	w.Write(page.Bytes())
}

// pharmacy is an old application with forms, and a session cookie of its own.
func pharmacy() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		old(w, "Pharmacy", `<A ID="orders" HREF="orders">Orders</A> <A HREF="/.anteroom/logout">Sign out</A>`)
	})
	m.HandleFunc("GET /orders", func(w http.ResponseWriter, _ *http.Request) {
		old(w, "Orders", `<A ID="order-7" HREF="orders/7">Order 7</A> <A ID="order-8" HREF="orders/8">Order 8</A>`)
	})
	form := func(w http.ResponseWriter, r *http.Request) {
		old(w, "Order "+r.PathValue("id"), `<FORM ID="amend" METHOD="post" ACTION="`+r.URL.RequestURI()+`"`+encoding(r)+`>
<INPUT TYPE="hidden" NAME="VIEWSTATE" VALUE="dDwtMTA4+/==">
<TEXTAREA ID="note" NAME="note" ROWS="10" COLS="60"></TEXTAREA>
<INPUT ID="save" TYPE="submit" NAME="go" VALUE="Save &amp; close"></FORM>`)
	}
	saved := func(w http.ResponseWriter, r *http.Request) {
		old(w, "Saved", `<P ID="saved">`+r.PathValue("id")+`</P><P ID="who">`+html.EscapeString(r.Header.Get("X-Remote-User"))+`</P>`)
	}
	for _, kind := range []string{"notes", "orders", "prescriptions"} {
		m.HandleFunc("GET /"+kind+"/{id}", form)
		m.HandleFunc("POST /"+kind+"/{id}", saved)
	}
	m.HandleFunc("GET /export/{name}", func(w http.ResponseWriter, _ *http.Request) { old(w, "Export", `<P ID="rows">7, 8</P>`) })
	m.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { old(w, "Status", `<P ID="status">open</P>`) })
	m.HandleFunc("GET /appointments/{id}", func(w http.ResponseWriter, r *http.Request) {
		old(w, "Appointment "+r.PathValue("id"), `<FORM METHOD="post" ACTION="`+r.PathValue("id")+`">
<INPUT ID="time" NAME="time" VALUE="09:30"><INPUT ID="save" TYPE="submit" VALUE="Move"></FORM>
<FORM METHOD="post" ACTION="`+r.PathValue("id")+`">
<INPUT NAME="time" VALUE="09:30"><INPUT ID="billing" NAME="billing" VALUE="private"><INPUT ID="save-all" TYPE="submit" VALUE="Move and bill"></FORM>`)
	})
	m.HandleFunc("POST /appointments/{id}", saved)
	return withSession(m)
}

func encoding(r *http.Request) string {
	if r.URL.Query().Has("upload") {
		return ` ENCTYPE="multipart/form-data"`
	}
	return ""
}

// imaging is an old application with a frameset.
func imaging() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
		io.WriteString(w, `<HTML><HEAD>`+noIcon+`<TITLE>Imaging</TITLE></HEAD><FRAMESET COLS="200,*"><FRAME NAME="nav" SRC="nav.html"><FRAME NAME="view" SRC="study.html"></FRAMESET></HTML>`)
	})
	m.HandleFunc("GET /nav.html", func(w http.ResponseWriter, _ *http.Request) {
		old(w, "Studies", `<A ID="study" HREF="study.html?n=2" TARGET="view">Study 2</A>`)
	})
	m.HandleFunc("GET /study.html", func(w http.ResponseWriter, r *http.Request) {
		old(w, "Study", `<P ID="number">`+html.EscapeString(r.FormValue("n"))+`</P>`)
	})
	return withSession(m)
}

// withSession gives each new visitor a session cookie, as old servers do.
func withSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("ASPSESSIONID"); err != nil {
			w.Header().Add("Set-Cookie", "ASPSESSIONID="+rand.Text()+"; path=/")
		}
		next.ServeHTTP(w, r)
	})
}

// fields returns the fields of a form's body, as the application reads it.
func fields(contentType string, body []byte) (url.Values, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	r := &http.Request{Method: "POST", Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(bytes.NewReader(body))}
	if media == "multipart/form-data" && parameters["boundary"] != "" {
		err = r.ParseMultipartForm(1 << 20)
		return r.Form, err
	}
	err = r.ParseForm()
	return r.PostForm, err
}
