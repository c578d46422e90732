package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/config"
)

// logs is where the service logs to. mu guards file.
type logs struct {
	log    *logrus.Logger
	stderr io.Writer

	mu   sync.Mutex
	file *os.File // nil: stderr
}

// apply goes over to the table [log]. The file is opened anew, so that one that was
// moved away for rotation is let go. On error nothing changes.
func (l *logs) apply(c config.Log) error {
	level, err := logrus.ParseLevel(c.Level)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var file *os.File
	out := l.stderr
	if c.File != "" {
		if file, err = os.OpenFile(c.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640); err != nil {
			return fmt.Errorf("log.file: %w", err)
		}
		out = file
	}
	l.log.SetLevel(level)
	l.log.SetFormatter(&logrus.TextFormatter{})
	if c.Format == "json" {
		l.log.SetFormatter(&logrus.JSONFormatter{})
	}
	l.log.SetOutput(out) // after this nothing is written to the old one
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = file
	return nil
}

// close lets the file go; later lines go to standard error.
func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log.SetOutput(l.stderr)
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
