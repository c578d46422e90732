package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
)

// manage makes a verb that asks the service for a change.
func manage(use, short string, do func(c *cobra.Command, socket string, args []string) error) *cobra.Command {
	var socket string
	c := &cobra.Command{Use: use, Short: short, RunE: func(c *cobra.Command, args []string) error {
		if err := do(c, socket, args); err != nil {
			return serviceError(err, socket)
		}
		return nil
	}}
	c.Flags().StringVar(&socket, "socket", paths.Socket(), "control socket of the service")
	return c
}

func post(ctx context.Context, socket, path string) error {
	_, err := control.Post(ctx, socket, path)
	return err
}

func reloadCommand() *cobra.Command {
	return manage("reload", "Have the service read its configuration again", func(c *cobra.Command, socket string, _ []string) error {
		r, err := control.Reload(c.Context(), socket)
		var refused *control.RefusedError
		switch {
		case errors.As(err, &refused):
			return &exit{status.ExitConfig, fmt.Errorf("the service keeps its configuration: %w", err)}
		case err != nil:
			return err
		}
		if len(r.Changed) == 0 {
			fmt.Fprintln(c.OutOrStdout(), "reloaded; nothing has changed")
		} else {
			fmt.Fprintln(c.OutOrStdout(), "reloaded; changed:", strings.Join(r.Changed, ", "))
		}
		if len(r.Restart) > 0 {
			fmt.Fprintln(c.OutOrStdout(), "takes effect when the service is started anew:", strings.Join(r.Restart, ", "))
		}
		return nil
	})
}

func refreshCommand() *cobra.Command {
	return manage("refresh", "Have the service look for prefixes and probe the servers now", func(c *cobra.Command, socket string, _ []string) error {
		return post(c.Context(), socket, "/v1/refresh")
	})
}

func pauseCommand() *cobra.Command {
	var d time.Duration
	c := manage("pause", "Have the service take its CLAT down and only watch", func(c *cobra.Command, socket string, _ []string) error {
		if d < 0 || d > control.MaxPause {
			return &exit{status.ExitUsage, fmt.Errorf("--for %v is not a time up to %v", d, control.MaxPause)}
		}
		path := "/v1/pause"
		if d > 0 {
			path += "?for=" + url.QueryEscape(d.String())
		}
		return post(c.Context(), socket, path)
	})
	c.Flags().DurationVar(&d, "for", 0, "for so long, such as 2h; without it until reach64 resume or the next start")
	return c
}

func resumeCommand() *cobra.Command {
	return manage("resume", "End a pause", func(c *cobra.Command, socket string, _ []string) error {
		return post(c.Context(), socket, "/v1/resume")
	})
}

func metricsCommand() *cobra.Command {
	return manage("metrics", "Print the service's metrics, in the text format of Prometheus", func(c *cobra.Command, socket string, _ []string) error {
		text, err := control.Get(c.Context(), socket, "/v1/metrics")
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	})
}

func logLevelCommand() *cobra.Command {
	c := manage("log-level LEVEL", "Set the service's log level until its next reload or start", func(c *cobra.Command, socket string, args []string) error {
		return post(c.Context(), socket, "/v1/log-level?level="+url.QueryEscape(args[0]))
	})
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return &exit{status.ExitUsage, fmt.Errorf("log-level takes one level, got %q", args)}
		}
		return nil
	}
	return c
}
