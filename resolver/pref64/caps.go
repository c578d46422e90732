package pref64

import "net/netip"

// group is what MaxServers counts in.
type group struct {
	source Source
	link   int
}

// cap holds the set to the caps of spec SEC-5, the narrowest first. What is
// trusted, and the best candidate of each link, are never evicted: a flood cannot
// push out what is in use. Among the others the one that was heard longest ago
// goes first.
func (s *Set) cap() {
	for _, over := range []func() func(entry) bool{s.overPrefixes, s.overServers, s.overAll} {
		for {
			i := s.oldest(over())
			if i < 0 {
				break
			}
			s.held = append(s.held[:i], s.held[i+1:]...)
		}
	}
}

// overPrefixes selects the answers with too many prefixes.
func (s *Set) overPrefixes() func(entry) bool {
	count := make(map[Key]int)
	for _, e := range s.held {
		count[e.key()]++
	}
	return func(e entry) bool { return count[e.key()] > MaxPrefixes }
}

// overServers selects the links and sources with too many routers or resolvers.
func (s *Set) overServers() func(entry) bool {
	servers := make(map[group]map[netip.Addr]bool)
	for _, e := range s.held {
		g := group{e.Source, e.Link}
		if servers[g] == nil {
			servers[g] = make(map[netip.Addr]bool)
		}
		servers[g][e.Server] = true
	}
	return func(e entry) bool { return len(servers[group{e.Source, e.Link}]) > MaxServers }
}

// overAll selects everything when there is too much.
func (s *Set) overAll() func(entry) bool {
	return func(entry) bool { return len(s.held) > MaxCandidates }
}

// oldest returns the index of the evictable entry among those of over that was
// heard longest ago, of equals the one that came last in its answer; -1 for none.
func (s *Set) oldest(over func(entry) bool) int {
	best := make(map[int]int) // by link
	for i, e := range s.held {
		if j, ok := best[e.Link]; !ok || before(e, s.held[j]) < 0 {
			best[e.Link] = i
		}
	}
	found := -1
	for i, e := range s.held {
		if e.Trust == Trusted || best[e.Link] == i || !over(e) {
			continue
		}
		if found < 0 || e.heard.Before(s.held[found].heard) || e.heard.Equal(s.held[found].heard) && e.Order >= s.held[found].Order {
			found = i
		}
	}
	return found
}
