package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/routes"
)

// A Situation is a request that was never sent, and who would send it.
type Situation struct {
	Method, Host, Target string // Target is a path, perhaps with a query

	SignedIn bool
	Issuer   string // who signed them in; "" is the first that counts on the route
	Roles    []string
	Posture  access.Posture
	LoginAge time.Duration
	ACR      string
	AMR      []string
}

// A Judgement is what would become of a [Situation].
type Judgement struct {
	Route    *routes.Route
	Need     routes.Need
	Decision access.Decision
}

// Judge returns what would become of s at now under table. The error says why
// no route governs it.
func Judge(table *routes.Table, s Situation, now time.Time) (Judgement, error) {
	escaped, query, hasQuery := strings.Cut(s.Target, "?")
	path, err := routes.ParsePath(escaped)
	if err != nil {
		return Judgement{}, err
	}
	req := routes.Request{Host: s.Host, Method: s.Method, Path: path, RawQuery: query, HasQuery: hasQuery}
	var j Judgement
	if j.Route, err = table.Match(&req); err != nil {
		return Judgement{}, err
	}
	j.Need = j.Route.Need(&req)
	q := access.Question{Require: j.Need.Requirement, Posture: s.Posture, Now: now}
	if s.SignedIn {
		if s.Issuer == "" && len(j.Route.Issuers) > 0 {
			s.Issuer = j.Route.Issuers[0]
		}
		q.Session = &access.Session{
			ID: "rehearsal", Roles: s.Roles,
			Authentication: access.Authentication{
				Subject: access.Subject{Issuer: s.Issuer, Sub: "somebody"},
				ACR:     s.ACR, AMR: s.AMR, AuthTime: now.Add(-s.LoginAge), FreshAt: now.Add(-s.LoginAge),
			},
			LocksAt: now.Add(time.Minute), EndsAt: now.Add(time.Minute),
		}
	}
	j.Decision = access.Decide(q)
	return j, nil
}

// Rehearse runs the tests that routes carry, against table. It returns a
// mistake for each whose verdict or rule is not the expected one.
func (c *Config) Rehearse(table *routes.Table, now time.Time) Mistakes {
	var all Mistakes
	for _, t := range c.Tests {
		device, _ := c.Profile(t.Device)
		j, err := Judge(table, Situation{
			Method: t.Method, Host: t.Route.Host, Target: t.Path,
			SignedIn: t.SignedIn, Issuer: t.Issuer, Roles: t.As, Posture: device.Example(now), LoginAge: t.LoginAge, ACR: t.ACR,
		}, now)
		d := j.Decision
		switch {
		case err != nil:
			all = append(all, t.Mistake(fmt.Sprintf("test %s %s: %v", t.Method, t.Path, err)))
		case j.Route != t.Route:
			all = append(all, t.Mistake(fmt.Sprintf("test %s %s: the path belongs to route %q", t.Method, t.Path, j.Route.Name)))
		case d.Verdict != t.Expect:
			all = append(all, t.Mistake(fmt.Sprintf("test %s %s: expected %s, the verdict is %s (%s)%s", t.Method, t.Path, t.Expect, d.Verdict, d.Reason, byRule(d.Rule))))
		case t.Rule != "" && d.Rule != t.Rule:
			all = append(all, t.Mistake(fmt.Sprintf("test %s %s: expected rule %q to settle it, it was %s", t.Method, t.Path, t.Rule, quotedOrNone(d.Rule))))
		}
	}
	return all.sorted()
}

func byRule(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" by rule %q", name)
}

func quotedOrNone(name string) string {
	if name == "" {
		return "none"
	}
	return fmt.Sprintf("%q", name)
}
