package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
	"github.com/reach64/reach64/platform/paths"
)

func statusCommand() *cobra.Command {
	var asJSON bool
	var socket string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the backup servers are reached, and why",
		Long: "Show how the backup servers are reached, and why. The exit code tells the same:\n" +
			"0 every server is reached, 10 some are not, 11 none is, 12 not known yet,\n" +
			"13 stood down for another CLAT or switched off, 3 the service does not run.",
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := control.Get(c.Context(), socket, "/v1/status")
			if err != nil {
				return serviceError(err, socket)
			}
			doc := struct {
				Version string        `json:"version"`
				Result  status.Status `json:"result"`
			}{}
			if err := json.Unmarshal(body, &doc); err != nil {
				return fmt.Errorf("read status document: %w", err)
			}
			if asJSON {
				_, err = c.OutOrStdout().Write(body)
			} else {
				err = doc.Result.Text(c.OutOrStdout(), time.Now(), doc.Version)
			}
			if err != nil {
				return fmt.Errorf("write status: %w", err)
			}
			if code := doc.Result.Exit(); code != status.ExitOK {
				return &exit{code: code}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the service's document unchanged")
	c.Flags().StringVar(&socket, "socket", paths.Socket(), "control socket of the service")
	return c
}

// serviceError gives an error from the control socket its exit code.
func serviceError(err error, socket string) error {
	switch {
	case errors.Is(err, ipc.ErrNotRunning):
		return &exit{status.ExitNotRunning, fmt.Errorf("the service does not run (nobody listens at %s); start it with 'reach64 run'", socket)}
	case errors.Is(err, control.ErrForbidden):
		return &exit{status.ExitNotPermitted, err}
	}
	return err
}
