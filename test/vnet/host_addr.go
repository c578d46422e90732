package vnet

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/reach64/reach64/platform/netstate"
)

// hostAddr is one address of a link, kept up to date by gVisor.
type hostAddr struct {
	h    *Host
	link int
	netstate.Addr
}

// AddAddr adds an address to a link. An IPv6 address is tentative until
// duplicate address detection ended, about 1 s; then it is usable or marked as
// failed. Adding an address again changes whether it is deprecated.
func (h *Host) AddAddr(link int, p netip.Prefix, deprecated bool) error {
	nic, life := tcpip.NICID(link), stack.AddressLifetimes{Deprecated: deprecated}
	// The stack keeps an address that was removed while a connection has it.
	if h.knows(link, p.Addr()) && h.stack.SetAddressLifetimes(nic, toAddr(p.Addr()), life) == nil {
		return nil
	}
	err := h.stack.AddProtocolAddress(nic, protocolAddress(p), stack.AddressProperties{Lifetimes: life, Disp: h.track(link, p, false)})
	if err != nil {
		h.forget(link, p.Addr())
		return fmt.Errorf("add address %v to link %d: %s", p, link, err)
	}
	h.applyRoutes()
	h.notify()
	return nil
}

func (h *Host) knows(link int, ip netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.links[link]
	return ok && slices.ContainsFunc(l.addrs, func(a *hostAddr) bool { return a.Prefix.Addr() == ip })
}

// RemoveAddr removes an address from a link.
func (h *Host) RemoveAddr(link int, p netip.Prefix) error {
	err := h.stack.RemoveAddress(tcpip.NICID(link), toAddr(p.Addr()))
	known := h.forget(link, p.Addr()) // also one that failed and that gVisor has forgotten
	if err != nil && !known {
		return fmt.Errorf("remove address %v from link %d: %s", p, link, err)
	}
	h.applyRoutes()
	h.notify()
	return nil
}

// track starts to keep the state of an address.
func (h *Host) track(link int, p netip.Prefix, auto bool) *hostAddr {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := &hostAddr{h: h, link: link, Addr: netstate.Addr{Prefix: p, Tentative: p.Addr().Is6(), Autoconf: auto}}
	if l, ok := h.links[link]; ok {
		l.addrs = slices.DeleteFunc(l.addrs, func(o *hostAddr) bool { return o.Prefix.Addr() == p.Addr() })
		l.addrs = append(l.addrs, a)
	}
	return a
}

// forget is true when the address was there.
func (h *Host) forget(link int, ip netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.links[link]
	if !ok {
		return false
	}
	n := len(l.addrs)
	l.addrs = slices.DeleteFunc(l.addrs, func(a *hostAddr) bool { return a.Prefix.Addr() == ip })
	return len(l.addrs) < n
}

// OnChanged implements stack.AddressDispatcher.
func (a *hostAddr) OnChanged(life stack.AddressLifetimes, state stack.AddressAssignmentState) {
	a.h.mu.Lock()
	a.Tentative = state != stack.AddressAssigned && a.Prefix.Addr().Is6()
	a.Deprecated = life.Deprecated
	a.h.mu.Unlock()
	a.h.notify()
}

// OnRemoved implements stack.AddressDispatcher. An address that is in use
// elsewhere stays visible, as it does on Linux.
func (a *hostAddr) OnRemoved(why stack.AddressRemovalReason) {
	h := a.h
	h.mu.Lock()
	if why == stack.AddressRemovalDADFailed {
		a.Tentative, a.DADFailed = false, true
	} else if l, ok := h.links[a.link]; ok {
		l.addrs = slices.DeleteFunc(l.addrs, func(o *hostAddr) bool { return o == a })
	}
	h.mu.Unlock()
	h.follow()
}

// follow asks Run to bring the routes up to date.
func (h *Host) follow() {
	select {
	case h.dirty <- struct{}{}:
	default: // already asked
	}
}

// ndpEvents takes in what gVisor learns from routers. Its methods must not call
// the stack.
type ndpEvents struct{ h *Host }

var _ ipv6.NDPDispatcher = ndpEvents{}

func (e ndpEvents) change(nic tcpip.NICID, f func(*hostLink)) {
	if e.h.edit(int(nic), func(l *hostLink) error { f(l); return nil }) == nil {
		e.h.follow()
	}
}

// with returns list with or without v.
func with[T comparable](list []T, v T, in bool) []T {
	list = slices.DeleteFunc(slices.Clone(list), func(x T) bool { return x == v })
	if in {
		list = append(list, v)
	}
	return list
}

func fromSubnet(s tcpip.Subnet) netip.Prefix {
	return netip.PrefixFrom(fromAddr(s.ID()), s.Prefix())
}

func (e ndpEvents) OnDuplicateAddressDetectionResult(tcpip.NICID, tcpip.Address, stack.DADResult) {}

func (e ndpEvents) OnOffLinkRouteUpdated(nic tcpip.NICID, dst tcpip.Subnet, router tcpip.Address, _ header.NDPRoutePreference) {
	if dst.Prefix() == 0 {
		e.change(nic, func(l *hostLink) { l.routers = with(l.routers, fromAddr(router), true) })
	}
}

func (e ndpEvents) OnOffLinkRouteInvalidated(nic tcpip.NICID, dst tcpip.Subnet, router tcpip.Address) {
	if dst.Prefix() == 0 {
		e.change(nic, func(l *hostLink) { l.routers = with(l.routers, fromAddr(router), false) })
	}
}

func (e ndpEvents) OnOnLinkPrefixDiscovered(nic tcpip.NICID, s tcpip.Subnet) {
	e.change(nic, func(l *hostLink) { l.onLink = with(l.onLink, fromSubnet(s), true) })
}

func (e ndpEvents) OnOnLinkPrefixInvalidated(nic tcpip.NICID, s tcpip.Subnet) {
	e.change(nic, func(l *hostLink) { l.onLink = with(l.onLink, fromSubnet(s), false) })
}

func (e ndpEvents) OnAutoGenAddress(nic tcpip.NICID, p tcpip.AddressWithPrefix) stack.AddressDispatcher {
	defer e.h.follow()
	return e.h.track(int(nic), netip.PrefixFrom(fromAddr(p.Address), p.PrefixLen), true)
}

func (ndpEvents) OnAutoGenAddressDeprecated(tcpip.NICID, tcpip.AddressWithPrefix)  {}
func (ndpEvents) OnAutoGenAddressInvalidated(tcpip.NICID, tcpip.AddressWithPrefix) {}

func (e ndpEvents) OnRecursiveDNSServerOption(nic tcpip.NICID, servers []tcpip.Address, life time.Duration) {
	e.change(nic, func(l *hostLink) {
		for _, s := range servers {
			if ip := fromAddr(s); slices.Contains(l.dns, ip) != (life > 0) {
				l.dns = with(l.dns, ip, life > 0)
			}
		}
	})
}

func (ndpEvents) OnDNSSearchListOption(tcpip.NICID, []string, time.Duration) {}
func (ndpEvents) OnDHCPv6Configuration(tcpip.NICID, ipv6.DHCPv6ConfigurationFromNDPRA) {
}
