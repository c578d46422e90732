package icmp6

import (
	"encoding/binary"
	"net/netip"
)

// What a socket of Windows is asked for, and says of each packet: the numbers of
// ws2ipdef.h.
const (
	levelIPv6      = 41
	optionPacketIn = 19 // IPV6_PKTINFO: IN6_PKTINFO, the destination and the link's index (4 bytes)
	optionHopLimit = 21 // IPV6_HOPLIMIT: INT
	packetInfoSize = 20
	controlHeader  = 16 // WSACMSGHDR of 64-bit systems: length (8 bytes, with the header), level (4), type (4)
	controlAlign   = 8
)

// fromControl reads the control data that WSARecvMsg of a 64-bit Windows returns, in
// little-endian numbers, as all its processors have them. What is damaged, and all
// behind it, is left out.
func fromControl(b []byte) (h how) {
	for len(b) >= controlHeader {
		size := binary.LittleEndian.Uint64(b)
		if size < controlHeader || size > uint64(len(b)) {
			return h
		}
		data := b[controlHeader:size]
		if binary.LittleEndian.Uint32(b[8:]) == levelIPv6 {
			switch kind := binary.LittleEndian.Uint32(b[12:]); {
			case kind == optionPacketIn && len(data) >= packetInfoSize:
				h.dst = netip.AddrFrom16([16]byte(data[:16]))
				h.link = int(binary.LittleEndian.Uint32(data[16:]))
			case kind == optionHopLimit && len(data) >= 4:
				h.hopLimit = int(binary.LittleEndian.Uint32(data))
			}
		}
		next := (size + controlAlign - 1) &^ (controlAlign - 1)
		if next > uint64(len(b)) {
			return h
		}
		b = b[next:]
	}
	return h
}

// toControl is the control data for WSASendMsg that sends a packet from this address
// over this link.
func toControl(src netip.Addr, link int) []byte {
	const size = controlHeader + packetInfoSize
	b := make([]byte, (size+controlAlign-1)&^(controlAlign-1))
	binary.LittleEndian.PutUint64(b, size)
	binary.LittleEndian.PutUint32(b[8:], levelIPv6)
	binary.LittleEndian.PutUint32(b[12:], optionPacketIn)
	ip := src.As16()
	copy(b[controlHeader:], ip[:])
	binary.LittleEndian.PutUint32(b[controlHeader+16:], uint32(link))
	return b
}
