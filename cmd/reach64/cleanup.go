package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/lock"
	"github.com/reach64/reach64/platform/paths"
)

func cleanupCommand() *cobra.Command {
	var config string
	var purge bool
	c := &cobra.Command{
		Use:   "cleanup",
		Short: "Undo what a service that was killed has left behind",
		RunE: func(c *cobra.Command, _ []string) error {
			undone, err := cleanup(c.Context(), newLog(c.ErrOrStderr()))
			for _, u := range undone {
				fmt.Fprintln(c.OutOrStdout(), "undone:", u)
			}
			switch {
			case err != nil:
				return permission(err)
			case purge:
				return permission(removeData(c.OutOrStdout()))
			case len(undone) == 0:
				fmt.Fprintln(c.OutOrStdout(), "nothing was left behind")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "also remove configuration, policy files, state and logs")
	c.Flags().StringVar(&config, "config", paths.ConfigFile(), "configuration file (accepted beside run's; nothing is read from it)")
	return c
}

// cleanup undoes what the journal holds, unless a service runs.
func cleanup(ctx context.Context, log logrus.FieldLogger) ([]string, error) {
	held, err := acquire()
	if err != nil {
		return nil, err
	}
	defer held.Close()
	return undo(ctx, log)
}

// removeData removes the folders that hold what is reach64's alone.
func removeData(out io.Writer) error {
	for _, folder := range paths.Data() {
		if _, err := os.Lstat(folder); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("remove data: %w", err)
		}
		fmt.Fprintln(out, "removed:", folder)
	}
	return nil
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
