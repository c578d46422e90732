package svc

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

const managerName = Name

// dependencies have to run first: what the snapshot is read from.
var dependencies = []string{"Nsi", "Tcpip"}

// restarts are the delays before the service is started anew after a failure; the
// last one stands for all further ones. A day without failure begins at the first.
var restarts = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 16 * time.Second, time.Minute}

const forgetAfter = 24 * time.Hour

// preshutdown is how long the system waits for the service when it goes down.
const preshutdown = 20 * time.Second

// preshutdownInfo is SERVICE_PRESHUTDOWN_INFO of winsvc.h.
type preshutdownInfo struct{ timeout uint32 } // milliseconds

// finish sets what the library does not: what happens after a failure, also one that
// the service reports itself; the time for a shutdown; an identity of its own.
func finish() error { return opened(recoverable) }

// configure also puts the program's path in quotes, without which Windows would try
// C:\Program.exe first.
func configure() error {
	return opened(func(s *mgr.Service) error {
		if err := quote(s); err != nil {
			return err
		}
		return recoverable(s)
	})
}

// quote changes no more than the command line.
func quote(s *mgr.Service) error {
	have, err := imagePath()
	if err != nil {
		return err
	}
	line := quoted(have)
	if line == have {
		return nil
	}
	text, err := windows.UTF16PtrFromString(line)
	if err == nil {
		err = windows.ChangeServiceConfig(s.Handle, windows.SERVICE_NO_CHANGE, windows.SERVICE_NO_CHANGE, windows.SERVICE_NO_CHANGE, text, nil, nil, nil, nil, nil, nil)
	}
	if err != nil {
		return permitted("quote the service's program", err)
	}
	return nil
}

// opened does something with the installed service.
func opened(do func(*mgr.Service) error) error {
	m, err := mgr.Connect()
	if err != nil {
		return permitted("connect to the service manager", err)
	}
	defer m.Disconnect()
	s, err := m.OpenService(Name)
	if err != nil {
		return permitted("open service", err)
	}
	defer s.Close()
	return do(s)
}

// recovery is what happens after the first failure, the second, and so on.
func recovery() (actions []mgr.RecoveryAction) {
	for _, d := range restarts {
		actions = append(actions, mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: d})
	}
	return actions
}

func recoverable(s *mgr.Service) error {
	if err := s.SetRecoveryActions(recovery(), uint32(forgetAfter.Seconds())); err != nil {
		return fmt.Errorf("set what happens after a failure: %w", err)
	}
	sid := uint32(windows.SERVICE_SID_TYPE_UNRESTRICTED) // NT SERVICE\reach64 may be given rights
	info := preshutdownInfo{uint32(preshutdown.Milliseconds())}
	for what, err := range map[string]error{
		"restart after a failure that the service reports": s.SetRecoveryActionsOnNonCrashFailures(true),
		"the time for a shutdown":                          windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_PRESHUTDOWN_INFO, (*byte)(unsafe.Pointer(&info))),
		"an identity of its own":                           windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_SERVICE_SID_INFO, (*byte)(unsafe.Pointer(&sid))),
	} {
		// Wine does not know these.
		if err != nil && !errors.Is(err, windows.ERROR_INVALID_LEVEL) && !errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
			return fmt.Errorf("set %s: %w", what, err)
		}
	}
	return nil
}

// Hazard is what is dangerous about how the service is installed; nil when nothing is,
// or there is none. It needs no privilege.
func Hazard() error {
	image, err := imagePath()
	if image == "" || err != nil {
		return err
	}
	return imageHazard(image)
}

// imagePath is the command line of the installed service; "" when there is none.
func imagePath() (string, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Services\`+Name, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", permitted("look at the service", err)
	}
	defer k.Close()
	image, _, err := k.GetStringValue("ImagePath")
	if err != nil {
		return "", fmt.Errorf("read the service's ImagePath: %w", err)
	}
	return image, nil
}

// How long a start may take, and how often it is looked at.
const (
	startLimit = 30 * time.Second
	lookEvery  = 100 * time.Millisecond
)

// settle waits until a service that was started runs, or does not.
func settle() error { return opened(runs) }

func runs(s *mgr.Service) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for late := time.After(startLimit); ; {
		status, err := s.Query()
		switch {
		case err != nil:
			return permitted("query service", err)
		case status.State == svc.Running:
			return nil
		case status.State == svc.Stopped:
			return fmt.Errorf("start service: it has ended at once (code %d, of its own %d); its log says why", status.Win32ExitCode, status.ServiceSpecificExitCode)
		}
		select {
		case <-look.C:
		case <-late:
			return fmt.Errorf("start service: it is not ready after %v", startLimit)
		}
	}
}
