package sock

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// Segments returns b with TCP segments of at most n bytes in both directions, by the
// MSS option of the handshake (RFC 9293 section 3.7.1).
func (b Bound) Segments(n int) Limited { return Limited{b, n} }

// Limited dials TCP with small segments.
type Limited struct {
	over Bound
	mss  int
}

// DialContext is Bound's. It fails where the system cannot limit segments.
func (l Limited) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	l.over.mss = l.mss
	return l.over.dial(ctx, network, netip.Addr{}, addr)
}

// PathMTU returns the path MTU, in bytes of whole packets, that the system knows for
// an open TCP connection; 0 when it does not tell.
func PathMTU(c net.Conn) (mtu int) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { mtu = pathMTU(fd) }) // closed meanwhile: not known
	return mtu
}
