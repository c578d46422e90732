//go:build unix

package svc

import (
	"context"
	"io"

	"github.com/sirupsen/logrus"
)

// Run runs do. Service managers of Unix start a program as a shell does.
func Run(ctx context.Context, do func(ctx context.Context) error) error { return do(ctx) }

// Events never has any: a reload is a signal here.
func (m *Manager) Events() <-chan Event { return nil }

// started has nobody to tell: sd_notify does that.
func started() bool { return false }

// report has no event log to write to.
func report(uint32, string) {}

// The numbers of events, which Unix has not.
const (
	eventStarted = iota
	eventStopped
	eventChanged
)

// Hook returns nil: there is no event log.
func Hook() logrus.Hook { return nil }

// Output returns stderr: service managers of Unix keep it.
func Output(stderr io.Writer, _ func() (io.Writer, error)) (io.Writer, error) { return stderr, nil }
