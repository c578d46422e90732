package netmon

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/netstate"
)

// dumps is how often an interrupted dump is tried again: the kernel says so when
// the state changed while it was read.
const dumps = 5

// retry calls a netlink dump again while the kernel says that it was interrupted.
func retry[T any](dump func() ([]T, error)) ([]T, error) {
	for i := 0; ; i++ {
		out, err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || i == dumps {
			return out, err
		}
	}
}

func (m *Monitor) snapshot() (s netstate.Snapshot, err error) {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return s, fmt.Errorf("list links: %w", err)
	}
	addrs, err := retry(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return s, fmt.Errorf("list addresses: %w", err)
	}
	for _, l := range links {
		link := fromLink(l)
		for _, a := range addrs {
			if a.LinkIndex == link.Index {
				link.Addrs = append(link.Addrs, fromAddr(a))
			}
		}
		s.Links = append(s.Links, link)
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := retry(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return s, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			s.Routes = append(s.Routes, fromRoute(r, family)...)
		}
		more, err := ruled(family)
		if err != nil {
			return s, err
		}
		s.Routes = append(s.Routes, more...)
	}
	prefer(&s)
	m.names(&s)
	return s, nil
}

func fromLink(l netlink.Link) netstate.Link {
	a := l.Attrs()
	// A TUN has no operational state of its own kind: unknown counts as up.
	carrier := a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown
	return netstate.Link{
		Index: a.Index, Name: a.Name, MTU: a.MTU, MTU6: mtu6(a.Name),
		Up:           a.RawFlags&unix.IFF_UP != 0 && (carrier || a.RawFlags&unix.IFF_LOOPBACK != 0),
		Loopback:     a.RawFlags&unix.IFF_LOOPBACK != 0,
		Ethernet:     a.EncapType == "ether",
		Tunnel:       isTunnel(a.EncapType),
		HardwareAddr: a.HardwareAddr.String(),
	}
}

// isTunnel tells whether packets go over a link of this kind without link-layer
// addresses that are resolved: TUN and WireGuard are "none". The library has no
// name for ARPHRD_RAWIP (519, modems) and ARPHRD_IP6GRE (823).
func isTunnel(encap string) bool {
	switch encap {
	case "none", "void", "ppp", "tunnel", "tunnel6", "sit", "gre", "unknown519", "unknown823":
		return true
	}
	return false
}

// mtu6 reads the IPv6 MTU of a link, which a router advertisement may have made
// smaller than the device's; netlink's library does not show it. 0: not known.
func mtu6(link string) int {
	if strings.ContainsRune(link, '/') {
		return 0
	}
	text, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf", link, "mtu"))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

func fromAddr(a netlink.Addr) netstate.Addr {
	ip, _ := netip.AddrFromSlice(a.IP)
	ones, _ := a.Mask.Size()
	out := netstate.Addr{
		Prefix:     netip.PrefixFrom(ip.Unmap(), ones),
		Tentative:  a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_DADFAILED == 0,
		DADFailed:  a.Flags&unix.IFA_F_DADFAILED != 0,
		Deprecated: a.Flags&unix.IFA_F_DEPRECATED != 0,
		Temporary:  a.Flags&unix.IFA_F_TEMPORARY != 0 && ip.Is6() && !ip.Is4In6(),
	}
	if a.ValidLft > 0 && uint32(a.ValidLft) != math.MaxUint32 {
		out.ValidFor = time.Duration(a.ValidLft) * time.Second
	}
	// The kernel says neither by flag nor, before 5.18, by protocol that it made
	// an address from an advertised prefix. What it makes so has length 64, and is
	// not permanent even when its lifetime is infinite.
	out.Autoconf = out.Prefix.Addr().Is6() && ones == 64 && a.Flags&unix.IFA_F_PERMANENT == 0
	return out
}

// fromRoute returns one route for each next hop.
func fromRoute(r netlink.Route, family int) []netstate.Route {
	base := netstate.Route{Link: r.LinkIndex, Metric: r.Priority, MTU: r.MTU, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	if family == netlink.FAMILY_V6 {
		base.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if r.Dst != nil {
		ip, _ := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		if family == netlink.FAMILY_V4 {
			ip = ip.Unmap()
		}
		base.Dst = netip.PrefixFrom(ip, ones)
	}
	switch r.Type {
	case unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		base.Reject = true
	}
	base.Gateway = gateway(r.Gw, r.Via)
	if len(r.MultiPath) == 0 {
		return []netstate.Route{base}
	}
	var out []netstate.Route
	for _, hop := range r.MultiPath {
		one := base
		one.Link, one.Gateway = hop.LinkIndex, gateway(hop.Gw, hop.Via)
		out = append(out, one)
	}
	return out
}

// gateway returns the next hop, which may be an IPv6 one of an IPv4 route (RFC
// 8950). Not valid: none.
func gateway(gw net.IP, via netlink.Destination) netip.Addr {
	if v, ok := via.(*netlink.Via); ok && v != nil {
		gw = v.Addr
	}
	ip, _ := netip.AddrFromSlice(gw)
	return ip.Unmap()
}
