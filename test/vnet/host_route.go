package vnet

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netstate"
)

// Metrics of routes that the host makes itself; Linux' values.
const (
	metricRouter = 1024
	metricOnLink = 256
)

// AddRoute adds a route. Reject routes are not supported.
func (h *Host) AddRoute(r netstate.Route) error {
	r.Dst = r.Dst.Masked()
	if r.Reject {
		return platform.Unsupported("reject route in the lab's host")
	}
	err := h.edit(r.Link, func(*hostLink) error {
		if slices.Contains(h.routes, r) {
			return fmt.Errorf("add route to %v: it is there already", r.Dst)
		}
		h.routes = append(h.routes, r)
		return nil
	})
	if err != nil {
		return err
	}
	h.applyRoutes()
	h.notify()
	return nil
}

// RemoveRoute removes a route that AddRoute made: same destination, gateway,
// link and metric.
func (h *Host) RemoveRoute(r netstate.Route) error {
	r.Dst = r.Dst.Masked()
	h.mu.Lock()
	n := len(h.routes)
	h.routes = slices.DeleteFunc(h.routes, func(o netstate.Route) bool {
		return o.Dst == r.Dst && o.Gateway == r.Gateway && o.Link == r.Link && o.Metric == r.Metric
	})
	gone := len(h.routes) < n
	h.mu.Unlock()
	if !gone {
		return fmt.Errorf("remove route to %v: no such route", r.Dst)
	}
	h.applyRoutes()
	h.notify()
	return nil
}

// table is the whole route table, best first. The caller holds mu.
func (h *Host) table() []netstate.Route {
	var out []netstate.Route
	for _, i := range slices.Sorted(maps.Keys(h.links)) {
		l := h.links[i]
		if !l.up {
			continue
		}
		if l.tun == nil {
			out = append(out, netstate.Route{Dst: netip.MustParsePrefix("fe80::/64"), Link: i, Metric: metricOnLink})
		}
		for _, p := range l.onLink {
			out = append(out, netstate.Route{Dst: p, Link: i, Metric: metricOnLink})
		}
		for _, ip := range l.routers {
			out = append(out, netstate.Route{Dst: netip.MustParsePrefix("::/0"), Gateway: ip, Link: i, Metric: metricRouter})
		}
		for _, a := range l.addrs {
			// What was added by hand says what is on the link; SLAAC does not
			// (RFC 5942), and a dedicated address needs no route.
			if !a.Autoconf && !a.Prefix.IsSingleIP() && a.Prefix.Addr().Is4() {
				out = append(out, netstate.Route{Dst: a.Prefix.Masked(), Link: i})
			}
		}
	}
	for _, r := range h.routes {
		if l, ok := h.links[r.Link]; ok && l.up {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b netstate.Route) int {
		return cmp.Or(cmp.Compare(b.Dst.Bits(), a.Dst.Bits()), cmp.Compare(a.Metric, b.Metric))
	})
	return out
}

// applyRoutes gives the stack the route table.
func (h *Host) applyRoutes() {
	h.applying.Lock()
	defer h.applying.Unlock()
	h.mu.Lock()
	table := h.table()
	h.mu.Unlock()
	out := make([]tcpip.Route, 0, len(table))
	for _, r := range table {
		out = append(out, tcpip.Route{Destination: subnet(r.Dst), Gateway: toAddr(r.Gateway), NIC: tcpip.NICID(r.Link), MTU: uint32(r.MTU)})
	}
	h.stack.SetRouteTable(out)
}

// Snapshot returns the network state.
func (h *Host) Snapshot() netstate.Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := netstate.Snapshot{Routes: h.table(), Resolvers: slices.Clone(h.resolvers)}
	for _, i := range slices.Sorted(maps.Keys(h.links)) {
		l := h.links[i]
		out := netstate.Link{Index: i, Name: l.name, Up: l.up, Tunnel: l.tun != nil || l.tunnel, Ethernet: l.ether != nil && !l.tunnel,
			MTU: l.mtu, MTU6: l.mtu, DNS: slices.Clone(l.dns)}
		if l.ether != nil {
			out.HardwareAddr = net.HardwareAddr(l.ether.mac).String()
		}
		for _, a := range l.addrs {
			out.Addrs = append(out.Addrs, a.Addr)
		}
		s.Links = append(s.Links, out)
	}
	return s
}

// nextHop is whom the uplink sends packets for dst to. It is invalid without a
// route.
func (h *Host) nextHop(link int, dst netip.Addr) netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.table() {
		if r.Link != link || !r.Dst.Contains(dst) {
			continue
		}
		if r.Gateway.IsValid() {
			return r.Gateway
		}
		return dst
	}
	return netip.Addr{}
}
