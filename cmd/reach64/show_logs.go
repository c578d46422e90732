package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
	"github.com/reach64/reach64/platform/paths"
)

func logsCommand() *cobra.Command {
	var socket, file string
	var lines int
	var follow bool
	c := &cobra.Command{
		Use:   "logs",
		Short: "Show the last lines of the service's log",
		Long: "Show the last lines of the log, as the running service keeps them; an administrator may. When\n" +
			"the service does not run, those of log.file, or of the journal where there is one (unit reach64).",
		RunE: func(c *cobra.Command, _ []string) error {
			if lines < 0 {
				return &exit{status.ExitUsage, fmt.Errorf("--lines %d is no number of lines", lines)}
			}
			err := control.Logs(c.Context(), socket, lines, follow, c.OutOrStdout())
			if errors.Is(err, ipc.ErrNotRunning) {
				return oldLogs(c.Context(), c.OutOrStdout(), file, socket, lines)
			}
			if c.Context().Err() != nil {
				return &exit{code: status.ExitInterrupted}
			}
			return serviceErrorOrNil(err, socket)
		},
	}
	fl := c.Flags()
	fl.StringVar(&socket, "socket", paths.Socket(), "control socket of the service")
	fl.StringVar(&file, "config", paths.ConfigFile(), "configuration file, for log.file when the service does not run")
	fl.IntVarP(&lines, "lines", "n", 50, "how many lines")
	fl.BoolVarP(&follow, "follow", "f", false, "go on with those that come, until interrupted")
	return c
}

// maxLogTail bounds what is read of a log file, bytes.
const maxLogTail = 4 << 20

// oldLogs shows what a service that has ended wrote.
func oldLogs(ctx context.Context, out io.Writer, file, socket string, lines int) error {
	conf, err := configuration{file: file}.load()
	if err == nil && conf.Log.File != "" {
		text, err := tail(conf.Log.File, lines)
		if err != nil {
			return permission(fmt.Errorf("read log.file: %w", err))
		}
		_, err = out.Write(text)
		return err
	}
	if _, err := exec.LookPath("journalctl"); err != nil {
		return serviceError(fmt.Errorf("%w, log.file is not set, and there is no journal", ipc.ErrNotRunning), socket)
	}
	j := exec.CommandContext(ctx, "journalctl", "--unit", "reach64", "--no-pager", "--output", "short-iso", "--lines", strconv.Itoa(lines))
	j.Stdout, j.Stderr = out, os.Stderr
	if err := j.Run(); err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	return nil
}

// tail reads the last lines of a file.
func tail(name string, lines int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start := max(0, info.Size()-maxLogTail)
	text, err := io.ReadAll(io.NewSectionReader(f, start, maxLogTail))
	if err != nil {
		return nil, err
	}
	at := len(text)
	for n := 0; at > 0; at-- {
		if text[at-1] == '\n' && at != len(text) {
			if n++; n == lines {
				break
			}
		}
	}
	if lines == 0 {
		at = len(text)
	}
	return text[at:], nil
}
