// Package packet reads and writes whole Ethernet frames on a network interface
// (Linux AF_PACKET), with virtio_net_hdr (package vnethdr) so that super-frames
// of up to 64 KiB and unfinished checksums pass as they are.
//
// It serves the lab's router on a veth. It never configures the interface and
// never looks into frames. Elsewhere Open returns platform.Unsupported.
package packet

import (
	"net"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Port is an interface that is open for raw frames. One goroutine may read while
// another writes; further writers wait for their turn.
type Port struct {
	name string
	mtu  int
	mac  net.HardwareAddr
	port
}

// Open opens the interface in the network namespace of the calling thread. The
// port sees every frame that arrives, also those for other link addresses, but
// not the ones that this machine sends. Without CAP_NET_RAW the error is a
// *platform.PermissionError.
func Open(name string) (*Port, error) { return open(name) }

// Name returns the interface's name.
func (p *Port) Name() string { return p.name }

// MTU returns the interface's MTU in bytes when it was opened.
func (p *Port) MTU() int { return p.mtu }

// HardwareAddr returns the interface's link address when it was opened.
func (p *Port) HardwareAddr() net.HardwareAddr { return p.mac }

// ReadOffload waits for a frame and puts it into buf[:n]. CsumStart of the header
// counts from the frame's first byte. A frame longer than buf is cut. After Close
// the cause is net.ErrClosed.
func (p *Port) ReadOffload(buf []byte) (h vnethdr.Header, n int, err error) { return p.read(buf) }

// ReadFrame is ReadOffload without the header.
func (p *Port) ReadFrame(buf []byte) (int, error) {
	_, n, err := p.read(buf)
	return n, err
}

// WriteOffload sends a frame and leaves to the kernel what h says is left to be
// done. Errors are the kernel's: EMSGSIZE for a frame over the MTU, ENETDOWN
// while the interface is down.
func (p *Port) WriteOffload(h vnethdr.Header, frame []byte) error { return p.write(h, frame) }

// WriteFrame sends a finished frame.
func (p *Port) WriteFrame(frame []byte) error { return p.write(vnethdr.Header{}, frame) }

// Close makes readers and writers return. Closing twice is an error that wraps
// net.ErrClosed.
func (p *Port) Close() error { return p.close() }
