package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/svc"
)

func serviceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "service",
		Short: "Install, start, stop or remove the service",
		Long: "Install, start, stop or remove the service of this machine: of systemd, launchd or\n" +
			"Windows. Packages do this by themselves. It needs the rights of an administrator.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &exit{status.ExitUsage, fmt.Errorf("service has no verb %q; see reach64 service --help", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(serviceInstallCommand(), serviceUninstallCommand(), serviceStatusCommand(), serviceSetupCommand())
	for _, v := range []struct {
		verb, short, done string
		do                func() error
	}{
		{"start", "Start the service", "started", func() error { return svc.Control("start") }},
		{"stop", "Stop the service; it undoes its changes", "stopped", func() error { return svc.Control("stop") }},
		{"restart", "Stop the service and start it again", "restarted", func() error { return svc.Control("restart") }},
	} {
		c.AddCommand(&cobra.Command{Use: v.verb, Short: v.short, Args: noArguments, RunE: func(c *cobra.Command, _ []string) error {
			if err := v.do(); err != nil {
				return permission(err)
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), v.done)
			return err
		}})
	}
	return c
}

// noArguments refuses them.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &exit{status.ExitUsage, fmt.Errorf("%s takes no argument, got %q", c.Name(), args[0])}
	}
	return nil
}

func serviceInstallCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "install",
		Short: "Register this program as a service that starts with the system",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			args := []string{"run"}
			if config != "" {
				file, err := filepath.Abs(config)
				if err != nil {
					return fmt.Errorf("find configuration: %w", err)
				}
				args = append(args, "--config", file)
			}
			if err := paths.Secure(); err != nil {
				return permission(err)
			}
			if err := svc.Install(args...); err != nil {
				return permission(err)
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "installed; reach64 service start starts it")
			return err
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file of the service (default: the place for this system)")
	return c
}

func serviceUninstallCommand() *cobra.Command {
	var purge bool
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Stop the service and take it out of the service manager's list",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			err := uninstall(c.OutOrStdout(), purge)
			if err != nil || !purge {
				return permission(err)
			}
			if _, err := cleanup(c.Context(), newLog(c.ErrOrStderr())); err != nil {
				return permission(err)
			}
			return permission(removeData(c.OutOrStdout()))
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "also undo what a killed service left, and remove configuration, policy files, state and logs")
	return c
}

// uninstall takes the service out of the list. With purge it may be gone from there
// already, as after a purge that did not get to its end.
func uninstall(out io.Writer, purge bool) error {
	if state, err := svc.Query(); purge && err == nil && state == svc.Missing {
		_, err := fmt.Fprintln(out, "no service is installed")
		return err
	}
	if err := svc.Uninstall(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "uninstalled")
	return err
}

// serviceStatusCommand ends with 0 when the service runs, and with 3 otherwise.
func serviceStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the service is installed and runs; exit code 3 if not",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			state, err := svc.Query()
			if err != nil {
				return permission(err)
			}
			if _, err := fmt.Fprintln(c.OutOrStdout(), state); err != nil {
				return fmt.Errorf("write state: %w", err)
			}
			if state != svc.Running {
				return &exit{code: status.ExitNotRunning}
			}
			return nil
		},
	}
}
