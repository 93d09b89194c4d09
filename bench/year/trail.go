package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

const (
	days     = 365
	patients = 100_000
	people   = 5_000
	tablets  = 2_000
	writers  = 64
)

var start = time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC)

// A year is a trail that is made of nothing but numbers: whatever is true of
// request i follows from i.
type year struct{ requests, days int }

// mix scatters i, so that what follows from it has no order.
func mix(i int) uint64 {
	x := uint64(i)*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	return x
}

func (w year) patient(n int) string { return fmt.Sprintf("P-%07d", n*37) }
func (w year) id(i int) string      { return fmt.Sprintf("%016x%08x", mix(i), i) }

func (w year) at(i int) time.Time {
	return start.Add(time.Duration(float64(i) / float64(w.requests) * float64(w.days) * float64(24*time.Hour)))
}

// of returns what is true of request i, apart from its words.
func (w year) of(i int) (patient, person, tablet int, amends bool, age time.Duration) {
	x := mix(i)
	person = int(x >> 40 % people)
	// Ages keep away from the limit, where two clocks might differ.
	return int(x % patients), person, person % tablets, x>>20%10 == 0, time.Duration(2+10*(x>>30%24)) * time.Minute
}

// count returns how many records there are.
func (w year) count(flag, value string) (n int) {
	for i := range w.requests {
		p, _, _, _, _ := w.of(i)
		if flag == "--patient" && w.patient(p) == value || flag == "--request" && w.id(i) == value {
			n += 2
		}
	}
	return n
}

// changed returns how many requests the stricter file decides otherwise.
func (w year) changed() (n int) {
	for i := range w.requests {
		if _, _, _, amends, age := w.of(i); amends && age > stricterWithin {
			n++
		}
	}
	return n
}

// write makes the trail by the journal itself, in as many segments as days.
func (w year) write(ctx context.Context, dir string) error {
	var clock atomic.Int64
	clock.Store(start.UnixNano())
	j, err := audit.Open(audit.Options{Dir: dir, Key: signing, Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	if err != nil {
		return err
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= w.requests || failed.Load() != nil {
					return
				}
				for now := w.at(i).UnixNano(); ; {
					was := clock.Load()
					if was >= now || clock.CompareAndSwap(was, now) {
						break
					}
				}
				decided, outcome := w.events(i)
				for _, e := range []*access.Event{decided, outcome} {
					if err := j.Record(ctx, e, false); err != nil {
						failed.CompareAndSwap(nil, &err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if err := j.Close(); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// events returns both records of request i.
func (w year) events(i int) (decided, outcome *access.Event) {
	p, who, tablet, amends, age := w.of(i)
	at := w.at(i)
	patient, person := w.patient(p), fmt.Sprintf("%05d", who)
	s := &access.Session{ID: fmt.Sprintf("s-%s-%s", person, at.Format("0102")), Roles: []string{"nurse"}}
	s.Subject = access.Subject{Issuer: "https://login.hospital.example/realms/staff", Sub: "248289-" + person}
	s.Username, s.ACR, s.AMR, s.AuthTime = "nurse-"+person, "phr", []string{"hwk", "pin"}, at.Add(-age)
	e := access.Event{
		Kind: access.EventAccess, Time: at, Verdict: access.Allow.String(), Reason: access.AllMet, Route: "pharmacy", Host: "rx.hospital.example", Method: "GET",
		Path: "/patients/" + patient + "/chart", Session: s, Posture: &access.Posture{DeviceID: fmt.Sprintf("mdm:ipad-%06d", tablet), Assurance: access.A2},
		Patient: patient, SourceIP: fmt.Sprintf("10.20.%d.%d", tablet>>8, tablet&0xff), RequestID: w.id(i), TraceID: fmt.Sprintf("%016x%016x", mix(i+1), mix(i+2)),
	}
	if amends {
		e.Method, e.Path, e.Rule = "POST", "/patients/"+patient+"/orders", "amend an order"
	}
	o := e
	o.Kind, o.Status, o.Time = access.EventOutcome, 200, at.Add(40*time.Millisecond)
	return &e, &o
}

// stricterWithin is how old a sign-in may be that amends an order, in the
// stricter file.
const stricterWithin = time.Hour

const stricter = "within: 1h"

// configuration is the file of the hospital; the rule asks for within.
func configuration(within string) string {
	if within == "" {
		within = "within: 12h"
	}
	return strings.Replace(`gateway:
  url: https://gate.hospital.example
  listen: 127.0.0.1:0
  redirect_listen: ""
  admin_listen: 127.0.0.1:0
  data_dir: data
tls: {self_signed: true}
providers:
  - {name: hospital, issuer: "https://login.hospital.example/realms/staff", client_id: anteroom, client_secret: "${file:secret}"}
roles:
  nurse: {groups: [ehr-nurses]}
sessions: {lock_after: 5m, end_after: 30m, max: 13h}
routes:
  - name: pharmacy
    host: rx.hospital.example
    path: /
    backend: {url: "http://127.0.0.1:1"}
    allow: {roles: [nurse]}
    device: none
    patient: {path: "/patients/{patient}/**"}
    rules:
      - name: amend an order
        when: {methods: [POST], path: "/patients/*/orders"}
        require: {WITHIN}
audit: {on_failure: deny}
`, "WITHIN", within, 1)
}
