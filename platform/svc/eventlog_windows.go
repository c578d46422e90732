package svc

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/windows/svc/eventlog"
)

// The numbers of our events in the Application log. They stay as they are, since
// administrators filter by them.
const (
	eventStarted = 1
	eventStopped = 2
	eventChanged = 3 // class or path of the network
	eventWarning = 4
	eventError   = 5
	eventSetup   = 6 // what the installer did
)

// events is the event log, opened when the first event is written.
var events = sync.OnceValues(func() (*eventlog.Log, error) { return eventlog.Open(Name) })

// report writes an event for people, if this process is a service.
func report(id uint32, text string) {
	if running() == nil {
		return
	}
	if log, err := events(); err == nil {
		_ = log.Info(id, text) // nobody else could be told
	}
}

// record writes for a program that is no service.
func record(text string, failed bool) {
	log, err := events()
	switch {
	case err != nil: // nobody else could be told
	case failed:
		_ = log.Error(eventError, text)
	default:
		_ = log.Info(eventSetup, text)
	}
}

// eventHook writes what went wrong to the event log.
type eventHook struct{ log *eventlog.Log }

// Hook returns what writes warnings and errors to the event log of Windows; nil
// where the process is no service of it.
func Hook() logrus.Hook {
	if running() == nil {
		return nil
	}
	log, err := events()
	if err != nil {
		return nil
	}
	return eventHook{log}
}

func (eventHook) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel, logrus.WarnLevel}
}

func (h eventHook) Fire(e *logrus.Entry) error {
	if e.Level == logrus.WarnLevel {
		return h.log.Warning(eventWarning, eventText(e))
	}
	return h.log.Error(eventError, eventText(e))
}

// eventText is the message with its fields, one a line.
func eventText(e *logrus.Entry) string {
	var fields []string
	for k, v := range e.Data {
		fields = append(fields, fmt.Sprintf("%s: %v", k, v))
	}
	slices.Sort(fields)
	return strings.Join(append([]string{e.Message}, fields...), "\r\n")
}

// Output is where a service of Windows logs to when the configuration names no file:
// it has no standard error that anybody reads.
func Output(stderr io.Writer, open func() (io.Writer, error)) (io.Writer, error) {
	if running() == nil {
		return stderr, nil
	}
	return open()
}
