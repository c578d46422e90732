package main

import (
	_ "embed"
	"fmt"

	"github.com/spf13/cobra"
)

// licenseTexts are the licences of reach64 and of all that is built into it; a test
// compares them with the modules.
//
//go:embed licenses.txt
var licenseTexts string

func licensesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "licenses",
		Short: "Print the licences of reach64 and of what is built into it",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.OutOrStdout(), licenseTexts)
			return err
		},
	}
}
