package reach

import (
	"fmt"
	"math"
	"slices"

	"github.com/reach64/reach64/resolver/pref64"
)

// uses tells whether a candidate is for the uplink.
func (f facts) uses(c pref64.Candidate) bool { return c.Link == 0 || c.Link == f.link6.Index }

// usable returns the prefix to use on the uplink: the one in use as long as it
// is valid, since a change breaks every flow (spec CLAT-22), else the best. One
// that a PCP server limits to some destinations must serve every server; of those
// in one answer the closest match counts (spec 7225-4).
func usable(f facts, w World, all bool, current CLAT) (pref64.Candidate, bool) {
	var best pref64.Candidate
	found, closest := false, 0
	for _, c := range w.Prefixes {
		bits, ok := serves(c.IPv4, w.Servers, all)
		if !ok || !f.uses(c) {
			continue
		}
		if current.Prefix == c.Prefix && current.Uplink == f.link6.Index {
			return c, true
		}
		if !found || bits > closest && c.Source == best.Source && c.Server == best.Server && c.Link == best.Link {
			best, found, closest = c, true, bits
		}
	}
	return best, found
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
	limited := slices.IndexFunc(w.Prefixes, f.uses)
	switch {
	case w.Searching:
		return ReasonSearching, ""
	case w.Unclear != "":
		return ReasonUnclear, w.Unclear
	case limited < 0:
		return ReasonNoPrefix, ""
	case !all && !anyIPv4(w.Servers):
		return ReasonNoServerIPv4, ""
	}
	c := w.Prefixes[limited]
	return ReasonNoPrefix, fmt.Sprintf("%s serves only %s", c.Prefix, c.IPv4)
}
