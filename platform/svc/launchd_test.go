package svc

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kardianos/service"
)

const testPlist = "/Library/LaunchDaemons/com.github.reach64.plist"

// answer is what launchctl says to one call.
type answer struct {
	call string
	code int
	out  string
	err  error
}

// mac is a launchd that answers as a script says, and a folder with the plist or
// without.
func mac(t *testing.T, plist bool, script ...answer) launchd {
	t.Helper()
	t.Cleanup(func() {
		if len(script) > 0 {
			t.Errorf("not called: %v", script)
		}
	})
	return launchd{
		label: "com.github.reach64", plist: testPlist,
		run: func(args ...string) (string, int, error) {
			call := strings.Join(args, " ")
			if len(script) == 0 || script[0].call != call {
				t.Errorf("launchctl %s is called, left of the script: %v", call, script)
				return "", 0, errors.New("not in the script")
			}
			a := script[0]
			script = script[1:]
			return a.out, a.code, a.err
		},
		there: func(path string) bool { return plist && path == testPlist },
		remove: func(path string) error {
			if !plist || path != testPlist {
				return fs.ErrNotExist
			}
			plist = false
			return nil
		},
	}
}

const label = "system/com.github.reach64"

func printed(t *testing.T, state string) answer {
	t.Helper()
	text, err := os.ReadFile("testdata/launchctl-print.txt")
	if err != nil {
		t.Fatal(err)
	}
	return answer{call: "print " + label, out: strings.Replace(string(text), "\tstate = running\n", "\tstate = "+state+"\n", 1)}
}

var (
	notLoaded = answer{call: "print " + label, code: 113, out: `Could not find service "com.github.reach64" in domain for system`}
	enable    = answer{call: "enable " + label}
	bootstrap = answer{call: "bootstrap system " + testPlist}
	bootout   = answer{call: "bootout " + label}
)

func (a answer) with(code int, out string) answer { a.code, a.out = code, out; return a }

func TestLaunchdState(t *testing.T) {
	hangs := errors.New("no answer after 30s")
	for name, tt := range map[string]struct {
		plist bool
		print answer
		want  service.Status
		err   error
	}{
		"not installed":              {false, notLoaded, service.StatusUnknown, service.ErrNotInstalled},
		"installed":                  {true, notLoaded, service.StatusStopped, nil},
		"runs":                       {true, printed(t, "running"), service.StatusRunning, nil},
		"runs without its plist":     {false, printed(t, "running"), service.StatusRunning, nil},
		"has ended":                  {true, printed(t, "not running"), service.StatusStopped, nil},
		"waits to be started anew":   {true, printed(t, "spawn scheduled"), service.StatusStopped, nil},
		"says something new":         {true, answer{call: "print " + label, out: "{}"}, service.StatusStopped, nil},
		"launchctl hangs":            {true, answer{call: "print " + label, err: hangs}, service.StatusUnknown, hangs},
		"launchctl knows no domains": {true, answer{call: "print " + label, code: 64, out: "Unrecognized subcommand"}, service.StatusUnknown, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mac(t, tt.plist, tt.print).Status()
			if got != tt.want || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
			if failed := err != nil; failed != (tt.want == service.StatusUnknown) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestLaunchdStart(t *testing.T) {
	for name, tt := range map[string]struct {
		plist  bool
		script []answer
		want   string // in the error, "" none
	}{
		"from nothing":              {true, []answer{notLoaded, enable, bootstrap}, ""},
		"runs already":              {true, []answer{printed(t, "running")}, ""},
		"loaded and ended":          {true, []answer{printed(t, "not running"), {call: "kickstart " + label}}, ""},
		"loaded by another by now":  {true, []answer{notLoaded, enable, bootstrap.with(37, "Bootstrap failed: 37: Operation already in progress")}, ""},
		"not installed":             {false, []answer{notLoaded}, "not installed"},
		"a plist that is no good":   {true, []answer{notLoaded, enable, bootstrap.with(5, "Bootstrap failed: 5: Input/output error\nTry re-running the command as root for richer errors.\n")}, "exit code 5: Bootstrap failed: 5: Input/output error Try"},
		"not permitted":             {true, []answer{notLoaded, enable.with(1, "Could not enable service: 1: Operation not permitted")}, "permission denied"},
		"protected by the system":   {true, []answer{notLoaded, enable, bootstrap.with(150, "Bootstrap failed: 150: Operation not permitted while System Integrity Protection is engaged")}, "permission denied"},
		"launchctl cannot be run":   {true, []answer{{call: "print " + label, err: fs.ErrNotExist}}, "run launchctl print: file does not exist"},
		"does not start once there": {true, []answer{printed(t, "not running"), {call: "kickstart " + label, code: 113, out: "Could not find service"}}, "exit code 113"},
	} {
		t.Run(name, func(t *testing.T) {
			err := mac(t, tt.plist, tt.script...).Start()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
			if errors.Is(err, fs.ErrPermission) != (tt.want == "permission denied") {
				t.Errorf("err = %v: is it one of permission?", err)
			}
		})
	}
}

func TestLaunchdStop(t *testing.T) {
	for name, tt := range map[string]struct {
		script []answer
		took   time.Duration
		want   string
	}{
		"ends at once":     {[]answer{bootout, notLoaded}, 0, ""},
		"takes its time":   {[]answer{bootout.with(36, "Boot-out failed: 36: Operation now in progress"), printed(t, "running"), printed(t, "running"), notLoaded}, 400 * time.Millisecond, ""},
		"was not loaded":   {[]answer{bootout.with(3, "Boot-out failed: 3: No such process")}, 0, ""},
		"is not known":     {[]answer{bootout.with(113, "Could not find specified service")}, 0, ""},
		"never ends":       {append([]answer{bootout}, slices.Repeat([]answer{printed(t, "running")}, 150)...), 30 * time.Second, "has not ended the service after 30s"},
		"is not permitted": {[]answer{bootout.with(1, "Boot-out failed: 1: Operation not permitted")}, 0, "permission denied"},
		"cannot be seen":   {[]answer{bootout, {call: "print " + label, err: errors.New("no answer")}}, 0, "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := mac(t, true, tt.script...).Stop()
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("err = %v, want %q", err, tt.want)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestLaunchdUninstall(t *testing.T) {
	l := mac(t, true, bootout, notLoaded, bootout.with(3, ""))
	if err := l.Uninstall(); err != nil || l.there(testPlist) {
		t.Errorf("%v, the plist is there: %v", err, l.there(testPlist))
	}
	if err := l.Uninstall(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestLaunchdRestart(t *testing.T) {
	if err := mac(t, true, bootout, notLoaded, notLoaded, enable, bootstrap).Restart(); err != nil {
		t.Error(err)
	}
	if err := mac(t, true, bootout.with(1, "")).Restart(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("err = %v, want that of the stop", err)
	}
}

func FuzzPrintsRunning(f *testing.F) {
	if text, err := os.ReadFile("testdata/launchctl-print.txt"); err == nil {
		f.Add(string(text))
	}
	f.Add("\tstate = running")
	f.Fuzz(func(t *testing.T, out string) {
		if printsRunning(out) && !strings.Contains(out, "\tstate = ") {
			t.Errorf("%q runs", out)
		}
	})
}
