package demo

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Device is one that can be in hand, and what the MDM knows of it.
type Device struct {
	ID     string `json:"id"` // of its button, after "device-"
	Name   string `json:"name"`
	Remark string `json:"remark"`

	managed     bool // the MDM has heard of it
	serial      string
	version     string
	compromised bool
}

// Devices lists the devices that can be in hand; the first is, to begin with.
// The first three are one iPad in three states, so that a session that is
// pinned to it meets the checks, and not a change of device.
func Devices() []Device {
	return []Device{
		{ID: "ipad", Name: "Ward iPad", Remark: "managed, up to date (26.3)", managed: true, serial: "ward4-ipad-01", version: "26.3"},
		{ID: "old-ipad", Name: "Ward iPad, outdated", Remark: "the same iPad, but still on 18.5", managed: true, serial: "ward4-ipad-01", version: "18.5"},
		{ID: "jailbroken", Name: "Ward iPad, jailbroken", Remark: "the same iPad, tampered with", managed: true, serial: "ward4-ipad-01", version: "26.3", compromised: true},
		{ID: "laptop", Name: "Private laptop", Remark: "the MDM knows nothing of it"},
		{ID: "ipad-2", Name: "Another ward iPad", Remark: "managed, up to date, but not the same one", managed: true, serial: "ward4-ipad-02", version: "26.3"},
	}
}

// lastCheckIn is how long ago the MDM heard from each managed device.
const lastCheckIn = 20 * time.Minute

// Headers returns what the tunnel states of d at now; nothing for a device
// that is not managed.
func (d Device) Headers(now time.Time) http.Header {
	h := http.Header{}
	if !d.managed {
		return h
	}
	truth := func(b bool) string {
		if b {
			return "true"
		}
		return "false"
	}
	h.Set("X-Mdm-Device-Id", d.serial)
	h.Set("X-Mdm-Platform", "ipados")
	h.Set("X-Mdm-Os-Version", d.version)
	h.Set("X-Mdm-Managed", "true")
	h.Set("X-Mdm-Compliant", truth(!d.compromised))
	h.Set("X-Mdm-Compromised", truth(d.compromised))
	h.Set("X-Mdm-Encrypted", "true")
	h.Set("X-Mdm-Passcode", "true")
	h.Set("X-Mdm-Lost", "false")
	h.Set("X-Mdm-Ownership", "shared")
	h.Set("X-Mdm-Checked-In-At", now.Add(-lastCheckIn).UTC().Format(time.RFC3339))
	h.Set("X-Mdm-Asserted-At", now.UTC().Format(time.RFC3339))
	return h
}

// A hand holds one of the devices, for the whole demo at once.
type hand struct{ held atomic.Pointer[Device] }

func newHand() *hand {
	h := &hand{}
	h.held.Store(&Devices()[0])
	return h
}

func (h *hand) device() Device { return *h.held.Load() }

// choose takes the device with this id in hand, and reports whether there is one.
func (h *hand) choose(id string) bool {
	all := Devices()
	i := slices.IndexFunc(all, func(d Device) bool { return d.ID == id })
	if i < 0 {
		return false
	}
	h.held.Store(&all[i])
	return true
}

// site is the page where the device in hand is chosen.
func (h *hand) site(now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		d := h.device()
		write(w, http.StatusOK, "device.html", map[string]any{"Devices": Devices(), "Held": d, "Headers": d.Headers(now())})
	})
	mux.HandleFunc("GET /device", func(w http.ResponseWriter, _ *http.Request) {
		d := h.device()
		headers := map[string]string{}
		for name := range d.Headers(now()) {
			headers[name] = d.Headers(now()).Get(name)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(struct {
			Device
			Headers map[string]string `json:"headers"`
		}{d, headers})
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		if !h.choose(r.PostFormValue("device")) {
			http.Error(w, "There is no such device.", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /style.css", serveStyle)
	var samePage http.CrossOriginProtection
	return ownPages(samePage.Handler(mux))
}

// ownPages gives the demo's modern pages the headers that such pages have.
func ownPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// speaksOfDevices reports whether a header, however it is spelled, is one of
// the tunnel's own: only the tunnel may send those.
func speaksOfDevices(name string) bool {
	skeleton := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
	return strings.HasPrefix(skeleton, "xmdm")
}
