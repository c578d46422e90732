package bundle

import (
	"encoding/binary"
	"net/netip"
)

// Packet returns an IP packet with pseudonyms for its addresses, cut behind the ports:
// what follows holds names, addresses and contents. Of ICMP only type, code and
// checksum stay. What is no IP packet becomes nothing.
func (a *Anonymizer) Packet(ip []byte) []byte {
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4 && int(ip[0]&15)*4 >= 20:
		return a.packet4(ip)
	case len(ip) >= 40 && ip[0]>>4 == 6:
		return a.packet6(ip)
	}
	return nil
}

func (a *Anonymizer) packet4(ip []byte) []byte {
	head := int(ip[0]&15) * 4
	out := append([]byte(nil), ip[:20]...)
	for _, at := range []int{12, 16} {
		b := a.Addr(netip.AddrFrom4([4]byte(ip[at:]))).As4()
		copy(out[at:], b[:])
	}
	if head > 20 { // options may hold addresses: they become padding
		out = append(out, make([]byte, head-20)...)
	}
	first := binary.BigEndian.Uint16(ip[6:])&0x1fff == 0
	return append(out, upper(ip[9], first, ip[min(head, len(ip)):])...)
}

func (a *Anonymizer) packet6(ip []byte) []byte {
	out := append([]byte(nil), ip[:40]...)
	for _, at := range []int{8, 24} {
		b := a.Addr(netip.AddrFrom16([16]byte(ip[at:]))).As16()
		copy(out[at:], b[:])
	}
	next, rest, first := ip[6], ip[40:], true
	if next == 44 && len(rest) >= 8 { // a fragment header holds nothing that names
		first = binary.BigEndian.Uint16(rest[2:])>>3 == 0
		out = append(out, rest[:8]...)
		next, rest = rest[0], rest[8:]
	}
	return append(out, upper(next, first, rest)...)
}

// upper is what may stay of the layer above: of TCP the fixed header, of UDP the header,
// of ICMP and ICMPv6 the first four bytes. Other protocols, and all but the first
// fragment, are dropped.
func upper(protocol byte, first bool, b []byte) []byte {
	keep := map[byte]int{6: 20, 17: 8, 1: 4, 58: 4}[protocol]
	if !first || keep == 0 {
		return nil
	}
	return b[:min(keep, len(b))]
}
