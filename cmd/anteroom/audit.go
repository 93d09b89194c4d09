package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove and search the audit trail",
		// A command of its own, or cobra would answer an unknown one with help and no error.
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verifyCommand(), searchCommand())
	return cmd
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify {DIR | -c FILE}",
		Short: "Prove that nothing in the audit trail was changed, removed or reordered",
		Long: `Follows the chain of hashes through every segment under DIR, or of the gateway
that FILE configures, and checks the signed checkpoints. Exit 0 when the trail is as it was written (gaps that it
records itself are listed), 1 with the first record that is wrong.`,
	}
	trail := trailFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, _, err := trail(args)
		if err != nil {
			return err
		}
		r, err := audit.Verify(dir)
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
		Use:   "search {DIR | -c FILE} [flags]",
		Short: "Who did what, to whom, when and from where",
		Example: `  anteroom audit search /var/lib/anteroom/audit --patient 77
  anteroom audit search -c anteroom.yaml --person nora --from 2026-11-20T19:00:00Z --json`,
	}
	trail := trailFlag(cmd)
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
		dir, zone, err := trail(args)
		if err != nil {
			return err
		}
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
		out, found := cmd.OutOrStdout(), 0
		for line, err := range audit.Search(dir, q) {
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				continue
			}
			found++
			if *asJSON {
				_, err = fmt.Fprintf(out, "%s\n", line.Raw)
			} else {
				err = audit.WriteLine(out, line.Record, zone)
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

// trailFlag adds -c, and returns a function that says which audit directory is
// meant: the one argument, or that of the gateway which the file
// configures; and the zone that its times are shown in.
func trailFlag(cmd *cobra.Command) func(args []string) (string, *time.Location, error) {
	file := cmd.Flags().StringP("config", "c", "", "configuration file of the gateway whose trail it is, in place of DIR")
	return func(args []string) (string, *time.Location, error) {
		switch {
		case len(args) == 1 && *file == "":
			return args[0], time.Local, nil
		case len(args) > 0 || *file == "":
			return "", nil, usageError{errors.New("want DIR, the audit directory, or -c FILE")}
		}
		l, err := load(*file)
		if err != nil {
			return "", nil, err
		}
		return filepath.Join(l.Config.Gateway.DataDir, "audit"), l.Config.Gateway.TimeZone, nil
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
