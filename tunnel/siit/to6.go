package siit

import (
	"encoding/binary"
	"net/netip"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Translate translates one packet by its version nibble and puts what is to be
// sent into out. h is the packet's offload state.
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

// in4 is a received IPv4 packet, checked.
type in4 struct {
	pkt   []byte // without link padding
	ihl   int    // bytes of header
	proto uint8
	src   [4]byte
	dst   [4]byte
}

func (p in4) l4() []byte { return p.pkt[p.ihl:] }
func (p in4) df() bool   { return p.pkt[6]&0x40 != 0 }

// parse4 checks the header (SIIT-1). A quoted packet is cut short and its header
// checksum may be stale, so that quoted skips what depends on it.
func parse4(pkt []byte, quoted bool) (p in4, v Verdict) {
	if len(pkt) < 20 || pkt[0]>>4 != 4 {
		return p, Malformed
	}
	p.ihl = int(pkt[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(pkt[2:]))
	if p.ihl < 20 || total < p.ihl || p.ihl > len(pkt) || !quoted && total > len(pkt) {
		return p, Malformed
	}
	p.pkt = pkt[:min(total, len(pkt))]
	if !quoted && sum(pkt[:p.ihl]) != 0xffff {
		return p, BadHeaderChecksum
	}
	p.proto = pkt[9]
	copy(p.src[:], pkt[12:])
	copy(p.dst[:], pkt[16:])
	if binary.BigEndian.Uint16(pkt[6:])&0x3fff != 0 {
		return p, Fragment
	}
	return p, OK
}

// To6 translates what the host sent over IPv4 (RFC 7915 section 4).
func (t *Translator) To6(out *Batch, h vnethdr.Header, pkt []byte) Verdict {
	p, v := parse4(pkt, false)
	if v != OK {
		return v
	}
	if p.src != t.clat4 {
		return NotOurs
	}
	dst := netip.AddrFrom4(p.dst)
	switch {
	case !unicast4(p.dst) || p.dst == t.clat4:
		return Martian
	case !t.allowed(dst):
		return NotAllowed
	}
	if v := badProtocol4(p.proto); v != OK {
		return v
	}
	if v := checkOptions(pkt[20:p.ihl]); v == AnsweredSourceRoute {
		return t.answer4(out, p, v, 3, 5, 0)
	} else if v != OK {
		return v
	}
	if pkt[8] <= 1 {
		return t.answer4(out, p, AnsweredTTL, 11, 0, 0)
	}
	if p.proto == protoICMP {
		return t.icmpTo6(out, h, p)
	}
	return t.transportTo6(out, h, p)
}

// unicast4 is false for addresses that cannot be one remote host's (SIIT-5,
// SIIT-6), those of CLATs among them: 192.0.0.0/29 and the dummy (SEC-16).
func unicast4(a [4]byte) bool {
	clat := a[0] == 192 && a[1] == 0 && a[2] == 0 && a[3] <= dummy[3]
	return a[0] != 0 && a[0] != 127 && a[0] < 224 && !clat
}

// badProtocol4 refuses protocols whose number means an extension header or the
// other family's ICMP in IPv6 (SIIT-13; 7915-13 would copy them), and IGMP.
func badProtocol4(proto uint8) Verdict {
	switch proto {
	case nextHopByHop, nextRouting, nextFragment, nextOptions, nextMobility, protoICMPv6, protoIGMP:
		return BadProtocol
	}
	return OK
}

// checkOptions walks IPv4 options, which are not translated. A source route that
// is not used up forbids translation (7915-12).
func checkOptions(o []byte) Verdict {
	for len(o) > 0 {
		switch o[0] {
		case 0:
			return OK
		case 1:
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return BadOptions
		}
		if n := o[1]; o[0] == 131 || o[0] == 137 {
			if n < 3 {
				return BadOptions
			}
			if o[2] <= n {
				return AnsweredSourceRoute
			}
		}
		o = o[o[1]:]
	}
	return OK
}

// fits6 tells whether an IPv4 packet of size bytes may go on as IPv6. What may
// not be fragmented is answered (7915-21).
func (t *Translator) fits6(out *Batch, p in4, size int) Verdict {
	switch {
	case size+20 <= t.conf.MTU6:
		return OK
	case p.df():
		return t.answer4(out, p, AnsweredTooBig, 3, 4, uint32(t.conf.MTU6-20))
	}
	return TooBig
}

// header6 writes the IPv6 header that stands for the IPv4 one (7915-10).
func (t *Translator) header6(b []byte, p in4, payload int, next uint8) {
	tos := p.pkt[1]
	b[0], b[1] = 0x60|tos>>4, tos<<4
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	b[6], b[7] = next, p.pkt[8]-1
	copy(b[8:24], t.clat6[:])
	dst := t.conf.Prefix.Embed(netip.AddrFrom4(p.dst)).As16()
	copy(b[24:40], dst[:])
}

// transportTo6 translates everything but ICMP.
func (t *Translator) transportTo6(out *Batch, h vnethdr.Header, p in4) Verdict {
	l4 := p.l4()
	n, v := transportHead(p.proto, l4)
	if v != OK {
		return v
	}
	hdr, ok := offload(h, p.proto, p.ihl, 40, vnethdr.GSOTCPv4, vnethdr.GSOTCPv6)
	if !ok {
		return Offload
	}
	if v := t.fits6(out, p, segment(h, p.proto, p.ihl, l4)); v != OK {
		return v
	}
	b := out.head(40 + n)
	t.header6(b, p, len(l4), p.proto)
	copy(b[40:], l4[:n])
	partial := h.Flags&vnethdr.NeedsCsum != 0
	if at := checkField(p.proto); at >= 0 && !partial && p.proto == protoUDP && binary.BigEndian.Uint16(b[40+at:]) == 0 {
		fillUDP(b, l4)
	} else if at >= 0 {
		fix(b[40+at:], p.proto, partial, sum(p.pkt[12:20]), sum(b[8:40]))
	}
	out.add(hdr, b, l4[n:])
	return OK
}

// transportHead returns how many bytes of a transport header are rewritten, and
// refuses headers that are too short or lie about their length.
func transportHead(proto uint8, l4 []byte) (int, Verdict) {
	switch {
	case proto == protoTCP && (len(l4) < 20 || l4[12]>>4 < 5 || int(l4[12]>>4)*4 > len(l4)):
		return 0, Malformed
	case proto == protoTCP:
		return 20, OK
	case proto == protoUDP && len(l4) < 8:
		return 0, Malformed
	case proto == protoUDP:
		if n := int(binary.BigEndian.Uint16(l4[4:])); n < 8 || n > len(l4) {
			return 0, Malformed
		}
		return 8, OK
	}
	return 0, OK
}

// fix updates a transport checksum for changed addresses, given their sums.
func fix(field []byte, proto uint8, partial bool, before, after uint32) {
	old := binary.BigEndian.Uint16(field)
	if partial {
		binary.BigEndian.PutUint16(field, updatePartial(old, before, after))
		return
	}
	check := update(old, before, after)
	if check == 0 && proto == protoUDP {
		check = 0xffff // 0 would say that there is none (7915-42)
	}
	binary.BigEndian.PutUint16(field, check)
}

// fillUDP computes the checksum of a datagram that had none over IPv4
// (7915-41). b is the IPv6 and UDP header, l4 the datagram as received.
func fillUDP(b, l4 []byte) {
	length := int(binary.BigEndian.Uint16(l4[4:]))
	check := ^fold(pseudo6(b[8:40], length, protoUDP) + sum(l4[:length]))
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(b[46:], check)
}
