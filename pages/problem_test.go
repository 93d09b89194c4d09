package pages_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anteroom/anteroom/pages"
)

func TestWriteProblem(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    pages.Problem
		want map[string]any
	}{
		{"all of it", pages.Problem{Status: 403, Code: "device_not_allowed", Rule: "amend \"an\" order", RequestID: "r1", LoginURL: "https://rx.test/.anteroom/start?j=1&k=<2>", Checks: []string{"fresh_os"}},
			map[string]any{"type": "urn:anteroom:problem:device_not_allowed", "title": "This device may not be used for this.", "status": 403.0, "code": "device_not_allowed",
				"rule": "amend \"an\" order", "request_id": "r1", "login_url": "https://rx.test/.anteroom/start?j=1&k=<2>", "checks": []any{"fresh_os"}}},
		{"little of it", pages.Problem{Status: 401, Code: "login_required"},
			map[string]any{"type": "urn:anteroom:problem:login_required", "title": "Nobody is signed in.", "status": 401.0, "code": "login_required"}},
		{"a code without words", pages.Problem{Status: 418, Code: "tea"},
			map[string]any{"type": "urn:anteroom:problem:tea", "title": "I'm a teapot", "status": 418.0, "code": "tea"}},
		{"no status", pages.Problem{Code: "unavailable"},
			map[string]any{"type": "urn:anteroom:problem:unavailable", "title": "The gateway could not answer.", "status": 500.0, "code": "unavailable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			pages.WriteProblem(w, tt.p)
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problem differs (-want +got):\n%s", diff)
			}
			if float64(w.Code) != tt.want["status"] || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("status %d, header %v", w.Code, w.Header())
			}
		})
	}
}

// Every problem of the contract has words of its own.
func TestProblemTitles(t *testing.T) {
	for _, code := range []string{"login_required", "step_up_required", "locked", "device_not_allowed", "not_allowed", "step_up_failed", "bad_request", "wrong_host",
		"no_route", "method_not_allowed", "too_large", "headers_too_large", "too_many", "request_timeout", "cannot_record", "backend_unreachable", "backend_timeout", "backend_auth_unsupported"} {
		w := httptest.NewRecorder()
		pages.WriteProblem(w, pages.Problem{Status: 418, Code: code})
		var got struct{ Title string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Title == "I'm a teapot" {
			t.Errorf("%s: title %q, %v", code, got.Title, err)
		}
	}
}
