package netstate

import "net/netip"

// RouteTo returns the route that a packet to a takes: of those on a link that is
// up the longest, then the one with the lowest metric. ok is false when there is
// none, or when it rejects.
func (s Snapshot) RouteTo(a netip.Addr) (best Route, ok bool) {
	a = a.Unmap()
	for _, r := range s.Routes {
		if !r.Dst.Contains(a) {
			continue
		}
		if l, found := s.Link(r.Link); !r.Reject && (!found || !l.Up) {
			continue
		}
		if !ok || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric {
			best, ok = r, true
		}
	}
	return best, ok && !best.Reject
}
