package svc

import (
	"errors"
	"io"
	"testing"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
)

func TestJournalGetsFields(t *testing.T) {
	type line struct {
		Text     string
		Priority journal.Priority
		Fields   map[string]string
	}
	var got line
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.AddHook(&Journal{func(m string, p journal.Priority, f map[string]string) error { got = line{m, p, f}; return nil }})
	log.WithFields(logrus.Fields{"class": "v6-only-nat64", "detail": "", "rtt-ms": 12, "Größe": "1"}).WithError(errors.New("no\nway")).Warn("the path is gone")
	want := line{`the path is gone Größe="1" class="v6-only-nat64" error="no\nway" rtt-ms="12"`, journal.PriWarning, map[string]string{
		"SYSLOG_IDENTIFIER": "reach64", "REACH64_CLASS": "v6-only-nat64", "REACH64_DETAIL": "", "REACH64_RTT_MS": "12", "REACH64_GR__E": "1", "REACH64_ERROR": "no\nway"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestJournalIsUsedOnlyWhenStandardErrorIsIts(t *testing.T) {
	for _, stream := range []string{"", "1:2", "x"} {
		t.Setenv("JOURNAL_STREAM", stream)
		if _, ok := NewJournal(); ok {
			t.Errorf("JOURNAL_STREAM=%q: taken for the journal's", stream)
		}
	}
}
