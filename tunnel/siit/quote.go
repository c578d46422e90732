package siit

import "encoding/binary"

// quoted6 checks a packet that an ICMPv6 error quotes: one that the host sent
// from its CLAT address to dst through the prefix (SIIT-56, SIIT-73).
func (t *Translator) quoted6(quote []byte) (inner in6, dst [4]byte, v Verdict) {
	if len(quote) < 40 || quote[0]>>4 != 6 || [16]byte(quote[8:24]) != t.clat6 {
		return inner, dst, ICMPQuote
	}
	dst, ok := t.extract(quote[24:40])
	if !ok {
		return inner, dst, ICMPQuote
	}
	length := int(binary.BigEndian.Uint16(quote[4:]))
	if inner.parse(quote[:min(len(quote), 40+length)]) != OK {
		return inner, dst, ICMPQuote
	}
	return inner, dst, OK
}

// quoteTo6 writes the IPv6 header, a Fragment Header for a fragment, and the
// first n bytes of transport for a quoted packet that the host received (SIIT-55,
// SIIT-57, 7915-70).
func (t *Translator) quoteTo6(q []byte, inner *in4, n int) Verdict {
	pkt := inner.pkt
	size := int(binary.BigEndian.Uint16(pkt[2:])) - inner.ihl // of the upper layer, whatever is quoted
	tos := pkt[1] & t.tos
	q[0], q[1] = 0x60|tos>>4, tos<<4
	q[6], q[7] = next6(inner.proto), pkt[8]
	if inner.frag != 0 {
		q[6], q[40] = nextFragment, next6(inner.proto)
		word := inner.frag << 3
		if inner.more() {
			word |= 1
		}
		binary.BigEndian.PutUint16(q[42:], word)
		copy(q[46:], pkt[4:6])
	}
	binary.BigEndian.PutUint16(q[4:], uint16(len(q)-n-40+size))
	t.embed(q[8:], inner.src)
	copy(q[24:], t.clat6[:])
	head := q[len(q)-n:]
	copy(head, inner.l4())
	return fixQuoted(head, quoteSums{proto: inner.proto, change: t.change6(pkt[12:20], q[8:40]), six: sum(q[8:40]), length: size, part: inner.frag, to6: true})
}

// quoteTo4 writes the IPv4 header and the first n bytes of transport for a
// quoted packet that the host once sent.
func (t *Translator) quoteTo4(q []byte, inner *in6, dst [4]byte, n int) Verdict {
	pkt := inner.pkt
	size := int(binary.BigEndian.Uint16(pkt[4:])) - (inner.at - 40)
	if size < 0 || size+20 > 65535 {
		return ICMPQuote
	}
	q[0], q[1] = 0x45, (pkt[0]<<4|pkt[1]>>4)&t.tos
	binary.BigEndian.PutUint16(q[2:], uint16(size+20))
	binary.BigEndian.PutUint16(q[4:], inner.ident)
	binary.BigEndian.PutUint16(q[6:], inner.frag)
	if df4(inner, size+20) {
		q[6] = 0x40
	}
	q[8], q[9] = pkt[7], proto4(inner.proto)
	copy(q[12:], t.clat4[:])
	copy(q[16:], dst[:])
	binary.BigEndian.PutUint16(q[10:], ^headerSum(q[:20]))
	head := q[20 : 20+n]
	copy(head, inner.l4())
	return fixQuoted(head, quoteSums{proto: inner.proto, change: t.change4(q[12:20], pkt[8:40]), six: sum(pkt[8:40]), length: size, part: inner.frag})
}

// quotedHead returns how many bytes of a quoted transport header are copied to
// be rewritten; the quote may hold fewer than the whole header (SIIT-58), and
// what is not the first fragment holds none. The other family's ICMP was refused.
func quotedHead(proto uint8, l4 []byte, offset int) int {
	if offset > 0 {
		return 0
	}
	switch proto {
	case protoTCP:
		return min(20, len(l4))
	case protoUDP, protoDCCP, protoUDPLite, protoICMP, protoICMPv6:
		return min(8, len(l4))
	}
	return 0
}

// quoteSums is what the checksum of a quoted transport header is corrected by.
type quoteSums struct {
	proto  uint8
	change uint16 // of the pseudo-header's sum
	six    uint32 // sum of both IPv6 addresses, for ICMP
	length int    // bytes of the whole upper layer
	part   uint16 // not 0: a fragment, whose length is not that of the whole
	to6    bool
}

// fixQuoted corrects the checksum of a quoted transport header as far as it is
// there, and the type of a quoted echo; an error that quotes an error is refused
// (7915-71, 7915-72).
func fixQuoted(l4 []byte, q quoteSums) Verdict {
	if q.part&0x1fff != 0 {
		return OK
	}
	if q.proto == protoICMP || q.proto == protoICMPv6 {
		return fixQuotedEcho(l4, q)
	}
	at := checkField(q.proto)
	if at < 0 || len(l4) < at+2 || q.proto == protoUDP && l4[6] == 0 && l4[7] == 0 {
		return OK
	}
	fix(l4[at:], l4[at:], q.proto, false, q.change)
	return OK
}

// fixQuotedEcho corrects a quoted echo message. Only ICMPv6 has a pseudo-header.
// Of a fragment the checksum stays as it is, since the pseudo-header's length is
// not known.
func fixQuotedEcho(l4 []byte, q quoteSums) Verdict {
	if len(l4) < 4 {
		return ICMPQuote
	}
	pseudo := q.six + uint32(q.length>>16) + uint32(q.length&0xffff) + protoICMPv6
	typ, ok := echoToFour(l4[0])
	before, after := pseudo, uint32(0)
	if q.to6 {
		typ, ok = echoToSix(l4[0])
		before, after = 0, pseudo
	}
	if !ok {
		return ICMPQuote
	}
	if q.part == 0 {
		check := update(binary.BigEndian.Uint16(l4[2:]), change(before+uint32(l4[0])<<8, after+uint32(typ)<<8))
		binary.BigEndian.PutUint16(l4[2:], check)
	}
	l4[0] = typ
	return OK
}
