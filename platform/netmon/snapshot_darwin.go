package netmon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/netstate"
)

// scutilLimit is how long scutil may take: what it asks may hang.
const scutilLimit = 2 * time.Second

// snapshot reads links, addresses with their flags, routes, and name servers.
func (m *Monitor) snapshot() (netstate.Snapshot, error) {
	var s netstate.Snapshot
	list, err := net.Interfaces()
	if err != nil {
		return s, fmt.Errorf("list links: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)
	if err != nil {
		return s, fmt.Errorf("list addresses: %w", err)
	}
	defer unix.Close(fd)
	dns := m.nameServers()
	for _, i := range list {
		link := netstate.Link{Index: i.Index, Name: i.Name, MTU: i.MTU, HardwareAddr: i.HardwareAddr.String(), DNS: dns.links[i.Index],
			Up: i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0, Loopback: i.Flags&net.FlagLoopback != 0}
		link.Ethernet = len(i.HardwareAddr) == 6
		link.Tunnel = tunnelOfMac(i.Name, link.Ethernet, i.Flags&net.FlagPointToPoint != 0)
		addrs, err := i.Addrs()
		if err != nil {
			return s, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				link.Addrs = append(link.Addrs, toBSDAddr(fd, i.Name, n))
			}
		}
		if a := clatAddr(fd, i.Name); a.Prefix.IsValid() {
			link.Addrs = append(link.Addrs, a)
		}
		s.Links = append(s.Links, link)
	}
	s.Resolvers = dns.global
	s.Routes, err = routes()
	return s, err
}

// scutilFailed: the last call did, and that was told.
var scutilFailed atomic.Bool

// nameServers asks scutil: no other interface without cgo tells them per link.
func (m *Monitor) nameServers() scutilDNS {
	ctx, cancel := context.WithTimeout(context.Background(), scutilLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/scutil", "--dns").Output()
	if err != nil {
		if !scutilFailed.Swap(true) {
			m.log.WithError(err).Warn("name servers are not known: scutil --dns has failed")
		}
		return scutilDNS{}
	}
	scutilFailed.Store(false)
	return parseScutil(out)
}

// in6Ifreq is struct in6_ifreq of netinet6/in6_var.h: a name, and a union of 272
// bytes that begins with an address or with flags.
type in6Ifreq struct {
	name [16]byte
	data [34]uint64
}

// The requests for flags and lifetimes of an IPv6 address, _IOWR('i', n, struct in6_ifreq).
const (
	siocgifaflagIn6     = 0xc1206949
	siocgifalifetimeIn6 = 0xc1206951
)

// in6Lifetime is struct in6_addrlifetime: when an address expires, and for how long
// it was given.
type in6Lifetime struct {
	expire, preferred   int64
	valid, preferredFor uint32
}

func toBSDAddr(fd int, link string, n *net.IPNet) netstate.Addr {
	ip, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	prefix := netip.PrefixFrom(ip.Unmap(), ones)
	if prefix.Addr().Is4() {
		return fromBSDAddr(prefix, 0, 0)
	}
	var flags int32
	if req, ok := in6Request(fd, siocgifaflagIn6, link, prefix.Addr()); ok {
		flags = *(*int32)(unsafe.Pointer(&req.data))
	}
	var valid time.Duration
	if req, ok := in6Request(fd, siocgifalifetimeIn6, link, prefix.Addr()); ok {
		if l := (*in6Lifetime)(unsafe.Pointer(&req.data)); l.valid != 0xffffffff {
			valid = time.Duration(l.valid) * time.Second
		}
	}
	return fromBSDAddr(prefix, int(flags), valid)
}

// in6Request asks for one address of a link.
func in6Request(fd int, request uint, link string, ip netip.Addr) (*in6Ifreq, bool) {
	req := &in6Ifreq{}
	copy(req.name[:len(req.name)-1], link)
	*(*unix.RawSockaddrInet6)(unsafe.Pointer(&req.data)) = unix.RawSockaddrInet6{Len: unix.SizeofSockaddrInet6, Family: unix.AF_INET6, Addr: ip.As16()}
	//lint:ignore SA1019 the library has no wrapper for these requests
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(req)))
	return req, errno == 0
}

// clatAddr is the address of the system's own CLAT on a link, not valid when there is
// none: the list of addresses leaves it out.
func clatAddr(fd int, link string) netstate.Addr {
	req := newCLAT46Request(link)
	//lint:ignore SA1019 the library has no wrapper for this request
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), siocgifclat46addr, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return netstate.Addr{}
	}
	return req.addr()
}

func routes() ([]netstate.Route, error) {
	b, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, b)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var list []bsdRoute
	for _, m := range messages {
		if r, ok := m.(*route.RouteMessage); ok {
			list = append(list, bsdRoute{dst: addrAt(r, unix.RTAX_DST), mask: addrAt(r, unix.RTAX_NETMASK), gateway: addrAt(r, unix.RTAX_GATEWAY), flags: r.Flags, link: r.Index})
		}
	}
	return fromBSD(list), nil
}

// addrAt is the address of a message at a place, not valid when there is none, or a
// link's.
func addrAt(r *route.RouteMessage, place int) netip.Addr {
	if place >= len(r.Addrs) {
		return netip.Addr{}
	}
	switch a := r.Addrs[place].(type) {
	case *route.Inet4Addr:
		return netip.AddrFrom4(a.IP)
	case *route.Inet6Addr:
		return netip.AddrFrom16(a.IP)
	}
	return netip.Addr{}
}
