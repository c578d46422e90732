package vnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// protoICMPv4 is the number that x/net/icmp wants for parsing.
const protoICMPv4 = 1

// Kernel is the operating system's own network as a WAN. Ping needs the right
// to open raw sockets.
type Kernel struct{ net.Dialer }

// Ping sends one echo request over a raw socket of its own.
func (k *Kernel) Ping(ctx context.Context, dst netip.Addr, id, seq uint16, payload []byte) error {
	conn, err := k.DialContext(ctx, "ip4:icmp", dst.String())
	if err != nil {
		return fmt.Errorf("ping %v: %w", dst, err)
	}
	defer conn.Close()
	c, ok := conn.(*net.IPConn)
	if !ok {
		return fmt.Errorf("ping %v: %T is no raw connection", dst, conn)
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	echo := &icmp.Echo{ID: int(id), Seq: int(seq), Data: payload}
	msg, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: echo}).Marshal(nil)
	if err != nil {
		return fmt.Errorf("ping %v: %w", dst, err)
	}
	if _, err := c.Write(msg); err != nil {
		return fmt.Errorf("ping %v: %w", dst, err)
	}
	for buf := make([]byte, 65536); ; {
		n, _, err := c.ReadFrom(buf) // without the IPv4 header, unlike Read
		if err != nil {
			return fmt.Errorf("ping %v: %w", dst, err)
		}
		m, err := icmp.ParseMessage(protoICMPv4, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if got, ok := m.Body.(*icmp.Echo); ok && got.ID == echo.ID && got.Seq == echo.Seq {
			return nil
		}
	}
}
