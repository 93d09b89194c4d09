package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

// queryFlags adds the flags that say which records are meant, and returns a
// function that finishes q from them.
func queryFlags(cmd *cobra.Command, q *audit.Query) func() error {
	f := cmd.Flags()
	f.StringVar(&q.Person, "person", "", "sub or username")
	f.StringVar(&q.Patient, "patient", "", "patient, as the route's extractor reads it")
	f.StringVar(&q.Device, "device", "", "device id")
	f.StringVar(&q.Session, "session", "", "session id")
	f.StringVar(&q.Route, "route", "", "route name")
	f.StringVar(&q.RequestID, "request", "", "request id, as shown on pages")
	f.StringVar(&q.TraceID, "trace", "", "trace id")
	f.StringVar(&q.Verdict, "verdict", "", "allow, deny, sign_in, step_up or locked")
	event := f.String("event", "", "kind of record: access, outcome, sign_in, step_up …")
	from := f.String("from", "", "from this time on (RFC 3339, or a date)")
	to := f.String("to", "", "before this time (RFC 3339, or a date)")
	return func() (err error) {
		q.Event = access.EventKind(*event)
		if q.From, err = moment(*from); err != nil {
			return usageError{fmt.Errorf("--from: %w", err)}
		}
		if q.To, err = moment(*to); err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
		if q.Verdict != "" {
			if _, ok := access.ParseVerdict(q.Verdict); !ok {
				return usageError{fmt.Errorf("--verdict: %q is none of %v", q.Verdict, access.VerdictWords())}
			}
		}
		return nil
	}
}

// moment reads a time, or a date as its midnight UTC; "" is the zero Time.
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-20T19:00:00Z nor a date", s)
	}
	return t, nil
}
