package dial

import (
	"net/netip"
	"slices"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Kind is by which path an attempt goes.
type Kind string

// The kinds, best first (spec R8305-8).
const (
	NativeIPv6  Kind = "native-ipv6"
	Synthesized Kind = "synthesized" // IPv6 through the network's NAT64, made here
	DNS64       Kind = "dns64"       // the same, made by the network's DNS64
	CLAT        Kind = "clat"
	NativeIPv4  Kind = "native-ipv4"
	NoPath      Kind = "ipv4-without-path" // tried last, for the system's own word on it
)

// order is the place of each kind; DNS64 and Synthesized are the same path.
var order = []Kind{NativeIPv6, Synthesized, CLAT, NativeIPv4, NoPath}

// candidate is one address to try.
type candidate struct {
	kind   Kind
	addr   netip.Addr
	prefix nat64.Prefix // of the NAT64 kinds
}

func (c candidate) rank() int {
	if c.kind == DNS64 {
		return slices.Index(order, Synthesized)
	}
	return slices.Index(order, c.kind)
}

// candidates turns addresses into what to try, best first and kinds taking turns
// (RFC 8305 section 4), each address once. Addresses are those of AAAA and A
// records, or a literal.
func candidates(n Network, six, four []netip.Addr) []candidate {
	byRank := make([][]candidate, len(order))
	add := func(c candidate) {
		list := &byRank[c.rank()]
		if len(*list) < maxAddresses && !slices.ContainsFunc(*list, func(o candidate) bool { return o.addr == c.addr }) {
			*list = append(*list, c)
		}
	}
	for _, a := range six {
		add(ofIPv6(n, a, four))
	}
	for _, a := range four {
		for _, c := range ofIPv4(n, a, six) {
			add(c)
		}
	}
	var out []candidate
	for i := 0; ; i++ {
		before := len(out)
		for _, list := range byRank {
			if i < len(list) {
				out = append(out, list[i])
			}
		}
		if len(out) == before {
			return out
		}
	}
}

// ofIPv6 knows an address that DNS64 made by its prefix, or by one of the name's
// IPv4 addresses in it: that of another NAT64, such as an organization's (R8305-9,
// HE3-3).
func ofIPv6(n Network, a netip.Addr, four []netip.Addr) candidate {
	for _, p := range append(slices.Clone(n.Prefixes), nat64.WellKnown()) {
		if p.Contains(a) {
			return candidate{DNS64, a, p}
		}
	}
	for _, v4 := range four {
		if p, ok := pref64.FromKnown(a, v4); ok {
			return candidate{DNS64, a, p}
		}
	}
	return candidate{kind: NativeIPv6, addr: a}
}

// elsewhere tells whether an IPv4 address lies behind another NAT64 than the
// network's: one of the name's IPv6 addresses holds it in a prefix of its own.
func elsewhere(n Network, a netip.Addr, six []netip.Addr) bool {
	return slices.ContainsFunc(six, func(v6 netip.Addr) bool {
		p, ok := pref64.FromKnown(v6, a)
		return ok && !slices.Contains(n.Prefixes, p)
	})
}

// ofIPv4 is how an IPv4 address can be reached. Where the host has a route of its
// own, native or a VPN's, nothing is synthesized (8305-6); else through each prefix
// that may carry it, and through the CLAT (R8305-5). The network's NAT64 would lead
// from an organization's private address to a stranger (MSDA-13).
func ofIPv4(n Network, a netip.Addr, six []netip.Addr) (out []candidate) {
	route := NoRoute4
	if n.Route4 != nil {
		route = n.Route4(a)
	}
	if route == Native4 {
		return []candidate{{kind: NativeIPv4, addr: a}}
	}
	if elsewhere(n, a, six) {
		if route == ThroughCLAT {
			return []candidate{{kind: CLAT, addr: a}}
		}
		return nil
	}
	for _, p := range n.Prefixes {
		if n.NonGlobal.Allows(p, a) {
			out = append(out, candidate{Synthesized, p.Embed(a), p})
		}
	}
	if route == ThroughCLAT {
		out = append(out, candidate{kind: CLAT, addr: a})
	}
	if len(out) == 0 {
		out = append(out, candidate{kind: NoPath, addr: a})
	}
	return out
}
