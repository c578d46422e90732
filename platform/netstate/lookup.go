package netstate

import (
	"net/netip"
	"slices"
)

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

// The halves of each address space, which VPNs route instead of a default route so
// that they win over the one that is there (OpenVPN's redirect-gateway def1,
// WireGuard).
var (
	halves4 = [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1")}
	halves6 = [2]netip.Prefix{netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1")}
)

// Default returns the default route of a family that is used: on a link that is up,
// no reject route, of these with the lowest metric. Two routes over one link to half
// the address space each count as one and win; Dst is then that of the lower half.
// It skips the links in except.
func (s Snapshot) Default(v6 bool, except ...int) (Route, bool) {
	whole, halves := netip.PrefixFrom(netip.IPv4Unspecified(), 0), halves4
	if v6 {
		whole, halves = netip.PrefixFrom(netip.IPv6Unspecified(), 0), halves6
	}
	lower, ok := s.best(halves[0], except)
	if upper, both := s.best(halves[1], except); ok && both && lower.Link == upper.Link {
		return lower, true
	}
	return s.best(whole, except)
}

// best returns the usable route to dst with the lowest metric.
func (s Snapshot) best(dst netip.Prefix, except []int) (best Route, found bool) {
	for _, r := range s.Routes {
		if r.Dst != dst || r.Reject || slices.Contains(except, r.Link) {
			continue
		}
		if l, ok := s.Link(r.Link); !ok || !l.Up {
			continue
		}
		if !found || r.Metric < best.Metric {
			best, found = r, true
		}
	}
	return best, found
}

// NextHop is the one router over which the link leads to every address in dst. It is
// false where there are several, whose choice depends on the address or on which of
// them is reachable just now, or none.
func (s Snapshot) NextHop(link int, dst netip.Prefix) (router netip.Addr, ok bool) {
	for _, r := range s.Routes {
		switch {
		case r.Link != link || !r.Dst.Overlaps(dst):
		case r.Dst.Bits() > dst.Bits(), r.Reject, !r.Gateway.Is6(), router.IsValid() && router != r.Gateway:
			return netip.Addr{}, false
		default:
			router = r.Gateway
		}
	}
	return router, router.IsValid()
}
