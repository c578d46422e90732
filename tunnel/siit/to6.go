package siit

import (
	"encoding/binary"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Translate translates one packet by its version nibble and puts what is to be
// sent into out. h is the packet's offload state; the zero value says that there
// is none. pkt is one IP packet, perhaps with link padding behind it.
func (t *Translator) Translate(out *Batch, h vnethdr.Header, pkt []byte) (Direction, Verdict) {
	if len(pkt) == 0 {
		return DirNone, NotIP
	}
	switch pkt[0] >> 4 {
	case 4:
		return Dir4to6, t.To6(out, h, pkt)
	case 6:
		return Dir6to4, t.To4(out, h, pkt)
	}
	return DirNone, NotIP
}

// To6 translates what the host sent over IPv4 (RFC 7915 section 4).
func (t *Translator) To6(out *Batch, h vnethdr.Header, pkt []byte) Verdict {
	var p in4
	if v := p.parse(pkt, false); v != OK {
		return v
	}
	switch {
	case p.src != t.clat4:
		return NotOurs
	case !unicast4(p.dst) || p.dst == t.clat4:
		return Martian
	case !t.allowed(p.dst):
		return t.prohibit4(out, &p, AnsweredNonGlobal)
	case p.proto == protoIGMP:
		return BadProtocol
	case badProtocol4(p.proto):
		return t.prohibit4(out, &p, AnsweredProtocol)
	}
	if p.ihl > 20 {
		if v := checkOptions(pkt[20:p.ihl]); v == AnsweredSourceRoute {
			return t.answer4(out, &p, v, 3, 5, 0)
		} else if v != OK {
			return v
		}
	}
	if pkt[8] <= 1 {
		return t.answer4(out, &p, AnsweredTTL, 11, 0, 0)
	}
	if p.proto == protoICMP {
		return t.icmpTo6(out, &h, &p)
	}
	return t.transportTo6(out, &h, &p)
}

// transportTo6 translates everything but ICMP.
func (t *Translator) transportTo6(out *Batch, h *vnethdr.Header, p *in4) Verdict {
	l4 := p.l4()
	n, v := transportHead(p.proto, l4, p.frag)
	if v != OK {
		return v
	}
	var hdr vnethdr.Header
	offloaded := h.Flags|h.GSOType != 0
	if offloaded {
		var ok bool
		if hdr, ok = offload(*h, p.proto, p.frag, p.ihl, 40, vnethdr.GSOTCPv4, vnethdr.GSOTCPv6); !ok {
			return Offload
		}
	}
	partial := hdr.Flags&vnethdr.NeedsCsum != 0
	zero := p.proto == protoUDP && n > 0 && !partial && l4[6] == 0 && l4[7] == 0
	if zero && (p.frag != 0 || t.conf.DropZeroUDP) {
		return ZeroChecksum // nobody but the receiver has the whole datagram (7915-41)
	}
	room, v := t.room6(out, p, segment(&hdr, p.proto, p.ihl, l4))
	switch {
	case v != OK:
		return v
	case room > 0 && hdr.GSOType != vnethdr.GSONone:
		return t.segments(out, *h, p.pkt, p.ihl, p.proto)
	}
	b := out.reserve(headers6(room > 0) + n)
	t.header6(b, p.pkt, p.dst, len(b)-40+len(l4)-n, p.proto)
	head := b[len(b)-n:]
	copyHead(head, l4)
	v = OK
	if at := checkField(p.proto); n > 0 && at >= 0 {
		change := t.change6(p.pkt[12:20], b[8:40])
		switch {
		case zero:
			v = FilledChecksum
			fillUDP(head, l4, pseudo6(b[8:40], 0, protoUDP))
		case partial && room > 0: // completed, since nobody can once it is cut
			check := update(^fold(sum(l4)), change)
			binary.BigEndian.PutUint16(head[at:], noZero(check, p.proto))
		default:
			fix(head[at:], l4[at:], p.proto, partial, change)
		}
	} else if p.proto == nextAH {
		v = Authenticated
	}
	if room > 0 {
		t.cut6(out, p, p.proto, b, l4[n:], room)
	} else if to := out.add(b, l4[n:]); offloaded {
		*to = hdr
	}
	return v
}

// room6 says how large pieces of an IPv4 packet, of size bytes on the wire, may
// be in IPv6: 0 when it goes on whole and without Fragment Header (7915-20).
// What may not be fragmented and does not fit is answered, with an MTU that
// leaves room for what is added (SIIT-15, SIIT-20, 7915-21, 7915-22).
func (t *Translator) room6(out *Batch, p *in4, size int) (room int, v Verdict) {
	growth := 20
	if p.frag != 0 {
		growth = 28
	}
	switch {
	case p.df() && size+growth > t.conf.MTU6:
		return 0, t.answer4(out, p, AnsweredTooBig, 3, 4, uint32(t.conf.MTU6-growth))
	case p.df() && p.frag != 0:
		return t.conf.MTU6, OK
	case !p.df() && (p.frag != 0 || size-p.ihl+40 > t.lowest):
		return t.lowest, OK
	}
	return 0, OK
}

// headers6 is how many bytes of IPv6 come before the upper layer.
func headers6(fragment bool) int {
	if fragment {
		return 48
	}
	return 40
}

// header6 writes the IPv6 header that stands for the IPv4 one in pkt (7915-10).
// payload is in bytes.
func (t *Translator) header6(b, pkt []byte, dst [4]byte, payload int, next uint8) {
	_ = b[39]
	tos := uint64(pkt[1] & t.tos)
	binary.BigEndian.PutUint64(b, 6<<60|tos<<52|uint64(uint16(payload))<<16|uint64(next)<<8|uint64(pkt[8]-1))
	*(*[16]byte)(b[8:]) = t.clat6
	t.embed(b[24:], dst)
}

// transportHead returns how many bytes of a transport header are rewritten, and
// refuses headers that are too short or lie about their length. frag tells which
// part of the upper layer is there.
func transportHead(proto uint8, l4 []byte, frag uint16) (int, Verdict) {
	if frag != 0 {
		return fragmentHead(proto, l4, frag)
	}
	switch proto {
	case protoTCP:
		if len(l4) < 20 || l4[12] < 5<<4 || int(l4[12]>>4)*4 > len(l4) {
			return 0, Malformed
		}
		return 20, OK
	case protoUDP:
		if len(l4) < 8 {
			return 0, Malformed
		}
		if n := int(binary.BigEndian.Uint16(l4[4:])); n < 8 || n > len(l4) {
			return 0, Malformed
		}
		return 8, OK
	case protoDCCP, protoUDPLite:
		if len(l4) < 8 {
			return 0, Malformed
		}
		return 8, OK
	}
	return 0, OK
}

// fragmentHead is transportHead for a fragment: only the first has a header, of
// which the checksum at least must be there (SIIT-21).
func fragmentHead(proto uint8, l4 []byte, frag uint16) (int, Verdict) {
	at := checkField(proto)
	switch {
	case at < 0 || frag&0x1fff != 0:
		return 0, OK
	case len(l4) < at+2:
		return 0, TinyFragment
	case proto == protoTCP && l4[12] < 5<<4, proto == protoUDP && binary.BigEndian.Uint16(l4[4:]) < 8:
		return 0, Malformed
	}
	return min(at+4, len(l4)) &^ 1, OK
}

// copyHead copies the first bytes of l4 to head. Most are a TCP header's.
func copyHead(head, l4 []byte) {
	if len(head) == 20 {
		*(*[20]byte)(head) = *(*[20]byte)(l4)
		return
	}
	copy(head, l4)
}

// fix updates a transport checksum for changed addresses. field is where it goes,
// from where it stands.
func fix(field, from []byte, proto uint8, partial bool, change uint16) {
	old := binary.BigEndian.Uint16(from)
	if partial {
		binary.BigEndian.PutUint16(field, updatePartial(old, change))
		return
	}
	binary.BigEndian.PutUint16(field, noZero(update(old, change), proto))
}

// noZero is a checksum as it is sent: 0 would say that there is none (7915-42).
func noZero(check uint16, proto uint8) uint16 {
	if check == 0 && (proto == protoUDP || proto == protoUDPLite) {
		return 0xffff
	}
	return check
}

// fillUDP computes the checksum of a datagram that had none over IPv4
// (7915-41). head is its header, l4 the datagram as received, pseudo the sum of
// the pseudo-header without the length.
func fillUDP(head, l4 []byte, pseudo uint32) {
	length := uint32(binary.BigEndian.Uint16(l4[4:]))
	check := ^fold(pseudo + length + sum(l4[:length]))
	binary.BigEndian.PutUint16(head[6:], noZero(check, protoUDP))
}
