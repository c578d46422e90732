package svc

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/kardianos/service"
)

// launchd controls a daemon of macOS by launchctl(1), as it is done since macOS 10.10:
// bootstrap, bootout, kickstart, print, in the domain of the system. What launchctl
// prints has one language; mostly its exit code is enough.
type launchd struct {
	label string
	plist string // path
	// run calls launchctl. err is for a call that came to no exit code.
	run func(args ...string) (out string, code int, err error)
	// there tells whether a file is there, remove takes it away.
	there  func(path string) bool
	remove func(path string) error
}

// The exit codes of launchctl that mean something here (launchctl error CODE).
const (
	launchctlNotPermitted = 1
	launchctlNoProcess    = 3   // bootout: not loaded
	launchctlInProgress   = 36  // bootout goes on
	launchctlAlready      = 37  // bootstrap: loaded already
	launchctlNotFound     = 113 // print, kickstart, bootout: not loaded
	launchctlNotRoot      = 150 // not permitted while System Integrity Protection is engaged
)

// How long the end of the daemon may take (its plist's ExitTimeOut and some), and how
// often it is looked at.
const (
	bootoutLimit = 30 * time.Second
	bootoutEvery = 200 * time.Millisecond
)

func (l launchd) target() string { return "system/" + l.label }

// call runs launchctl, and makes an error of an exit code that is not among those that
// the caller can do with.
func (l launchd) call(accept []int, args ...string) (code int, err error) {
	out, code, err := l.run(args...)
	if err != nil {
		return 0, fmt.Errorf("run launchctl %s: %w", args[0], err)
	}
	if code == 0 {
		return 0, nil
	}
	for _, a := range accept {
		if code == a {
			return code, nil
		}
	}
	err = fmt.Errorf("launchctl %s: exit code %d: %s", strings.Join(args, " "), code, oneLine(strings.TrimSpace(out)))
	if code == launchctlNotPermitted || code == launchctlNotRoot {
		err = fmt.Errorf("%w: %w", fs.ErrPermission, err)
	}
	return code, err
}

// loaded asks whether launchd has the daemon, and whether that runs.
func (l launchd) loaded() (loaded, running bool, err error) {
	out, code, err := l.run("print", l.target())
	switch {
	case err != nil:
		return false, false, fmt.Errorf("run launchctl print: %w", err)
	case code == launchctlNotFound:
		return false, false, nil
	case code != 0:
		return false, false, fmt.Errorf("launchctl print %s: exit code %d: %s", l.target(), code, oneLine(strings.TrimSpace(out)))
	}
	return true, printsRunning(out), nil
}

// printsRunning reads what `launchctl print` says of a daemon: the line "state =" of the
// outermost level, which is indented by one tab.
func printsRunning(out string) bool {
	for line := range strings.Lines(out) {
		if state, ok := strings.CutPrefix(line, "\tstate = "); ok {
			return strings.TrimSpace(state) == "running"
		}
	}
	return false
}

// Start loads the daemon, which RunAtLoad starts, also when an administrator had
// disabled it; one that is loaded and has ended is started anew.
func (l launchd) Start() error {
	loaded, running, err := l.loaded()
	switch {
	case err != nil || running:
		return err
	case loaded:
		_, err := l.call(nil, "kickstart", l.target())
		return err
	case !l.there(l.plist):
		return service.ErrNotInstalled
	}
	if _, err := l.call(nil, "enable", l.target()); err != nil {
		return err
	}
	_, err = l.call([]int{launchctlAlready}, "bootstrap", "system", l.plist)
	return err
}

// Stop unloads the daemon, so that KeepAlive does not bring it back, and waits for its
// end, for which launchctl does not.
func (l launchd) Stop() error {
	code, err := l.call([]int{launchctlNoProcess, launchctlNotFound, launchctlInProgress}, "bootout", l.target())
	if err != nil || code == launchctlNoProcess || code == launchctlNotFound {
		return err
	}
	look := time.NewTicker(bootoutEvery)
	defer look.Stop()
	for range bootoutLimit / bootoutEvery {
		if loaded, _, err := l.loaded(); err != nil || !loaded {
			return err
		}
		<-look.C
	}
	return fmt.Errorf("launchd has not ended the service after %v", bootoutLimit)
}

// Restart is Stop and Start.
func (l launchd) Restart() error {
	if err := l.Stop(); err != nil {
		return err
	}
	return l.Start()
}

// Uninstall unloads the daemon and removes its plist.
func (l launchd) Uninstall() error {
	if err := l.Stop(); err != nil {
		return err
	}
	if err := l.remove(l.plist); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove plist: %w", err)
	}
	return nil
}

// Status is what launchd, and the folder of plists, say of it.
func (l launchd) Status() (service.Status, error) {
	loaded, running, err := l.loaded()
	switch {
	case err != nil:
		return service.StatusUnknown, err
	case running:
		return service.StatusRunning, nil
	case loaded || l.there(l.plist):
		return service.StatusStopped, nil
	}
	return service.StatusUnknown, service.ErrNotInstalled
}
