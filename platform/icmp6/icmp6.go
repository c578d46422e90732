// Package icmp6 is a raw ICMPv6 socket that receives router advertisements and
// sends router solicitations (RFC 4861).
//
// It checks what only the socket can see: hop limit 255 and a link-local source
// (RFC 4861 section 6.1.2). What an advertisement holds is resolver/ra's.
package icmp6

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv6"

	"github.com/reach64/reach64/platform"
)

// Conn is an open socket. One goroutine may read while others write.
type Conn struct {
	c net.PacketConn
	p *ipv6.PacketConn
}

// allRouters is ff02::2, RFC 4291 section 2.7.1.
var allRouters = netip.MustParseAddr("ff02::2")

// Open opens the socket. Without the right to, the error is a
// *platform.PermissionError that names CAP_NET_RAW.
func Open() (*Conn, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if errors.Is(err, fs.ErrPermission) {
		return nil, &platform.PermissionError{Doing: "open ICMPv6 socket", Need: "CAP_NET_RAW", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open ICMPv6 socket: %w", err)
	}
	p := ipv6.NewPacketConn(c)
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	for what, err := range map[string]error{
		"filter messages":      p.SetICMPFilter(&filter),
		"ask for hop limits":   p.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true),
		"set hop limit to 255": errors.Join(p.SetMulticastHopLimit(255), p.SetHopLimit(255)),
		"keep own packets out": p.SetMulticastLoopback(false),
	} {
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	return &Conn{c, p}, nil
}

// Close closes the socket and ends a read.
func (c *Conn) Close() error { return c.c.Close() }

// ReadRA waits for the next valid-looking router advertisement and returns its
// ICMPv6 message, the router's link-local address with its zone, and the index
// of the link. The kernel has verified the checksum.
func (c *Conn) ReadRA(ctx context.Context) ([]byte, netip.Addr, int, error) {
	ended := make(chan struct{}) // closed when the deadline is set
	stop := context.AfterFunc(ctx, func() {
		_ = c.p.SetReadDeadline(time.Unix(1, 0))
		close(ended)
	})
	defer func() {
		if !stop() {
			<-ended // or the deadline would end the next read
			_ = c.p.SetReadDeadline(time.Time{})
		}
	}()
	buf := make([]byte, 65536)
	for {
		n, cm, from, err := c.p.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil, netip.Addr{}, 0, ctx.Err()
		}
		if err != nil {
			return nil, netip.Addr{}, 0, fmt.Errorf("read router advertisement: %w", err)
		}
		ip, ok := from.(*net.IPAddr)
		if !ok || cm == nil || cm.HopLimit != 255 || n < 16 || buf[0] != 134 || buf[1] != 0 {
			continue
		}
		src, ok := netip.AddrFromSlice(ip.IP)
		if !ok || !src.IsLinkLocalUnicast() {
			continue
		}
		return append([]byte(nil), buf[:n]...), src.WithZone(ip.Zone), cm.IfIndex, nil
	}
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
	msg := make([]byte, 8, 16)
	msg[0] = 133 // type; the kernel fills in the checksum
	if len(ifi.HardwareAddr) == 6 {
		msg = append(append(msg, 1, 1), ifi.HardwareAddr...)
	}
	// The index says which link; package net remembers the index of a zone's name
	// for a minute, too long when a link goes and comes back.
	to := &net.IPAddr{IP: allRouters.AsSlice()}
	if _, err := c.p.WriteTo(msg, &ipv6.ControlMessage{IfIndex: link, HopLimit: 255, Src: src}, to); err != nil {
		return fmt.Errorf("solicit routers on %s: %w", ifi.Name, err)
	}
	return nil
}

// linkLocal returns a link-local address of the link. Sending from one that is
// tentative fails.
func linkLocal(ifi *net.Interface) (net.IP, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok && p.IP.To4() == nil && p.IP.IsLinkLocalUnicast() {
			return p.IP, nil
		}
	}
	return nil, errors.New("no link-local address")
}
