package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/audit"
	"github.com/anteroom/anteroom/audit/fhir"
)

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export --format fhir|ndjson {DIR | -c FILE} [flags]",
		Short: "The audit trail in the formats of others",
		Long: `Writes the records that the flags ask for, or all, one object a line:

  fhir    FHIR R4 AuditEvents by the patterns of IHE BALP. A request and its
          outcome are one event. --bundle N makes each line a batch of up to N
          events instead, fit to be posted to a FHIR server.
  ndjson  the records as they stand in the trail; docs/audit.md describes them.

Exit 1 when there was nothing to export, or when a line could not be read.`,
		Example: `  anteroom audit export --format fhir -c anteroom.yaml --from 2026-11-20 > events.ndjson
  anteroom audit export --format fhir --bundle 100 /var/lib/anteroom/audit --patient 77`,
	}
	trail := trailFlag(cmd)
	var q audit.Query
	read := queryFlags(cmd, &q)
	f := cmd.Flags()
	format := f.String("format", "", "fhir or ndjson (required)")
	bundle := f.Int("bundle", 0, "fhir: events in each batch; 0: events by themselves")
	site := f.String("site", "", "fhir: the gateway's name; with -c its own unless said")
	system := f.String("patient-system", "", "fhir: URI of the system that patients' numbers are of")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *format != "fhir" && *format != "ndjson" {
			return usageError{fmt.Errorf("--format: want fhir or ndjson, not %q", *format)}
		}
		if *bundle < 0 || *bundle > 0 && *format != "fhir" {
			return usageError{errors.New("--bundle: want how many events a batch of --format fhir holds")}
		}
		if err := read(); err != nil {
			return err
		}
		dir, _, err := trail(args)
		if err != nil {
			return err
		}
		if file, _ := cmd.Flags().GetString("config"); file != "" && *site == "" {
			l, err := load(file)
			if err != nil {
				return err
			}
			*site = l.Config.Gateway.URL.Host
		}
		out := bufio.NewWriter(cmd.OutOrStdout())
		var x exporter = &lines{out: out}
		if *format == "fhir" {
			if q.Event == access.EventOutcome { // part of the request's event
				q.Event = access.EventAccess
			}
			x = &events{out: out, mapper: fhir.Mapper{Site: *site, PatientSystem: *system}, size: *bundle, only: q.Event}
			if q.Event == access.EventAccess {
				q.Event = ""
			}
		}
		err = export(cmd.ErrOrStderr(), dir, q, x)
		return errors.Join(err, out.Flush())
	}
	return cmd
}

// An exporter writes lines of the trail in some format.
type exporter interface {
	add(audit.Line) error
	end() (written int, err error)
}

func export(stderr io.Writer, dir string, q audit.Query, x exporter) error {
	whole := true
	for line, err := range audit.Search(dir, q) {
		if err != nil {
			fmt.Fprintln(stderr, err)
			whole = false
			continue
		}
		if err := x.add(line); err != nil {
			return err
		}
	}
	written, err := x.end()
	switch {
	case err != nil:
		return err
	case written == 0:
		fmt.Fprintln(stderr, "nothing found")
		return errNo
	case !whole:
		return errNo
	}
	return nil
}

// lines writes records as they stand.
type lines struct {
	out *bufio.Writer
	n   int
}

func (x *lines) add(l audit.Line) error {
	x.n++
	x.out.Write(l.Raw) // its error stays
	return x.out.WriteByte('\n')
}

func (x *lines) end() (int, error) { return x.n, nil }

// events writes AuditEvents, by themselves or in batches.
type events struct {
	out    *bufio.Writer
	mapper fhir.Mapper
	join   fhir.Join
	only   access.EventKind // access: requests and nothing else
	size   int              // of a batch; 0: none
	batch  []fhir.AuditEvent
	n      int
}

func (x *events) add(l audit.Line) error { return x.write(x.join.Add(l.Record)) }

func (x *events) write(all []fhir.Joined) error {
	for _, j := range all {
		if x.only == access.EventAccess && j.Event != access.EventAccess && j.Event != access.EventOutcome {
			continue
		}
		x.n++
		e := x.mapper.Event(j)
		if x.size == 0 {
			if err := x.line(e); err != nil {
				return err
			}
			continue
		}
		if x.batch = append(x.batch, e); len(x.batch) == x.size {
			if err := x.send(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *events) send() error {
	defer func() { x.batch = x.batch[:0] }()
	return x.line(fhir.Batch(x.batch))
}

func (x *events) line(v any) error {
	e := json.NewEncoder(x.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (x *events) end() (int, error) {
	if err := x.write(x.join.Rest()); err != nil {
		return x.n, err
	}
	if len(x.batch) > 0 {
		return x.n, x.send()
	}
	return x.n, nil
}
