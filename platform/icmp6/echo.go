package icmp6

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/net/ipv6"
)

// Echo sends one echo request (RFC 4443 section 4.1) from one of this host's addresses
// to a neighbour on a link, whose zone does not matter, and returns nil when it has
// answered. It waits until ctx ends.
func Echo(ctx context.Context, link int, from, to netip.Addr) error {
	if from.IsLinkLocalUnicast() {
		from = from.WithZone(strconv.Itoa(link))
	}
	c, err := net.ListenPacket("ip6:ipv6-icmp", from.String())
	if err != nil {
		return fmt.Errorf("ask neighbour %s from %s: %w", to, from, openError(err))
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	p := ipv6.NewPacketConn(c)
	if err := filter(p, ipv6.ICMPTypeEchoReply); err != nil {
		return fmt.Errorf("ask neighbour %s from %s: %w", to, from, err)
	}
	msg := binary.BigEndian.AppendUint64([]byte{128, 0, 0, 0}, rand.Uint64()) // identifier, sequence, data; the kernel fills in the checksum
	to = to.WithZone("")
	if _, err := p.WriteTo(msg, &ipv6.ControlMessage{IfIndex: link}, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return fmt.Errorf("ask neighbour %s from %s: %w", to, from, err)
	}
	buf := make([]byte, 1500)
	for {
		n, _, src, err := p.ReadFrom(buf)
		if err != nil {
			return fmt.Errorf("ask neighbour %s from %s: %w", to, from, err)
		}
		ip, ok := src.(*net.IPAddr)
		if !ok {
			continue
		}
		if a, _ := netip.AddrFromSlice(ip.IP); a == to && n == len(msg) && buf[0] == 129 && string(buf[4:n]) == string(msg[4:]) {
			return nil
		}
	}
}
