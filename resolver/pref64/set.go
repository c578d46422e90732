package pref64

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// The caps of spec SEC-5: what a flood can make us hold.
const (
	MaxServers    = 8  // routers or resolvers for each link and source
	MaxPrefixes   = 8  // for each router or resolver
	MaxCandidates = 32 // in all
)

// Key names an answer: who said it, how, and on which link.
type Key struct {
	Source Source
	Link   int
	Server netip.Addr
}

// Set holds the candidates of all links. The zero value is empty and ready. It is
// not safe for concurrent use: its owner is one goroutine.
type Set struct {
	// Allow, if not empty, are the only networks a prefix may lie in. The others
	// stay visible in Refused (spec PREC-9). Configured prefixes are exempt.
	Allow []netip.Prefix

	held []entry
}

// entry is a candidate with its history.
type entry struct {
	Candidate
	since time.Time // first learned without interruption
	heard time.Time // last confirmed
}

// Replace puts cs in the place of all that key said before; none withdraws it
// all. A prefix that was there keeps its age. The key's fields overwrite those of
// the candidates. For sources whose answers are whole: DNS, configuration.
func (s *Set) Replace(now time.Time, key Key, cs []Candidate) {
	old := slices.Clone(s.held)
	s.held = slices.DeleteFunc(s.held, func(e entry) bool { return e.key() == key })
	s.add(now, key, cs, old)
}

// Merge adds cs to what key said before; a prefix that was there takes over the
// new lifetime, also a shorter one (spec R8781-8). For sources that may leave
// out what they said before: router advertisements (spec 8781-11).
func (s *Set) Merge(now time.Time, key Key, cs []Candidate) {
	old := slices.Clone(s.held)
	s.held = slices.DeleteFunc(s.held, func(e entry) bool {
		return e.key() == key && slices.ContainsFunc(cs, func(c Candidate) bool { return c.Prefix == e.Prefix })
	})
	s.add(now, key, cs, old)
}

func (s *Set) add(now time.Time, key Key, cs []Candidate, old []entry) {
	s.Expire(now)
	for i, c := range cs {
		c.Source, c.Link, c.Server = key.Source, key.Link, key.Server
		if !c.Prefix.IsValid() || c.Expired(now) || slices.ContainsFunc(cs[:i], func(d Candidate) bool { return d.Prefix == c.Prefix }) {
			continue
		}
		e := entry{Candidate: c, since: now, heard: now}
		if j := slices.IndexFunc(old, func(b entry) bool { return b.key() == key && b.Prefix == c.Prefix && !b.Expired(now) }); j >= 0 {
			e.since = old[j].since
		}
		s.held = append(s.held, e)
	}
	s.cap()
}

// Withdraw removes one prefix that key named. What others say of it stays (spec
// R8781-7). It tells whether there was something to remove.
func (s *Set) Withdraw(key Key, p nat64.Prefix) bool {
	n := len(s.held)
	s.held = slices.DeleteFunc(s.held, func(e entry) bool { return e.key() == key && e.Prefix == p })
	return len(s.held) < n
}

// DropLink removes all that was learned on a link.
func (s *Set) DropLink(link int) {
	s.held = slices.DeleteFunc(s.held, func(e entry) bool { return e.Link == link && link != 0 })
}

// Drop removes every answer for which drop is true.
func (s *Set) Drop(drop func(Key) bool) {
	s.held = slices.DeleteFunc(s.held, func(e entry) bool { return drop(e.key()) })
}

// Expire removes what has run out.
func (s *Set) Expire(now time.Time) {
	s.held = slices.DeleteFunc(s.held, func(e entry) bool { return e.Expired(now) })
}

// Age brings every expiry forward, for time that the clock of the callers did not
// count.
func (s *Set) Age(by time.Duration) {
	for i := range s.held {
		if u := &s.held[i].Until; !u.IsZero() {
			*u = u.Add(-by)
		}
	}
}

// Best returns the candidate to use on a link. It is false when there is none.
func (s *Set) Best(now time.Time, link int) (Candidate, bool) {
	list := s.List(now, link)
	if len(list) == 0 {
		return Candidate{}, false
	}
	return list[0], true
}

// List returns the link's candidates, best first: by source, trust, age (a
// newcomer does not displace what works, spec SEC-4), place in the answer, and
// value. Candidates for every link, whose Link is 0, are among them. Reason says
// which other sources confirm or contradict a candidate (spec PREC-4, PREC-5).
func (s *Set) List(now time.Time, link int) []Candidate {
	list := s.pick(now, link, true)
	out := make([]Candidate, len(list))
	for i, c := range list {
		out[i] = c
		out[i].Reason = join(c.Reason, compare(c, list))
	}
	return out
}

// Refused returns the link's candidates that Allow shuts out, in the order of
// List, the reason said.
func (s *Set) Refused(now time.Time, link int) []Candidate {
	list := s.pick(now, link, false)
	for i := range list {
		list[i].Reason = join(list[i].Reason, "refused: not inside a prefix that policy allows")
	}
	return list
}

// pick returns the link's live candidates in rank order, allowed or not.
func (s *Set) pick(now time.Time, link int, allowed bool) []Candidate {
	var list []entry
	for _, e := range s.held {
		if (e.Link == link || e.Link == 0) && !e.Expired(now) && s.allows(e.Candidate) == allowed {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, before)
	out := make([]Candidate, len(list))
	for i, e := range list {
		out[i] = e.Candidate
	}
	return out
}

func (s *Set) allows(c Candidate) bool {
	if len(s.Allow) == 0 || c.Source == Policy {
		return true
	}
	p := c.Prefix.Netip()
	return slices.ContainsFunc(s.Allow, func(a netip.Prefix) bool { return a.Bits() <= p.Bits() && a.Contains(p.Addr()) })
}

// before orders by rank.
func before(a, b entry) int {
	return cmp.Or(
		cmp.Compare(a.Source, b.Source),
		cmp.Compare(a.Trust, b.Trust),
		a.since.Compare(b.since),
		cmp.Compare(a.Order, b.Order),
		a.Prefix.Netip().Addr().Compare(b.Prefix.Netip().Addr()),
		cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
		a.Server.Compare(b.Server),
	)
}

// compare says what the other sources in list think of c's prefix: a source that
// names it confirms; one that names only others contradicts.
func compare(c Candidate, list []Candidate) string {
	var notes []string
	for _, s := range Sources() {
		var others []string
		confirmed := false
		for _, d := range list {
			if d.Source == s {
				confirmed = confirmed || d.Prefix == c.Prefix
				others = append(others, d.Prefix.String())
			}
		}
		switch {
		case s == c.Source || len(others) == 0:
		case confirmed:
			notes = append(notes, "confirmed by "+s.String())
		default:
			notes = append(notes, fmt.Sprintf("conflict: %s says %s", s, strings.Join(slices.Compact(others), ", ")))
		}
	}
	return strings.Join(notes, "; ")
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// Next returns when the next candidate runs out after now, zero for never.
func (s *Set) Next(now time.Time) time.Time {
	var next time.Time
	for _, e := range s.held {
		if e.Until.After(now) && (next.IsZero() || e.Until.Before(next)) {
			next = e.Until
		}
	}
	return next
}
