package svc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
)

// Journal is a logrus hook that hands each line to systemd's journal with its fields,
// so that `journalctl REACH64_REASON=no-nat64-prefix` finds it. It is safe for
// concurrent use.
type Journal struct {
	send func(message string, priority journal.Priority, fields map[string]string) error
}

// NewJournal returns the hook, and whether standard error is the journal's: only then
// would lines arrive there anyway, without their fields.
func NewJournal() (*Journal, bool) {
	ours, err := journal.StderrIsJournalStream()
	return &Journal{journal.Send}, err == nil && ours && journal.Enabled()
}

// priorities are those of syslog (RFC 5424 section 6.2.1).
var priorities = map[logrus.Level]journal.Priority{
	logrus.PanicLevel: journal.PriCrit, logrus.FatalLevel: journal.PriCrit, logrus.ErrorLevel: journal.PriErr,
	logrus.WarnLevel: journal.PriWarning, logrus.InfoLevel: journal.PriInfo, logrus.DebugLevel: journal.PriDebug, logrus.TraceLevel: journal.PriDebug,
}

// Levels is logrus.Hook's.
func (*Journal) Levels() []logrus.Level { return logrus.AllLevels }

// Fire is logrus.Hook's.
func (j *Journal) Fire(e *logrus.Entry) error {
	text := e.Message // what journalctl shows
	fields := map[string]string{"SYSLOG_IDENTIFIER": "reach64"}
	for _, k := range slices.Sorted(maps.Keys(e.Data)) {
		v := fmt.Sprint(e.Data[k])
		fields[fieldName(k)] = v
		if v != "" {
			text += fmt.Sprintf(" %s=%q", k, v)
		}
	}
	if err := j.send(text, priorities[e.Level], fields); err != nil {
		return fmt.Errorf("write to journal: %w", err)
	}
	return nil
}

// fieldName makes a name that the journal takes: capital letters, digits and
// underscores (systemd.journal-fields(7)).
func fieldName(key string) string {
	return "REACH64_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}
