// Package vnet is a lab network inside one process: a router that makes an
// IPv6-only access network with NAT64, a client machine, and an IPv4 Internet
// behind the router. Everything runs on gVisor's network stack, on any operating
// system and without privilege.
//
// The Router sends router advertisements with PREF64 (RFC 4861, RFC 8781) and
// RDNSS (RFC 8106), may tell prefixes by PCP too (RFC 7225), is a DNS64 (RFC 6147,
// RFC 8880) and a stateful NAT64 (RFC 6146) that ends each flow and dials it again
// over IPv4. It is written independently of tunnel/siit and resolver/pcp, so that
// a fault there cannot hide behind the same fault here. Through platform/packet it
// also serves a real link (cmd/reach64-lab).
//
// A router can be told to misbehave, and to change: another prefix, another number for
// the link, silence, answers of others. IPv4 on the link is for hosts that have it by
// hand (Options.Addr4).
//
// It is for tests and demonstrations. It has no access control, translates no
// packets (so no fragments, options or ICMP errors pass as such), and does not
// forward IPv6 between links.
package vnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// maxFrame is the longest frame in bytes that a FramePort may give: a 64 KiB
// super-packet with its headers and some room.
const maxFrame = 70 << 10

// FramePort is one end of a link: whole Ethernet frames without the frame check
// sequence. One goroutine reads, several may write. Close makes the reader
// return an error.
type FramePort interface {
	ReadFrame(buf []byte) (int, error)
	WriteFrame(frame []byte) error
	Close() error
}

// OffloadPort is a FramePort that can leave segmentation and checksums to the
// other side. CsumStart of the header counts from the frame's first byte.
type OffloadPort interface {
	FramePort
	ReadOffload(buf []byte) (vnethdr.Header, int, error)
	WriteOffload(h vnethdr.Header, frame []byte) error
}

// Dialer opens connections; net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// WAN is the IPv4 side of a Router. DialContext is asked for "tcp4" and "udp4".
type WAN interface {
	Dialer
	// Ping sends one ICMP echo request and returns nil when its reply came.
	Ping(ctx context.Context, dst netip.Addr, id, seq uint16, payload []byte) error
}

// pipeQueue is how many frames wait in each direction of a Pipe; more are lost,
// as on a wire.
const pipeQueue = 4096

// Pipe returns the two ends of an Ethernet cable. Closing either end unplugs
// both.
func Pipe() (a, b FramePort) {
	to, from := make(chan []byte, pipeQueue), make(chan []byte, pipeQueue)
	cut := &cut{done: make(chan struct{})}
	return &pipeEnd{in: from, out: to, cut: cut}, &pipeEnd{in: to, out: from, cut: cut}
}

// cut is shared by both ends; done is closed once.
type cut struct {
	once sync.Once
	done chan struct{}
}

type pipeEnd struct {
	in  <-chan []byte
	out chan<- []byte
	cut *cut
}

func (p *pipeEnd) ReadFrame(buf []byte) (int, error) {
	select {
	case f := <-p.in:
		return copy(buf, f), nil
	case <-p.cut.done:
		return 0, fmt.Errorf("read frame: %w", net.ErrClosed)
	}
}

func (p *pipeEnd) WriteFrame(frame []byte) error {
	select {
	case <-p.cut.done:
		return fmt.Errorf("write frame: %w", net.ErrClosed)
	default:
	}
	select {
	case p.out <- append([]byte(nil), frame...):
	default: // full: lost
	}
	return nil
}

func (p *pipeEnd) Close() error {
	p.cut.once.Do(func() { close(p.cut.done) })
	return nil
}
