package reach

import (
	"fmt"
	"time"
)

// Native4 is what the probes over native IPv4, or over somebody else's CLAT, say of
// a server.
type Native4 uint8

// The zero value is 'not probed yet'.
const (
	NotProbed Native4 = iota
	Answers
	Silent
)

// lost says which address family has an address and a route, but leads nowhere.
type lost struct{ v4, v6 bool }

// silences follows whether an address family leads anywhere. An address and a route
// alone are no evidence that it does: captive networks, dead DHCP leases, another
// CLAT without its NAT64 and routers without a way out have them too.
type silences struct {
	v4 time.Time // since when no server answers over IPv4; zero: one does, or none was probed
	v6 time.Time // since when neither DNS nor a server answers over IPv6
}

// follow takes in what the probes say. wake is when a silence has lasted long enough.
func (l *silences) follow(now time.Time, f facts, w World) (lost, time.Time) {
	l.follow4(now, f.has4() || w.Foreign != "", w.Servers)
	l.follow6(now, f, w)
	v4, soon4 := lasting(now, l.v4)
	v6, soon6 := lasting(now, l.v6)
	return lost{v4, v6}, earliest(soon4, soon6)
}

// lasting tells whether a silence has lasted long enough, or else when it will have.
func lasting(now, since time.Time) (bool, time.Time) {
	if since.IsZero() {
		return false, time.Time{}
	}
	if until := since.Add(silence); now.Before(until) {
		return false, until
	}
	return true, time.Time{}
}

// follow4: what is not probed at the moment counts as it did before.
func (l *silences) follow4(now time.Time, has4 bool, servers []Server) {
	silent, probing := 0, 0
	for _, s := range servers {
		switch {
		case s.Native4 == Answers:
			l.v4 = time.Time{}
			return
		case s.Native4 == Silent:
			silent++
		case len(s.IPv4) > 0:
			probing++
		}
	}
	switch {
	case !has4:
		l.v4 = time.Time{}
	case l.v4.IsZero() && silent > 0 && probing == 0:
		l.v4 = now
	}
}

// follow6: two witnesses are needed, the DNS servers and a server, since either
// may be down by itself.
func (l *silences) follow6(now time.Time, f facts, w World) {
	switch {
	case !f.has6() || f.has4() || w.DNSSilent == "" || w.AnyAnswer():
		l.v6 = time.Time{}
	case l.v6.IsZero() && anyFailed(w):
		l.v6 = now
	}
}

// anyFailed tells whether a probe had no answer.
func anyFailed(w World) bool {
	for _, s := range w.Servers {
		for _, ok := range s.Probed {
			if !ok {
				return true
			}
		}
	}
	return false
}

// text is the evidence for a person.
func (l *silences) text(f facts) string {
	return fmt.Sprintf("%s has a default route, but no server answers since %s", f.link4.Name, since(l.v4))
}

func since(t time.Time) string { return t.UTC().Format(time.RFC3339) }
