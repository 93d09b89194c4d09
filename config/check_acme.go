package config

import (
	"crypto/x509"
	"net/mail"
	"strings"
)

// letsEncrypt is the host of the default directory.
const letsEncrypt = "acme-v02.api.letsencrypt.org"

func (d *decoder) acme(f *file, a *acme) *ACME {
	out := &ACME{Email: a.Email.V}
	if out.Email != "" {
		if m, err := mail.ParseAddress(out.Email); err != nil || m.Address != out.Email {
			d.mistake(a.Email.where(), "%s is no email address such as it@hospital.example", quoted(out.Email))
		}
	}
	if u := a.Directory.V; u != nil {
		if u.Scheme != "https" {
			d.mistake(a.Directory.where(), "the directory is reached by https: whoever stands between could have certificates issued")
		}
		out.Directory = u.String()
		if u.Hostname() == letsEncrypt {
			d.publicNames(f)
		}
	}
	if a.RootCA.V != "" {
		if text, ok := d.readFile(a.RootCA.where(), a.RootCA.V); ok {
			if !x509.NewCertPool().AppendCertsFromPEM(text) {
				d.mistake(a.RootCA.where(), "%s holds no certificate that can be read", quoted(a.RootCA.V))
			}
			out.Roots = string(text)
		}
	}
	if u := f.Gateway.URL.V; u != nil && f.Gateway.RedirectListen.V == "" && u.Port() != "" && u.Port() != "443" {
		d.warn(a.where(), "nothing answers the authority: it validates a host on port 443, or on port 80 by gateway.redirect_listen")
	}
	return out
}

// publicNames warns of hosts that no public authority issues for.
func (d *decoder) publicNames(f *file) {
	ask := func(at place, host string) {
		inside := host != "" && !strings.Contains(host, ".")
		for _, end := range []string{".local", ".localhost", ".internal", ".home.arpa", ".test", ".example", ".invalid", ".lan"} {
			inside = inside || strings.HasSuffix(host, end)
		}
		if inside {
			d.warn(at, "%s is no public name: Let's Encrypt issues no certificate for it; name the directory of an authority that does", quoted(host))
		}
	}
	if u := f.Gateway.URL.V; u != nil {
		ask(f.Gateway.URL.where(), u.Hostname())
	}
	for i := range f.Routes.Items {
		ask(f.Routes.Items[i].Host.where(), f.Routes.Items[i].Host.V)
	}
}
