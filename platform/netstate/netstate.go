// Package netstate is what a machine's network looks like at one moment: links,
// addresses and routes, as plain values.
//
// It is pure. platform/netmon reads a Snapshot from the operating system;
// agent/reach decides on it.
package netstate

import (
	"net/netip"
	"slices"
	"time"
)

// Snapshot is the whole network state at one moment. It is never modified after
// it was handed out.
type Snapshot struct {
	Links  []Link
	Routes []Route // of the main table, all families
	// Resolvers are the name servers that the system is configured with for all
	// links (on Linux /etc/resolv.conf), in order.
	Resolvers []netip.Addr
}

// Link is one network interface.
type Link struct {
	Index        int
	Name         string
	Up           bool // administratively up and with carrier
	Loopback     bool
	Tunnel       bool // a TUN or other layer 3 device without link addresses, or what is known for a VPN's
	Ethernet     bool // has link-layer addresses; neighbours are resolved
	MTU          int  // bytes, of the device
	MTU6         int  // bytes, IPv6 MTU (device or router advertisement); 0 unknown
	HardwareAddr string
	Addrs        []Addr
	DNS          []netip.Addr // resolvers known for this link alone
}

// Addr is one address of a link.
type Addr struct {
	Prefix     netip.Prefix // address and prefix length, not masked
	Tentative  bool         // duplicate address detection has not finished
	DADFailed  bool
	Deprecated bool          // preferred lifetime is over
	Temporary  bool          // RFC 8981
	Autoconf   bool          // made from a router advertisement's prefix (SLAAC)
	CLAT       bool          // the operating system's own CLAT translates with it
	ValidFor   time.Duration // 0: for ever
}

// Route is one route.
type Route struct {
	Dst     netip.Prefix // default: 0.0.0.0/0 or ::/0
	Gateway netip.Addr   // invalid: none
	Link    int
	Metric  int
	MTU     int  // bytes, 0: the link's
	Reject  bool // unreachable, blackhole, prohibit
}

// Link returns the link with this index.
func (s Snapshot) Link(index int) (Link, bool) {
	i := slices.IndexFunc(s.Links, func(l Link) bool { return l.Index == index })
	if i < 0 {
		return Link{}, false
	}
	return s.Links[i], true
}

// LinkByName returns the link with this name.
func (s Snapshot) LinkByName(name string) (Link, bool) {
	i := slices.IndexFunc(s.Links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		return Link{}, false
	}
	return s.Links[i], true
}

// Gateways returns the default routers of both families on a link.
func (s Snapshot) Gateways(link int) []netip.Addr {
	var out []netip.Addr
	for _, r := range s.Routes {
		if r.Link == link && r.Dst.Bits() == 0 && r.Gateway.IsValid() && !r.Reject && !slices.Contains(out, r.Gateway) {
			out = append(out, r.Gateway)
		}
	}
	return out
}

// Usable6 returns the addresses that the link can use as an IPv6 source towards
// other networks: neither link-local, tentative, nor failed.
func (l Link) Usable6() []Addr {
	return slices.DeleteFunc(l.Global6(), func(a Addr) bool { return a.Tentative })
}

// Global6 returns the link's IPv6 addresses that lead to other networks, those
// included whose duplicate address detection has not finished.
func (l Link) Global6() []Addr {
	var out []Addr
	for _, a := range l.Addrs {
		ip := a.Prefix.Addr()
		if ip.Is6() && !ip.IsLinkLocalUnicast() && !ip.IsLoopback() && !a.DADFailed {
			out = append(out, a)
		}
	}
	return out
}

// Native4 returns the link's IPv4 addresses that can lead anywhere: not
// 169.254.0.0/16 (spec 8925-6) and not 192.0.0.0/29, which is a CLAT's (RFC 7335).
func (l Link) Native4() []Addr {
	var out []Addr
	for _, a := range l.Addrs {
		ip := a.Prefix.Addr()
		if ip.Is4() && !ip.IsLinkLocalUnicast() && !ip.IsLoopback() && !Continuity.Contains(ip) {
			out = append(out, a)
		}
	}
	return out
}

// ResolversOver returns the system's name servers that can be asked over a link:
// those with an IPv4 address need native IPv4 there, unless they are local, and those
// of another link alone, such as a VPN's, are not this one's.
func (s Snapshot) ResolversOver(l Link) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(s.Resolvers), func(ip netip.Addr) bool {
		return ip.Is4() && !ip.IsLoopback() && len(l.Native4()) == 0 || !slices.Contains(l.DNS, ip) &&
			slices.ContainsFunc(s.Links, func(o Link) bool { return o.Index != l.Index && slices.Contains(o.DNS, ip) })
	})
}

// MayHaveRouter tells whether a router can be heard on the link, and so whether
// it makes sense to look for prefixes there: it is up, and if it is a tunnel, has
// an IPv6 address.
func (l Link) MayHaveRouter() bool {
	return l.Up && !l.Loopback && (!l.Tunnel || slices.ContainsFunc(l.Addrs, func(a Addr) bool { return a.Prefix.Addr().Is6() }))
}

// Continuity is 192.0.0.0/29, the IPv4 service continuity prefix (RFC 7335),
// from which every CLAT takes its IPv4 address.
var Continuity = netip.MustParsePrefix("192.0.0.0/29")
