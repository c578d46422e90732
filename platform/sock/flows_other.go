//go:build !linux && !darwin

package sock

import (
	"context"
	"net"
	"net/netip"

	"github.com/reach64/reach64/platform"
)

func flow(c net.Conn) (net.Conn, error) { return c, nil }

func (Flows) dialEcho(context.Context, netip.Addr) (net.Conn, error) {
	return nil, platform.Unsupported("echo requests by programs")
}
