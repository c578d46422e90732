package main

import (
	"strings"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/control"
)

// How much of the log is kept in memory.
const (
	ringLines = 2000
	ringWidth = 2000 // bytes of one line; what is longer is cut
)

// ring keeps the last lines of the log, for reach64 logs and the bundle. It is a hook
// of the logger, and safe for concurrent use. mu guards all.
type ring struct {
	format logrus.TextFormatter

	mu    sync.Mutex
	lines []control.Line
	last  uint64
	more  chan struct{} // closed by the next line; nil: nobody waits
}

func newRing() *ring {
	return &ring{format: logrus.TextFormatter{DisableColors: true, FullTimestamp: true}}
}

// Levels are all that the logger lets through.
func (r *ring) Levels() []logrus.Level { return logrus.AllLevels }

// Fire keeps an entry.
func (r *ring) Fire(e *logrus.Entry) error {
	text, err := r.format.Format(e)
	if err != nil {
		return err
	}
	line := strings.TrimRight(string(text), "\n")
	if len(line) > ringWidth {
		line = strings.ToValidUTF8(line[:ringWidth], "") + " ..."
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	if len(r.lines) == ringLines {
		r.lines = append(r.lines[:0], r.lines[ringLines/10:]...)
	}
	r.lines = append(r.lines, control.Line{Number: r.last, Text: line})
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
	return nil
}

// Lines returns the kept lines with a number above after, and a channel that is
// closed when there are more.
func (r *ring) Lines(after uint64) ([]control.Line, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more == nil {
		r.more = make(chan struct{})
	}
	first := 0
	for first < len(r.lines) && r.lines[first].Number <= after {
		first++
	}
	return append([]control.Line(nil), r.lines[first:]...), r.more
}
