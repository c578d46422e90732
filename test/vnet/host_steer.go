package vnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/reach64/reach64/resolver/nat64"
)

// raQueue is how many router advertisements wait for ReadRA.
const raQueue = 16

// maxUnresolved bounds the packets that wait for a neighbour's link address.
const maxUnresolved = 64

// receivedRA is one router advertisement for ReadRA.
type receivedRA struct {
	msg  []byte
	src  netip.Addr
	link int
}

// steering sends packets from the uplink to a TUN.
type steering struct {
	host     *Host
	tun      *TUN
	uplink   int
	clat6    netip.Addr
	prefixes []nat64.Prefix
}

// Steer gives the TUN with index tun the IPv6 packets that arrive on uplink for
// clat6 from a prefix, and ICMPv6 errors (types 1 to 4) for clat6 from anywhere.
// The stack does not see them. Neighbor discovery for clat6 stays with the stack,
// which must have the address. Packets that are written to the TUN from clat6
// leave by uplink. Close ends it.
func (h *Host) Steer(tun, uplink int, clat6 netip.Addr, prefixes []nat64.Prefix) (io.Closer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.links[tun]
	up, known := h.links[uplink]
	switch {
	case !ok || l.tun == nil:
		return nil, fmt.Errorf("steer %v: link %d is not a TUN device", clat6, tun)
	case !known || up.ether == nil:
		return nil, fmt.Errorf("steer %v: link %d is no Ethernet link", clat6, uplink)
	case !clat6.Is6():
		return nil, fmt.Errorf("steer %v: want an IPv6 address", clat6)
	}
	s := &steering{host: h, tun: l.tun, uplink: uplink, clat6: clat6, prefixes: slices.Clone(prefixes)}
	h.setSteers(func(list []*steering) []*steering { return append(list, s) })
	return s, nil
}

// setSteers replaces the list. The caller holds mu.
func (h *Host) setSteers(change func([]*steering) []*steering) {
	var list []*steering
	if old := h.steers.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = change(list)
	h.steers.Store(&list)
}

// Close ends the steering.
func (s *steering) Close() error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.host.setSteers(func(list []*steering) []*steering { return with(list, s, false) })
	return nil
}

// wants tells whether p, which came in on link, is for the TUN.
func (s *steering) wants(link int, p ip6) bool {
	if link != s.uplink || p.dst != s.clat6 {
		return false
	}
	if t := p.icmpType(); t >= icmpUnreachable && t <= icmpParameter {
		return true
	}
	return slices.ContainsFunc(s.prefixes, func(n nat64.Prefix) bool { return n.Contains(p.src) })
}

// steered is the steering that gives t the address src, or nil.
func (h *Host) steered(t *TUN, src netip.Addr) *steering {
	if list := h.steers.Load(); list != nil {
		for _, s := range *list {
			if s.tun == t && s.clat6 == src {
				return s
			}
		}
	}
	return nil
}

// take sees each packet that arrives on an Ethernet link. It is true for those that
// the stack must not see.
func (h *Host) take(link int, etherType uint16, pkt []byte) bool {
	if etherType != etherIPv6 {
		return false
	}
	p, ok := parse6(pkt)
	if !ok {
		return true
	}
	if p.icmpType() == icmpRA && p.hopLimit == 255 && p.src.IsLinkLocalUnicast() {
		h.keepRA(receivedRA{append([]byte(nil), p.payload...), p.src, link})
		return false
	}
	list := h.steers.Load()
	if list == nil {
		return false
	}
	for _, s := range *list {
		if s.wants(link, p) {
			s.tun.enqueue(append([]byte(nil), pkt[:ip6Len+len(p.payload)]...))
			return true
		}
	}
	return false
}

// keepRA queues an advertisement, in place of the oldest when there are many.
// It ends when the queue has room, which several readers of links may fill.
func (h *Host) keepRA(ra receivedRA) {
	for {
		select {
		case h.ras <- ra:
			return
		default:
		}
		select {
		case <-h.ras:
		default:
		}
	}
}

// ReadRA waits for a Router Advertisement with hop limit 255 and returns its
// ICMPv6 message, the router's address and the link's index. Up to 16 wait for
// a reader.
func (h *Host) ReadRA(ctx context.Context) (msg []byte, src netip.Addr, link int, err error) {
	select {
	case ra := <-h.ras:
		return ra.msg, ra.src, ra.link, nil
	case <-ctx.Done():
		return nil, netip.Addr{}, 0, fmt.Errorf("read router advertisement: %w", ctx.Err())
	}
}

// Solicit sends a Router Solicitation (RFC 4861 section 6.3.7).
func (h *Host) Solicit(ctx context.Context, link int) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("solicit routers: %w", err)
	}
	e := h.ether(link)
	if e == nil {
		return fmt.Errorf("solicit routers on link %d: it is no Ethernet link", link)
	}
	src, msg := netip.IPv6Unspecified(), []byte{icmpRS, 0, 0, 0, 0, 0, 0, 0}
	if ip := linkLocal(net.HardwareAddr(e.mac)); h.usable(link, ip) {
		src, msg = ip, append(append(msg, optSourceLL, 1), e.mac...)
	}
	if err := e.sendTo(allRouters, icmp6(src, allRouters, 255, msg)); err != nil {
		return fmt.Errorf("solicit routers: %w", err)
	}
	return nil
}

// ether is the Ethernet link with this index, nil for none.
func (h *Host) ether(link int) *ether {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l, ok := h.links[link]; ok {
		return l.ether
	}
	return nil
}

// usable tells whether the link has the address, past duplicate address detection.
func (h *Host) usable(link int, ip netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.links[link].addrs, func(a *hostAddr) bool {
		return a.Prefix.Addr() == ip && !a.Tentative && !a.DADFailed
	})
}

var errNoRoute = errors.New("no route")

// sendUplink sends an IPv6 packet by the uplink to the next hop for dst. Its
// link address is asked for first if need be. Packets without a way are lost.
func (h *Host) sendUplink(link int, dst netip.Addr, pkt []byte) error {
	via, e := h.nextHop(link, dst), h.ether(link)
	if !via.IsValid() || e == nil || len(pkt) > int(e.MTU()) {
		return errNoRoute
	}
	found := make(chan stack.LinkResolutionResult, 1)
	err := h.stack.GetLinkAddress(tcpip.NICID(link), toAddr(via), tcpip.Address{}, header.IPv6ProtocolNumber,
		func(r stack.LinkResolutionResult) { found <- r })
	switch err.(type) {
	case nil:
		return transmit(e, <-found, pkt)
	case *tcpip.ErrWouldBlock:
	default:
		return errNoRoute
	}
	if h.unresolved.Add(1) > maxUnresolved {
		h.unresolved.Add(-1)
		return errNoRoute
	}
	h.waiting.Go(func() { // ends with the resolution, after 3 s at the most, or with Run
		defer h.unresolved.Add(-1)
		select {
		case r := <-found:
			transmit(e, r, pkt)
		case <-h.done:
		}
	})
	return nil
}

// transmit sends pkt to a neighbour.
func transmit(e *ether, to stack.LinkResolutionResult, pkt []byte) error {
	if to.Err != nil {
		return errNoRoute
	}
	return e.send(to.LinkAddress, pkt)
}
