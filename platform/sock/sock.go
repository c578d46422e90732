// Package sock opens sockets that are bound to one link, so that a question to a
// network's own resolver leaves by that network (RFC 8880 section 3.1).
//
// It resolves no names: addresses are literals.
package sock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/reach64/reach64/platform"
)

// Bound dials over one link. Sockets are never shared: each call gets a new one,
// with a port that the system chooses.
type Bound struct {
	link string
	mss  int // of TCP, bytes; 0: the system's
}

// Dialer returns a dialer over the link of this name, or over whatever route the
// system has when the name is empty.
func Dialer(link string) Bound { return Bound{link: link} }

// DialContext connects like net.Dialer, to a literal address alone; a loopback address
// is reached whatever the link. Without the
// right to bind to a link the error is a *platform.PermissionError.
func (b Bound) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return b.dial(ctx, network, netip.Addr{}, addr)
}

// DialFrom is DialContext from one of the host's own addresses, in place of the
// one that the system would choose. network is "udp".
func (b Bound) DialFrom(ctx context.Context, network string, from netip.Addr, addr string) (net.Conn, error) {
	if !strings.HasPrefix(network, "udp") {
		return nil, fmt.Errorf("dial %s: %w", addr, net.UnknownNetworkError(network))
	}
	return b.dial(ctx, network, from, addr)
}

// dial connects, from any address when from is the zero Addr.
func (b Bound) dial(ctx context.Context, network string, from netip.Addr, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: not an address and port: %w", addr, err)
	}
	if to, err = numbered(to); err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	if to.Addr().IsLoopback() {
		// A stub on this machine answers nobody who is bound to another link; whom it
		// asks is its own affair.
		b.link = ""
	}
	if b.link != "" || b.mss > 0 {
		d.Control = func(network, _ string, c syscall.RawConn) error {
			var err error
			if cerr := c.Control(func(fd uintptr) { err = b.prepare(fd, network) }); cerr != nil {
				return cerr
			}
			return err
		}
	}
	return d.DialContext(ctx, network, to.String())
}

// prepare sets the options of a new socket.
func (b Bound) prepare(fd uintptr, network string) error {
	if b.mss > 0 {
		if err := limit(fd, b.mss); err != nil {
			return fmt.Errorf("limit segments to %d bytes: %w", b.mss, err)
		}
	}
	if b.link == "" {
		return nil
	}
	err := bind(fd, network, b.link)
	if errors.Is(err, fs.ErrPermission) {
		return &platform.PermissionError{Doing: "bind socket to " + b.link, Need: "CAP_NET_RAW", Err: err}
	}
	if err != nil {
		return fmt.Errorf("bind socket to %s: %w", b.link, err)
	}
	return nil
}

// numbered replaces a link's name in the zone by its index. Package net remembers
// the index of a name for a minute, too long when a link goes and comes back.
func numbered(to netip.AddrPort) (netip.AddrPort, error) {
	zone := to.Addr().Zone()
	if zone == "" {
		return to, nil
	}
	if _, err := strconv.Atoi(zone); err == nil {
		return to, nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return to, fmt.Errorf("find link %s: %w", zone, err)
	}
	return netip.AddrPortFrom(to.Addr().WithZone(strconv.Itoa(ifi.Index)), to.Port()), nil
}
