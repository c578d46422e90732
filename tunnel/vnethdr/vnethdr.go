// Package vnethdr is the virtio_net_hdr that a Linux TUN device puts before
// each packet when it was opened with IFF_VNET_HDR: what is left to be done to
// the packet by segmentation and checksum offload.
//
// It only reads and writes the ten bytes (virtio 1.2 section 5.1.6, Linux
// include/uapi/linux/virtio_net.h). What the fields become when a packet
// changes family is tunnel/siit's business.
package vnethdr

import "encoding/binary"

// Size is the length in bytes of the header without num_buffers, which is what
// a TUN device uses by default.
const Size = 10

// Values of Flags.
const (
	NeedsCsum = 1 // the transport checksum field holds only the pseudo-header sum
	DataValid = 2 // the checksum was verified on receipt
)

// Values of GSOType. ECN is or-ed onto the TCP ones.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDP   = 3
	GSOTCPv6 = 4
	GSOUDPL4 = 5
	GSOECN   = 0x80
)

// Header is the offload state of one packet. The zero value is a whole packet
// with a complete checksum.
type Header struct {
	Flags      uint8
	GSOType    uint8
	HdrLen     uint16 // bytes of IP and transport header, a hint
	GSOSize    uint16 // bytes of transport payload per segment
	CsumStart  uint16 // byte offset where checksumming begins: the transport header
	CsumOffset uint16 // byte offset of the checksum field from CsumStart
}

// Packet is one packet with its offload state, as a device gives it.
type Packet struct {
	Hdr  Header
	Data []byte
}

// Parse reads the first Size bytes of b, in the machine's byte order. The
// caller guarantees the length.
func Parse(b []byte) Header {
	_ = b[Size-1]
	return Header{
		Flags:      b[0],
		GSOType:    b[1],
		HdrLen:     binary.NativeEndian.Uint16(b[2:]),
		GSOSize:    binary.NativeEndian.Uint16(b[4:]),
		CsumStart:  binary.NativeEndian.Uint16(b[6:]),
		CsumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}

// Put writes h into the first Size bytes of b, in the machine's byte order.
func (h Header) Put(b []byte) {
	_ = b[Size-1]
	b[0], b[1] = h.Flags, h.GSOType
	binary.NativeEndian.PutUint16(b[2:], h.HdrLen)
	binary.NativeEndian.PutUint16(b[4:], h.GSOSize)
	binary.NativeEndian.PutUint16(b[6:], h.CsumStart)
	binary.NativeEndian.PutUint16(b[8:], h.CsumOffset)
}
