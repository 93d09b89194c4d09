package signin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/pages"
)

// session tells a script of this host who is signed in. It is no activity, and
// holds nothing that opens anything.
func (d *Desk) session(w http.ResponseWriter, r *http.Request, at Place) {
	now := d.Now()
	s := d.value(d.Sessions.Find(r, at.Host, now).Handle, now)
	if s == nil {
		pages.WriteProblem(w, pages.Problem{Status: http.StatusUnauthorized, Code: "login_required", RequestID: at.RequestID})
		return
	}
	answer := struct {
		Subject  access.Subject `json:"subject"`
		Username string         `json:"username"`
		Roles    []string       `json:"roles"`
		ACR      string         `json:"acr"`
		AuthTime *time.Time     `json:"auth_time"`
		Locked   bool           `json:"locked"`
		LocksAt  time.Time      `json:"locks_at"`
		EndsAt   time.Time      `json:"ends_at"`
		Device   string         `json:"device"`

		Warnings []access.Warning `json:"warnings,omitempty"`
	}{s.Subject, s.Username, s.Roles, s.ACR, nil, s.Locked, s.LocksAt.UTC(), s.EndsAt.UTC(), s.Device, at.Warnings}
	if answer.Roles == nil {
		answer.Roles = []string{}
	}
	if !s.AuthTime.IsZero() {
		t := s.AuthTime.UTC()
		answer.AuthTime = &t
	}
	body, err := json.Marshal(answer)
	if err != nil {
		d.unavailable(w, at, "tell of a session", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Write(append(body, '\n'))
}
