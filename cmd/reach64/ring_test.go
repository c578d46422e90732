package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/config"
)

func TestRingKeepsTheLastLines(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	r := newRing()
	log.AddHook(r)
	lines, more := r.Lines(0)
	if len(lines) != 0 {
		t.Fatalf("%d lines before any was written", len(lines))
	}
	for i := range 3 * ringLines {
		log.WithField("n", i).Info("line")
	}
	<-more
	log.Debug("not at this level")
	log.Warn(strings.Repeat("x", 10*ringWidth))
	lines, more = r.Lines(0)
	if n := len(lines); n < ringLines/2 || n > ringLines {
		t.Errorf("%d lines are kept", n)
	}
	for i, l := range lines[1:] {
		if l.Number != lines[i].Number+1 {
			t.Fatalf("line %d follows line %d", l.Number, lines[i].Number)
		}
	}
	end := lines[len(lines)-1]
	if len(end.Text) > ringWidth+10 || !strings.Contains(end.Text, "level=warning") {
		t.Errorf("last line %.80q, %d bytes", end.Text, len(end.Text))
	}
	if want := fmt.Sprintf("n=%d", 3*ringLines-1); !strings.Contains(lines[len(lines)-2].Text, want) {
		t.Errorf("line before it %q, want %s", lines[len(lines)-2].Text, want)
	}
	if rest, _ := r.Lines(end.Number); len(rest) != 0 {
		t.Errorf("%d lines after the last", len(rest))
	}
	select {
	case <-more:
		t.Error("more lines without one")
	default:
	}
}

// TestRingOutlivesAReload: a reload sets the log up anew.
func TestRingOutlivesAReload(t *testing.T) {
	l := &logs{log: logrus.New(), stderr: io.Discard, kept: newRing()}
	for range 2 {
		if err := l.apply(config.Log{Level: "info"}); err != nil {
			t.Fatal(err)
		}
		l.log.Info("line")
	}
	if lines, _ := l.kept.Lines(0); len(lines) != 2 {
		t.Errorf("%d lines, want one of each time", len(lines))
	}
}
