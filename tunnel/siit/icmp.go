package siit

import (
	"encoding/binary"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// ICMP types of echo in both families.
const (
	echoReply4, echo4 = 0, 8
	echo6, echoReply6 = 128, 129
)

// echoToSix returns the ICMPv6 type of an ICMPv4 echo type.
func echoToSix(t uint8) (uint8, bool) {
	switch t {
	case echo4:
		return echo6, true
	case echoReply4:
		return echoReply6, true
	}
	return 0, false
}

// echoToFour returns the ICMPv4 type of an ICMPv6 echo type.
func echoToFour(t uint8) (uint8, bool) {
	switch t {
	case echo6:
		return echo4, true
	case echoReply6:
		return echoReply4, true
	}
	return 0, false
}

// icmpTo6 translates ICMPv4, RFC 7915 section 4.2.
func (t *Translator) icmpTo6(out *Batch, h *vnethdr.Header, p *in4) Verdict {
	msg := p.l4()
	switch {
	case p.frag != 0:
		return FragmentedICMP // ICMPv6's checksum covers a length that is not here (SIIT-22)
	case len(msg) < 8:
		return Malformed
	case h.GSOType != vnethdr.GSONone:
		return Offload
	}
	switch msg[0] {
	case 3, 11, 12:
		return t.errorTo6(out, h, p)
	}
	typ, ok := echoToSix(msg[0])
	if !ok || msg[1] != 0 {
		return ICMPType
	}
	room, v := t.room6(out, p, len(p.pkt))
	if v != OK {
		return v
	}
	b := out.reserve(headers6(room > 0) + 8)
	t.header6(b, p.pkt, p.dst, len(msg), protoICMPv6)
	echo := b[len(b)-8:]
	copy(echo, msg)
	echo[0] = typ
	after := uint32(typ)<<8 + pseudo6(b[8:40], len(msg), protoICMPv6)
	fixEcho(echo[2:], h, msg, uint32(msg[0])<<8, after)
	if room > 0 {
		t.cut6(out, p, protoICMPv6, b, msg[8:], room)
		return OK
	}
	out.add(b, msg[8:]).Flags = h.Flags & vnethdr.DataValid
	return OK
}

// echoTo4 translates ICMPv6 informational messages, of which only echo has a
// counterpart (RFC 7915 section 5.2).
func (t *Translator) echoTo4(out *Batch, h *vnethdr.Header, p *in6, src [4]byte) Verdict {
	msg := p.l4()
	if len(msg) < 8 {
		return Malformed
	}
	typ, ok := echoToFour(msg[0])
	if !ok || msg[1] != 0 {
		return ICMPType
	}
	if h.GSOType != vnethdr.GSONone {
		return Offload
	}
	room, v := t.room4(out, p, 20+len(msg))
	if v != OK {
		return v
	}
	b := out.reserve(20 + 8)
	t.header4(b, out, p, src, 20+len(msg), 20+len(msg))
	copy(b[20:], msg[:8])
	b[20] = typ
	before := uint32(msg[0])<<8 + pseudo6(p.pkt[8:40], len(msg), protoICMPv6)
	fixEcho(b[22:], h, msg, before, uint32(typ)<<8)
	if room > 0 {
		t.cut4(out, p, b, msg[8:], room)
		return OK
	}
	out.add(b, msg[8:]).Flags = h.Flags & vnethdr.DataValid
	return OK
}

// fixEcho writes the checksum of an echo message: updated, or, when the host
// left it to be completed by offload, computed.
func fixEcho(field []byte, h *vnethdr.Header, msg []byte, before, after uint32) {
	check := binary.BigEndian.Uint16(msg[2:])
	if h.Flags&vnethdr.NeedsCsum != 0 {
		// All of the message but type, code and the field itself.
		check = ^fold(sum(msg[4:]) + after)
	} else {
		check = update(check, change(before, after))
	}
	binary.BigEndian.PutUint16(field, check)
}

// plateaus are RFC 1191 section 7's likely MTUs, for routers that tell none.
var plateaus = [...]int{65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68}

// mtuTo6 is the MTU in a Packet Too Big for one in Fragmentation Needed; length
// is the quoted packet's Total Length (7915-60).
func (t *Translator) mtuTo6(mtu4, length int) uint32 {
	if mtu4 == 0 {
		for _, m := range plateaus {
			if m < length {
				mtu4 = m
				break
			}
		}
	}
	return uint32(max(1280, min(mtu4+20, t.conf.MTU6, t.conf.MTU4+20)))
}

// mtuTo4 is the MTU in Fragmentation Needed for one in a Packet Too Big
// (7915-61), for a packet of which growth bytes are IPv6's alone. Less than 1280
// is taken as 1280, so that nobody shrinks it (7915-62).
func (t *Translator) mtuTo4(mtu6, growth uint32) uint32 {
	return min(max(mtu6, 1280)-growth, uint32(t.conf.MTU4), uint32(t.conf.MTU6-20), 65535)
}

// errorTypes6 gives type and code in ICMPv6 and the fourth to eighth byte for an
// ICMPv4 error (SIIT-40, SIIT-42).
func (t *Translator) errorTypes6(msg []byte, quoted *in4) (typ, code uint8, rest uint32, ok bool) {
	code = msg[1]
	switch msg[0] {
	case 3:
		switch code {
		case 0, 1, 5, 6, 7, 8, 11, 12:
			return 1, 0, 0, true
		case 2:
			return 4, 1, 6, true
		case 3:
			return 1, 4, 0, true
		case 4:
			length := int(binary.BigEndian.Uint16(quoted.pkt[2:]))
			return 2, 0, t.mtuTo6(int(binary.BigEndian.Uint16(msg[6:])), length), true
		case 9, 10, 13, 15:
			return 1, 1, 0, true
		}
	case 11:
		return 3, code, 0, true
	case 12:
		if p, ok := pointerTo6(msg[4]); ok && (code == 0 || code == 2) {
			return 4, 0, p, true
		}
	}
	return 0, 0, 0, false
}

// errorTypes4 is the other way round (SIIT-41, SIIT-43). A quoted packet with a
// Fragment Header had 28 bytes more than in IPv4, another 20 (SIIT-51).
func (t *Translator) errorTypes4(msg []byte, quoted *in6) (typ, code uint8, rest uint32, ok bool) {
	code = msg[1]
	word := binary.BigEndian.Uint32(msg[4:])
	switch msg[0] {
	case 1:
		switch code {
		case 0, 2, 3:
			return 3, 1, 0, true
		case 1:
			return 3, 10, 0, true
		case 4:
			return 3, 3, 0, true
		}
	case 2:
		growth := uint32(20)
		if quoted.fh {
			growth = 28
		}
		return 3, 4, t.mtuTo4(word, growth), true
	case 3:
		return 11, code, 0, true
	case 4:
		switch code {
		case 0:
			if p, ok := pointerTo4(word); ok {
				return 12, 0, uint32(p) << 24, true
			}
		case 1:
			return 3, 2, 0, true
		}
	}
	return 0, 0, 0, false
}

// pointerTo6 is the table of Parameter Problem pointers, RFC 7915 figure 3.
func pointerTo6(p uint8) (uint32, bool) {
	switch {
	case p <= 1:
		return uint32(p), true
	case p <= 3:
		return 4, true
	case p == 8:
		return 7, true
	case p == 9:
		return 6, true
	case p >= 12 && p <= 15:
		return 8, true
	case p >= 16 && p <= 19:
		return 24, true
	}
	return 0, false
}

// pointerTo4 is the table of Parameter Problem pointers, RFC 7915 figure 6.
func pointerTo4(p uint32) (uint8, bool) {
	switch {
	case p <= 1:
		return uint8(p), true
	case p == 4 || p == 5:
		return 2, true
	case p == 6:
		return 9, true
	case p == 7:
		return 8, true
	case p >= 8 && p <= 23:
		return 12, true
	case p >= 24 && p <= 39:
		return 16, true
	}
	return 0, false
}
