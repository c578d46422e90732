// Package svc is the system's service manager: systemd, launchd, or Windows' SCM.
// From inside the service it is told of readiness, a status text, the watchdog and
// the reload (sd_notify(3); the SCM's states); from outside the service is
// installed, started and stopped.
//
// Without a service manager that listens, nothing happens. It does not decide
// whether the service is well.
package svc

import (
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"
)

// Event is what a service manager tells the service while it runs.
type Event uint8

// The events.
const (
	Reload  Event = iota + 1 // the configuration is to be read again
	Resumed                  // the machine was asleep
)

// Manager is the service manager that started this process, if one did. It is safe
// for concurrent use.
type Manager struct {
	log      logrus.FieldLogger
	watchdog time.Duration
}

// Connect finds the service manager by the environment that it gave ($NOTIFY_SOCKET,
// $WATCHDOG_USEC).
func Connect(log logrus.FieldLogger) *Manager {
	m := &Manager{log: log}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.WithError(err).Warn("the service manager's watchdog cannot be served")
	}
	m.watchdog = every
	return m
}

// Watchdog is how long the service may be silent before it counts as hung; 0: nobody
// watches.
func (m *Manager) Watchdog() time.Duration { return m.watchdog }

// Ready says that the service has started, or has finished a reload.
func (m *Manager) Ready() {
	if started() {
		report(eventStarted, "The service has started.")
	}
	m.tell(daemon.SdNotifyReady)
}

// Alive feeds the watchdog.
func (m *Manager) Alive() {
	if m.watchdog > 0 {
		m.tell(daemon.SdNotifyWatchdog)
	}
}

// Status gives a person one line on how things are.
func (m *Manager) Status(line string) {
	report(eventChanged, line)
	m.tell("STATUS=" + oneLine(line))
}

// Reloading says that a reload begins; Ready ends it.
func (m *Manager) Reloading() {
	if usec, ok := monotonic(); ok {
		m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, usec))
	}
}

// Stopping says that the service ends.
func (m *Manager) Stopping() {
	report(eventStopped, "The service stops.")
	m.tell(daemon.SdNotifyStopping)
}

// tell never fails the service: a manager that has gone away is no reason to stop.
func (m *Manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.WithError(err).Debug("tell service manager")
	}
}

// oneLine keeps a text from being read as several variables.
func oneLine(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return string(b)
}
