//go:build windows || darwin

package tun

import (
	"fmt"
	"io"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// hasOffloads: the devices of these systems take and give whole packets with their
// checksums, one in a call, through one queue.
const hasOffloads = false

// whole is an error for a packet that something is left to be done to.
func whole(h vnethdr.Header) error {
	if h.Flags&vnethdr.NeedsCsum != 0 || h.GSOType != vnethdr.GSONone {
		return fmt.Errorf("write packet: %w", platform.Unsupported("offload of checksums and segments"))
	}
	return nil
}

func (p *port) readBatch(buf []byte, into []vnethdr.Packet) (int, error) {
	if len(buf) < BatchRoom || len(into) == 0 {
		return 0, fmt.Errorf("read packets: room for %d bytes and %d packets: %w", len(buf), len(into), io.ErrShortBuffer)
	}
	h, n, err := p.readPacket(buf)
	if err != nil {
		return 0, err
	}
	into[0] = vnethdr.Packet{Hdr: h, Data: buf[:n:n]}
	return 1, nil
}

func (p *port) writePacket(h vnethdr.Header, head, tail []byte) error {
	return p.writeParts(h, [][]byte{head, tail})
}

// attend has nothing to give: one reader is enough for one queue.
func (p *port) attend() error { return nil }

func (d *Device) close() error { return d.queues[0].end() }
