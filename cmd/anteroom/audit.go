package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Prove and search the audit trail"}
	cmd.AddCommand(verifyCommand(), searchCommand())
	return cmd
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Prove that nothing in the audit trail was changed, removed or reordered",
		Long: `Follows the chain of hashes through every segment under DIR and checks the
signed checkpoints. Exit 0 when the trail is as it was written (gaps that it
records itself are listed), 1 with the first record that is wrong.`,
		Args: exactly(1, "DIR, the audit directory"),
	}
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := audit.Verify(args[0])
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if *asJSON {
			if err := writeJSON(out, r); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(out, "%d records in %d segments, %d to %d, %s to %s\n", r.Records, r.Segments, r.First.Seq, r.Last.Seq,
				r.First.Time.Format(time.RFC3339), r.Last.Time.Format(time.RFC3339))
			for _, g := range r.Gaps {
				fmt.Fprintf(out, "gap: %v\n", g)
			}
			if r.Unsigned > 0 {
				fmt.Fprintf(out, "the last %d records are not signed for yet\n", r.Unsigned)
			}
		}
		if r.Problem != nil {
			if !*asJSON {
				fmt.Fprintf(out, "BROKEN %s\n", r.Problem)
			}
			return errNo
		}
		if !*asJSON {
			fmt.Fprintln(out, "intact")
		}
		return nil
	}
	return cmd
}

func searchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search DIR [flags]",
		Short: "Who did what, to whom, when and from where",
		Example: `  anteroom audit search /var/lib/anteroom/audit --patient 77
  anteroom audit search /var/lib/anteroom/audit --person nora --from 2026-11-20T19:00:00Z --json`,
		Args: exactly(1, "DIR, the audit directory"),
	}
	var q audit.Query
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
	f.IntVar(&q.Limit, "limit", 0, "at most so many records; 0: all")
	asJSON := f.Bool("json", false, "the records as they stand, one a line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Event = access.EventKind(*event)
		var err error
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
		out, found := cmd.OutOrStdout(), 0
		for line, err := range audit.Search(args[0], q) {
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				continue
			}
			found++
			if *asJSON {
				_, err = fmt.Fprintf(out, "%s\n", line.Raw)
			} else {
				err = audit.WriteLine(out, line.Record, time.Local)
			}
			if err != nil {
				return err
			}
		}
		if found == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "nothing found")
			return errNo
		}
		return nil
	}
	return cmd
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
