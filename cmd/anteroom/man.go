//go:build man

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manual returns the command that writes the manual from the commands
// themselves, when a package is built. The program that runs in a hospital does
// not carry it.
func manual() []*cobra.Command {
	return []*cobra.Command{{
		Use: "man DIR", Hidden: true, Short: "Write the manual pages of every command into DIR",
		Args: exactly(1, "a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// A page shows the day it was made, which has to be that of the source.
			made, err := time.Parse(time.RFC3339, os.Getenv("SOURCE_TIME"))
			if err != nil {
				return errors.New("SOURCE_TIME is not set to when the source was committed (RFC 3339)")
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make the directory of the manual: %w", err)
			}
			v, _ := versions()
			root := cmd.Root()
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{
				Title: "ANTEROOM", Section: "1", Source: "anteroom " + v, Manual: "Anteroom", Date: &made,
			}, args[0])
		},
	}}
}
