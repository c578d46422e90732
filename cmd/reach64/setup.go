package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/svc"
)

// setup is what the installer of Windows leaves to the program that it has installed.
type setup struct {
	file    string // configuration to put in place; "": what is there stays
	noStart bool
}

// serviceSetupCommand is for installers: people have service install and start.
func serviceSetupCommand() *cobra.Command {
	var s setup
	c := &cobra.Command{
		Use:    "setup",
		Short:  "Configure and start a service that an installer has registered",
		Hidden: true,
		Args:   noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			said, err := s.run()
			if err != nil {
				svc.Record("reach64 was not installed: "+err.Error(), true)
				return permission(err)
			}
			svc.Record(said, false)
			fmt.Fprintln(c.OutOrStdout(), said) // which an installer may have closed
			return nil
		},
	}
	c.Flags().StringVar(&s.file, "config-file", "", "configuration file to copy to its place when it is valid")
	c.Flags().BoolVar(&s.noStart, "no-start", false, "leave the service stopped")
	return c
}

// run checks and places the configuration, guards the folders, and has the service
// start; it returns what to tell the administrator. On error the configuration is as it was.
func (s setup) run() (said string, err error) {
	complete, err := s.check()
	if err != nil {
		return "", &exit{status.ExitConfig, err}
	}
	if err := paths.SecureProgram(); err != nil {
		return "", err
	}
	if err := paths.Secure(); err != nil {
		return "", err
	}
	back, err := s.place()
	if err != nil {
		return "", err
	}
	if err := svc.Configure(); err != nil {
		return "", errors.Join(err, back())
	}
	switch {
	case !complete:
		return "installed; the service is not started, since no backup server is named: name one in " + paths.ConfigFile() + ", then run reach64 service start", nil
	case s.noStart:
		return "installed; the service is not started, as the installer was told; reach64 service start starts it", nil
	}
	if err := start(); err != nil {
		return "", errors.Join(err, back())
	}
	return "installed and started", nil
}

// check tells whether the service has all that it needs. A server that is missing is
// no error: it may come later, by a file or a policy.
func (s setup) check() (complete bool, err error) {
	from := configuration{file: paths.ConfigFile()}
	if s.file != "" {
		if !filepath.IsAbs(s.file) {
			return false, fmt.Errorf("configuration file %q: give its whole path", s.file)
		}
		from = configuration{file: s.file, dropIns: paths.ConfDir()}
	}
	_, err = from.load()
	var unread *fs.PathError
	fresh := s.file == "" && errors.Is(err, fs.ErrNotExist) && errors.As(err, &unread) && unread.Path == from.file
	if fresh || config.LacksServer(err) {
		return false, nil
	}
	return err == nil, err
}

// place copies the file to where the service reads it. back undoes that.
func (s setup) place() (back func() error, err error) {
	if s.file == "" {
		return func() error { return nil }, nil
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	to := paths.ConfigFile()
	before, err := os.ReadFile(to)
	back = func() error { return replace(to, before) }
	if errors.Is(err, fs.ErrNotExist) {
		back = func() error { return os.Remove(to) }
	} else if err != nil {
		return nil, fmt.Errorf("keep configuration: %w", err)
	}
	if err := replace(to, text); err != nil {
		return nil, err
	}
	return back, nil
}

// replace writes a file so that it is there whole, or as it was.
func replace(file string, text []byte) error {
	part := file + ".part"
	if err := os.WriteFile(part, text, 0o644); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.Rename(part, file); err != nil {
		return fmt.Errorf("write configuration: %w", errors.Join(err, os.Remove(part)))
	}
	return nil
}

// start starts the service, or anew.
func start() error {
	state, err := svc.Query()
	if err != nil {
		return err
	}
	if state == svc.Running {
		return svc.Control("restart")
	}
	return svc.Control("start")
}
