// Package sock opens sockets that are bound to one link, so that a question to a
// network's own resolver leaves by that network (RFC 8880 section 3.1).
//
// It resolves no names: addresses are literals.
package sock

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Bound dials over one link.
type Bound struct {
	link string
}

// Dialer returns a dialer over the link of this name, or over whatever route the
// system has when the name is empty.
func Dialer(link string) Bound { return Bound{link} }

// DialContext connects like net.Dialer, to a literal address alone.
func (b Bound) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("dial %s: not an address and port: %w", addr, err)
	}
	var d net.Dialer
	if b.link != "" {
		d.Control = func(network, _ string, c syscall.RawConn) error {
			var err error
			if cerr := c.Control(func(fd uintptr) { err = bind(fd, network, b.link) }); cerr != nil {
				return cerr
			}
			if err != nil {
				return fmt.Errorf("bind socket to %s: %w", b.link, err)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}
