package signin

import (
	"io"
	"mime"
	"net/http"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/authn"
)

const maxLogout = 64 << 10 // bytes of a back-channel request

// backchannel ends the sessions that a provider says have ended with it
// (OpenID Connect Back-Channel Logout 1.0, section 2.5).
func (d *Desk) backchannel(w http.ResponseWriter, r *http.Request, at Place) {
	raw, ok := logoutToken(w, r)
	if !ok {
		answerBackchannel(w, http.StatusBadRequest)
		return
	}
	var out authn.Logout
	var from *authn.Provider
	for _, p := range d.Providers() { // only the one that issued the token takes it
		var err error
		if out, err = p.LogoutToken(r.Context(), raw); err == nil {
			from = p
			break
		}
		d.Log.Debug("read a logout token", "provider", p.String(), "error", err, "request_id", at.RequestID)
	}
	if from == nil {
		d.Log.Warn("refuse a logout token: no provider issued it", "request_id", at.RequestID)
		answerBackchannel(w, http.StatusBadRequest)
		return
	}
	ended, err := d.Sessions.EndWhere(r.Context(), func(s access.Session, _, sid string) bool {
		return s.Subject.Issuer == out.Issuer && names(out, s.Subject, sid)
	}, access.SessionEnded)
	for i := range ended {
		s := ended[i]
		s.Roles = d.RolesOf(s.Subject.Issuer, s.Groups)
		d.note(r.Context(), r, at, entry{kind: access.EventSessionEnded, reason: access.SessionEnded, session: &s, detail: "signed out at the provider"})
	}
	if err != nil {
		// The provider may send a new token; this one's jti is spent.
		d.Log.Error("end sessions that ended at the provider", "error", err, "request_id", at.RequestID)
		answerBackchannel(w, http.StatusServiceUnavailable)
		return
	}
	answerBackchannel(w, http.StatusOK)
}

// logoutToken returns the one logout_token of a form.
func logoutToken(w http.ResponseWriter, r *http.Request) (string, bool) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return "", false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogout)
	if r.ParseForm() != nil {
		return "", false
	}
	tokens := r.PostForm["logout_token"]
	if len(tokens) != 1 || tokens[0] == "" {
		return "", false
	}
	return tokens[0], true
}

// names reports whether out is about a session of subject whose provider calls
// it sid. A session whose sid was never told is found by its subject.
func names(out authn.Logout, subject access.Subject, sid string) bool {
	if out.Sub != "" && subject != (access.Subject{Issuer: out.Issuer, Sub: out.Sub}) {
		return false
	}
	switch {
	case out.SID == "":
		return out.Sub != ""
	case sid == "":
		return out.Sub != ""
	}
	return sid == out.SID
}

func answerBackchannel(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if status != http.StatusBadRequest {
		w.WriteHeader(status)
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, `{"error":"invalid_request"}`+"\n")
}
