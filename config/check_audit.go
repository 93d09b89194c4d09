package config

import (
	"crypto/x509"
	"net"
	"net/url"
)

func (d *decoder) audit(a *auditKeys) Audit {
	out := Audit{Retain: a.Retain.V, Deny: a.OnFailure.V != failAlarm, PatientSystem: a.PatientSystem.V}
	if s := a.PatientSystem; s.V != "" {
		if u, err := url.Parse(s.V); err != nil || u.Scheme == "" {
			d.mistake(s.where(), "%s is not a URI such as urn:oid:2.16.578.1.12.4.1.4.1", quoted(s.V))
		}
	}
	if a.Feeds.given() && len(a.Feeds.Items) == 0 && !a.Feeds.Bad {
		d.mistake(a.Feeds.where(), "audit.feeds lists none")
	}
	names := map[string]place{}
	for i := range a.Feeds.Items {
		in := &a.Feeds.Items[i]
		d.unique(names, "feed", in.Name.V, in.Name.where())
		if in.Name.V == "copy" {
			d.mistake(in.Name.where(), "`copy` is what the copying of checkpoints goes by")
		}
		out.Feeds = append(out.Feeds, d.feed(in))
	}
	if dir := a.Copy.Dir; dir.V != "" {
		out.CopyDir = d.beside(dir.V)
	} else if a.Copy.given() && !d.reported(a.Copy.where()) && !dir.given() {
		d.mistake(a.Copy.where(), "audit.copy says no dir")
	}
	return out
}

func (d *decoder) feed(in *feed) Feed {
	out := Feed{Name: in.Name.V, Type: in.Type.V, Oldest: in.Begin.V == beginOldest, Whole: in.Whole.V, Format: in.Format.V}
	if in.CAFile.V != "" {
		out.CAFile = d.beside(in.CAFile.V)
		if text, ok := d.readFile(in.CAFile.where(), in.CAFile.V); ok && !x509.NewCertPool().AppendCertsFromPEM(text) {
			d.mistake(in.CAFile.where(), "%s holds no certificate that can be read", quoted(in.CAFile.V))
		}
	}
	type key struct {
		at   place
		name string
	}
	var needed key
	var strange []key
	switch out.Type {
	case feedSyslog:
		needed = key{in.Address.where(), "address"}
		strange = []key{{in.URL.where(), "url"}, {in.Whole.where(), "whole"}}
	case feedOTLP:
		needed = key{in.URL.where(), "url"}
		strange = []key{{in.Address.where(), "address"}, {in.Cert.where(), "cert"}, {in.Key.where(), "key"}, {in.Format.where(), "format"}}
	default:
		return out // reported
	}
	if !needed.at.given() {
		d.mistake(in.where(), "a feed of type %s says its %s", out.Type, needed.name)
	}
	for _, k := range strange {
		if k.at.given() {
			d.mistake(k.at, "a feed of type %s has no %s", out.Type, k.name)
		}
	}
	if out.Type == feedSyslog {
		if out.Format == "" {
			out.Format = "dicom"
		}
		if s := in.Address.V; s != "" {
			host, port, err := net.SplitHostPort(s)
			if err != nil || host == "" || !isPort(port) {
				d.mistake(in.Address.where(), "%s is not a host and a port, such as siem.hospital.example:6514", quoted(s))
			} else {
				out.Address = s
			}
		}
		switch {
		case in.Cert.given() && in.Key.given():
			if d.certificate(certificate{Cert: in.Cert, Key: in.Key}) != nil {
				out.Pair = Pair{d.beside(in.Cert.V), d.beside(in.Key.V)}
			}
		case in.Cert.given():
			d.mistake(in.Cert.where(), "a certificate needs its key")
		case in.Key.given():
			d.mistake(in.Key.where(), "a key needs its certificate")
		}
		return out
	}
	if u := in.URL.V; u != nil && d.isWeb(in.URL) && d.isPlace(in.URL) {
		out.URL = u.Scheme + "://" + u.Host
		if u.Scheme == "http" && out.Whole && !isLoopback(u.Hostname()) {
			d.mistake(in.URL.where(), "whole records go over https, or to a loopback address: they name persons and patients")
		}
		if u.Scheme == "http" && in.CAFile.V != "" {
			d.mistake(in.CAFile.where(), "ca_file is for https, and the collector is reached by http")
		}
	}
	return out
}
