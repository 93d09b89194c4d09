package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/fhir"
	"github.com/anteroom/anteroom/config"
)

// A disclosure is one line of an accounting: what a patient is told who asks
// to whom data of theirs went (45 CFR 164.528(b)(2)).
type disclosure struct {
	Date      time.Time `json:"date"`
	Recipient string    `json:"recipient"`
	What      string    `json:"what"`
	Why       string    `json:"why"`
	RequestID string    `json:"request_id"` // for those who look further
	Seq       uint64    `json:"seq"`
}

func accountingCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accounting --patient P {DIR | -c FILE}",
		Short: "To whom outside data of a patient went, and why",
		Long: `Lists, for one patient, each request that went through a route marked with
'disclosure' and was not answered with an error: when, to whom, what and why
(45 CFR 164.528). One whose end is not recorded is listed too. It can only tell of
what went through the gateway.`,
		Example: `  anteroom audit accounting --patient 77 -c anteroom.yaml
  anteroom audit accounting --patient 77 -c anteroom.yaml --since 1y --csv > accounting.csv`,
	}
	trail := trailFlag(cmd)
	f := cmd.Flags()
	patient := f.String("patient", "", "patient, as the route's extractor reads it (required)")
	since := f.String("since", "6y", "how far back")
	asJSON := f.Bool("json", false, "as JSON")
	asCSV := f.Bool("csv", false, "as CSV")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *patient == "" {
			return usageError{errors.New("--patient is missing")}
		}
		if *asJSON && *asCSV {
			return usageError{errors.New("want --json or --csv")}
		}
		back, err := config.ParseDuration(*since)
		if err != nil {
			return usageError{fmt.Errorf("--since: %w", err)}
		}
		dir, zone, err := trail(args)
		if err != nil {
			return err
		}
		from := time.Now().Add(-back)
		all, whole := disclosures(cmd.ErrOrStderr(), dir, *patient, from)
		for line, err := range audit.Search(dir, audit.Query{Limit: 1}) {
			if err == nil && line.Record.Time.After(from) {
				fmt.Fprintf(cmd.ErrOrStderr(), "the trail is kept from %s on\n", line.Record.Time.In(zone).Format(time.DateOnly))
			}
		}
		switch out := cmd.OutOrStdout(); {
		case *asJSON:
			err = writeJSON(out, all)
		case *asCSV:
			err = writeCSV(out, all, zone)
		default:
			err = writeTable(out, all, zone)
		}
		if err == nil && !whole {
			return errNo
		}
		return err
	}
	return cmd
}

// disclosures returns what is to be accounted for, oldest first. whole is false
// when a line could not be read.
func disclosures(stderr io.Writer, dir, patient string, from time.Time) (all []disclosure, whole bool) {
	all, whole = []disclosure{}, true
	var join fhir.Join
	note := func(joined []fhir.Joined) {
		for _, j := range joined {
			gone := j.Outcome != nil && j.Outcome.Status >= 400
			if j.Disclosure.Recipient == "" || j.Verdict != access.Allow.String() || gone {
				continue
			}
			all = append(all, disclosure{
				Date: j.Time, Recipient: j.Disclosure.Recipient, Why: j.Disclosure.Purpose,
				What: strings.TrimSpace(j.Route + ": " + j.Method + " " + j.Path), RequestID: j.RequestID, Seq: j.Seq,
			})
		}
	}
	for line, err := range audit.Search(dir, audit.Query{Patient: patient, From: from}) {
		if err != nil {
			fmt.Fprintln(stderr, err)
			whole = false
			continue
		}
		note(join.Add(line.Record))
	}
	note(join.Rest())
	return all, whole
}

func writeTable(out io.Writer, all []disclosure, zone *time.Location) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no disclosures")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATE\tRECIPIENT\tWHAT\tWHY")
	for _, d := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.Date.In(zone).Format("2006-01-02 15:04"), cell(d.Recipient), cell(d.What), cell(d.Why))
	}
	return w.Flush()
}

// cell keeps what a client wrote from moving the cursor, or the columns.
func cell(s string) string { return strings.Trim(fmt.Sprintf("%+q", s), `"`) }

func writeCSV(out io.Writer, all []disclosure, zone *time.Location) error {
	w := csv.NewWriter(out)
	w.Write([]string{"date", "recipient", "what", "why", "request_id", "seq"})
	for _, d := range all {
		w.Write([]string{d.Date.In(zone).Format(time.RFC3339), inert(d.Recipient), inert(d.What), inert(d.Why), inert(d.RequestID), fmt.Sprint(d.Seq)})
	}
	w.Flush()
	return w.Error()
}

// inert keeps a spreadsheet from taking text for a formula.
func inert(s string) string {
	if strings.ContainsAny(s[:min(1, len(s))], "=+-@\t\r") {
		return "'" + s
	}
	return s
}
