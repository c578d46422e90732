package reach

import (
	"fmt"
	"time"
)

// Native4 is what the probes over native IPv4 say of a server.
type Native4 uint8

// The zero value is 'not probed yet'.
const (
	NotProbed Native4 = iota
	Answers
	Silent
)

// lost4 follows whether native IPv4 leads to any server. An address and a route
// alone are no evidence that it does: captive networks, dead DHCP leases and
// half-configured dual stack have them too.
type lost4 struct {
	silent time.Time // since when no server answers; zero: one does, or none was probed
}

// follow takes in what the probes say. What is not probed at the moment counts as it
// did before. wake is when silence has lasted long enough.
func (l *lost4) follow(now time.Time, has4 bool, servers []Server) (broken bool, wake time.Time) {
	silent, probing := 0, 0
	for _, s := range servers {
		switch {
		case s.Native4 == Answers:
			l.silent = time.Time{}
			return false, time.Time{}
		case s.Native4 == Silent:
			silent++
		case len(s.IPv4) > 0:
			probing++
		}
	}
	if !has4 {
		l.silent = time.Time{}
		return false, time.Time{}
	}
	if l.silent.IsZero() && silent > 0 && probing == 0 {
		l.silent = now
	}
	if l.silent.IsZero() {
		return false, time.Time{}
	}
	if until := l.silent.Add(silence); now.Before(until) {
		return false, until
	}
	return true, time.Time{}
}

// text is the evidence for a person.
func (l *lost4) text(f facts) string {
	return fmt.Sprintf("%s has a default route, but no server answers since %s", f.link4.Name, l.silent.UTC().Format(time.RFC3339))
}
