// Package icmp6 is a raw ICMPv6 socket that receives router advertisements and
// sends router solicitations (RFC 4861).
//
// It checks what only the socket can see: hop limit 255, a link-local source, and the
// checksum (RFC 4861 section 6.1.2). What an advertisement holds is resolver/ra's.
package icmp6

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv6"

	"github.com/reach64/reach64/platform"
)

// Conn is an open socket. One goroutine may read while others write.
type Conn struct {
	c *net.IPConn
	p *ipv6.PacketConn // the same socket
}

// allRouters is ff02::2, RFC 4291 section 2.7.1.
var allRouters = netip.MustParseAddr("ff02::2")

// Open opens the socket. Without the right to, the error is a
// *platform.PermissionError that names what is needed; errors.ErrUnsupported is that of
// a system that has no such sockets.
func Open() (*Conn, error) {
	c, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: net.IPv6unspecified})
	if err != nil {
		return nil, openError(err)
	}
	conn := &Conn{c, ipv6.NewPacketConn(c)}
	for what, err := range map[string]error{
		"ask for advertisements, their links and hop limits": conn.ask(),
		"set hop limit to 255":                               errors.Join(conn.p.SetMulticastHopLimit(255), conn.p.SetHopLimit(255)),
		"keep own packets out":                               conn.p.SetMulticastLoopback(false),
	} {
		if err != nil {
			c.Close()
			return nil, openError(fmt.Errorf("%s: %w", what, err))
		}
	}
	return conn, nil
}

// openError explains why there is no socket.
func openError(err error) error {
	switch {
	case denied(err):
		return &platform.PermissionError{Doing: "open ICMPv6 socket", Need: need, Err: err}
	case missing(err):
		return fmt.Errorf("%w: %w", platform.Unsupported("reading router advertisements"), err)
	}
	return fmt.Errorf("open ICMPv6 socket: %w", err)
}

// Close closes the socket and ends a read.
func (c *Conn) Close() error { return c.c.Close() }

// ReadRA waits for the next valid-looking router advertisement and returns its
// ICMPv6 message, the router's link-local address with its zone, and the index
// of the link.
func (c *Conn) ReadRA(ctx context.Context) ([]byte, netip.Addr, int, error) {
	ended := make(chan struct{}) // closed when the deadline is set
	stop := context.AfterFunc(ctx, func() {
		_ = c.c.SetReadDeadline(time.Unix(1, 0))
		close(ended)
	})
	defer func() {
		if !stop() {
			<-ended // or the deadline would end the next read
			_ = c.c.SetReadDeadline(time.Time{})
		}
	}()
	buf := make([]byte, 65536)
	for {
		n, from, how, err := c.read(buf)
		if ctx.Err() != nil {
			return nil, netip.Addr{}, 0, ctx.Err()
		}
		if err != nil {
			return nil, netip.Addr{}, 0, fmt.Errorf("read router advertisement: %w", err)
		}
		if isAdvertisement(buf[:n], from, how) {
			return append([]byte(nil), buf[:n]...), from, how.link, nil
		}
	}
}

// source is the address of a packet, with its zone; invalid: none.
func source(ip *net.IPAddr) netip.Addr {
	if ip == nil {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(ip.IP)
	return a.WithZone(ip.Zone)
}

// Solicit sends a router solicitation on a link from its link-local address, with
// the link-layer address when there is one (RFC 4861 section 4.1). It is an error
// when the link has no link-local address that is past duplicate address
// detection.
func (c *Conn) Solicit(_ context.Context, link int) error {
	ifi, err := net.InterfaceByIndex(link)
	if err != nil {
		return fmt.Errorf("solicit routers: %w", err)
	}
	src, err := linkLocal(ifi)
	if err != nil {
		return fmt.Errorf("solicit routers on %s: %w", ifi.Name, err)
	}
	if err := c.send(solicitation(src, ifi.HardwareAddr), ifi, src); err != nil {
		return fmt.Errorf("solicit routers on %s: %w", ifi.Name, err)
	}
	return nil
}

// linkLocal returns a link-local address of the link, without its zone. Sending from one that is
// tentative fails.
func linkLocal(ifi *net.Interface) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok && p.IP.To4() == nil && p.IP.IsLinkLocalUnicast() {
			if ip, ok := netip.AddrFromSlice(p.IP); ok {
				return ip, nil
			}
		}
	}
	return netip.Addr{}, errors.New("no link-local address")
}
