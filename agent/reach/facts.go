package reach

import (
	"net/netip"
	"slices"

	"github.com/reach64/reach64/platform/netstate"
)

// facts is the network state, reduced.
type facts struct {
	link6  netstate.Link // uplink of IPv6, zero without a usable one
	link4  netstate.Link // uplink of native IPv4
	route6 netstate.Route
	route4 netstate.Route
	// others are links beside link6 that have an IPv6 default route and address of
	// their own, the best first: a NAT64 may be there when link6 leads to none.
	others []netstate.Link
}

func (f facts) has6() bool { return f.link6.Index != 0 }
func (f facts) has4() bool { return f.link4.Index != 0 }

func (f facts) uplink() int {
	if f.has6() {
		return f.link6.Index
	}
	return f.link4.Index
}

// look finds the uplinks. IPv6 needs a default route and a usable address on
// its link, tentative or not, since the CLAT can be made ready meanwhile; IPv4 a default route that is not ours and an address that is not a
// CLAT's (spec CLAT-10, 8925-6).
func look(w World) facts {
	var f facts
	if r, ok := w.Net.Default(true, w.Own.Device); ok {
		if l, ok := w.Net.Link(r.Link); ok && hasOther(l, w.Own.Addr6) {
			f.link6, f.route6 = l, r
		}
	}
	if f.has6() {
		f.others = others(w, f.link6.Index)
	}
	// A link with only a CLAT's address does not hide one with real IPv4.
	skip := []int{w.Own.Device}
	for {
		r, ok := w.Net.Default(false, skip...)
		if !ok {
			return f
		}
		if l, ok := w.Net.Link(r.Link); ok && len(l.Native4()) > 0 {
			f.link4, f.route4 = l, r
			return f
		}
		skip = append(skip, r.Link)
	}
}

// others are the links with an IPv6 default route and address beside the first.
func others(w World, first int) (out []netstate.Link) {
	skip := []int{w.Own.Device, first}
	for {
		r, ok := w.Net.Default(true, skip...)
		if !ok {
			return out
		}
		if l, ok := w.Net.Link(r.Link); ok && hasOther(l, w.Own.Addr6) {
			out = append(out, l)
		}
		skip = append(skip, r.Link)
	}
}

// hasOther tells whether the link has a global IPv6 address beside the CLAT's.
func hasOther(l netstate.Link, own netip.Addr) bool {
	for _, a := range l.Global6() {
		if a.Prefix.Addr() != own {
			return true
		}
	}
	return false
}

// net6 is the network of the link's first global address that is not ours.
func net6(l netstate.Link, own netip.Addr) netip.Prefix {
	for _, a := range l.Global6() {
		if a.Prefix.Addr() != own {
			return a.Prefix.Masked()
		}
	}
	return netip.Prefix{}
}

// inNet tells whether the link still has an address in a network, ours aside.
func inNet(l netstate.Link, net netip.Prefix, own netip.Addr) bool {
	return slices.ContainsFunc(l.Global6(), func(a netstate.Addr) bool { return a.Prefix.Masked() == net && a.Prefix.Addr() != own })
}

// preferred is inNet of addresses that are not deprecated.
func preferred(l netstate.Link, net netip.Prefix, own netip.Addr) bool {
	l.Addrs = slices.DeleteFunc(slices.Clone(l.Addrs), func(a netstate.Addr) bool { return a.Deprecated })
	return inNet(l, net, own)
}

func usableAddr(l netstate.Link, own netip.Addr) bool {
	return slices.ContainsFunc(l.Usable6(), func(a netstate.Addr) bool { return a.Prefix.Addr() != own })
}
