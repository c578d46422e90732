package svc

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc/mgr"
)

// Settings reads back what Install has set, and says what of it is otherwise now. It
// needs the rights of an administrator. errors.ErrUnsupported: the system has no such
// settings.
func Settings() error { return opened(settings) }

func settings(s *mgr.Service) error {
	c, err := s.Config()
	if err != nil {
		return unknown("the configuration", err)
	}
	actions, err := s.RecoveryActions()
	if err != nil {
		return unknown("what happens after a failure", err)
	}
	always, err := s.RecoveryActionsOnNonCrashFailures()
	if err != nil {
		return unknown("whether a failure that the service reports counts", err)
	}
	var wrong []error
	for what, right := range map[string]bool{
		"it does not start with the system":                         c.StartType == mgr.StartAutomatic,
		"its start is delayed":                                      !c.DelayedAutoStart,
		"it has no identity of its own":                             c.SidType&windows.SERVICE_SID_TYPE_UNRESTRICTED != 0,
		"it is not restarted after failures as reach64 installs it": slices.Equal(actions, recovery()),
		"a failure that it reports itself does not count":           always,
	} {
		if !right {
			wrong = append(wrong, errors.New(what))
		}
	}
	return errors.Join(wrong...)
}

// unknown explains why a setting could not be read.
func unknown(what string, err error) error {
	if errors.Is(err, windows.ERROR_INVALID_LEVEL) || errors.Is(err, windows.ERROR_INVALID_PARAMETER) || errors.Is(err, windows.ERROR_CALL_NOT_IMPLEMENTED) {
		return fmt.Errorf("read %s: %w: %w", what, errors.ErrUnsupported, err)
	}
	return fmt.Errorf("read %s: %w", what, err)
}
