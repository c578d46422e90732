package siit

import (
	"encoding/binary"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// To4 translates what came from the network for the CLAT's address (RFC 7915
// section 5).
func (t *Translator) To4(out *Batch, h vnethdr.Header, pkt []byte) Verdict {
	if len(pkt) < 40 || pkt[0]>>4 != 6 {
		return Malformed
	}
	if [16]byte(pkt[24:40]) != t.clat6 {
		return NotOurs
	}
	length := int(binary.BigEndian.Uint16(pkt[4:]))
	if length == 0 || 40+length > len(pkt) {
		return Malformed
	}
	var p in6
	v := p.parse(pkt[:40+length])
	switch {
	case v == AnsweredRouting:
		return t.answerRouting(out, &p)
	case v != OK:
		return v
	case p.frag != 0 && !plausible(p.offset(), len(p.l4()), p.more()), p.fh && len(p.l4()) > maxPayload4:
		return BadFragment
	}
	icmp := p.proto == protoICMPv6
	if icmp && p.frag == 0 && len(p.l4()) > 0 && p.l4()[0] < 128 {
		return t.errorTo4(out, &h, &p)
	}
	src, v := t.source4(p.pkt)
	switch {
	case v == NotAllowed:
		return t.prohibit6(out, &p, AnsweredNonGlobal)
	case v == OutsidePrefix:
		return t.prohibit6(out, &p, AnsweredOutside)
	case v != OK:
		return v
	case icmp && p.frag != 0:
		return FragmentedICMP // its checksum covers a length that is not here (SIIT-22)
	case pkt[7] <= 1:
		return t.answer6(out, &p, AnsweredTTL, 3, 0, 0)
	case icmp:
		return t.echoTo4(out, &h, &p, src)
	}
	return t.transportTo4(out, &h, &p, src)
}

// transportTo4 translates everything but ICMPv6.
func (t *Translator) transportTo4(out *Batch, h *vnethdr.Header, p *in6, src [4]byte) Verdict {
	l4 := p.l4()
	n, v := transportHead(p.proto, l4, p.frag)
	if v != OK {
		return v
	}
	var hdr vnethdr.Header
	offloaded := h.Flags|h.GSOType != 0
	if offloaded {
		var ok bool
		if hdr, ok = offload(*h, p.proto, p.frag, p.at, 20, vnethdr.GSOTCPv6, vnethdr.GSOTCPv4); !ok {
			return Offload
		}
	}
	partial := hdr.Flags&vnethdr.NeedsCsum != 0
	zero := p.proto == protoUDP && n > 0 && !partial && l4[6] == 0 && l4[7] == 0
	if zero && !t.conf.PassZeroUDP {
		return ZeroChecksum
	}
	size := segment(&hdr, p.proto, 20, l4)
	room, v := t.room4(out, p, size)
	switch {
	case v != OK:
		return v
	case hdr.GSOType != vnethdr.GSONone && (room > 0 || len(l4) > maxPayload4):
		return t.segments(out, *h, p.pkt, p.at, p.proto)
	}
	b := out.reserve(20 + n)
	t.header4(b, out, p, src, size, 20+len(l4))
	head := b[20:]
	copyHead(head, l4)
	if at := checkField(p.proto); n > 0 && at >= 0 && !zero {
		change := t.change4(b[12:20], p.pkt[8:40])
		if partial && room > 0 { // completed, since nobody can once it is cut
			check := update(^fold(sum(l4)), change)
			binary.BigEndian.PutUint16(head[at:], noZero(check, p.proto))
		} else {
			fix(head[at:], l4[at:], p.proto, partial, change)
		}
	}
	if room > 0 {
		t.cut4(out, p, b, l4[n:], room)
	} else if to := out.add(b, l4[n:]); offloaded {
		*to = hdr
	}
	if p.proto == nextAH {
		return Authenticated
	}
	return OK
}

// room4 says how large pieces of an IPv6 packet may be in IPv4, of which it
// would be size bytes: 0 when it goes on whole. What may not be fragmented and
// does not fit is answered (7915-1, 7915-34, SIIT-28a).
func (t *Translator) room4(out *Batch, p *in6, size int) (room int, v Verdict) {
	switch {
	case size <= t.conf.MTU4:
		return 0, OK
	case df4(p, size):
		return 0, t.answer6(out, p, AnsweredTooBig, 2, 0, uint32(max(1280, t.conf.MTU4+20)))
	}
	return t.conf.MTU4, OK
}

// df4 tells whether an IPv4 packet of size bytes that stands for p may not be
// fragmented: one that had a Fragment Header may, and one that an IPv6 sender
// cannot be told to make smaller (7915-30, 7915-31).
func df4(p *in6, size int) bool { return !p.fh && size > 1260 }

// header4 writes the IPv4 header that stands for the IPv6 one, of a packet of
// total bytes (7915-30, 7915-31). size is that of the packet on the wire, which
// decides about DF. The checksum is summed from the values, since reading back
// what was just written is slow.
func (t *Translator) header4(b []byte, out *Batch, p *in6, src [4]byte, size, total int) {
	_ = b[19]
	first := 0x45000000 | uint32((p.pkt[0]<<4|p.pkt[1]>>4)&t.tos)<<16 | uint32(total)
	second := uint32(0x4000) // DF
	switch {
	case p.fh:
		second = uint32(p.ident)<<16 | uint32(p.frag)
	case !df4(p, size):
		second = uint32(out.nextIdent()) << 16
	}
	third := uint32(p.pkt[7]-1)<<24 | uint32(proto4(p.proto))<<16
	from := binary.BigEndian.Uint32(src[:])
	acc := uint64(first) + uint64(second) + uint64(third) + uint64(from) + uint64(t.sum4)
	binary.BigEndian.PutUint32(b, first)
	binary.BigEndian.PutUint32(b[4:], second)
	binary.BigEndian.PutUint32(b[8:], third|uint32(^fold64(acc)))
	binary.BigEndian.PutUint32(b[12:], from)
	*(*[4]byte)(b[16:]) = t.clat4
}

// seal4 writes Total Length and checksum of the IPv4 header at the start of b,
// which tail bytes follow.
func seal4(b []byte, tail int) {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+tail))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^headerSum(b[:20]))
}

// proto4 is the IPv4 protocol of an IPv6 Next Header.
func proto4(next uint8) uint8 {
	if next == protoICMPv6 {
		return protoICMP
	}
	return next
}

// next6 is the IPv6 Next Header of an IPv4 protocol.
func next6(proto uint8) uint8 {
	if proto == protoICMP {
		return protoICMPv6
	}
	return proto
}
