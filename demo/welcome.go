package demo

import (
	"fmt"
	"net/http"
	"strings"
)

// Welcome returns what to tell the person who started the demo.
func (h *Hospital) Welcome() string {
	var b strings.Builder
	fmt.Fprintf(&b, `
The demo hospital is open.

  Begin here      %s
  Pharmacy        %s
  Imaging         %s
  Record          %s
  Scheduling      %s
  Device in hand  %s
  What happened   %s

Sign in as nora (nurse), piet (physician), tess (coordinator), bea (billing),
adam (runs the gateway) or eve (in no group). Everybody's password is %s;
the one-time code is %s.

Keep the last page open beside the others: it tells the story of each request.

Three things to try
  1. As nora, open order 7, wait two minutes, then amend it with a long text:
     you prove yourself again, and the text arrives once.
  2. Let the iPad in hand be outdated and reload: the page says what to do.
  3. As piet, export the orders, and again two minutes later: it takes a
     sign-in with a code each time.

  Configuration   %s
                  (edit it while this runs)
  Audit trail     %s
  CA              %s
                  (for %s only; trust it in your browser,
                  or accept its warning)

Ctrl-C stops everything.
`,
		h.URL(StartHost, "/"), h.URL(PharmacyHost, "/"), h.URL(ImagingHost, "/"), h.URL(RecordHost, "/"), h.URL(SchedulingHost, "/"),
		h.URL(DeviceHost, "/"), h.URL(StoryHost, "/"),
		Password, Code, h.ConfigFile(), h.AuditDir(), h.CAFile(), Domain)
	return b.String()
}

// startPage is the first page of the demo.
func (h *Hospital) startPage(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		write(w, http.StatusOK, "start.html", map[string]any{
			"Pharmacy": h.URL(PharmacyHost, "/"), "Order": h.URL(PharmacyHost, "/orders/7"), "Status": h.URL(PharmacyHost, "/status"),
			"Export": h.URL(PharmacyHost, "/export/orders.csv"), "Appointment": h.URL(SchedulingHost, "/appointments/3"),
			"Record": h.URL(RecordHost, "/"), "Chart": h.URL(RecordHost, "/patients/77/notes"), "Scheduling": h.URL(SchedulingHost, "/"), "Story": h.URL(StoryHost, "/"),
			"Whoami": h.URL(PharmacyHost, "/whoami"), "Imaging": h.URL(ImagingHost, "/"), "Device": h.URL(DeviceHost, "/"),
			"SignOut": h.URL(GateHost, "/.anteroom/logout"),
			"People":  People(), "Password": Password, "Code": Code,
			"Configuration": h.ConfigFile(), "Audit": h.AuditDir(), "CA": h.CAFile(),
		})
	case "/style.css":
		serveStyle(w, r)
	default:
		http.NotFound(w, r)
	}
}
