package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/cmd/gateway"
	"github.com/anteroom/anteroom/keys"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "The gateway's keys, and their turns",
		Args:  onlyCommands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(keysListCommand(), keysRotateCommand())
	return cmd
}

func keysListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "Which keys there are, and which signs",
		Long: `Lists the keys of the gateway that FILE configures, whether it runs or not: the
root key by a name that gives nothing of it away, and those that sign identity
assertions by their kid. It reads the root key, so it is for the gateway's user.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := load(*file)
		if err != nil {
			return err
		}
		all, err := l.Keys(time.Now())
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(cmd.OutOrStdout(), all)
		}
		return writeKeys(cmd.OutOrStdout(), all, l)
	}
	return cmd
}

func writeKeys(w io.Writer, all []gateway.KeyState, l *gateway.Loaded) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTATE\tSINCE\tID")
	for _, k := range all {
		name := k.Kind
		if k.Kind == "assertion" {
			name = fmt.Sprintf("assertion %d", k.Number)
		}
		if k.From.IsZero() {
			fmt.Fprintf(t, "%s\t%s\tat the next start\t\n", name, k.State)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, k.State, k.From.In(l.Config.Gateway.TimeZone).Format(time.RFC3339), k.ID)
	}
	return t.Flush()
}

func keysRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate -c FILE",
		Short: "Publish the next assertion key now; it signs a day later",
		Long: `Has the gateway that FILE configures publish its next assertion key in the set
at /.anteroom/jwks.json. It signs a day later, so that no application meets a
key that it has not heard of; the one before stays in the set for a day more.
The gateway does this by itself every 30 days.

A gateway that runs is asked, and does it within a second or two.

With --root it makes a new root key instead, which takes over when the gateway is
started next. Nobody is signed out, and nothing that is kept is lost: the key
before it still opens what it sealed, and is deleted when nothing of that can be
about any more, after two days or the longest session.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	root := cmd.Flags().Bool("root", false, "a new root key, at the next start")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := load(*file)
		if err != nil {
			return err
		}
		if *root {
			return changeRoot(cmd.OutOrStdout(), l)
		}
		err = l.RotateKeys(cmd.Context(), time.Now())
		already := errors.Is(err, keys.ErrPending)
		if err != nil && !already {
			return err
		}
		all, err := l.Keys(time.Now())
		if err != nil {
			return err
		}
		for _, k := range all {
			if k.State != "next" {
				continue
			}
			said := "is published"
			if already {
				said = "is published already"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "assertion key %d (%s) %s, and signs from %s\n", k.Number, k.ID, said, k.From.In(l.Config.Gateway.TimeZone).Format(time.RFC3339))
		}
		if already {
			return errNo
		}
		return nil
	}
	return cmd
}

func changeRoot(w io.Writer, l *gateway.Loaded) error {
	switch err := l.ChangeRoot(); {
	case errors.Is(err, keys.ErrWaiting):
		fmt.Fprintln(w, "a new root key waits for the next start already")
		return errNo
	case errors.Is(err, keys.ErrNeeded):
		fmt.Fprintf(w, "the previous root key is needed until %s: there are never three\n", l.PreviousRootUntil().In(l.Config.Gateway.TimeZone).Format(time.RFC3339))
		return errNo
	case err != nil:
		return err
	}
	fmt.Fprintln(w, "a new root key is made, and takes over when the gateway is started next: back up keys/ then")
	return nil
}
