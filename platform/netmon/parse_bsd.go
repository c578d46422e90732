package netmon

import (
	"math/bits"
	"net/netip"
	"time"

	"github.com/reach64/reach64/platform/netstate"
)

// bsdRoute is a message of a routing socket, route(4), in its numbers.
type bsdRoute struct {
	dst, mask, gateway netip.Addr // mask and gateway not valid: none, or a link
	flags              int
	link               int
}

// The flags of net/route.h of macOS.
const (
	rtfUp        = 0x1
	rtfHost      = 0x4
	rtfReject    = 0x8
	rtfLLInfo    = 0x400 // a neighbour
	rtfBlackhole = 0x1000
	rtfWasCloned = 0x20000 // made of another route when it was used
	rtfBroadcast = 0x400000
	rtfMulticast = 0x800000
	rtfIfScope   = 0x1000000 // only for what is bound to the link
	rtfDead      = 0x20000000
)

// scopedMetric is what a route counts that only sockets bound to its link use: it
// comes after every other one. macOS has no metrics.
const scopedMetric = 1 << 16

// noRouter is the gateway of the default routes that macOS gives to utun devices of its
// own, which lead nowhere.
var noRouter = netip.MustParseAddr("fe80::")

// fromBSD makes routes of the messages. Neighbours, what is made when a route is used,
// and the default routes of the system's own utun devices, are none.
func fromBSD(list []bsdRoute) []netstate.Route {
	var out []netstate.Route
	for _, r := range list {
		if r.flags&rtfUp == 0 || r.flags&(rtfLLInfo|rtfWasCloned|rtfBroadcast|rtfMulticast|rtfDead) != 0 || !r.dst.IsValid() {
			continue
		}
		ones := maskBits(r.mask)
		if r.flags&rtfHost != 0 {
			ones = r.dst.BitLen()
		}
		route := netstate.Route{Dst: netip.PrefixFrom(r.dst.WithZone(""), ones).Masked(), Link: r.link, Reject: r.flags&(rtfReject|rtfBlackhole) != 0}
		if !route.Dst.IsValid() || route.Dst.Addr().IsMulticast() {
			continue
		}
		if r.flags&rtfIfScope != 0 && ones == 0 && r.gateway.WithZone("") == noRouter {
			continue
		}
		if r.gateway.IsValid() && !r.gateway.IsUnspecified() {
			route.Gateway = r.gateway.WithZone("")
		}
		if r.flags&rtfIfScope != 0 {
			route.Metric = scopedMetric
		}
		out = append(out, route)
	}
	return out
}

// maskBits counts the leading ones of a mask; none is a default route's.
func maskBits(mask netip.Addr) (n int) {
	for _, b := range mask.AsSlice() {
		ones := bits.LeadingZeros8(^b)
		n += ones
		if ones < 8 {
			break
		}
	}
	return n
}

// The flags of an IPv6 address, netinet6/in6_var.h of macOS.
const (
	in6Tentative  = 0x2
	in6Duplicated = 0x4
	in6Detached   = 0x8
	in6Deprecated = 0x10
	in6Autoconf   = 0x40
	in6Temporary  = 0x80
	in6Optimistic = 0x200
	in6CLAT46     = 0x1000 // of the system's own CLAT
)

// fromBSDAddr makes an address of what the system says. valid is the rest of its
// life, 0 for ever.
func fromBSDAddr(prefix netip.Prefix, flags int, valid time.Duration) netstate.Addr {
	return netstate.Addr{
		Prefix:     netip.PrefixFrom(prefix.Addr().WithZone(""), prefix.Bits()),
		Tentative:  flags&in6Tentative != 0 && flags&in6Optimistic == 0,
		DADFailed:  flags&in6Duplicated != 0,
		Deprecated: flags&(in6Deprecated|in6Detached) != 0,
		Temporary:  flags&in6Temporary != 0,
		Autoconf:   flags&in6Autoconf != 0,
		CLAT:       flags&in6CLAT46 != 0,
		ValidFor:   valid,
	}
}
