package vnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const pcpPort = 5351

// pcpAnycast is the address of RFC 7723.
var pcpAnycast = netip.MustParseAddr("2001:1::1")

// listenPCP opens a socket for each address where the PCP server listens, so that
// answers come from where the question went. Each socket is owned by one servePCP.
func (r *Router) listenPCP() ([]net.PacketConn, error) {
	if r.opts.PCP == nil {
		return nil, nil
	}
	if err := r.stack.AddProtocolAddress(nic, protocolAddress(netip.PrefixFrom(pcpAnycast, 128)), stack.AddressProperties{}); err != nil {
		return nil, fmt.Errorf("add address %v: %s", pcpAnycast, err)
	}
	var out []net.PacketConn
	for _, addr := range []netip.Addr{r.linkLocal, r.opts.Addr, pcpAnycast} {
		c, err := gonet.DialUDP(r.stack, &tcpip.FullAddress{NIC: nic, Addr: toAddr(addr), Port: pcpPort}, nil, ipv6.ProtocolNumber)
		if err != nil {
			for _, open := range out {
				open.Close()
			}
			return nil, fmt.Errorf("listen for PCP: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// servePCP answers until the socket is closed.
func (r *Router) servePCP(c net.PacketConn) error {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return fmt.Errorf("read PCP request: %w", err)
		}
		ap, ok := from.(*net.UDPAddr)
		if !ok {
			return errors.New("read PCP request: not from a UDP address")
		}
		if out := r.opts.PCP.Reply(time.Now(), ap.AddrPort(), buf[:n]); out != nil {
			_, _ = c.WriteTo(out, from) // the client asks again
		}
	}
}
