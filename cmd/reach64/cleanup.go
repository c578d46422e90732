package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/lock"
	"github.com/reach64/reach64/platform/paths"
)

func cleanupCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "cleanup",
		Short: "Undo what a service that was killed has left behind",
		RunE: func(c *cobra.Command, _ []string) error {
			held, err := acquire()
			if err != nil {
				return err
			}
			defer held.Close()
			undone, err := undo(c.Context(), newLog(c.ErrOrStderr()))
			for _, u := range undone {
				fmt.Fprintln(c.OutOrStdout(), "undone:", u)
			}
			if err != nil {
				return permission(err)
			}
			if len(undone) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "nothing was left behind")
			}
			return nil
		},
	}
	c.Flags().StringVar(&config, "config", paths.ConfigFile(), "configuration file (accepted beside run's; nothing is read from it)")
	return c
}

// acquire takes the lock that only one service or cleanup may hold.
func acquire() (*lock.Lock, error) {
	l, err := lock.Acquire(lockFile())
	var held *lock.HeldError
	if errors.As(err, &held) {
		return nil, &exit{status.ExitStoodDown, fmt.Errorf("reach64 is running already: pid %d holds %s", held.PID, held.Path)}
	}
	if err != nil {
		return nil, permission(fmt.Errorf("take lock: %w", err))
	}
	return l, nil
}
