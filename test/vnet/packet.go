package vnet

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Sizes of headers in bytes, and numbers from the registries.
const (
	etherLen = 14
	ip6Len   = 40
	udpLen   = 8

	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	protoTCP      = 6
	protoUDP      = 17
	protoFragment = 44
	protoICMPv6   = 58

	icmpUnreachable = 1
	icmpParameter   = 4 // the last error type that exists
	icmpEcho        = 128
	icmpEchoReply   = 129
	icmpRS          = 133
	icmpRA          = 134
	icmpNS          = 135
	icmpNA          = 136

	naOverride = 0x20 // first byte of a neighbour advertisement's flags

	codeNoRoute = 0 // no route to destination
	codePort    = 4 // port unreachable
)

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
)

// toAddr is gVisor's form of an address; the zero Addr is the zero Address.
func toAddr(a netip.Addr) tcpip.Address {
	if !a.IsValid() {
		return tcpip.Address{}
	}
	return tcpip.AddrFromSlice(a.AsSlice())
}

// fromAddr is the reverse of toAddr.
func fromAddr(a tcpip.Address) netip.Addr {
	out, _ := netip.AddrFromSlice(a.AsSlice())
	return out
}

// ip6 is what the filters need of an IPv6 packet.
type ip6 struct {
	src, dst netip.Addr
	hopLimit byte
	proto    byte // of the first header after the fixed one
	payload  []byte
}

// parse6 reads the fixed header. It is false when pkt is no whole IPv6 packet.
func parse6(pkt []byte) (ip6, bool) {
	if len(pkt) < ip6Len || pkt[0]>>4 != 6 {
		return ip6{}, false
	}
	n := int(binary.BigEndian.Uint16(pkt[4:]))
	if len(pkt) < ip6Len+n {
		return ip6{}, false
	}
	return ip6{
		src:      netip.AddrFrom16([16]byte(pkt[8:24])),
		dst:      netip.AddrFrom16([16]byte(pkt[24:40])),
		hopLimit: pkt[7],
		proto:    pkt[6],
		payload:  pkt[ip6Len : ip6Len+n],
	}, true
}

// icmpType is the ICMPv6 type of the packet, or 0 when it is none.
func (p ip6) icmpType() byte {
	if p.proto != protoICMPv6 || len(p.payload) < 8 {
		return 0
	}
	return p.payload[0]
}

// header6 returns a fixed IPv6 header (RFC 8200 section 3).
func header6(src, dst netip.Addr, proto, hopLimit byte, payload int) []byte {
	h := make([]byte, ip6Len, ip6Len+payload)
	h[0], h[6], h[7] = 0x60, proto, hopLimit
	binary.BigEndian.PutUint16(h[4:], uint16(payload))
	s, d := src.As16(), dst.As16()
	copy(h[8:], s[:])
	copy(h[24:], d[:])
	return h
}

// icmp6 returns an IPv6 packet with the ICMPv6 message and fills in the
// checksum of the message.
func icmp6(src, dst netip.Addr, hopLimit byte, msg []byte) []byte {
	pkt := append(header6(src, dst, protoICMPv6, hopLimit, len(msg)), msg...)
	pkt[ip6Len+2], pkt[ip6Len+3] = 0, 0
	start := sum(uint32(len(msg))+protoICMPv6, pkt[8:])
	binary.BigEndian.PutUint16(pkt[ip6Len+2:], ^start)
	return pkt
}

// sum is the Internet checksum's one's complement sum (RFC 1071).
func sum(start uint32, b []byte) uint16 {
	acc := uint64(start)
	for len(b) >= 4 {
		acc += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint64(b[0]) << 8
	}
	for acc>>16 != 0 {
		acc = acc&0xffff + acc>>16
	}
	return uint16(acc)
}

// finishChecksum completes a checksum that h says is partial. It is false when
// h does not fit b.
func finishChecksum(h vnethdr.Header, b []byte) bool {
	if h.Flags&vnethdr.NeedsCsum == 0 {
		return true
	}
	start, at := int(h.CsumStart), int(h.CsumStart)+int(h.CsumOffset)
	if start >= len(b) || at+2 > len(b) {
		return false
	}
	c := ^sum(0, b[start:])
	if c == 0 {
		c = 0xffff // zero means 'none' in UDP and is the same number elsewhere
	}
	binary.BigEndian.PutUint16(b[at:], c)
	return true
}

// macOfMulticast is the Ethernet address of an IPv6 multicast address (RFC 2464
// section 7).
func macOfMulticast(ip netip.Addr) tcpip.LinkAddress {
	a := ip.As16()
	return tcpip.LinkAddress([]byte{0x33, 0x33, a[12], a[13], a[14], a[15]})
}

// linkLocal is the modified EUI-64 link-local address (RFC 4291 appendix A).
func linkLocal(mac []byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// maxSegments is how many datagrams Linux puts into one super-frame at most
// (UDP_MAX_SEGMENTS).
const maxSegments = 128

// splitUDP cuts a UDP super-frame into its datagrams and hands each on. Lengths
// and IPv4's total length are set; checksums are not, nobody checks them here.
// Frames that are none are handed on whole, as are those that cannot be one.
func splitUDP(h vnethdr.Header, frame []byte, each func([]byte)) {
	start := int(h.CsumStart)
	head, size := start+udpLen, int(h.GSOSize)
	if h.GSOType&^vnethdr.GSOECN != vnethdr.GSOUDPL4 || size == 0 || start < etherLen+20 || head > len(frame) || len(frame)-head > maxSegments*size {
		each(frame)
		return
	}
	for body := frame[head:]; len(body) > 0; {
		n := min(size, len(body))
		f := append(append(make([]byte, 0, head+n), frame[:head]...), body[:n]...)
		binary.BigEndian.PutUint16(f[start+4:], uint16(udpLen+n))
		if f[etherLen]>>4 == 6 {
			binary.BigEndian.PutUint16(f[etherLen+4:], uint16(len(f)-etherLen-ip6Len))
		} else {
			binary.BigEndian.PutUint16(f[etherLen+2:], uint16(len(f)-etherLen))
		}
		each(f)
		body = body[n:]
	}
}

// fragment6 returns pkt, or its fragments when it is longer than mtu (RFC 8200
// section 4.5). pkt has no extension headers.
func fragment6(pkt []byte, mtu int, id uint32) [][]byte {
	if len(pkt) <= mtu {
		return [][]byte{pkt}
	}
	p, ok := parse6(pkt)
	if !ok {
		return nil
	}
	var out [][]byte
	size := (mtu - ip6Len - 8) &^ 7
	for at := 0; at < len(p.payload); at += size {
		part := p.payload[at:min(at+size, len(p.payload))]
		field := uint16(at)
		if at+size < len(p.payload) {
			field |= 1 // more fragments
		}
		f := header6(p.src, p.dst, protoFragment, p.hopLimit, 8+len(part))
		f = binary.BigEndian.AppendUint16(append(f, p.proto, 0), field)
		f = binary.BigEndian.AppendUint32(f, id)
		out = append(out, append(f, part...))
	}
	return out
}
