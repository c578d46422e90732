package netmon

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/netstate"
)

// halves are the halves of each address space with an address of each that no host
// has in its own networks.
var halves = map[int]map[string]string{
	netlink.FAMILY_V4: {"0.0.0.0/1": "9.9.9.9", "128.0.0.0/1": "199.9.14.201"},
	netlink.FAMILY_V6: {"::/1": "2620:fe::9", "8000::/1": "fdff:ffff:ffff:ffff::9"},
}

// ruled are the routes to the two halves of an address space where rules send packets
// to a table beside the main one, as full-tunnel VPNs do (wg-quick, Tailscale): the
// kernel is asked which way it would take. They win over the default route.
func ruled(family int) ([]netstate.Route, error) {
	rules, err := retry(func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	other := false
	for _, r := range rules {
		other = other || r.Table > 0 && r.Table != unix.RT_TABLE_LOCAL && r.Table != unix.RT_TABLE_MAIN && r.Table != unix.RT_TABLE_DEFAULT
	}
	if !other {
		return nil, nil
	}
	var out []netstate.Route
	for half, sample := range halves[family] {
		found, err := netlink.RouteGet(net.ParseIP(sample))
		if err != nil || len(found) == 0 {
			continue // no way there
		}
		r := found[0]
		if r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_LOCAL || r.Table == 0 {
			continue
		}
		out = append(out, netstate.Route{Dst: netip.MustParsePrefix(half), Gateway: gateway(r.Gw, r.Via), Link: r.LinkIndex, Metric: -1})
	}
	return out, nil
}

// prefer brings that of several IPv6 default routes to the front which the kernel uses:
// those of router advertisements all have one metric, and their preference (RFC 4191)
// is not shown by the library.
func prefer(s *netstate.Snapshot) {
	best, ok := s.Default(true)
	if !ok || best.Dst.Bits() != 0 || !slices.ContainsFunc(s.Routes, func(r netstate.Route) bool {
		return r.Dst == best.Dst && r.Metric == best.Metric && r.Link != best.Link && !r.Reject
	}) {
		return
	}
	found, err := netlink.RouteGet(net.ParseIP(halves[netlink.FAMILY_V6]["::/1"]))
	if err != nil || len(found) == 0 {
		return
	}
	slices.SortStableFunc(s.Routes, func(a, b netstate.Route) int {
		first := func(r netstate.Route) bool { return r.Dst == best.Dst && r.Link == found[0].LinkIndex }
		switch x, y := first(a), first(b); {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return 0
	})
}
