package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anteroom/anteroom/audit"
)

func holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold {DIR | -c FILE} {--reason TEXT | --release}",
		Short: "Keep every segment of the audit trail, however old",
		Long: `Puts the trail on hold, as when a court or an inquiry may want it: until it is
released no segment is deleted, whatever audit.retain says. It can run while the
gateway does, and holds at once.`,
	}
	trail := trailFlag(cmd)
	reason := cmd.Flags().String("reason", "", "why, for those who find it later")
	release := cmd.Flags().Bool("release", false, "end the hold")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (strings.TrimSpace(*reason) == "") != *release {
			return usageError{errors.New("want --reason TEXT, or --release")}
		}
		dir, _, err := trail(args)
		if err != nil {
			return err
		}
		if *release {
			if !audit.Held(dir) {
				fmt.Fprintln(cmd.ErrOrStderr(), "the trail is not on hold")
				return errNo
			}
			return audit.Release(dir)
		}
		kept, err := audit.Hold(dir, time.Now().UTC().Format(time.RFC3339)+" "+strings.Join(strings.Fields(*reason), " "))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "on hold: %s", kept)
		return err
	}
	return cmd
}
