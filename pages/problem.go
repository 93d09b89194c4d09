package pages

import (
	"encoding/json"
	"net/http"

	"github.com/anteroom/anteroom/access"
)

// A Problem is what a call is told instead of a page (RFC 9457). Empty fields
// but Status and Code are left out.
type Problem struct {
	Status    int
	Code      string
	Rule      string
	RequestID string
	LoginURL  string   // opens a small window in which the person can mend it
	Checks    []string // the device checks that failed, by name
}

// WriteProblem answers with p as application/problem+json. Its type is
// urn:anteroom:problem: and the code; its title is the code in plain words.
func WriteProblem(w http.ResponseWriter, p Problem) {
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	body, err := json.Marshal(struct {
		Type      string   `json:"type"`
		Title     string   `json:"title"`
		Status    int      `json:"status"`
		Code      string   `json:"code"`
		Rule      string   `json:"rule,omitempty"`
		RequestID string   `json:"request_id,omitempty"`
		LoginURL  string   `json:"login_url,omitempty"`
		Checks    []string `json:"checks,omitempty"`
	}{"urn:anteroom:problem:" + p.Code, title(p.Code, p.Status), p.Status, p.Code, p.Rule, p.RequestID, p.LoginURL, p.Checks})
	if err != nil {
		panic("pages: marshal a problem of strings: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n'))
}

// title says code in plain words; a code without any has its status's.
func title(code string, status int) string {
	switch code {
	case "login_required":
		return "Nobody is signed in."
	case "step_up_required":
		return "This needs a stronger or fresher sign-in."
	case "locked":
		return "The session is locked."
	case "device_not_allowed":
		return "This device may not be used for this."
	case "not_allowed":
		return "The signed-in person has no role that allows this."
	case "step_up_failed":
		return "The sign-in did not prove what this needs."
	case string(access.BadRequest):
		return "The request is ambiguous or malformed."
	case "wrong_host":
		return "No application has this name on this connection."
	case "no_route":
		return "There is nothing at this address."
	case "method_not_allowed":
		return "This method is not allowed here."
	case "too_large":
		return "The request's body is too large."
	case "request_timeout":
		return "The rest of the request did not come in time."
	case "headers_too_large":
		return "The request's header is too large."
	case "too_many":
		if status == http.StatusServiceUnavailable {
			return "More is asked for than can be answered at once."
		}
		return "There were too many requests in a short time."
	case "cannot_record":
		return "The access cannot be recorded, so it is not allowed."
	case "backend_unreachable":
		return "The application does not answer."
	case "backend_timeout":
		return "The application answers too late."
	case "backend_auth_unsupported":
		return "The application asks for a login that cannot pass through here."
	case "provider_unreachable":
		return "The sign-in service does not answer."
	case "origin_not_allowed":
		return "Scripts of this origin may not call here."
	case "unavailable":
		return "The gateway could not answer."
	}
	return http.StatusText(status)
}
