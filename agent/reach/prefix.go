package reach

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/pref64"
)

// through returns the link over which a candidate's NAT64 is reached: the uplink,
// for what the uplink said. A prefix that was not found by asking a link - by
// policy, by the system, in a server's address - leads over another link when the
// host has a route of its own to it there, as DirectAccess' tunnel has (spec DA-2).
// What another uplink said leads over that uplink.
func (f facts) through(w World, c pref64.Candidate) (netstate.Link, bool) {
	switch c.Source {
	case pref64.Policy, pref64.OS, pref64.Server:
		r, ok := w.Net.RouteTo(c.Prefix.Netip().Addr())
		l, found := w.Net.Link(r.Link)
		if ok && found && r.Dst.Bits() > 0 && l.Index != f.link6.Index && l.Index != w.Own.Device && hasOther(l, w.Own.Addr6) {
			return l, c.Link == 0 || c.Link == l.Index || c.Source == pref64.Server
		}
	}
	if (c.Source == pref64.OS || c.Source == pref64.Server) && unique.Contains(c.Prefix.Netip().Addr()) {
		return f.link6, false // an organization's own addresses lead nowhere by a default route (spec MSDA-13)
	}
	if i := slices.IndexFunc(f.others, func(l netstate.Link) bool { return l.Index == c.Link }); i >= 0 {
		return f.others[i], true
	}
	return f.link6, f.has6() && (c.Link == 0 || c.Link == f.link6.Index)
}

// second tells whether a link is an uplink beside the first one.
func (f facts) second(l netstate.Link) bool {
	return slices.ContainsFunc(f.others, func(o netstate.Link) bool { return o.Index == l.Index })
}

// inside tells whether a server lies behind the organization's NAT64: by policy, or
// since its own address is in a prefix to which a tunnel leads. The network's own
// NAT64 must not be used then: it may lead to a stranger with the same private
// address (spec MSDA-13, SECU-10).
func (f facts) inside(w World) bool {
	return slices.ContainsFunc(w.Servers, func(s Server) bool { return s.Corporate }) ||
		slices.ContainsFunc(w.Prefixes, func(c pref64.Candidate) bool {
			l, here := f.through(w, c)
			return here && c.Source == pref64.Server && l.Index != f.link6.Index && !f.second(l)
		})
}

// eligible are the candidates that may be used, with their links: what the
// configuration says first, then what leads over the uplink, then the rest, each by
// source, and what leads over another uplink last.
func (m *Machine) eligible(f facts, w World) (out []choice) {
	inside := f.inside(w)
	for _, c := range w.Prefixes {
		_, ok := serves(c.IPv4, w.Servers, m.set.All)
		l, here := f.through(w, c)
		if ok && here && (!inside || c.Source == pref64.Policy || l.Index != f.link6.Index && !f.second(l)) {
			out = append(out, choice{c, l})
		}
	}
	place := func(c choice) int {
		switch {
		case c.Source == pref64.Policy:
			return 0
		case c.link.Index == f.link6.Index:
			return 1
		case f.second(c.link):
			return math.MaxInt
		}
		return 2 + int(c.Source)
	}
	slices.SortStableFunc(out, func(a, b choice) int { return place(a) - place(b) })
	return out
}

// choice is a prefix and the link over which it is used.
type choice struct {
	pref64.Candidate
	link netstate.Link
}

// usable returns the prefix to use: the one in use as long as it is valid, since a
// change breaks every flow (spec CLAT-22), else the best. One that a PCP server
// limits to some destinations must serve every server; of those in one answer the
// closest match counts (spec 7225-4). One through which no server answers gives
// way to another, if there is one that was not given up too. Another uplink's is used
// only when the first uplink has none that answers.
func (m *Machine) usable(now time.Time, f facts, w World) (choice, bool) {
	var best, current choice
	found, inUse, closest := false, false, 0
	all := m.eligible(f, w)
	for _, c := range all {
		bits, _ := serves(c.IPv4, w.Servers, m.set.All)
		if !inUse && m.intent.Prefix == c.Prefix && m.intent.Uplink == c.link.Index {
			current, inUse = c, true
		}
		if m.dead.dead(now, way{c.Prefix, c.link.Index}) {
			continue
		}
		if !found || bits > closest && c.Source == best.Source && c.Server == best.Server && c.Link == best.Link {
			best, found, closest = c, true, bits
		}
	}
	switch {
	case found && !inUse && w.Searching && f.second(best.link): // the first uplink may have one yet
		return choice{}, false
	case inUse && !found:
		return current, true
	case inUse && !m.dead.dead(now, way{current.Prefix, current.link.Index}) && (!f.second(current.link) || f.second(best.link)):
		return current, true
	case found:
		return best, true
	}
	if len(all) == 0 {
		return choice{}, false
	}
	return all[0], true // all were given up, and none is in use
}

// serves tells whether every address of the servers lies in s, and how closely
// the farthest of them matches.
func serves(s pref64.Scope, servers []Server, all bool) (bits int, ok bool) {
	if s.All() || all {
		return 0, s.All()
	}
	bits = math.MaxInt
	for _, server := range servers {
		for _, ip := range server.IPv4 {
			n, ok := s.Match(ip)
			if !ok {
				return 0, false
			}
			bits = min(bits, n)
		}
	}
	return bits, bits < math.MaxInt
}

// noPrefix says why no prefix can be used.
func noPrefix(f facts, w World, all bool) (Reason, string) {
	limited := slices.IndexFunc(w.Prefixes, func(c pref64.Candidate) bool { _, here := f.through(w, c); return here })
	switch {
	case w.Searching:
		return ReasonSearching, ""
	case w.Unproven != "" && limited < 0:
		return ReasonUnproven, w.Unproven
	case w.Unclear != "":
		return ReasonUnclear, w.Unclear
	case limited < 0:
		return ReasonNoPrefix, ""
	case !all && !anyIPv4(w.Servers):
		return ReasonNoServerIPv4, ""
	}
	c := w.Prefixes[limited]
	if f.inside(w) {
		return ReasonNoPrefix, fmt.Sprintf("%s is the network's own, and does not lead to the organization", c.Prefix)
	}
	return ReasonNoPrefix, fmt.Sprintf("%s serves only %s", c.Prefix, c.IPv4)
}
