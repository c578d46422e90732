package svc

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kardianos/service"

	"github.com/reach64/reach64/platform"
)

// Name is what the service manager knows the service as.
const Name = "reach64"

// unit and plist are what systemd and launchd are told, with {{Path}} for the
// program. Packages bring their own.
//
//go:embed reach64.service
var unit string

//go:embed reach64.plist
var plist string

// State is how the service manager sees the service.
type State string

// The states.
const (
	Missing State = "not installed"
	Running State = "running"
	Stopped State = "stopped"
)

// program satisfies the library, which runs nothing here: Run does.
type program struct{}

func (program) Start(service.Service) error { return nil }
func (program) Stop(service.Service) error  { return nil }

// view returns the library's view of the service; args follow the program's name.
func view(args ...string) (service.Service, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := &service.Config{
		Name: managerName, DisplayName: "reach64", Executable: path, Arguments: args,
		Description:  "Keeps IPv4-only backup servers reachable from networks that have only IPv6",
		Dependencies: dependencies,
		Option:       service.KeyValue{"SystemdScript": unit, "LaunchdConfig": plist, "StartType": "automatic", "DelayedAutoStart": false},
	}
	s, err := service.New(program{}, c)
	if err != nil {
		return nil, fmt.Errorf("find the service manager: %w", err)
	}
	return controlled(s), nil
}

// permitted explains an error of the service manager.
func permitted(doing string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &platform.PermissionError{Doing: doing, Need: "the rights of an administrator", Err: err}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Install registers this program, called with args, as a service that starts with
// the system and anew after a failure. It does not start it.
func Install(args ...string) error {
	s, err := view(args...)
	if err != nil {
		return err
	}
	if state, err := Query(); err == nil && state != Missing {
		return fmt.Errorf("install service: %s is installed already, and %s", Name, state)
	}
	if err := s.Install(); err != nil {
		return permitted("install service", err)
	}
	if err := finish(); err != nil {
		return errors.Join(err, s.Uninstall())
	}
	return nil
}

// Configure gives a service that an installer has registered what Install gives its
// own: what happens after a failure, and on Windows a command line in quotes.
func Configure() error { return configure() }

// Record writes a line to the event log of Windows, where a silent installation can
// say something; systems of Unix have none.
func Record(text string, failed bool) { record(text, failed) }

// Uninstall stops the service and takes it out of the service manager's list.
func Uninstall() error {
	s, err := view()
	if err != nil {
		return err
	}
	state, err := Query()
	if err != nil {
		return err
	}
	switch state {
	case Missing:
		return fmt.Errorf("uninstall service: %w", service.ErrNotInstalled)
	case Running:
		if err := s.Stop(); err != nil {
			return permitted("stop service", err)
		}
	}
	if err := s.Uninstall(); err != nil {
		return permitted("uninstall service", err)
	}
	return nil
}

// Control starts, stops or restarts the service: action is one of these words.
func Control(action string) error {
	s, err := view()
	if err != nil {
		return err
	}
	do, ok := map[string]func() error{"start": s.Start, "stop": s.Stop, "restart": s.Restart}[action]
	if !ok {
		return fmt.Errorf("%q is none of start, stop, restart", action)
	}
	if err := do(); err != nil {
		return permitted(action+" service", err)
	}
	if action == "stop" {
		return nil
	}
	return settle()
}

// Query asks the service manager.
func Query() (State, error) {
	s, err := view()
	if err != nil {
		return "", err
	}
	status, err := s.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return Missing, nil
	case err != nil:
		return "", permitted("query service", err)
	case status == service.StatusRunning:
		return Running, nil
	}
	return Stopped, nil
}
