package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
	"github.com/reach64/reach64/platform/paths"
)

// statusFlags are the flags of the verb.
type statusFlags struct {
	json, watch bool
	verbose     bool
	check       string
	socket      string
}

func statusCommand() *cobra.Command {
	var f statusFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the backup servers are reached, and why",
		Long: "Show how the backup servers are reached, and why. The exit code tells the same:\n" +
			"0 every server is reached, 10 some are not, 11 none is, 12 not known yet,\n" +
			"13 stood down for another CLAT or switched off, 3 the service does not run.\n\n" +
			"-v adds where a prefix was looked for, and the counters. --watch shows it again at each\n" +
			"change, on a terminal in place, with --json one document a line. --check prints\n" +
			"nothing and gives an exit code: live (0: the service answers), ready (0: it knows what\n" +
			"kind of network this is, 12: not yet), path (as above).",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case f.check != "" && (f.watch || f.json):
				return &exit{status.ExitUsage, errors.New("--check goes with neither --watch nor --json")}
			case f.check != "":
				return checkStatus(c.Context(), f)
			case f.watch:
				return watchStatus(c.Context(), c.OutOrStdout(), f)
			}
			return showStatus(c.Context(), c.OutOrStdout(), f)
		},
	}
	fl := c.Flags()
	fl.BoolVar(&f.json, "json", false, "print the service's document unchanged")
	fl.BoolVar(&f.watch, "watch", false, "show it again at each change, until interrupted")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "show where a prefix was looked for, and all counters, too")
	fl.StringVar(&f.check, "check", "", "print nothing, check live, ready or path")
	fl.StringVar(&f.socket, "socket", paths.Socket(), "control socket of the service")
	return c
}

func (f statusFlags) style(out io.Writer) status.Style {
	return status.Style{Color: colored(out), Verbose: f.verbose}
}

// document is what the service says.
type document struct {
	Version string        `json:"version"`
	Result  status.Status `json:"result"`
}

func readDocument(body []byte) (d document, err error) {
	if err := json.Unmarshal(body, &d); err != nil {
		return d, fmt.Errorf("read status document: %w", err)
	}
	return d, nil
}

func showStatus(ctx context.Context, out io.Writer, f statusFlags) error {
	body, err := control.Get(ctx, f.socket, "/v1/status")
	if err != nil {
		return serviceError(err, f.socket)
	}
	doc, err := readDocument(body)
	if err != nil {
		return err
	}
	if f.json {
		_, err = out.Write(body)
	} else {
		err = doc.Result.Text(out, time.Now(), doc.Version, f.style(out))
	}
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return exitWith(doc.Result.Exit())
}

func exitWith(code int) error {
	if code != status.ExitOK {
		return &exit{code: code}
	}
	return nil
}

// checkStatus answers a supervisor's or a script's question by the exit code.
func checkStatus(ctx context.Context, f statusFlags) error {
	if f.check != "live" && f.check != "ready" && f.check != "path" {
		return &exit{status.ExitUsage, fmt.Errorf("--check %q is none of live, ready, path", f.check)}
	}
	body, err := control.Get(ctx, f.socket, "/v1/status")
	if err != nil {
		return serviceError(err, f.socket)
	}
	doc, err := readDocument(body)
	switch {
	case err != nil:
		return err
	case f.check == "live":
		return nil
	case f.check == "ready" && doc.Result.Class == "unknown":
		return &exit{code: status.ExitInconclusive}
	case f.check == "ready":
		return nil
	}
	return exitWith(doc.Result.Exit())
}

// watchStatus shows each change until it is interrupted or the service ends.
func watchStatus(ctx context.Context, out io.Writer, f statusFlags) error {
	err := control.Watch(ctx, f.socket, func(body []byte) error {
		if f.json {
			_, err := fmt.Fprintf(out, "%s\n", body)
			return err
		}
		doc, err := readDocument(body)
		if err != nil {
			return err
		}
		between := "--- "
		if terminal(out) {
			between = "\x1b[H\x1b[2J" // the same place again
		}
		if _, err := fmt.Fprintf(out, "%s%s\n", between, time.Now().Format("15:04:05.000")); err != nil {
			return err
		}
		return doc.Result.Text(out, time.Now(), doc.Version, f.style(out))
	})
	switch {
	case errors.Is(err, context.Canceled):
		return &exit{code: status.ExitInterrupted}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &exit{status.ExitNotRunning, errors.New("the service has ended")}
	}
	return serviceErrorOrNil(err, f.socket)
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
