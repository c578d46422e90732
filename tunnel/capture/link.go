package capture

import (
	"encoding/binary"
	"fmt"
)

// LinkType says how frames begin, by the numbers of
// https://www.tcpdump.org/linktypes.html.
type LinkType uint16

// The link types in which IP is found. Raw12 and Raw14 are Raw as some systems
// number it.
const (
	Null     LinkType = 0
	Ethernet LinkType = 1
	Raw12    LinkType = 12
	Raw14    LinkType = 14
	Raw      LinkType = 101
	Loop     LinkType = 108
	SLL      LinkType = 113
	IPv4     LinkType = 228
	IPv6     LinkType = 229
	SLL2     LinkType = 276
)

var linkNames = map[LinkType]string{
	Null: "NULL", Ethernet: "ETHERNET", Raw12: "RAW", Raw14: "RAW", Raw: "RAW", Loop: "LOOP", SLL: "LINUX_SLL",
	IPv4: "IPV4", IPv6: "IPV6", SLL2: "LINUX_SLL2",
}

// String returns the number, and the name where it is known.
func (l LinkType) String() string {
	if name := linkNames[l]; name != "" {
		return fmt.Sprintf("%d (%s)", uint16(l), name)
	}
	return fmt.Sprint(uint16(l))
}

// Known tells whether IP can be found in frames of this type.
func (l LinkType) Known() bool { return linkNames[l] != "" }

// IP returns the IP packet in a frame, with any link padding behind it. ok is
// false when there is none: another protocol, a frame that is too short, or a
// version that is not what the link says.
func (l LinkType) IP(frame []byte) (packet []byte, ok bool) {
	switch l {
	case Raw, Raw12, Raw14:
		return frame, version(frame) == 4 || version(frame) == 6
	case IPv4:
		return frame, version(frame) == 4
	case IPv6:
		return frame, version(frame) == 6
	case Ethernet:
		return afterType(frame, 12, 14)
	case SLL:
		return afterType(frame, 14, 16)
	case SLL2:
		return afterType(frame, 0, 20)
	case Null, Loop:
		return afterFamily(frame)
	}
	return nil, false
}

func version(packet []byte) byte {
	if len(packet) == 0 {
		return 0
	}
	return packet[0] >> 4
}

// afterType returns what follows a header of size bytes with an EtherType at
// offset at, and VLAN tags (IEEE 802.1Q).
func afterType(frame []byte, at, size int) ([]byte, bool) {
	if len(frame) < size {
		return nil, false
	}
	kind, rest := binary.BigEndian.Uint16(frame[at:]), frame[size:]
	for {
		switch kind {
		case 0x0800:
			return rest, version(rest) == 4
		case 0x86dd:
			return rest, version(rest) == 6
		case 0x8100, 0x88a8, 0x9100: // 802.1Q, 802.1ad, and what was used before it
			if len(rest) < 4 {
				return nil, false
			}
			kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
		default:
			return nil, false
		}
	}
}

// afterFamily returns what follows the four bytes of an address family: that of
// the capturing system, in its byte order (NULL) or the network's (LOOP). IPv6
// has many numbers: 24, 28 and 30 of the BSDs and macOS, 10 of Linux, 23 of Windows.
func afterFamily(frame []byte) ([]byte, bool) {
	if len(frame) < 4 {
		return nil, false
	}
	family, rest := binary.BigEndian.Uint32(frame), frame[4:]
	if family > 0xffff {
		family = binary.LittleEndian.Uint32(frame)
	}
	switch family {
	case 2:
		return rest, version(rest) == 4
	case 10, 23, 24, 28, 30:
		return rest, version(rest) == 6
	}
	return nil, false
}
