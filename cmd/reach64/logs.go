package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/DeRuina/timberjack"
	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/svc"
)

// openServiceLog opens the log of a service that has no standard error. It is kept
// to 60 MB. What the runtime says when the program crashes goes to a file beside it.
func openServiceLog() (io.Writer, error) {
	file := filepath.Join(paths.LogDir(), "reach64.log")
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, err
	}
	crash, err := os.OpenFile(filepath.Join(filepath.Dir(file), "crash.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	defer crash.Close() // the runtime has its own handle
	if err := debug.SetCrashOutput(crash, debug.CrashOptions{}); err != nil {
		return nil, err
	}
	return &timberjack.Logger{Filename: file, MaxSize: 10, MaxBackups: 5, Compression: "gzip"}, nil
}

// logs is where the service logs to. mu guards file.
type logs struct {
	log    *logrus.Logger
	stderr io.Writer
	kept   *ring // has the last lines; nil: nobody keeps them

	mu   sync.Mutex
	file *timberjack.Logger // nil: the journal or stderr
}

// apply goes over to the table [log]. The file is opened anew, so that one that was
// moved away by another program is let go. On error nothing changes.
func (l *logs) apply(c config.Log) error {
	level, err := logrus.ParseLevel(c.Level)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	file, err := open(c)
	if err != nil {
		return fmt.Errorf("log.file: %w", err)
	}
	out, hooks := l.stderr, make(logrus.LevelHooks)
	if l.kept != nil {
		hooks.Add(l.kept)
	}
	if hook := svc.Hook(); hook != nil {
		hooks.Add(hook)
	}
	if file != nil {
		out = file
	} else if j, ok := svc.NewJournal(); ok {
		out = io.Discard
		hooks.Add(j)
	}
	l.log.SetLevel(level)
	l.log.SetFormatter(&logrus.TextFormatter{})
	if c.Format == "json" {
		l.log.SetFormatter(&logrus.JSONFormatter{})
	}
	l.log.ReplaceHooks(hooks)
	l.log.SetOutput(out) // after this nothing is written to the old one
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = file
	return nil
}

// open opens the log's file, which is rotated by its size; nil when none is wanted.
func open(c config.Log) (*timberjack.Logger, error) {
	if c.File == "" {
		return nil, nil
	}
	// The library opens the file at the first line, and makes its folder: look now
	// whether it can be written.
	f, err := os.OpenFile(c.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	_ = f.Close()
	return &timberjack.Logger{Filename: c.File, MaxSize: c.MaxSize, MaxBackups: c.MaxFiles, FileMode: 0o640, Compression: "gzip"}, nil
}

// close lets the file go; later lines go to standard error.
func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log.ReplaceHooks(make(logrus.LevelHooks))
	l.log.SetOutput(l.stderr)
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
