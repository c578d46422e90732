package sock

import (
	"context"
	"net"
	"net/netip"
)

// Flows dials like Bound, and its connections tell when they can move data where
// the system lets them (tunnel/relay's Stream): they have
//
//	ReadReady(f func(r io.Reader) (done bool)) error
//	WriteReady(f func(w io.Writer) (done bool)) error
//
// which call f, with a reader or writer that never blocks, until f returns true or
// the connection fails, and wait in between. Nothing more to do now is
// io.ErrNoProgress of the reader and io.ErrShortWrite of the writer; Len() int of
// the reader is how many bytes of a stream are there. One goroutine may use each of
// the two methods at a time; neither allocates per call.
type Flows struct{ Bound }

// DialContext connects like Bound's. A UDP connection gives every error that the
// network sends for its packets, not only a refusal.
func (f Flows) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := f.Bound.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return flow(c)
}

// DialEcho opens a socket for ICMPv6 echo requests to one address (RFC 4443 section
// 4.1): a ping socket where net.ipv4.ping_group_range or the system allows it, else
// a raw one. A Write is a whole message, whose checksum and identifier the socket
// fills in; a Read is a whole message that answers one. Without the right to either
// the error is a *platform.PermissionError.
func (f Flows) DialEcho(ctx context.Context, to netip.Addr) (net.Conn, error) {
	return f.dialEcho(ctx, to)
}
