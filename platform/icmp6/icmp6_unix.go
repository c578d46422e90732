//go:build unix

package icmp6

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"

	"golang.org/x/net/ipv6"
)

func denied(err error) bool { return errors.Is(err, fs.ErrPermission) }

// missing: every Unix has these sockets.
func missing(error) bool { return false }

// ask has the kernel pass advertisements alone, with their links and hop limits. It
// listens to all nodes' group by itself, and verifies checksums (RFC 3542 section 3.1).
func (c *Conn) ask() error {
	return errors.Join(filter(c.p, ipv6.ICMPTypeRouterAdvertisement), c.p.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true))
}

// filter has the kernel pass messages of one type alone.
func filter(p *ipv6.PacketConn, kind ipv6.ICMPType) error {
	var f ipv6.ICMPFilter
	f.SetAll(true)
	f.Accept(kind)
	return p.SetICMPFilter(&f)
}

// read returns one message with its source.
func (c *Conn) read(buf []byte) (int, netip.Addr, how, error) {
	n, cm, from, err := c.p.ReadFrom(buf)
	if err != nil {
		return 0, netip.Addr{}, how{}, err
	}
	ip, _ := from.(*net.IPAddr)
	if cm == nil {
		return n, source(ip), how{}, nil
	}
	return n, source(ip), how{link: cm.IfIndex, hopLimit: cm.HopLimit}, nil
}

// send sends a message to all routers of a link. The index says which link; package
// net remembers the index of a zone's name for a minute, too long when a link goes and
// comes back.
func (c *Conn) send(msg []byte, link *net.Interface, src netip.Addr) error {
	_, err := c.p.WriteTo(msg, &ipv6.ControlMessage{IfIndex: link.Index, HopLimit: 255, Src: src.AsSlice()}, &net.IPAddr{IP: allRouters.AsSlice()})
	return err
}
