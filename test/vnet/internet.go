package vnet

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// RouterIPv4 is the address from which the servers of an Internet see a Router's
// flows.
var RouterIPv4 = netip.MustParseAddr("203.0.113.254")

// routerIPv6 is the same for Options.Dial6.
var routerIPv6 = netip.MustParseAddr("2001:db8:ffff::fe")

// fromRouter is the router's address for connections to a server.
func fromRouter(to netip.Addr) netip.Addr {
	if to.Is4() {
		return RouterIPv4
	}
	return routerIPv6
}

// Internet is an IPv4 network with servers, in memory: the WAN of a Router.
// Addresses that were not added do not answer at all; ports without a listener
// refuse. It takes IPv6 servers as well, for Options.Dial6.
//
// All its machines share one stack, whose loopback carries the packets.
type Internet struct {
	stack *stack.Stack

	mu    sync.Mutex // guards hosts
	hosts map[netip.Addr]bool
}

// NewInternet returns an Internet without servers. Close ends it.
func NewInternet() (*Internet, error) {
	s, err := newStack(ipv6.Options{AllowExternalLoopbackTraffic: true})
	if err != nil {
		return nil, fmt.Errorf("make internet: %w", err)
	}
	if err := s.CreateNIC(nic, loopback.New()); err != nil {
		s.Destroy()
		return nil, fmt.Errorf("make internet: %s", err)
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: subnet(netip.MustParsePrefix("0.0.0.0/0")), NIC: nic},
		{Destination: subnet(netip.MustParsePrefix("::/0")), NIC: nic}})
	i := &Internet{stack: s, hosts: make(map[netip.Addr]bool)}
	for _, ip := range []netip.Addr{RouterIPv4, routerIPv6} {
		if err := i.AddHost(ip); err != nil {
			s.Destroy()
			return nil, fmt.Errorf("make internet: %w", err)
		}
	}
	return i, nil
}

// Close ends all connections.
func (i *Internet) Close() error {
	i.stack.Destroy()
	return nil
}

// AddHost adds a machine that answers echo requests and refuses connections.
func (i *Internet) AddHost(ip netip.Addr) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.hosts[ip] {
		return nil
	}
	if err := i.stack.AddProtocolAddress(nic, protocolAddress(whole(ip)), stack.AddressProperties{}); err != nil {
		return fmt.Errorf("add host %v: %s", ip, err)
	}
	i.hosts[ip] = true
	return nil
}

// RemoveHost takes a machine off the network: its address no longer answers.
func (i *Internet) RemoveHost(ip netip.Addr) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.hosts, ip)
	if err := i.stack.RemoveAddress(nic, toAddr(ip)); err != nil {
		return fmt.Errorf("remove host %v: %s", ip, err)
	}
	return nil
}

// Listen starts a TCP server, and adds its machine.
func (i *Internet) Listen(at netip.AddrPort) (net.Listener, error) {
	if err := i.AddHost(at.Addr()); err != nil {
		return nil, err
	}
	l, err := gonet.ListenTCP(i.stack, tcpip.FullAddress{Addr: toAddr(at.Addr()), Port: at.Port()}, protocolOf(at.Addr()))
	if err != nil {
		return nil, fmt.Errorf("listen on TCP %v: %w", at, err)
	}
	return listener{l}, nil
}

// ListenPacket starts a UDP server, and adds its machine.
func (i *Internet) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	if err := i.AddHost(at.Addr()); err != nil {
		return nil, err
	}
	c, err := gonet.DialUDP(i.stack, &tcpip.FullAddress{Addr: toAddr(at.Addr()), Port: at.Port()}, nil, protocolOf(at.Addr()))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP %v: %w", at, err)
	}
	return c, nil
}

// DialContext connects from the router to a server.
func (i *Internet) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return dial(ctx, i.stack, 0, fromRouter, network, addr)
}

// Ping sends one echo request from the router. The identifier on this side is
// gVisor's choice.
func (i *Internet) Ping(ctx context.Context, dst netip.Addr, _, seq uint16, payload []byte) error {
	msg := append([]byte{8, 0, 0, 0, 0, 0, byte(seq >> 8), byte(seq)}, payload...)
	if err := ping(ctx, i.stack, 0, RouterIPv4, dst, msg); err != nil {
		return fmt.Errorf("ping %v: %w", dst, err)
	}
	return nil
}

// ping sends an echo request and waits for its reply, or for an error that is said of
// it. A link-local address needs the interface, 0 any.
func ping(ctx context.Context, s *stack.Stack, link tcpip.NICID, from, to netip.Addr, msg []byte) error {
	var wq waiter.Queue
	transport := icmp.ProtocolNumber4
	if to.Is6() {
		transport = icmp.ProtocolNumber6
	}
	ep, err := s.NewEndpoint(transport, protocolOf(to), &wq)
	if err != nil {
		return opError("socket", err)
	}
	defer ep.Close()
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	if err := ep.Bind(tcpip.FullAddress{NIC: link, Addr: toAddr(from)}); err != nil {
		return opError("bind", err)
	}
	if err := ep.Connect(tcpip.FullAddress{NIC: link, Addr: toAddr(to)}); err != nil {
		return opError("connect", err)
	}
	if _, err := ep.Write(bytes.NewReader(msg), tcpip.WriteOptions{}); err != nil {
		return opError("write", err)
	}
	select {
	case <-ready:
		if err := ep.LastError(); err != nil {
			return opError("read", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
