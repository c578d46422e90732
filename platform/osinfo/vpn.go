package osinfo

import "github.com/reach64/reach64/platform/netstate"

// VPNDefault returns the IPv4 default route that is used when it goes over a
// tunnel that is not ours, as a VPN's does (spec OS-6, SEC-20). Two routes of
// half the IPv4 space each, as OpenVPN and WireGuard make them, count as one; the
// returned Dst is then 0.0.0.0/1.
func VPNDefault(s netstate.Snapshot, own Own) (netstate.Route, bool) {
	lower, ok := half(s, own, "0.0.0.0")
	if upper, both := half(s, own, "128.0.0.0"); ok && both && lower.Link == upper.Link {
		return lower, tunnel(s, lower)
	}
	r, ok := s.Default(false, own.Device)
	return r, ok && tunnel(s, r)
}

// half returns the used route of half the IPv4 space that begins at addr.
func half(s netstate.Snapshot, own Own, addr string) (netstate.Route, bool) {
	best, found := netstate.Route{}, false
	for _, r := range s.Routes {
		l, ok := s.Link(r.Link)
		if !ok || !l.Up || r.Reject || r.Link == own.Device || r.Dst.Bits() != 1 || r.Dst.Addr().String() != addr {
			continue
		}
		if !found || r.Metric < best.Metric {
			best, found = r, true
		}
	}
	return best, found
}

func tunnel(s netstate.Snapshot, r netstate.Route) bool {
	l, ok := s.Link(r.Link)
	return ok && l.Tunnel
}
