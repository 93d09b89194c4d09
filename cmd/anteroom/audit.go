package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/audit"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove, search and export the audit trail",
		Args:  onlyCommands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verifyCommand(), searchCommand(), indexCommand(), exportCommand(), accountingCommand(), keyCommand(), holdCommand())
	return cmd
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify {DIR | -c FILE}",
		Short: "Prove that nothing in the audit trail was changed, removed or reordered",
		Long: `Follows the chain of hashes through every segment under DIR, or of the gateway
that FILE configures, and checks the signed checkpoints. Exit 0 when the trail is as it was written (gaps that it
records itself are listed), 1 with the first record that is wrong.

Without --key the trail names its own key, which proves nothing against somebody
who wrote all of it anew. --checkpoints compares with the copies that audit.copy
keeps, and so sees an end that was cut off or an older trail that was put back.`,
	}
	trail := trailFlag(cmd)
	pinned := cmd.Flags().StringArray("key", nil, "key that may have signed: base64, fingerprint, or a file with these; may be given again")
	copies := cmd.Flags().String("checkpoints", "", "directory with copies of the checkpoints")
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, _, err := trail(args)
		if err != nil {
			return err
		}
		var keys pins
		for _, k := range *pinned {
			if err := keys.add(k); err != nil {
				return usageError{fmt.Errorf("--key: %w", err)}
			}
		}
		r, err := audit.Verify(dir)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			keys.hold(&r)
		}
		compared, err := holdCopies(&r, dir, *copies)
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
			if compared > 0 {
				fmt.Fprintf(out, "as copied: %d checkpoints\n", compared)
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
	read := queryFlags(cmd, &q)
	f := cmd.Flags()
	f.IntVar(&q.Limit, "limit", 0, "at most so many records; 0: all")
	f.BoolVar(&q.EveryLine, "every-line", false, "read every line, whatever an index says")
	asJSON := f.Bool("json", false, "the records as they stand, one a line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, zone, err := trail(args)
		if err != nil {
			return err
		}
		if err := read(); err != nil {
			return err
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

func indexCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "index {DIR | -c FILE}",
		Short: "Make the indexes that searches use, where they are missing or do not fit",
		Long: `A gateway that runs makes them by itself, when a day is over. This is for a trail
that was copied elsewhere, or restored. It can run while the gateway does.`,
	}
	trail := trailFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, _, err := trail(args)
		if err != nil {
			return err
		}
		made, err := audit.Index(cmd.Context(), dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d made\n", made)
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
