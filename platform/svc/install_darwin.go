package svc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"github.com/kardianos/service"
)

// launchctlLimit is how long one call may take.
const launchctlLimit = 30 * time.Second

// logFolder is where the plist has the log.
const logFolder = "/Library/Logs/Reach64"

// launchDaemon is the library's view of the service, which writes the plist, with launchd's
// control in place of the library's own, which is that of macOS before 10.10.
type launchDaemon struct {
	service.Service
	launchd
}

// Install makes the folder of the log too: launchd makes the file alone.
func (d launchDaemon) Install() error {
	if err := os.MkdirAll(logFolder, 0o755); err != nil {
		return fmt.Errorf("make folder of the log: %w", err)
	}
	return d.Service.Install()
}

func (d launchDaemon) Start() error                    { return d.launchd.Start() }
func (d launchDaemon) Stop() error                     { return d.launchd.Stop() }
func (d launchDaemon) Restart() error                  { return d.launchd.Restart() }
func (d launchDaemon) Uninstall() error                { return d.launchd.Uninstall() }
func (d launchDaemon) Status() (service.Status, error) { return d.launchd.Status() }

// controlled is the view whose control this system wants.
func controlled(s service.Service) service.Service {
	return launchDaemon{s, launchd{
		label: managerName, plist: "/Library/LaunchDaemons/" + managerName + ".plist", run: launchctl,
		there:  func(path string) bool { _, err := os.Lstat(path); return err == nil },
		remove: os.Remove,
	}}
}

// launchctl runs it. Its own errors for who is not root are not to be understood.
func launchctl(args ...string) (string, int, error) {
	if args[0] != "print" && os.Geteuid() != 0 {
		return "", 0, fs.ErrPermission
	}
	ctx, cancel := context.WithTimeout(context.Background(), launchctlLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/bin/launchctl", args...).CombinedOutput()
	var exit *exec.ExitError
	if ctx.Err() != nil {
		return "", 0, fmt.Errorf("no answer after %v", launchctlLimit)
	}
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return string(out), exit.ExitCode(), nil
	}
	return string(out), 0, err
}
