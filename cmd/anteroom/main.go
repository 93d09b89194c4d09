// Command anteroom is an identity-aware access gateway for clinical web
// applications.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	_ "time/tzdata" // a hospital's time zone, also where the image has none

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // used when the system has no roots of its own

	"github.com/anteroom/anteroom/cmd/gateway"
	"github.com/anteroom/anteroom/config"
)

// Set by the linker.
var (
	version = ""
	commit  = ""
)

// Exit codes: the answer is no, and the command was not understood.
const (
	exitNo    = 1
	exitUsage = 2
)

// An answer of no has been given already; there is nothing more to print.
var errNo = errors.New("no")

// A usageError is a mistake in how the command was called.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "anteroom",
		Short:         "An identity-aware access gateway for clinical web applications",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(serveCommand(), checkCommand(), explainCommand(), routesCommand(), auditCommand(), keysCommand(), diffCommand(), schemaCommand(), versionCommand())
	root.AddCommand(manual()...)

	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return exitNo
	case errors.As(err, &usage) || isUnknownCommand(cmd, err):
		fmt.Fprintf(stderr, "anteroom: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(stderr, "%v\n", err)
	return exitNo
}

// isUnknownCommand recognises the one mistake that cobra reports by itself,
// before any command of ours has run.
func isUnknownCommand(cmd *cobra.Command, err error) bool {
	return cmd.HasSubCommands() && !cmd.HasParent() || !cmd.Runnable()
}

// exactly wants n arguments, named in what.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("want %s", what)}
		}
		return nil
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is one argument too many", args[0])}
	}
	return nil
}

// onlyCommands is for a command that has others below it, and none of its own:
// cobra would answer an unknown one with help and no error.
func onlyCommands(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return nil
}

// configFlag adds -c, which names the configuration file.
func configFlag(cmd *cobra.Command) *string {
	file := cmd.Flags().StringP("config", "c", "", "configuration file (required)")
	mustComplete(cmd.MarkFlagFilename("config", "yaml", "yml"))
	return file
}

// completes has the shell offer the words that the configuration itself has for
// a flag; none while it cannot be read.
func completes(cmd *cobra.Command, flag string, file *string, words func(*config.Config) []string) {
	mustComplete(cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		l, err := gateway.Load(*file)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return words(l.Config), cobra.ShellCompDirectiveDefault
	}))
}

func mustComplete(err error) {
	if err != nil {
		panic("anteroom: complete a flag that there is not: " + err.Error())
	}
}

func needConfig(file string) error {
	if file == "" {
		return usageError{errors.New("-c FILE is missing: the configuration file")}
	}
	return nil
}

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Version, commit and Go version", Args: noArgs}
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, c := versions()
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), map[string]string{"version": v, "commit": c, "go": runtime.Version()})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "anteroom %s (commit %s, %s)\n", v, c, runtime.Version())
		return nil
	}
	return cmd
}

// versions returns what the linker set, else what the build recorded.
func versions() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" {
		v = "devel"
	}
	if c == "" {
		c = "unknown"
	}
	return v, c
}
