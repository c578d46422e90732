package icmp6

import (
	"encoding/binary"
	"net/netip"
)

// The types of RFC 4861 sections 4.1 and 4.2, and the next header number of ICMPv6.
const (
	typeSolicitation  = 133
	typeAdvertisement = 134
	nextHeader        = 58
)

// how is what the socket tells of a packet beside its source. The destination is known
// where the system leaves the checksum to us, and is invalid where it has verified it.
type how struct {
	link     int // index, 0 unknown
	hopLimit int // 0 unknown
	dst      netip.Addr
}

// isAdvertisement tells whether a message is a router advertisement of a neighbour, as
// RFC 4861 section 6.1.2 wants it. What is unknown counts as wrong: anybody far away
// could play the router otherwise.
func isAdvertisement(msg []byte, from netip.Addr, h how) bool {
	if len(msg) < 16 || msg[0] != typeAdvertisement || msg[1] != 0 {
		return false
	}
	if h.hopLimit != 255 || h.link <= 0 || !from.Is6() || !from.IsLinkLocalUnicast() {
		return false
	}
	return !h.dst.IsValid() || checksum(from, h.dst, msg) == 0
}

// solicitation is the message from this address to all routers, with the source
// link-layer address when there is one. Its checksum is right; systems that make it
// themselves write over it.
func solicitation(src netip.Addr, hardware []byte) []byte {
	msg := make([]byte, 8, 16)
	msg[0] = typeSolicitation
	if len(hardware) == 6 {
		msg = append(append(msg, 1, 1), hardware...)
	}
	binary.BigEndian.PutUint16(msg[2:], checksum(src, allRouters, msg))
	return msg
}

// checksum is that of RFC 4443 section 2.3 over the pseudo-header of RFC 8200 section
// 8.1 and the message. It is 0 when the message holds the right one.
func checksum(src, dst netip.Addr, msg []byte) uint16 {
	s, d := src.As16(), dst.As16()
	sum := uint64(len(msg)) + nextHeader
	for _, part := range [][]byte{s[:], d[:], msg} {
		for ; len(part) > 1; part = part[2:] {
			sum += uint64(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 {
			sum += uint64(part[0]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
