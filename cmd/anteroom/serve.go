package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/cmd/gateway"
	"github.com/anteroom/anteroom/config"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Run the gateway",
		Long: `Runs the gateway until it is told to stop.

SIGHUP, or a change of the file, reloads the configuration after the same checks
as 'anteroom check' makes; a file that is wrong is refused, and the gateway goes
on as before. SIGTERM drains: not ready at once, new connections for 5 seconds
more, requests under way for up to 30.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	grace := cmd.Flags().Duration("grace", 5*time.Second, "how long to go on accepting once told to stop")
	verbose := cmd.Flags().BoolP("verbose", "v", false, "log every refusal too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := needConfig(*file); err != nil {
			return err
		}
		level := slog.LevelInfo
		if *verbose {
			level = slog.LevelDebug
		}
		log := gateway.Logger(cmd.ErrOrStderr(), level)
		stdlog.SetFlags(0)
		stdlog.SetOutput(remarks{log})
		if err := keepMemory(); err != nil {
			log.Warn("a crash may leave secrets in a core dump", "error", err)
		}
		giveRoom()
		v, _ := versions()
		if *grace == 0 {
			*grace = -1
		}
		sockets, err := inherited()
		if err != nil {
			return err
		}
		defer tellStopping(cmd.Context(), log)()
		return gateway.Run(cmd.Context(), gateway.Options{ConfigFile: *file, Version: v, Log: log, Grace: *grace, Inherited: sockets, Ready: func(a gateway.Addresses) {
			tell(log, daemon.SdNotifyReady)
			log.Info("serving", "tls", a.TLS, "redirect", a.Redirect, "admin", a.Admin, "senders", a.Senders, "version", v)
		}})
	}
	return cmd
}

// remarks takes what libraries say by the standard logger, which they do where
// they have no other. What they quote is left out: net/http quotes answers of
// backends that nobody had asked for.
type remarks struct{ log *slog.Logger }

func (r remarks) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(strings.TrimSpace(string(line)), `"`)
	r.log.Warn("a library remarks", "text", text)
	return len(line), nil
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Everything that starting does, except listening",
		Long: `Reads the configuration, the files and secrets it names, and runs the tests of
its routes; without --offline it also asks the provider. Prints each mistake as
FILE:LINE:COL: message and exits with 1, or 0 when there is none.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	offline := cmd.Flags().Bool("offline", false, "do not ask the provider")
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := needConfig(*file); err != nil {
			return err
		}
		l, err := gateway.Load(*file)
		mistakes, isMistakes := err.(config.Mistakes)
		if err != nil && !isMistakes {
			return err
		}
		var asked error
		if err == nil && !*offline {
			ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
			defer cancel()
			asked = l.AskProviders(ctx)
		}
		if *asJSON {
			return reportJSON(cmd.OutOrStdout(), l, mistakes, asked)
		}
		return report(cmd.OutOrStdout(), cmd.ErrOrStderr(), *file, l, mistakes, asked)
	}
	return cmd
}

func report(stdout, stderr io.Writer, file string, l *gateway.Loaded, mistakes config.Mistakes, asked error) error {
	for _, w := range l.Warnings {
		fmt.Fprintln(stderr, w)
	}
	for _, m := range mistakes {
		fmt.Fprintln(stderr, m)
	}
	if asked != nil {
		fmt.Fprintf(stderr, "%s: %v\n", file, asked)
	}
	switch {
	case len(mistakes) == 1:
		fmt.Fprintln(stderr, "1 mistake")
		return errNo
	case len(mistakes) > 1:
		fmt.Fprintf(stderr, "%d mistakes\n", len(mistakes))
		return errNo
	case asked != nil:
		return errNo
	}
	fmt.Fprintf(stdout, "%s: good (%d routes, %d tests)\n", file, len(l.Config.Routes), len(l.Config.Tests))
	return nil
}

func reportJSON(stdout io.Writer, l *gateway.Loaded, mistakes config.Mistakes, asked error) error {
	type line struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		Message string `json:"message"`
	}
	out := struct {
		OK       bool   `json:"ok"`
		Mistakes []line `json:"mistakes"`
		Warnings []line `json:"warnings"`
		Provider string `json:"provider,omitempty"`
	}{OK: len(mistakes) == 0 && asked == nil, Mistakes: []line{}, Warnings: []line{}}
	for _, m := range mistakes {
		out.Mistakes = append(out.Mistakes, line(m))
	}
	for _, w := range l.Warnings {
		out.Warnings = append(out.Warnings, line(w))
	}
	if asked != nil {
		out.Provider = asked.Error()
	}
	if err := writeJSON(stdout, out); err != nil {
		return err
	}
	if !out.OK {
		return errNo
	}
	return nil
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "JSON Schema of the configuration",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", s)
			return err
		},
	}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// load reads a configuration for a command that only looks at it.
func load(file string) (*gateway.Loaded, error) {
	if err := needConfig(file); err != nil {
		return nil, err
	}
	l, err := gateway.Load(file)
	if m, ok := err.(config.Mistakes); ok {
		return nil, errors.New(m.Error())
	}
	return l, err
}
