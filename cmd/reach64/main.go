// Reach64 keeps an IPv4-only backup server reachable from networks that have
// only IPv6. One binary holds the service and the tools to look at it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
)

// version is stamped by the build.
var version = "dev"

// exit is an error that ends the program with this code.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func main() {
	runtime.MemProfileRate = 0 // nobody reads that profile, and its table grows for months
	os.Exit(run(os.Args[1:]))
}

// run executes the command line and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var e *exit
	switch {
	case err == nil:
		return status.ExitOK
	case errors.As(err, &e):
		if e.err != nil {
			fmt.Fprintln(os.Stderr, "reach64:", e.err)
		}
		return e.code
	}
	fmt.Fprintln(os.Stderr, "reach64:", err)
	return status.ExitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "reach64",
		Short: "Keep an IPv4-only backup server reachable from IPv6-only networks",
		Long: "reach64 notices that a machine has only IPv6, learns the NAT64 prefix of the\n" +
			"network, and carries IPv4 traffic to the backup server through a local\n" +
			"IPv4-to-IPv6 translator (CLAT), so that an unmodified client goes on working.\n\n" +
			"Exit codes: 0 healthy or done, 1 failed, 2 usage, 3 service not running,\n" +
			"4 not permitted, 5 configuration invalid, 10 degraded, 11 path broken,\n" +
			"12 inconclusive, 13 stood down or conflict, 130 interrupted.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &exit{status.ExitUsage, fmt.Errorf("there is no verb %q; see reach64 --help", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exit{status.ExitUsage, fmt.Errorf("%w; see reach64 %s --help", err, c.Name())}
	})
	root.AddCommand(runCommand(), statusCommand(), discoverCommand(), explainCommand(), translateCommand(), dialCommand(), forwardCommand(), probeCommand(), configCommand(), reloadCommand(), pauseCommand(), resumeCommand(), refreshCommand(), logLevelCommand(), metricsCommand(), resolveCommand(), doctorCommand(), uiCommand(), bundleCommand(), captureCommand(), logsCommand(), policyCommand(), licensesCommand(), manCommand(), cleanupCommand(), serviceCommand(), selftestCommand(), versionCommand())
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = func(c *cobra.Command, args []string) error {
				if len(args) > 0 {
					return &exit{status.ExitUsage, fmt.Errorf("%s takes no argument, got %q", c.Name(), args[0])}
				}
				return nil
			}
		}
	}
	return root
}
