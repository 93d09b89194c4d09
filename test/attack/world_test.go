// Package attack_test sends the gateway the attack catalogue: every case by its
// number, as raw bytes over TLS, judged by what the client gets and by every
// byte that reaches a recording backend.
package attack_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/anteroomtest"
)

// Source addresses. All of 127.0.0.0/8 is this machine, so who is believed can
// be told apart from who is not.
const (
	stranger = "127.0.0.9" // believed in nothing
	tunnel   = "127.0.0.1" // the posture source's sender
	balancer = "127.0.0.7" // a trusted proxy
)

// A person of the catalogue, as backends should be told of them.
type person struct {
	username, name, roles, sub string
	browser                    *anteroomtest.Browser
}

// A world is the catalogue's fixture: one gateway, the people signed in to it,
// and what they can be told apart by at the backend.
type world struct {
	*anteroomtest.Gateway
	Backend *recorder
	people  map[string]*person
	foreign string // an assertion of nora's, genuine, for another host
}

// catalogue makes the test fixture into that of the catalogue: a load balancer,
// a door for plain HTTP, and a backend that tolerates what paths allow.
func (w *world) catalogue(text string) string {
	text = strings.NewReplacer(
		`redirect_listen: ""`, "redirect_listen: 127.0.0.1:0\n  trusted_proxies: ["+balancer+"/32]",
		"when: {methods: [POST, PUT, PATCH, DELETE], path: /orders/**}\n        require: {within: 2m}",
		"when: {methods: [POST, PUT, PATCH, DELETE], path: /orders/**}\n        require: {within: 5m}",
		// Nobody's session may lock while a slow machine works through the rows.
		"sessions: {lock_after: 5m, end_after: 30m, max: 13h}", "sessions: {lock_after: 4h, end_after: 8h, max: 13h}",
		"    session: {lock_after: 2m}\n", "",
	).Replace(text)
	tolerant := `
  - name: loose
    host: loose.test
    path: /
    backend: {url: {backend}, tolerate: [path_params, double_slash, encoded_slash], identity: {headers: {X-Remote-User: username, X-Remote-Name: name, X-Remote-Roles: roles}, assertion: {header: X-Anteroom-Assertion, audience: ehr}}}
    allow: {roles: [nurse, physician, admin]}
    device: none
  - name: loose admin
    host: loose.test
    path: /admin
    backend: {url: {backend}, tolerate: [path_params, double_slash, encoded_slash]}
    allow: {roles: [admin]}
    device: none
  - name: loose open
    host: loose.test
    path: /pub
    backend: {url: {backend}, tolerate: [path_params, double_slash, encoded_slash]}
    allow: public
    device: none
audit:`
	text = strings.ReplaceAll(strings.Replace(text, "\naudit:", tolerant, 1), "{backend}", w.Backend.URL)
	before, _, _ := strings.Cut(text, "\nlimits:")
	return before + limits
}

// limits are those that no case but O1 is about, out of the way.
const limits = `
limits:
  requests_per_session: {per_second: 100000, burst: 100000}
  requests_per_address: {per_second: 100000, burst: 100000}
  sign_ins_per_address: {per_minute: 100000, burst: 100000}
  sessions_per_person: 10000
  read_header: 10s
  stall: 60s
`

// hosts that people of the world are signed in on.
var hosts = [...]string{"ehr.test", "loose.test", "gate.test"}

func newWorld(t testing.TB, s anteroomtest.Setup) *world {
	t.Helper()
	w := &world{Backend: newRecorder(t), people: map[string]*person{"": {}}}
	if s.Edit == nil {
		s.Edit = w.catalogue
	}
	w.Gateway = anteroomtest.Start(t, s)
	lene := anteroomtest.Person{Sub: "lene-sub", Username: "lene", Groups: []string{"ehr-nurses"}, ACR: "pwd", AMR: []string{"pwd"}}
	for _, who := range []anteroomtest.Person{anteroomtest.Nora, anteroomtest.Piet, anteroomtest.Adam, anteroomtest.Eve, lene} {
		w.people[who.Username] = w.signIn(t, who, nil)
	}
	w.people["tablet"] = w.signIn(t, anteroomtest.Nora, func(b *anteroomtest.Browser) { b.Device = anteroomtest.Compliant("ipad-1") })
	w.people["tablet"].browser.Get(w.URL("img.test", "/study/1"))
	got, err := w.Backend.Take()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range got {
		w.foreign = a.get("X-Anteroom-Assertion") // the last is for img.test
	}
	w.restore()
	return w
}

// signIn signs who in on every host by a login of twenty minutes ago, too old
// for what asks for a newer one.
func (w *world) signIn(t testing.TB, who anteroomtest.Person, prepare func(*anteroomtest.Browser)) *person {
	t.Helper()
	w.Provider.Person(who)
	w.Provider.EditIDToken(func(c map[string]any) { c["auth_time"] = c["auth_time"].(int64) - 1200 })
	defer w.Provider.EditIDToken(nil)
	b := w.Browser(t)
	if prepare != nil {
		prepare(b)
	}
	for _, host := range hosts {
		b.Get(w.URL(host, "/"))
		if b.Cookie(host, "__Host-anteroom") == "" {
			t.Fatalf("%s is not signed in on %s", who.Username, host)
		}
	}
	roles := map[string]string{"ehr-nurses": "nurse", "ehr-physicians": "physician", "admins": "admin"}
	p := &person{username: who.Username, name: who.Name, sub: who.Sub, browser: b}
	for _, g := range who.Groups {
		p.roles = roles[g]
	}
	return p
}

// restore undoes what a case did to the provider and the backend.
func (w *world) restore() {
	p := w.Provider
	p.Up()
	p.Person(anteroomtest.Nora)
	p.Skew(0)
	p.Discovery(nil)
	p.EditIDToken(nil)
	p.EditTokenAnswer(nil)
	p.EditUserInfo(nil)
	p.EditKeys(nil)
	p.EditCallback(nil)
	p.Sign(nil)
	for _, path := range []string{anteroomtest.DiscoveryPath, anteroomtest.AuthorizePath, anteroomtest.TokenPath, anteroomtest.UserInfoPath, anteroomtest.KeysPath} {
		p.Handle(path, nil)
	}
	w.Backend.Handle(nil)
	w.Backend.Forget()
}

// cookie returns the session cookie of a person on a host, as a header line's value.
func (w *world) cookie(who, host string) string {
	p := w.people[who]
	if p == nil || p.browser == nil {
		return ""
	}
	return "__Host-anteroom=" + p.browser.Cookie(host, "__Host-anteroom")
}

// dial opens a TLS connection from a source address.
func (w *world) dial(ctx context.Context, from, name string, protocols ...string) (*tls.Conn, error) {
	d := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second},
		Config:    &tls.Config{ServerName: name, RootCAs: w.CA, NextProtos: protocols, InsecureSkipVerify: true}, // names that no certificate is for are asked, too
	}
	c, err := d.DialContext(ctx, "tcp", w.Address)
	if err != nil {
		return nil, fmt.Errorf("dial %s from %s: %w", name, from, err)
	}
	return c.(*tls.Conn), nil
}
